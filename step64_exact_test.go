package adam

import (
	"bytes"
	"encoding/json"
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/fusedadam/adam/internal/golden"
	"github.com/fusedadam/adam/internal/operands"
	"github.com/fusedadam/adam/internal/python"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// exact64 is a tensor whose steps are made in 300 bits, in PyTorch's order of operations. The
// constants 1-β and 1-LR·WeightDecay are float64, as in adam and PyTorch; β^t is not rounded.
type exact64 struct {
	p, m, v, x     []*big.Float
	power1, power2 *big.Float // β^t
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

// newExact64 begins at the values of o.
func newExact64(o *operands64, c operands.Config) *exact64 {
	e := &exact64{p: wides(o.P), m: wides(o.M), v: wides(o.V), x: wides(o.VMax),
		power1: wide(1), power2: wide(1)}
	for range o.T {
		e.power1, e.power2 = times(e.power1, wide(c.Beta1)), times(e.power2, wide(c.Beta2))
	}
	return e
}

// step makes a step and returns, for each element, the size of the update before the two terms of m
// cancel.
func (e *exact64) step(grad []float64, c operands.Config) []float64 {
	e.power1, e.power2 = times(e.power1, wide(c.Beta1)), times(e.power2, wide(c.Beta2))
	rate := over(wide(c.LR), minus(wide(1), e.power1))
	q := root(minus(wide(1), e.power2))
	sizes := make([]float64, len(grad))
	for i, x := range grad {
		g := wide(x)
		if c.Maximize {
			g.Neg(g)
		}
		if c.Decoupled {
			e.p[i] = times(e.p[i], wide(1-c.LR*c.WeightDecay))
		} else {
			g = plus(g, times(wide(c.WeightDecay), e.p[i]))
		}
		old, new := times(wide(c.Beta1), e.m[i]), times(wide(1-c.Beta1), g)
		e.m[i] = plus(old, new)
		e.v[i] = plus(times(wide(c.Beta2), e.v[i]), times(wide(1-c.Beta2), times(g, g)))
		v := e.v[i]
		if c.AMSGrad {
			if e.x[i].Cmp(v) < 0 {
				e.x[i] = v
			}
			v = e.x[i]
		}
		eps := wide(c.Eps)
		if c.EpsUncorrected {
			eps = over(eps, q)
		}
		d := plus(over(root(v), q), eps)
		e.p[i] = minus(e.p[i], times(rate, over(e.m[i], d)))
		size := over(plus(wide(0).Abs(old), wide(0).Abs(new)), d)
		sizes[i], _ = times(rate, size).Float64()
	}
	return sizes
}

// off returns |x - exact|.
func off(x float64, exact *big.Float) float64 {
	d, _ := minus(wide(x), exact).Float64()
	return math.Abs(d)
}

func rounded(x *big.Float) float64 {
	r, _ := x.Float64()
	return r
}

// One step against the same step in 300 bits, within the bounds that docs/ARITHMETIC.md states.
func TestErrorBounds64(t *testing.T) {
	const u, least, products = 0x1p-53, 0x1p-1022, 0x1p-1064 // as in TestErrorBounds
	var worst [3]float64
	eachKernel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(7, 8))
		for trial := range 200 {
			c := operands.Variants64[trial%len(operands.Variants64)].Config
			if c.Eps < 1e-8 {
				c.Eps = 1e-8 // with 0 the quotient has no bound
			}
			scale := math.Exp2(200 - 400*r.Float64())
			o := operands.New(r, 40, [5]int{}, func(r *rand.Rand) float64 {
				return r.NormFloat64() * scale
			})
			for i := range o.V {
				o.V[i], o.VMax[i] = math.Abs(o.V[i])*scale, math.Abs(o.VMax[i])*scale
				o.P[i] = r.NormFloat64()
			}
			o.T = uint64(r.IntN(5000))
			e := newExact64(o, c)
			before := o.Clone([5]int{})
			steps64(t, o, c, 1)
			for i, p := range before.P { // the bounds begin at the rounded gradient
				if c.Maximize {
					before.G[i] = -before.G[i]
				}
				if !c.Decoupled {
					before.G[i] += float64(c.WeightDecay * p)
				}
			}
			c.Maximize = false
			if !c.Decoupled {
				c.WeightDecay = 0
			}
			sizes := e.step(before.G, c)
			for i := range o.P {
				g := before.G[i]
				terms := math.Abs(c.Beta1*before.M[i]) + math.Abs((1-c.Beta1)*g)
				p := max(math.Abs(before.P[i]), math.Abs(rounded(e.p[i])))
				errors := [3]float64{
					off(o.M[i], e.m[i]) / (4*u*terms + least + products),
					off(o.V[i], e.v[i]) / (5*u*rounded(e.v[i]) + least + products),
					off(o.P[i], e.p[i]) / (4*u*p + 18*u*sizes[i] + least),
				}
				for k, e := range errors {
					worst[k] = max(worst[k], e)
					require.LessOrEqual(t, e, 1.0, "%s[%d]: the share of the bound (config %+v, "+
						"T %d, p %v, g %v, m %v, v %v)", [...]string{"M", "V", "p"}[k], i, c, o.T,
						before.P[i], g, before.M[i], before.V[i])
				}
			}
		}
	})
	t.Logf("largest errors, as shares of their bounds: %.2f", worst)
}

