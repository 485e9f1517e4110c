//go:build gc && !purego && !noasm

package adam

import "unsafe"

func decodeBF16Blocks(d []float32, s []BF16) {
	switch active {
	case avx512:
		decodeBF16AVX512(unsafe.SliceData(d), unsafe.SliceData(s), len(d))
	case avx512vl, avx2:
		decodeBF16AVX2(unsafe.SliceData(d), unsafe.SliceData(s), len(d))
	default:
		decodeBF16Generic(d, s)
	}
}

func decodeF16Blocks(d []float32, s []F16) {
	switch {
	case active == avx512:
		decodeF16AVX512(unsafe.SliceData(d), unsafe.SliceData(s), len(d))
	case f16c && (active == avx512vl || active == avx2):
		decodeF16AVX2(unsafe.SliceData(d), unsafe.SliceData(s), len(d))
	default:
		decodeF16Generic(d, s)
	}
}

func decodeSplitBlocks(d []float32, hi []BF16, lo []int16) {
	switch active {
	case avx512:
		decodeSplitAVX512(unsafe.SliceData(d), unsafe.SliceData(hi), unsafe.SliceData(lo), len(d))
	case avx512vl, avx2:
		decodeSplitAVX2(unsafe.SliceData(d), unsafe.SliceData(hi), unsafe.SliceData(lo), len(d))
	default:
		decodeSplitGeneric(d, hi, lo)
	}
}

func encodeBF16Blocks(d []BF16, s []float32) {
	switch active {
	case avx512:
		encodeBF16AVX512(unsafe.SliceData(d), unsafe.SliceData(s), len(s))
	case avx512vl, avx2:
		encodeBF16AVX2(unsafe.SliceData(d), unsafe.SliceData(s), len(s))
	default:
		encodeBF16Generic(d, s)
	}
}

func encodeF16Blocks(d []F16, s []float32) {
	switch {
	case active == avx512:
		encodeF16AVX512(unsafe.SliceData(d), unsafe.SliceData(s), len(s))
	case f16c && (active == avx512vl || active == avx2):
		encodeF16AVX2(unsafe.SliceData(d), unsafe.SliceData(s), len(s))
	default:
		encodeF16Generic(d, s)
	}
}

func encodeSplitBlocks(hi []BF16, lo []int16, s []float32) {
	switch active {
	case avx512:
		encodeSplitAVX512(unsafe.SliceData(hi), unsafe.SliceData(lo), unsafe.SliceData(s), len(s))
	case avx512vl, avx2:
		encodeSplitAVX2(unsafe.SliceData(hi), unsafe.SliceData(lo), unsafe.SliceData(s), len(s))
	default:
		encodeSplitGeneric(hi, lo, s)
	}
}

func roundBF16Blocks(d []BF16, s []float32, w words, shift uint32) {
	switch active {
	case avx512:
		roundBF16AVX512(unsafe.SliceData(d), unsafe.SliceData(s), len(s), w.next, w.k1, shift)
	case avx512vl, avx2:
		roundBF16AVX2(unsafe.SliceData(d), unsafe.SliceData(s), len(s), w.next, w.k1, shift)
	default:
		roundBF16Generic(d, s, w, shift)
	}
}

func decodeQ8Blocks(m, v []float32, m8, v8 []int8, mScale, vScale []uint8) {
	switch active {
	case avx512:
		decodeQ8AVX512(unsafe.SliceData(m), unsafe.SliceData(v), unsafe.SliceData(m8),
			unsafe.SliceData(v8), unsafe.SliceData(mScale), unsafe.SliceData(vScale), len(m))
	case avx512vl, avx2:
		decodeQ8AVX2(unsafe.SliceData(m), unsafe.SliceData(v), unsafe.SliceData(m8),
			unsafe.SliceData(v8), unsafe.SliceData(mScale), unsafe.SliceData(vScale), len(m))
	default:
		decodeQ8Generic(m, v, m8, v8, mScale, vScale)
	}
}

func encodeQ8Blocks(m8, v8 []int8, mScale, vScale []uint8, m, v []float32, w words) {
	switch active {
	case avx512:
		encodeQ8AVX512(unsafe.SliceData(m8), unsafe.SliceData(v8), unsafe.SliceData(mScale),
			unsafe.SliceData(vScale), unsafe.SliceData(m), unsafe.SliceData(v), len(m), w.next,
			w.k1)
	case avx512vl, avx2:
		encodeQ8AVX2(unsafe.SliceData(m8), unsafe.SliceData(v8), unsafe.SliceData(mScale),
			unsafe.SliceData(vScale), unsafe.SliceData(m), unsafe.SliceData(v), len(m), w.next,
			w.k1)
	default:
		encodeQ8Generic(m8, v8, mScale, vScale, m, v, w)
	}
}

