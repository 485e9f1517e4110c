//go:build gc && !purego && !noasm

package adam

// The codecs of avx2 and avx512vl: each does what the one with Generic in the place of AVX2 does,
// for whole blocks.

// f16c reports whether the CPU converts binary16, which has a flag of its own. Without it the
// generic code does.
var f16c = func() bool {
	_, _, features, _ := cpuid(1)
	return features>>29&1 != 0
}()

//go:noescape
func decodeBF16AVX2(d *float32, s *BF16, n int)

//go:noescape
func decodeF16AVX2(d *float32, s *F16, n int)

//go:noescape
func decodeSplitAVX2(d *float32, hi *BF16, lo *int16, n int)

//go:noescape
func encodeBF16AVX2(d *BF16, s *float32, n int)

//go:noescape
func encodeF16AVX2(d *F16, s *float32, n int)

//go:noescape
func encodeSplitAVX2(hi *BF16, lo *int16, s *float32, n int)

//go:noescape
func roundBF16AVX2(d *BF16, s *float32, n int, next, k1, shift uint32)

//go:noescape
func decodeQ8AVX2(m, v *float32, m8, v8 *int8, mScale, vScale *uint8, n int)

//go:noescape
func encodeQ8AVX2(m8, v8 *int8, mScale, vScale *uint8, m, v *float32, n int, next, k1 uint32)

// The fused steps in AVX2, of n elements, a multiple of block16 and not 0. They flush subnormal
// moments.

//go:noescape
func fusedSplitAVX2(a *operands16, n int, c *coeffs)

//go:noescape
func fusedBF16AVX2(a *operands16, n int, c *coeffs)

//go:noescape
func fusedMomentsAVX2(a *operands16, n int, c *coeffs)

//go:noescape
func fusedSplitQ8AVX2(a *operands16, n int, c *coeffs)

//go:noescape
func fusedQ8AVX2(a *operands16, n int, c *coeffs)

//go:noescape
func fusedGradientAVX2(a *operands16, n int, c *coeffs)

//go:noescape
func fusedCopyAVX2(a *operands16, n int, c *coeffs)