// Beside real PyTorch in float64: at most golden.MaxRatio times as far from exact arithmetic, over
// 600 steps with gradients that alternate in sign, decay, or are noise.
func TestLongRunTorch64(t *testing.T) {
	if testing.Short() {
		t.Skip("thousands of steps in Python")
	}
	const steps, every, n, kinds = 600, 60, 12, 3
	gradient := func(kind, step int, noise float64) float64 {
		switch kind {
		case 0:
			return (1 - 2*float64(step%2)) * (1 + noise/8)
		case 1:
			return math.Exp(-float64(step)/30) * (1 + noise/8) // to 2·10⁻⁹
		}
		return noise
	}
	decoupled, l2, amsgrad := DefaultW(), Default(), DefaultW()
	decoupled.LR, l2.WeightDecay, amsgrad.AMSGrad = 1e-2, 1e-2, true
	for _, c := range []Config{Default(), decoupled, l2, amsgrad} {
		r := rand.New(rand.NewPCG(3, 4))
		params, grads := make([][]float64, kinds), make([][][]float64, steps)
		for step := range grads {
			grads[step] = make([][]float64, kinds)
		}
		for kind := range kinds {
			for range n {
				params[kind] = append(params[kind], r.NormFloat64())
				size := math.Exp2(-20 * r.Float64())
				for step := range grads {
					g := size * gradient(kind, step, r.NormFloat64())
					grads[step][kind] = append(grads[step][kind], g)
				}
			}
		}
		input, err := json.Marshal(map[string]any{"params": params, "grads": grads, "scale": 1,
			"lr": c.LR, "decay": c.WeightDecay, "l2": !c.Decoupled, "amsgrad": c.AMSGrad,
			"every": every, "float64": true})
		require.NoError(t, err)
		var torch struct{ Stored [][][]float64 }
		out := python.Run(t, bytes.NewReader(input), "testdata/torch_options.py")
		require.NoError(t, json.Unmarshal(out, &torch))
		require.Len(t, torch.Stored, steps/every)
		for kind := range kinds {
			p := slices.Clone(params[kind])
			s, zeros := NewState64(n, c), make([]float64, n)
			start := &operands64{P: p}
			start.M, start.V, start.VMax = zeros, zeros, zeros
			exact := newExact64(start, operands.Config(c))
			var ours, theirs float64
			for step := range grads {
				require.NoError(t, s.Step(p, grads[step][kind], c))
				exact.step(grads[step][kind], operands.Config(c))
				if (step+1)%every != 0 {
					continue
				}
				for i, x := range torch.Stored[step/every][kind] {
					size := max(math.Abs(rounded(exact.p[i])), c.LR)
					ours += math.Pow(off(p[i], exact.p[i])/size, 2)
					theirs += math.Pow(off(x, exact.p[i])/size, 2)
				}
			}
			const values = n * steps / every
			ours, theirs = math.Sqrt(ours/values), math.Sqrt(theirs/values)
			t.Logf("%+v, kind %d: %.2g from exact arithmetic, torch %.2g: %.2f times", c, kind,
				ours, theirs, ours/theirs)
			assert.Less(t, theirs, 1e-13, "torch's algorithm is the exact one's")
			assert.LessOrEqual(t, ours, max(golden.MaxRatio*theirs, 0x1p-53))
		}
	}
}
