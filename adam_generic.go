package adam

import "math"

// stepGeneric is the step in plain Go, the reference of every other kernel. Each operation is rounded
// to float32: a product that meets a sum stands in float32(…), or the compiler may fuse the two.
func stepGeneric(p, g, m, v, x []float32, c *coeffs) {
	k := *c // in registers: the compiler cannot know that the stores below leave c alone
	g, m, v = g[:len(p)], m[:len(p)], v[:len(p)]
	if k.amsgrad {
		x = x[:len(p)]
	}
	for i, pi := range p {
		gi := float32(k.s * g[i])
		if k.l2 {
			gi += float32(k.lambda * pi)
		}
		mi := float32(k.b1*m[i]) + float32(k.c1*gi)
		vi := float32(k.b2*v[i]) + float32(float32(k.c2*gi)*gi)
		if math.Float32bits(mi)&k.live == 0 {
			mi = 0
		}
		if math.Float32bits(vi)&k.live == 0 {
			vi = 0
		}
		m[i], v[i] = mi, vi
		if k.amsgrad {
			vi = max(x[i], vi)
			x[i] = vi
		}
		d := float32(math.Sqrt(float64(vi))) + k.eps
		p[i] = float32(k.kappa*pi) - float32(k.alpha*float32(mi/d))
	}
}
