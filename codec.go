package adam

import "unsafe"

// The codecs are between storage and the float32 of a step. Kernels have them for whole blocks.
// What remains of a slice goes through the generic ones where they are arithmetic of integers, and
// otherwise, filled up, through one more block.

// block16 is the number of elements that share a scale, and at whose multiples the codecs and the
// fused steps of kernels work.
const block16 = 64

func whole(n int) int { return n &^ (block16 - 1) }

func decodeBF16(d []float32, s []BF16) {
	n := whole(len(d))
	decodeBF16Blocks(d[:n], s[:n])
	decodeBF16Generic(d[n:], s[n:])
}

func decodeF16(d []float32, s []F16) {
	n := whole(len(d))
	decodeF16Blocks(d[:n], s[:n])
	decodeF16Generic(d[n:], s[n:])
}

func decodeSplit(d []float32, hi []BF16, lo []int16) {
	n := whole(len(d))
	decodeSplitBlocks(d[:n], hi[:n], lo[:n])
	decodeSplitGeneric(d[n:], hi[n:], lo[n:])
}

// encodeBF16 rounds to nearest, ties to even.
func encodeBF16(d []BF16, s []float32) {
	n := whole(len(d))
	encodeBF16Blocks(d[:n], s[:n])
	encodeBF16Generic(d[n:], s[n:])
}

// encodeF16 rounds to nearest, ties to even.
func encodeF16(d []F16, s []float32) {
	n := whole(len(d))
	encodeF16Blocks(d[:n], s[:n])
	encodeF16Generic(d[n:], s[n:])
}

func encodeSplit(hi []BF16, lo []int16, s []float32) {
	n := whole(len(s))
	encodeSplitBlocks(hi[:n], lo[:n], s[:n])
	encodeSplitGeneric(hi[n:], lo[n:], s[n:])
}

// roundBF16 rounds stochastically, by 16 bits of each element's word: the lower ones with shift 0,
// the upper ones with shift 16.
func roundBF16(d []BF16, s []float32, w words, shift uint32) {
	n := whole(len(d))
	roundBF16Blocks(d[:n], s[:n], w, shift)
	roundBF16Generic(d[n:], s[n:], w.from(n), shift)
}

// decodeQ8 decodes moments of 8 bits. The first element begins a block.
func decodeQ8(m, v []float32, m8, v8 []int8, mScale, vScale []uint8) {
	n := whole(len(m))
	b := n / block16
	decodeQ8Blocks(m[:n], v[:n], m8[:n], v8[:n], mScale[:b], vScale[:b])
	if n < len(m) {
		var lastM, lastV [block16]float32
		var lastM8, lastV8 [block16]int8
		copy(lastM8[:], m8[n:])
		copy(lastV8[:], v8[n:])
		decodeQ8Blocks(lastM[:], lastV[:], lastM8[:], lastV8[:], mScale[b:], vScale[b:])
		copy(m[n:], lastM[:])
		copy(v[n:], lastV[:])
	}
}

// encodeQ8 encodes moments in 8 bits, block by block.
func encodeQ8(m8, v8 []int8, mScale, vScale []uint8, m, v []float32, w words) {
	n := whole(len(m))
	b := n / block16
	encodeQ8Blocks(m8[:n], v8[:n], mScale[:b], vScale[:b], m[:n], v[:n], w)
	if n < len(m) {
		var lastM, lastV [block16]float32 // zeros do not change a scale
		var lastM8, lastV8 [block16]int8
		copy(lastM[:], m[n:])
		copy(lastV[:], v[n:])
		encodeQ8Blocks(lastM8[:], lastV8[:], mScale[b:], vScale[b:], lastM[:], lastV[:], w.from(n))
		copy(m8[n:], lastM8[:])
		copy(v8[n:], lastV8[:])
	}
}

// retyped returns the same memory with elements of another type of 16 bits.
func retyped[D, S ~uint16 | ~int16](s []S) []D {
	return unsafe.Slice((*D)(unsafe.Pointer(unsafe.SliceData(s))), len(s))[:len(s):len(s)]
}
