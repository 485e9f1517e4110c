package adam

import "math"

// The small kernels of float64: what a step of many tensors does with a tile besides the step.

// sumSquares64 is sumSquares of float64. A square is rounded before it is added, since it is not
// exact. The sum may be +Inf though all elements are finite: allFinite64 tells.
func sumSquares64(g []float64) float64 {
	var sums partialSums
	n := len(g) &^ (block - 1)
	sumSquaresBlocks64(g[:n], &sums)
	if n < len(g) {
		var last [block]float64 // its zeros add nothing
		copy(last[:], g[n:])
		sumSquaresBlocks64(last[:], &sums)
	}
	return sums.total()
}

// allFinite64 reports whether no element is NaN or infinite. It looks at the bits: no arithmetic
// overflows, whatever the mode of the thread.
func allFinite64(g []float64) bool {
	for _, x := range g {
		if math.Float64bits(x)&exponent64 == exponent64 {
			return false
		}
	}
	return true
}

// clampTile64 is clampTile of float64.
func clampTile64(d, g []float64, s, limit float64) {
	n := len(g) &^ (block - 1)
	clampBlocks64(d[:n], g[:n], s, limit)
	if n < len(g) {
		var last [block]float64
		copy(last[:], g[n:])
		clampBlocks64(last[:], last[:], s, limit)
		copy(d[n:len(g)], last[:])
	}
}

// averageTile64 is averageTile of float64.
func averageTile64(e, p []float64, c float64) {
	n := len(e) &^ (block - 1)
	averageBlocks64(e[:n], p[:n], c)
	if n < len(e) {
		var last, to [block]float64
		copy(last[:], e[n:])
		copy(to[:], p[n:])
		averageBlocks64(last[:], to[:], c)
		copy(e[n:], last[:])
	}
}

// sumSquaresGeneric64 adds the square of each element of g to its sum. The conversion rounds the
// square; without it the compiler may fuse the two operations.
func sumSquaresGeneric64(g []float64, sums *partialSums) {
	for i, x := range g {
		sums[i%len(sums)] += float64(x * x)
	}
}

// clampGeneric64 is clampGeneric of float64.
func clampGeneric64(d, g []float64, s, limit float64) {
	d = d[:len(g)]
	for i, x := range g {
		d[i] = min(max(float64(s*x), -limit), limit)
	}
}

// averageGeneric64 is averageGeneric of float64.
func averageGeneric64(e, p []float64, c float64) {
	p = p[:len(e)]
	for i, x := range e {
		x += float64(c * float64(p[i]-x))
		if math.Float64bits(x)&exponent64 == 0 {
			x = 0
		}
		e[i] = x
	}
}
