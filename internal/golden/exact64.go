package golden

import (
	"math"
	"math/big"

	"github.com/fusedadam/adam/internal/operands"
)

// Exact64 is a tensor of float64 whose steps are made in 300 bits, in PyTorch's order of
// operations. The constants 1-β and 1-LR·WeightDecay are float64, as in adam and PyTorch; β^t is
// not rounded. An element is lost, its parameter NaN, once its gradient is Inf or NaN or its
// divisor 0.
type Exact64 struct {
	P, M, V, VMax []*big.Float
	t             uint64
	lost          []bool
	terms         [][3]*big.Float // the two of m, and the divisor
	rate          *big.Float
}

// NewExact64 begins at the given values.
func NewExact64(p []float64, s *operands.StateOf[float64]) *Exact64 {
	return &Exact64{P: wides(p), M: wides(s.M), V: wides(s.V), VMax: wides(s.VMax), t: s.T,
		lost: make([]bool, len(p)), terms: make([][3]*big.Float, len(p))}
}

func wide(x float64) *big.Float { return new(big.Float).SetPrec(300).SetFloat64(x) }

func wides(s []float64) []*big.Float {
	w := make([]*big.Float, len(s))
	for i, x := range s {
		w[i] = wide(x)
	}
	return w
}

func times(a, b *big.Float) *big.Float { return wide(0).Mul(a, b) }
func plus(a, b *big.Float) *big.Float  { return wide(0).Add(a, b) }
func minus(a, b *big.Float) *big.Float { return wide(0).Sub(a, b) }
func over(a, b *big.Float) *big.Float  { return wide(0).Quo(a, b) }
func root(a *big.Float) *big.Float     { return wide(0).Sqrt(a) }

// complement returns 1-β^t.
func complement(beta float64, t uint64) *big.Float {
	power, square := wide(1), wide(beta)
	for ; t > 0; t >>= 1 {
		if t&1 != 0 {
			power = times(power, square)
		}
		square = times(square, square)
	}
	return minus(wide(1), power)
}

// Step makes one step.
func (e *Exact64) Step(grad []float64, c operands.Config) {
	e.t++
	e.rate = over(wide(c.LR), complement(c.Beta1, e.t))
	q := root(complement(c.Beta2, e.t))
	b1, c1, b2, c2 := wide(c.Beta1), wide(1-c.Beta1), wide(c.Beta2), wide(1-c.Beta2)
	kappa, lambda, eps := wide(1-c.LR*c.WeightDecay), wide(c.WeightDecay), wide(c.Eps)
	if c.EpsUncorrected {
		eps = over(eps, q)
	}
	for i, x := range grad {
		if e.lost[i] = e.lost[i] || x-x != 0; e.lost[i] {
			continue
		}
		g := wide(x)
		if c.Maximize {
			g.Neg(g)
		}
		if c.Decoupled {
			e.P[i] = times(e.P[i], kappa)
		} else if c.WeightDecay != 0 {
			g = plus(g, times(lambda, e.P[i]))
		}
		old, new := times(b1, e.M[i]), times(c1, g)
		e.M[i] = plus(old, new)
		e.V[i] = plus(times(b2, e.V[i]), times(c2, times(g, g)))
		v := e.V[i]
		if c.AMSGrad {
			if e.VMax[i].Cmp(v) < 0 {
				e.VMax[i] = v
			}
			v = e.VMax[i]
		}
		d := plus(over(root(v), q), eps)
		if e.lost[i] = d.Sign() == 0; e.lost[i] {
			continue
		}
		e.terms[i] = [3]*big.Float{old, new, d}
		e.P[i] = minus(e.P[i], times(e.rate, over(e.M[i], d)))
	}
}

// Size returns the size of the last update of element i before the two terms of m cancel.
func (e *Exact64) Size(i int) float64 {
	old, new, d := e.terms[i][0], e.terms[i][1], e.terms[i][2]
	size := over(plus(wide(0).Abs(old), wide(0).Abs(new)), d)
	x, _ := times(e.rate, size).Float64()
	return x
}

// At returns the exact parameter i.
func (e *Exact64) At(i int) Value {
	if e.lost[i] {
		return Value{math.NaN(), 0}
	}
	return ValueOf(e.P[i])
}

// ValueOf returns a number as a Value.
func ValueOf(x *big.Float) Value {
	near, _ := x.Float64()
	rest, _ := minus(x, wide(near)).Float64()
	return Value{near, rest}
}
