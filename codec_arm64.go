//go:build gc && !purego && !noasm

package adam

func decodeBF16Blocks(d []float32, s []BF16)               { decodeBF16Generic(d, s) }
func decodeF16Blocks(d []float32, s []F16)                 { decodeF16Generic(d, s) }
func decodeSplitBlocks(d []float32, hi []BF16, lo []int16) { decodeSplitGeneric(d, hi, lo) }
func encodeBF16Blocks(d []BF16, s []float32)               { encodeBF16Generic(d, s) }
func encodeF16Blocks(d []F16, s []float32)                 { encodeF16Generic(d, s) }
func encodeSplitBlocks(hi []BF16, lo []int16, s []float32) { encodeSplitGeneric(hi, lo, s) }

func roundBF16Blocks(d []BF16, s []float32, w words, shift uint32) {
	roundBF16Generic(d, s, w, shift)
}

func decodeQ8Blocks(m, v []float32, m8, v8 []int8, mScale, vScale []uint8) {
	decodeQ8Generic(m, v, m8, v8, mScale, vScale)
}

func encodeQ8Blocks(m8, v8 []int8, mScale, vScale []uint8, m, v []float32, w words) {
	encodeQ8Generic(m8, v8, mScale, vScale, m, v, w)
}

func (c *coeffs) stepFused(fusion, *operands16, int) bool { return false }
