package adam

import "math"

// stepGeneric is the step in plain Go, the reference of every other kernel. Each operation is
// rounded to float32: a product that meets a sum stands in float32(…), or the compiler may fuse the
// two.
func stepGeneric(p, g, m, v, x []float32, c *coeffs) {
	// Locals go into registers; a struct of so many fields would stay in memory.
	s, b1, c1, b2, c2 := c.s, c.b1, c.c1, c.b2, c.c2
	lambda, alpha, eps, kappa, live := c.lambda, c.alpha, c.eps, c.kappa, c.live
	l2, amsgrad := c.l2, c.amsgrad
	g, m, v = g[:len(p)], m[:len(p)], v[:len(p)]
	if amsgrad {
		x = x[:len(p)]
	}
	for i, pi := range p {
		gi := float32(s * g[i])
		if l2 {
			gi += float32(lambda * pi)
		}
		mi := float32(b1*m[i]) + float32(c1*gi)
		vi := float32(b2*v[i]) + float32(float32(c2*gi)*gi)
		if math.Float32bits(mi)&live == 0 {
			mi = 0
		}
		if math.Float32bits(vi)&live == 0 {
			vi = 0
		}
		m[i], v[i] = mi, vi
		if amsgrad {
			vi = max(x[i], vi)
			x[i] = vi
		}
		d := float32(math.Sqrt(float64(vi))) + eps
		p[i] = float32(kappa*pi) - float32(alpha*float32(mi/d))
	}
}

// stepRunsGeneric steps the elements of each run. The gradients of all runs stand in g, one after
// the other.
func stepRunsGeneric(p, g, m, v, x []float32, runs []run, c *coeffs) {
	for _, r := range runs {
		part := x
		if c.amsgrad {
			part = x[r.from:r.to]
		}
		n := r.to - r.from
		stepGeneric(p[r.from:r.to], g[:n], m[r.from:r.to], v[r.from:r.to], part, c)
		g = g[n:]
	}
}

// The small kernels, of what else a step of many tensors does with a tile.

// partialSums of a tile: element i belongs to sum i mod 32.
type partialSums [32]float64

// sumSquaresGeneric adds the square of each element of g to its sum. A square of a float32 is exact
// in float64, so that the sum is rounded once whether the compiler fuses the two operations or not.
func sumSquaresGeneric(g []float32, sums *partialSums) {
	for i, x := range g {
		sums[i%len(sums)] += float64(x) * float64(x)
	}
}

// clampGeneric sets d to s·g, clamped to ±limit; a NaN stays one.
func clampGeneric(d, g []float32, s, limit float32) {
	d = d[:len(g)]
	for i, x := range g {
		d[i] = min(max(float32(s*x), -limit), limit)
	}
}

// averageGeneric moves e by the part c of its way to p; a subnormal result is stored as zero, since
// an average that decays to nothing would slow down every later step.
func averageGeneric(e, p []float32, c float32) {
	p = p[:len(e)]
	for i, x := range e {
		x += float32(c * float32(p[i]-x))
		if math.Float32bits(x)&exponent == 0 {
			x = 0
		}
		e[i] = x
	}
}
