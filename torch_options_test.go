package adam

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"unsafe"

	"github.com/fusedadam/adam/internal/golden"
	"github.com/fusedadam/adam/internal/operands"
	"github.com/fusedadam/adam/internal/python"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Clipping by norm and by value, loss scaling and the moving average against real PyTorch, over 50
// steps of float32 and of float64.
func TestOptionsTorch(t *testing.T) {
	for _, o := range []Options{{MaxNorm: 2}, {MaxNorm: 1e6}, {MaxValue: 0.3}} {
		o.EMADecay = 0.9
		besideTorch(t, o, golden.Bound, func(g *Group, name string, p []float32) {
			g.Params = append(g.Params, Param{Name: name, Value: p})
		})
		besideTorch(t, o, 3e-14, func(g *Group, name string, p []float64) {
			g.Params64 = append(g.Params64, Param64{Name: name, Value: p})
		})
	}
}

// besideTorch makes steps of tensors that add puts into a group. Parameters and averages may be
// apart by bound·max(|p|, LR).
func besideTorch[F float](t *testing.T, o Options, bound float64,
	add func(g *Group, name string, p []F)) {
	const steps, scale, lr = 50, 128.0, 1e-2
	r := rand.New(rand.NewPCG(1, 2))
	floats := func(n int, size float64) []F {
		s := make([]F, n)
		for i := range s {
			s[i] = F(r.NormFloat64() * size)
		}
		return s
	}
	params := [][]F{floats(3, 1), floats(100, 1), floats(37, 1)}
	var grads [][][]F
	for step := range steps {
		// Some steps are clipped by their norm, others not.
		size := scale * (0.05 + 0.3*float64(step%3))
		grads = append(grads, [][]F{floats(3, size), floats(100, size), floats(37, size)})
	}
	input, err := json.Marshal(map[string]any{"params": params, "grads": grads,
		"lr": lr, "decay": 0.1, "scale": scale, "float64": unsafe.Sizeof(F(0)) == 8,
		"max_norm": o.MaxNorm, "max_value": o.MaxValue, "ema": o.EMADecay})
	require.NoError(t, err)
	var torch struct {
		Params, Average [][]F
		Norms           []float64
	}
	out := python.Run(t, bytes.NewReader(input), "testdata/torch_options.py")
	require.NoError(t, json.Unmarshal(out, &torch))

	group := Group{Config: DefaultW()}
	group.Config.LR, group.Config.WeightDecay = lr, 0.1
	for i, p := range params {
		add(&group, fmt.Sprint(i), p)
	}
	opt, err := New(o, group)
	require.NoError(t, err)
	opt.GradScale = scale
	for step := range steps {
		for i := range params {
			*typedOf[F](opt.tensors[i].kind).at.grad = grads[step][i]
		}
		stats, err := opt.Step()
		require.NoError(t, err)
		if o.MaxNorm > 0 {
			assert.InEpsilon(t, torch.Norms[step], stats.GradNorm, 10*bound)
		}
	}
	worst := 0.0
	distance := func(a, b F) {
		d := math.Abs(float64(a)-float64(b)) / max(math.Abs(float64(b)), lr)
		worst = max(worst, d)
		require.LessOrEqual(t, d, bound, "%+v", o)
	}
	for i, p := range params {
		average := emaOf[F](opt, fmt.Sprint(i))
		for j := range p {
			distance(p[j], torch.Params[i][j])
			distance(average[j], torch.Average[i][j])
		}
	}
	t.Logf("%T, %+v: largest error %.2g of max(|p|, LR)", F(0), o, worst)
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
