package adam

import (
	"fmt"
	"math"
)

// State64 is [State] in float64. Its contract is that of State with every operation and every
// scalar in float64: the same bits on every kernel, for every length, alignment and split.
type State64 struct {
	T    uint64    // completed steps
	M    []float64 // first moment, one per parameter
	V    []float64 // second moment, one per parameter
	VMax []float64 // largest second moment, one per parameter; used with AMSGrad only
}

// NewState64 returns the state of n parameters before their first step, as [NewState] does.
func NewState64(n int, c Config) *State64 {
	if !c.AMSGrad {
		m := moments[float64](n, 2)
		return &State64{M: m[0], V: m[1]}
	}
	m := moments[float64](n, 3)
	return &State64{M: m[0], V: m[1], VMax: m[2]}
}

// Step makes one Adam step in place, as [State.Step] does, with the same errors.
func (s *State64) Step(p, g []float64, c Config) error {
	if !c.valid() {
		return c.Validate()
	}
	n, m, v, x := len(p), s.M, s.V, []float64(nil)
	if c.AMSGrad {
		x = s.VMax
	}
	if len(g) != n || len(m) != n || len(v) != n || c.AMSGrad && len(x) != n {
		return lengthError[float64](n, len(g), len(m), len(v), len(x), c.AMSGrad)
	}
	at := [...]uintptr{address(p), address(g), address(m), address(v), address(x)}
	for j, b := range at {
		for _, a := range at[:j] {
			if (j < 4 || c.AMSGrad) && overlap(a, b, 2*n) { // a float64 is as long as two float32
				return overlapError[float64](at, n)
			}
		}
	}
	if s.T == math.MaxUint64 {
		return fmt.Errorf("%w: T = %d", ErrSteps, s.T)
	}
	var k coeffs64
	k.set(&c, s.T+1, 1)
	step64(p, g, m, v, x, &k)
	s.T++
	return nil
}

// coeffs64 is coeffs of float64. Nothing is rounded a second time.
type coeffs64 struct {
	s      float64 // gradient multiplier
	lambda float64 // L2 weight decay
	b1, c1 float64 // Beta1, 1-Beta1
	b2, c2 float64 // Beta2, 1-Beta2
	alpha  float64 // LR with both bias corrections
	eps    float64 // Eps with the second moment's bias correction
	kappa  float64 // decoupled weight decay: parameters shrink by this factor
	live   uint64  // a moment m with bits(m)&live == 0 is stored as +0

	l2, amsgrad bool // which of the four variants of the kernel runs
}

// exponent64 masks the bits of a float64 that are all zero in zeros and subnormals.
const exponent64 = 0x7ff0000000000000

// Eps from which a subnormal moment cannot matter, so that it is stored as zero: √v of a subnormal
// v is below 2^-511 and vanishes beside ε. (511-453 is 53 bits and the 5 to spare of float32.)
const flushEps64 = 0x1p-453

// set computes the scalars of step t (1 for the first) of float64, with scale as the multiplier of
// the gradients.
func (k *coeffs64) set(c *Config, t uint64, scale float64) {
	usually(func() {
		k.alpha, k.eps, k.kappa = corrected(c, complement(c.Beta1, t), complement(c.Beta2, t))
		k.c1, k.c2 = 1-c.Beta1, 1-c.Beta2
	})
	k.b1, k.b2 = c.Beta1, c.Beta2
	k.l2 = !c.Decoupled && c.WeightDecay != 0
	k.lambda = c.WeightDecay
	k.amsgrad = c.AMSGrad
	k.s, k.live = scale, math.MaxUint64
	if c.Maximize {
		k.s = -scale
	}
	if c.Eps >= flushEps64 {
		k.live = exponent64
	}
}

// complement returns 1-β^t. A power that is rounded and then taken from 1 has too few bits left for
// float64: at t = 2 and β = 0.999, 8 of them are lost. So this never makes a power. With d =
// 1-β^(2^i) and r = 1-β^(t mod 2^i),
//
//	r = r + d·(1-r)   for each bit i set in t
//	d = d·(2-d)
//
// where errors of d and r do not grow. Where β^t ≤ exp(-t·(1-β)) < 2^-60, it returns 1.
func complement(beta float64, t uint64) float64 {
	d, r := 1-beta, 0.0
	if float64(t)*d > 42 {
		return 1
	}
	for ; t != 0; t >>= 1 {
		if t&1 != 0 {
			r += float64(d * (1 - r))
		}
		d *= 2 - d
	}
	return r
}

// tile64 is the number of elements of one kernel call: as many bytes as those of a tile of float32.
const tile64 = tile / 2

// step64 runs the kernel over the slices; x is empty without AMSGrad.
func step64(p, g, m, v, x []float64, c *coeffs64) {
	raceWrite(p)
	raceRead(g)
	raceWrite(m)
	raceWrite(v)
	raceWrite(x)
	c.stepAll(p, g, m, v, x)
}

// stepAll is stepTile of any number of elements, tile by tile.
func (c *coeffs64) stepAll(p, g, m, v, x []float64) {
	for len(p) > tile64 {
		k := min(tile64, len(x))
		c.stepTile(p[:tile64], g[:tile64], m[:tile64], v[:tile64], x[:k])
		p, g, m, v, x = p[tile64:], g[tile64:], m[tile64:], v[tile64:], x[k:]
	}
	c.stepTile(p, g, m, v, x)
}

// stepGeneric64 is stepGeneric of float64.
func stepGeneric64(p, g, m, v, x []float64, c *coeffs64) {
	s, b1, c1, b2, c2 := c.s, c.b1, c.c1, c.b2, c.c2
	lambda, alpha, eps, kappa, live := c.lambda, c.alpha, c.eps, c.kappa, c.live
	l2, amsgrad := c.l2, c.amsgrad
	g, m, v = g[:len(p)], m[:len(p)], v[:len(p)]
	if amsgrad {
		x = x[:len(p)]
	}
	for i, pi := range p {
		gi := float64(s * g[i])
		if l2 {
			gi += float64(lambda * pi)
		}
		mi := float64(b1*m[i]) + float64(c1*gi)
		vi := float64(b2*v[i]) + float64(float64(c2*gi)*gi)
		if math.Float64bits(mi)&live == 0 {
			mi = 0
		}
		if math.Float64bits(vi)&live == 0 {
			vi = 0
		}
		m[i], v[i] = mi, vi
		if amsgrad {
			vi = max(x[i], vi)
			x[i] = vi
		}
		d := math.Sqrt(vi) + eps
		p[i] = float64(kappa*pi) - float64(alpha*float64(mi/d))
	}
}
