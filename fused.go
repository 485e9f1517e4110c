package adam

// A fusion is a combination of storages for which kernels may have a fused step: one loop that
// decodes, steps and encodes. It has the bits of the way through the codecs, of plain Adam and
// AdamW (neither L2 nor AMSGrad). Where all streams are bfloat16 every NaN has zeros in its lower
// half, the gradient multiplier included, so that rounding cannot carry one into another value.
type fusion uint8

const (
	unfused       fusion = iota
	fusedSplit           // gradients bfloat16, split master, moments bfloat16
	fusedBF16            // gradients, parameters and moments bfloat16
	fusedMoments         // moments bfloat16, the rest float32
	fusedSplitQ8         // gradients bfloat16, split master, moments of 8 bits
	fusedQ8              // moments of 8 bits, the rest float32
	fusedGradient        // gradients bfloat16, the rest float32
	fusedCopy            // the same with a copy of the parameters in bfloat16
)

// operands16 are where the elements of a fused step lie; nil is what its fusion does not have. The
// field offsets reach the assembly through go_asm.h.
type operands16 struct {
	p      *float32 // float32 parameters, or
	hi     *BF16    // bfloat16 parameters, or a copy; with a split master the upper half, and
	lo     *int16   // the lower one
	grad   *float32 // one of these two
	grad16 *BF16
	m, v   *float32 // one of these three pairs
	m16    *BF16
	v16    *BF16
	m8, v8 *int8
	mScale *uint8 // one for each block of m8
	vScale *uint8
	next   uint32 // the words, see words
	k1     uint32
}
