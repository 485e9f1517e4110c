package adam

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/fusedadam/adam/internal/golden"
	"github.com/fusedadam/adam/internal/python"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Clipping by norm and by value, loss scaling and the moving average against real PyTorch, over 50 steps.
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
			size := scale * (0.05 + 0.3*float64(step%3)) // some steps are clipped by their norm, others not
			grads = append(grads, [][]float32{floats(3, size), floats(100, size), floats(37, size)})
		}
		input, err := json.Marshal(map[string]any{"params": params, "grads": grads, "lr": lr, "decay": 0.1, "scale": scale,
			"max_norm": o.MaxNorm, "max_value": o.MaxValue, "ema": ema})
		require.NoError(t, err)
		var torch struct {
			Params, Average [][]float32
			Norms           []float64
		}
		require.NoError(t, json.Unmarshal(python.Run(t, bytes.NewReader(input), "testdata/torch_options.py"), &torch))

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
			for j := range p {
				for _, c := range [][2]float32{{p[j], torch.Params[i][j]}, {opt.EMA(fmt.Sprint(i))[j], torch.Average[i][j]}} {
					worst = max(worst, math.Abs(float64(c[0]-c[1]))/max(math.Abs(float64(c[1])), lr))
				}
			}
		}
		t.Logf("%+v: largest error %.2g of max(|p|, LR)", o, worst)
		assert.LessOrEqual(t, worst, golden.Bound)
	}
}