// stepFused makes a fused step of n elements if the kernel in use has one.
func (c *coeffs) stepFused(f fusion, a *operands16, n int) bool {
	switch active {
	case avx512:
		return c.fusedAVX512(f, a, n)
	case avx512vl:
		return c.fusedAVX512VL(f, a, n)
	case avx2:
		return c.fusedAVX2(f, a, n)
	}
	return false
}

func (c *coeffs) fusedAVX2(f fusion, a *operands16, n int) bool {
	if c.live != exponent { // those steps flush subnormal moments
		return false
	}
	switch f {
	case fusedSplit:
		fusedSplitAVX2(a, n, c)
	case fusedBF16:
		fusedBF16AVX2(a, n, c)
	case fusedMoments:
		fusedMomentsAVX2(a, n, c)
	case fusedSplitQ8:
		fusedSplitQ8AVX2(a, n, c)
	case fusedQ8:
		fusedQ8AVX2(a, n, c)
	case fusedGradient:
		fusedGradientAVX2(a, n, c)
	case fusedCopy:
		fusedCopyAVX2(a, n, c)
	default:
		return false
	}
	return true
}

func (c *coeffs) fusedAVX512(f fusion, a *operands16, n int) bool {
	switch f {
	case fusedSplit:
		fusedSplitAVX512(a, n, c)
	case fusedBF16:
		fusedBF16AVX512(a, n, c)
	case fusedMoments:
		fusedMomentsAVX512(a, n, c)
	case fusedSplitQ8:
		fusedSplitQ8AVX512(a, n, c)
	case fusedQ8:
		fusedQ8AVX512(a, n, c)
	case fusedGradient:
		fusedGradientAVX512(a, n, c)
	case fusedCopy:
		fusedCopyAVX512(a, n, c)
	default:
		return false
	}
	return true
}

func (c *coeffs) fusedAVX512VL(f fusion, a *operands16, n int) bool {
	switch f {
	case fusedSplit:
		fusedSplitAVX512VL(a, n, c)
	case fusedBF16:
		fusedBF16AVX512VL(a, n, c)
	case fusedMoments:
		fusedMomentsAVX512VL(a, n, c)
	case fusedSplitQ8:
		fusedSplitQ8AVX512VL(a, n, c)
	case fusedQ8:
		fusedQ8AVX512VL(a, n, c)
	case fusedGradient:
		fusedGradientAVX512VL(a, n, c)
	case fusedCopy:
		fusedCopyAVX512VL(a, n, c)
	default:
		return false
	}
	return true
}

// The codecs in AVX-512, for n elements, a multiple of block16. VCVTPH2PS and VCVTPS2PH of 512 bits
// are AVX512F, not F16C. The instructions of AVX512-BF16 would flush subnormals.

//go:noescape
func decodeBF16AVX512(d *float32, s *BF16, n int)

//go:noescape
func decodeF16AVX512(d *float32, s *F16, n int)

//go:noescape
func decodeSplitAVX512(d *float32, hi *BF16, lo *int16, n int)

//go:noescape
func encodeBF16AVX512(d *BF16, s *float32, n int)

//go:noescape
func encodeF16AVX512(d *F16, s *float32, n int)

//go:noescape
func encodeSplitAVX512(hi *BF16, lo *int16, s *float32, n int)

//go:noescape
func roundBF16AVX512(d *BF16, s *float32, n int, next, k1, shift uint32)

//go:noescape
func decodeQ8AVX512(m, v *float32, m8, v8 *int8, mScale, vScale *uint8, n int)

//go:noescape
func encodeQ8AVX512(m8, v8 *int8, mScale, vScale *uint8, m, v *float32, n int, next, k1 uint32)

// The fused steps in AVX-512, of n elements, a multiple of block16 and not 0.

//go:noescape
func fusedSplitAVX512(a *operands16, n int, c *coeffs)

//go:noescape
func fusedBF16AVX512(a *operands16, n int, c *coeffs)

//go:noescape
func fusedMomentsAVX512(a *operands16, n int, c *coeffs)

//go:noescape
func fusedSplitQ8AVX512(a *operands16, n int, c *coeffs)

//go:noescape
func fusedQ8AVX512(a *operands16, n int, c *coeffs)

//go:noescape
func fusedGradientAVX512(a *operands16, n int, c *coeffs)

//go:noescape
func fusedCopyAVX512(a *operands16, n int, c *coeffs)

// The same on vectors of 256 bits.

//go:noescape
func fusedSplitAVX512VL(a *operands16, n int, c *coeffs)

//go:noescape
func fusedBF16AVX512VL(a *operands16, n int, c *coeffs)

//go:noescape
func fusedMomentsAVX512VL(a *operands16, n int, c *coeffs)

//go:noescape
func fusedSplitQ8AVX512VL(a *operands16, n int, c *coeffs)

//go:noescape
func fusedQ8AVX512VL(a *operands16, n int, c *coeffs)

//go:noescape
func fusedGradientAVX512VL(a *operands16, n int, c *coeffs)

//go:noescape
func fusedCopyAVX512VL(a *operands16, n int, c *coeffs)
