package golden

import (
	"archive/zip"
	"encoding/json"
	"math"
	"strconv"
	"strings"

	"github.com/fusedadam/adam/internal/operands"
)

// A file of the archive: schema adam-golden/1, or adam-golden-conv/1 where Problem is set.
type file struct {
	Optimizer   string
	NSteps      int       `json:"n_steps"`
	LRPerStep   []float64 `json:"lr_per_step"`
	Groups      []struct{ Hyper hyper }
	Tensors     []tensorData
	Problem     string
	Hyper       hyper
	F32         []record
	X0          []float32 // rosenbrock
	Rows        int       // logistic_regression, with what follows
	X           floats    `json:"X_row_major"`
	Y, W0       floats
	StoredSteps []int `json:"stored_steps"`
}

type hyper struct {
	LR          float64
	Betas       [2]float64
	Eps         float64
	WeightDecay float64 `json:"weight_decay"`
	AMSGrad     bool
	Maximize    bool
}

type tensorData struct {
	Group     int
	InitParam floats  `json:"init_param"`
	InitState *record `json:"init_state"`
	Grads     []floats
	F32       []record
}

type record struct {
	Step int
	// Only in adam-golden/1; the same as Step but for steps without gradient.
	StateStep *float64 `json:"state_step"`
	Param     floats
	ExpAvg    floats `json:"exp_avg"` // null before the first step with a gradient
	ExpAvgSq  floats `json:"exp_avg_sq"`
	MaxExpSq  floats `json:"max_exp_avg_sq"`
}

func (r *record) snapshot() snapshot {
	t := uint64(r.Step)
	if r.StateStep != nil {
		t = uint64(*r.StateStep)
	}
	if r.ExpAvg == nil {
		zeros := make([]float32, len(r.Param))
		return snapshot{0, r.Param, zeros, zeros, zeros}
	}
	return snapshot{t, r.Param, r.ExpAvg, r.ExpAvgSq, r.MaxExpSq}
}

// floats are float32 bit patterns of eight hex digits.
type floats []float32

func (f *floats) UnmarshalJSON(b []byte) error {
	var hex []string
	if err := json.Unmarshal(b, &hex); err != nil || hex == nil {
		return err
	}
	*f = make(floats, len(hex))
	for i, h := range hex {
		u, err := strconv.ParseUint(h, 16, 32)
		if err != nil {
			return err
		}
		(*f)[i] = math.Float32frombits(uint32(u))
	}
	return nil
}

func read(f *zip.File) (*Case, error) {
	r, err := f.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	var d file
	if err := json.NewDecoder(r).Decode(&d); err != nil {
		return nil, err
	}
	c := &Case{
		Name:  strings.TrimSuffix(f.Name, ".json"),
		Steps: d.NSteps,
		exact: strings.HasPrefix(f.Name, "torch-nofma/"),
	}
	c.recorded = d.Problem == ""
	if !c.recorded {
		c.Steps = d.StoredSteps[len(d.StoredSteps)-1]
		start, gradient := d.problem()
		c.tensors = []tensor{d.tensor(d.Hyper, start, nil, d.F32, gradient)}
	}
	for _, t := range d.Tensors {
		given := func(step int, _ []float32) []float32 { return t.Grads[step-1] }
		h := d.Groups[t.Group].Hyper
		c.tensors = append(c.tensors, d.tensor(h, t.InitParam, t.InitState, t.F32, given))
	}
	return c, nil
}

func (d *file) tensor(h hyper, p []float32, init *record, stored []record,
	gradient func(int, []float32) []float32) tensor {
	config := operands.Config{LR: h.LR, Beta1: h.Betas[0], Beta2: h.Betas[1], Eps: h.Eps,
		WeightDecay: h.WeightDecay, Decoupled: d.Optimizer == "AdamW", AMSGrad: h.AMSGrad,
		Maximize: h.Maximize}
	t := tensor{
		gradient: gradient,
		config: func(step int) operands.Config {
			if d.LRPerStep != nil {
				config.LR = d.LRPerStep[step-1]
			}
			return config
		},
		start:     snapshot{p: p, m: make([]float32, len(p)), v: make([]float32, len(p))},
		snapshots: map[int]snapshot{},
	}
	if h.AMSGrad {
		t.start.vmax = make([]float32, len(p))
	}
	if init != nil {
		t.start = init.snapshot()
		t.start.p = p
	}
	for _, r := range stored {
		t.snapshots[r.Step] = r.snapshot()
	}
	return t
}

// problem returns the parameters to start from and the gradient, computed in float64 and rounded,
// where torch's autograd computed in float32.
func (d *file) problem() ([]float32, func(int, []float32) []float32) {
	if d.Problem == "rosenbrock" { // (1-x)² + 100·(y-x²)²
		return d.X0, func(_ int, p []float32) []float32 {
			x, y := float64(p[0]), float64(p[1])
			return []float32{float32(-2*(1-x) - 400*x*(y-x*x)), float32(200 * (y - x*x))}
		}
	}
	// The mean logistic loss of w·X + bias, which is the last of w.
	return d.W0, func(_ int, w []float32) []float32 {
		k := len(w) - 1
		sum := make([]float64, len(w))
		for i := range d.Rows {
			x := d.X[i*k:][:k]
			z := float64(w[k])
			for j := range x {
				z += float64(w[j]) * float64(x[j])
			}
			e := 1/(1+math.Exp(-z)) - float64(d.Y[i])
			for j := range x {
				sum[j] += e * float64(x[j])
			}
			sum[k] += e
		}
		g := make([]float32, len(w))
		for j := range g {
			g[j] = float32(sum[j] / float64(d.Rows))
		}
		return g
	}
}
