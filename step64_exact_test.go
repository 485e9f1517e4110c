package adam

import (
	"bytes"
	"encoding/json"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/fusedadam/adam/internal/golden"
	"github.com/fusedadam/adam/internal/operands"
	"github.com/fusedadam/adam/internal/python"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

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
			e := golden.NewExact64(o.P, &o.StateOf)
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
			e.Step(before.G, c)
			for i := range o.P {
				g := before.G[i]
				terms := math.Abs(c.Beta1*before.M[i]) + math.Abs((1-c.Beta1)*g)
				exactP, exactV := e.At(i), golden.ValueOf(e.V[i])
				p := max(math.Abs(before.P[i]), math.Abs(exactP.Near))
				errors := [3]float64{
					math.Abs(golden.ValueOf(e.M[i]).Off(o.M[i])) / (4*u*terms + least + products),
					math.Abs(exactV.Off(o.V[i])) / (5*u*exactV.Near + least + products),
					math.Abs(exactP.Off(o.P[i])) / (4*u*p + 18*u*e.Size(i) + least),
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
			s := NewState64(n, c)
			exact := golden.NewExact64(p, &operands.StateOf[float64]{M: s.M, V: s.V, VMax: s.VMax})
			var errors golden.Errors[float64]
			for step := range grads {
				require.NoError(t, s.Step(p, grads[step][kind], c))
				exact.Step(grads[step][kind], operands.Config(c))
				if (step+1)%every != 0 {
					continue
				}
				for i, x := range torch.Stored[step/every][kind] {
					errors.Add(exact.At(i), p[i], x, c.LR)
				}
			}
			ours, theirs := errors.RMS()
			t.Logf("%+v, kind %d: %.2g from exact arithmetic, torch %.2g: %.2f times", c, kind,
				ours, theirs, ours/theirs)
			assert.NoError(t, errors.Check())
		}
	}
}
