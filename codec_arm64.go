//go:build gc && !purego && !noasm

package adam

import "unsafe"

// The codecs of the kernel in use, for whole blocks.

func decodeBF16Blocks(d []float32, s []BF16) {
	if active != neon {
		decodeBF16Generic(d, s)
		return
	}
	decodeBF16NEON(unsafe.SliceData(d), unsafe.SliceData(s), len(d))
}

func decodeF16Blocks(d []float32, s []F16) {
	if active != neon {
		decodeF16Generic(d, s)
		return
	}
	decodeF16NEON(unsafe.SliceData(d), unsafe.SliceData(s), len(d))
}

func decodeSplitBlocks(d []float32, hi []BF16, lo []int16) {
	if active != neon {
		decodeSplitGeneric(d, hi, lo)
		return
	}
	decodeSplitNEON(unsafe.SliceData(d), unsafe.SliceData(hi), unsafe.SliceData(lo), len(d))
}

func encodeBF16Blocks(d []BF16, s []float32) {
	if active != neon {
		encodeBF16Generic(d, s)
		return
	}
	encodeBF16NEON(unsafe.SliceData(d), unsafe.SliceData(s), len(d))
}

func encodeF16Blocks(d []F16, s []float32) {
	if active != neon {
		encodeF16Generic(d, s)
		return
	}
	encodeF16NEON(unsafe.SliceData(d), unsafe.SliceData(s), len(d))
}

func encodeSplitBlocks(hi []BF16, lo []int16, s []float32) {
	if active != neon {
		encodeSplitGeneric(hi, lo, s)
		return
	}
	encodeSplitNEON(unsafe.SliceData(hi), unsafe.SliceData(lo), unsafe.SliceData(s), len(s))
}

func roundBF16Blocks(d []BF16, s []float32, w words, shift uint32) {
	if active != neon {
		roundBF16Generic(d, s, w, shift)
		return
	}
	roundBF16NEON(unsafe.SliceData(d), unsafe.SliceData(s), len(d), w.next, w.k1, shift)
}

func decodeQ8Blocks(m, v []float32, m8, v8 []int8, mScale, vScale []uint8) {
	if active != neon {
		decodeQ8Generic(m, v, m8, v8, mScale, vScale)
		return
	}
	decodeQ8NEON(unsafe.SliceData(m), unsafe.SliceData(v), unsafe.SliceData(m8),
		unsafe.SliceData(v8), unsafe.SliceData(mScale), unsafe.SliceData(vScale), len(m))
}

func encodeQ8Blocks(m8, v8 []int8, mScale, vScale []uint8, m, v []float32, w words) {
	if active != neon {
		encodeQ8Generic(m8, v8, mScale, vScale, m, v, w)
		return
	}
	encodeQ8NEON(unsafe.SliceData(m8), unsafe.SliceData(v8), unsafe.SliceData(mScale),
		unsafe.SliceData(vScale), unsafe.SliceData(m), unsafe.SliceData(v), len(m), w.next, w.k1)
}

// Each does what its generic one does, for n elements, a multiple of block16.

//go:noescape
func decodeBF16NEON(d *float32, s *BF16, n int)

//go:noescape
func decodeF16NEON(d *float32, s *F16, n int)

//go:noescape
func decodeSplitNEON(d *float32, hi *BF16, lo *int16, n int)

//go:noescape
func encodeBF16NEON(d *BF16, s *float32, n int)

//go:noescape
func encodeF16NEON(d *F16, s *float32, n int)

//go:noescape
func encodeSplitNEON(hi *BF16, lo *int16, s *float32, n int)

//go:noescape
func roundBF16NEON(d *BF16, s *float32, n int, next, k1, shift uint32)

//go:noescape
func decodeQ8NEON(m, v *float32, m8, v8 *int8, mScale, vScale *uint8, n int)

//go:noescape
func encodeQ8NEON(m8, v8 *int8, mScale, vScale *uint8, m, v *float32, n int, next, k1 uint32)

// There are no fused loops.
func (c *coeffs) stepFused(fusion, *operands16, int) bool { return false }
