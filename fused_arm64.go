//go:build gc && !purego && !noasm

package adam

// stepFused makes a fused step of n elements if the kernel in use has one.
func (c *coeffs) stepFused(f fusion, a *operands16, n int) bool {
	if active != neon {
		return false
	}
	switch f {
	case fusedSplit:
		fusedSplitNEON(a, n, c)
	case fusedBF16:
		fusedBF16NEON(a, n, c)
	case fusedMoments:
		fusedMomentsNEON(a, n, c)
	case fusedSplitQ8:
		fusedSplitQ8NEON(a, n, c)
	case fusedQ8:
		fusedQ8NEON(a, n, c)
	case fusedGradient:
		fusedGradientNEON(a, n, c)
	default:
		return false
	}
	return true
}

// The fused steps in NEON, of n elements, a multiple of block16 and not 0.

//go:noescape
func fusedSplitNEON(a *operands16, n int, c *coeffs)

//go:noescape
func fusedBF16NEON(a *operands16, n int, c *coeffs)

//go:noescape
func fusedMomentsNEON(a *operands16, n int, c *coeffs)

//go:noescape
func fusedSplitQ8NEON(a *operands16, n int, c *coeffs)

//go:noescape
func fusedQ8NEON(a *operands16, n int, c *coeffs)

//go:noescape
func fusedGradientNEON(a *operands16, n int, c *coeffs)
