package adam

import (
	"bytes"
	"encoding/json"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/fusedadam/adam/internal/golden"
	"github.com/fusedadam/adam/internal/python"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// StepRows against PyTorch's SparseAdam: a table some of whose rows are used in every step, others
// rarely, and others never. Both are compared with exact arithmetic.
//
// SparseAdam computes m + (g-m)·(1-Beta1), whose Beta1 is 1-f32(1-Beta1) and not f32(Beta1) as in
// torch's Adam and here. Betas that float32 holds leave the rounding of the operations.
func TestStepRowsTorch(t *testing.T) {
	const steps, n, width = 200, 40, 7
	type run struct {
		Config
		p     []float32
		exact []struct{ p, m, v float64 }
		*State
	}
	runs := []run{
		{Config: Config{LR: 1e-2, Beta1: 0.875, Beta2: 1 - 0x1p-10, Eps: 1e-8}},
		{Config: Config{LR: 1e-3, Beta1: 0.75, Beta2: 1 - 0x1p-4, Eps: 1e-3, Maximize: true}},
		{Config: Default()},
	}
	var input []map[string]any
	for i := range runs {
		r, run := rand.New(rand.NewPCG(1, 2)), &runs[i]
		run.EpsUncorrected = true // SparseAdam adds ε to √v
		c := run.Config
		run.p, run.State = make([]float32, n*width), NewState(n*width, c)
		run.exact = make([]struct{ p, m, v float64 }, n*width)
		for i := range run.p {
			run.p[i] = float32(r.NormFloat64())
			run.exact[i].p = float64(run.p[i])
		}
		start := slices.Clone(run.p)
		var all [][2]any // rows and gradients
		for step := range steps {
			rows, g := []int32{}, []float32{}
			q1 := 1 - math.Pow(c.Beta1, float64(step+1))
			q2 := 1 - math.Pow(c.Beta2, float64(step+1))
			for _, row := range r.Perm(n - 5) { // the last five never
				if r.Float64() >= 2/float64(2+row) {
					continue
				}
				rows = append(rows, int32(row))
				for i := range width {
					x := float32(r.NormFloat64() * math.Exp2(-20*r.Float64()))
					g = append(g, x)
					d, e := float64(x), &run.exact[row*width+i]
					if c.Maximize {
						d = -d
					}
					e.m += (1 - c.Beta1) * (d - e.m)
					e.v += (1 - c.Beta2) * (d*d - e.v)
					e.p -= c.LR * math.Sqrt(q2) / q1 * e.m / (math.Sqrt(e.v) + c.Eps)
				}
			}
			all = append(all, [2]any{rows, g})
			require.NoError(t, run.StepRows(run.p, width, rows, g, c))
		}
		input = append(input, map[string]any{"size": []int{n, width}, "table": start, "lr": c.LR,
			"betas": []float64{c.Beta1, c.Beta2}, "eps": c.Eps, "maximize": c.Maximize,
			"steps": all})
	}
	data, err := json.Marshal(input)
	require.NoError(t, err)
	var torch []struct {
		Table, M, V []float32
		Step        uint64
	}
	out := python.Run(t, bytes.NewReader(data), "testdata/torch_sparse.py")
	require.NoError(t, json.Unmarshal(out, &torch))
	require.Len(t, torch, len(runs))

	for i, run := range runs {
		torch := torch[i]
		assert.Equal(t, torch.Step, run.T)
		require.Len(t, torch.Table, len(run.p))
		var errors golden.Errors[float32]
		worst := [3]float64{}
		for i, p := range run.p {
			errors.Add(golden.Value{Near: run.exact[i].p}, p, torch.Table[i], run.LR)
			worst[0] = max(worst[0], golden.Distance(p, torch.Table[i], run.LR))
			worst[1] = max(worst[1], golden.Distance(run.M[i], torch.M[i], 1e-2))
			worst[2] = max(worst[2], golden.Distance(run.V[i], torch.V[i], 1e-6))
		}
		ours, theirs := errors.RMS()
		t.Logf("%+v: largest differences of p, m and v %.2g", run.Config, worst)
		t.Logf("  %.2g from exact arithmetic, torch %.2g", ours, theirs)
		assert.NoError(t, errors.Check())
		for i, name := range []string{"p", "m", "v"} {
			assert.LessOrEqual(t, worst[i], golden.Bound, name)
		}
	}
}
