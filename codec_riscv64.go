//go:build gc && linux && go1.26 && !purego && !noasm

package adam

import "unsafe"

// The codecs of the kernel in use, for whole blocks.

func decodeBF16Blocks(d []float32, s []BF16) {
	if active != rvv {
		decodeBF16Generic(d, s)
		return
	}
	decodeBF16RVV(unsafe.SliceData(d), unsafe.SliceData(s), len(d))
}

func decodeF16Blocks(d []float32, s []F16) {
	if active != rvv {
		decodeF16Generic(d, s)
		return
	}
	decodeF16RVV(unsafe.SliceData(d), unsafe.SliceData(s), len(d))
}

func decodeSplitBlocks(d []float32, hi []BF16, lo []int16) {
	if active != rvv {
		decodeSplitGeneric(d, hi, lo)
		return
	}
	decodeSplitRVV(unsafe.SliceData(d), unsafe.SliceData(hi), unsafe.SliceData(lo), len(d))
}

func encodeBF16Blocks(d []BF16, s []float32) {
	if active != rvv {
		encodeBF16Generic(d, s)
		return
	}
	encodeBF16RVV(unsafe.SliceData(d), unsafe.SliceData(s), len(d))
}

func encodeF16Blocks(d []F16, s []float32) {
	if active != rvv {
		encodeF16Generic(d, s)
		return
	}
	encodeF16RVV(unsafe.SliceData(d), unsafe.SliceData(s), len(d))
}

func encodeSplitBlocks(hi []BF16, lo []int16, s []float32) {
	if active != rvv {
		encodeSplitGeneric(hi, lo, s)
		return
	}
	encodeSplitRVV(unsafe.SliceData(hi), unsafe.SliceData(lo), unsafe.SliceData(s), len(s))
}

func roundBF16Blocks(d []BF16, s []float32, w words, shift uint32) {
	if active != rvv {
		roundBF16Generic(d, s, w, shift)
		return
	}
	roundBF16RVV(unsafe.SliceData(d), unsafe.SliceData(s), len(d), w.next, w.k1, shift)
}

func decodeQ8Blocks(m, v []float32, m8, v8 []int8, mScale, vScale []uint8) {
	if active != rvv {
		decodeQ8Generic(m, v, m8, v8, mScale, vScale)
		return
	}
	decodeQ8RVV(unsafe.SliceData(m), unsafe.SliceData(v), unsafe.SliceData(m8),
		unsafe.SliceData(v8), unsafe.SliceData(mScale), unsafe.SliceData(vScale), len(m)/block16)
}

func encodeQ8Blocks(m8, v8 []int8, mScale, vScale []uint8, m, v []float32, w words) {
	if active != rvv {
		encodeQ8Generic(m8, v8, mScale, vScale, m, v, w)
		return
	}
	encodeQ8RVV(unsafe.SliceData(m8), unsafe.SliceData(v8), unsafe.SliceData(mScale),
		unsafe.SliceData(vScale), len(m)/block16, unsafe.SliceData(m), unsafe.SliceData(v),
		w.next, w.k1)
}

// Each does what its generic one does, for n elements or blocks of 64 of them.

//go:noescape
func decodeBF16RVV(d *float32, s *BF16, n int)

//go:noescape
func decodeF16RVV(d *float32, s *F16, n int)

//go:noescape
func decodeSplitRVV(d *float32, hi *BF16, lo *int16, n int)

//go:noescape
func encodeBF16RVV(d *BF16, s *float32, n int)

//go:noescape
func encodeF16RVV(d *F16, s *float32, n int)

//go:noescape
func encodeSplitRVV(hi *BF16, lo *int16, s *float32, n int)

//go:noescape
func roundBF16RVV(d *BF16, s *float32, n int, next, k1, shift uint32)

//go:noescape
func decodeQ8RVV(m, v *float32, m8, v8 *int8, mScale, vScale *uint8, blocks int)

//go:noescape
func encodeQ8RVV(m8, v8 *int8, mScale, vScale *uint8, blocks int, m, v *float32, next, k1 uint32)

// There are no fused loops.
func (c *coeffs) stepFused(fusion, *operands16, int) bool { return false }
