package adam

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/fusedadam/adam/internal/golden"
	"github.com/fusedadam/adam/internal/operands"
	"github.com/fusedadam/adam/internal/python"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Clipping by norm and by value, loss scaling and the moving average against real PyTorch, over 50
// steps.
func TestOptionsTorch(t *testing.T) {
	const steps, scale, lr, ema = 50, 128.0, 1e-2, 0.9
	for _, o := range []Options{{MaxNorm: 2}, {MaxNorm: 1e6}, {MaxValue: 0.3}} {
		o.EMADecay = ema
		r := rand.New(rand.NewPCG(1, 2))
		floats := func(n int, size float64) []float32 {
			s := make([]float32, n)
			for i := range s {
				s[i] = float32(r.NormFloat64() * size)
			}
			return s
		}
		params := [][]float32{floats(3, 1), floats(100, 1), floats(37, 1)}
		var grads [][][]float32
		for step := range steps {
			// Some steps are clipped by their norm, others not.
			size := scale * (0.05 + 0.3*float64(step%3))
			grads = append(grads, [][]float32{floats(3, size), floats(100, size), floats(37, size)})
		}
		input, err := json.Marshal(map[string]any{"params": params, "grads": grads,
			"lr": lr, "decay": 0.1, "scale": scale,
			"max_norm": o.MaxNorm, "max_value": o.MaxValue, "ema": ema})
		require.NoError(t, err)
		var torch struct {
			Params, Average [][]float32
			Norms           []float64
		}
		out := python.Run(t, bytes.NewReader(input), "testdata/torch_options.py")
		require.NoError(t, json.Unmarshal(out, &torch))

		group := Group{Config: DefaultW()}
		group.Config.LR, group.Config.WeightDecay = lr, 0.1
		for i, p := range params {
			group.Params = append(group.Params, Param{Name: fmt.Sprint(i), Value: p})
		}
		opt, err := New(o, group)
		require.NoError(t, err)
		opt.GradScale = scale
		for step := range steps {
			for i := range params {
				opt.Groups[0].Params[i].Grad = grads[step][i]
			}
			stats, err := opt.Step()
			require.NoError(t, err)
			if o.MaxNorm > 0 {
				assert.InEpsilon(t, torch.Norms[step], stats.GradNorm, 1e-5)
			}
		}
		worst := 0.0
		for i, p := range params {
			average := opt.EMA(fmt.Sprint(i))
			for j := range p {
				worst = max(worst, golden.Distance(p[j], torch.Params[i][j], lr),
					golden.Distance(average[j], torch.Average[i][j], lr))
			}
		}
		t.Logf("%+v: largest error %.2g of max(|p|, LR)", o, worst)
		assert.LessOrEqual(t, worst, golden.Bound)
	}
}

// Errors add up over thousands of steps, torch's as ours. For gradients that alternate in sign,
// decay, do both or are noise, ours are at most golden.MaxRatio times as large as torch's.
func TestLongRunTorch(t *testing.T) {
	if testing.Short() {
		t.Skip("thousands of steps in Python")
	}
	const steps, every, n = 5000, 500, 64
	alternate := func(step int) float64 { return 1 - 2*float64(step%2) }
	decay := func(step int) float64 { return math.Exp(-float64(step) / 250) } // to 2·10⁻⁹
	kinds := []struct {
		name string
		g    func(step int, noise float64) float64
	}{
		{"alternating", func(k int, z float64) float64 { return alternate(k) * (1 + z/8) }},
		{"decaying", func(k int, z float64) float64 { return decay(k) * (1 + z/8) }},
		{"both", func(k int, z float64) float64 { return decay(k) * alternate(k) * (1 + z/8) }},
		{"noise", func(_ int, z float64) float64 { return z }},
	}
	decoupled, l2, amsgrad := DefaultW(), Default(), DefaultW()
	decoupled.LR, l2.WeightDecay, amsgrad.AMSGrad = 1e-2, 1e-2, true
	for _, c := range []Config{Default(), decoupled, l2, amsgrad} {
		r := rand.New(rand.NewPCG(3, 4))
		params, grads := make([][]float32, len(kinds)), make([][][]float32, steps)
		for step := range grads {
			grads[step] = make([][]float32, len(kinds))
		}
		for i, kind := range kinds {
			for range n {
				params[i] = append(params[i], float32(r.NormFloat64()))
				size := math.Exp2(-20 * r.Float64())
				for step := range grads {
					g := size * kind.g(step, r.NormFloat64())
					grads[step][i] = append(grads[step][i], float32(g))
				}
			}
		}
		input, err := json.Marshal(map[string]any{"params": params, "grads": grads, "scale": 1,
			"lr": c.LR, "decay": c.WeightDecay, "l2": !c.Decoupled, "amsgrad": c.AMSGrad,
			"every": every})
		require.NoError(t, err)
		var torch struct{ Stored [][][]float32 }
		out := python.Run(t, bytes.NewReader(input), "testdata/torch_options.py")
		require.NoError(t, json.Unmarshal(out, &torch))
		require.Len(t, torch.Stored, steps/every)

		for i, kind := range kinds {
			p, s, worst := params[i], NewState(n, c), 0.0
			var errors [2]golden.Errors[float32]
			exact := [2]*golden.Exact{golden.NewExact(p, golden.Given),
				golden.NewExact(p, golden.Rounded)}
			for step := range grads {
				g := grads[step][i]
				require.NoError(t, s.Step(p, g, c))
				for _, e := range exact {
					e.Step(g, operands.Config(c))
				}
				if (step+1)%every != 0 {
					continue
				}
				for j, x := range torch.Stored[step/every][i] {
					for l, e := range exact {
						errors[l].Add(e.At(j), p[j], x, c.LR)
					}
					worst = max(worst, golden.Distance(p[j], x, c.LR))
				}
			}
			t.Logf("%s, %+v: at most %.2g from torch", kind.name, c, worst)
			for l := range errors {
				assert.NoError(t, errors[l].Check(), "%s, %+v", kind.name, c)
				ours, theirs := errors[l].RMS()
				if l == int(golden.Rounded) {
					assert.Less(t, theirs, 3e-5, "without the errors of the constants")
				}
				t.Logf("  %.2g from exact arithmetic, torch %.2g: %.2f times", ours, theirs,
					ours/theirs)
			}
		}
	}
}
