package golden

import (
	"archive/zip"
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"unsafe"

	"github.com/fusedadam/adam/internal/operands"
)

// A file of the archive: schema adam-golden/1, or adam-golden-conv/1 where Problem is set.
type file[F operands.Float] struct {
	Optimizer   string
	NSteps      int       `json:"n_steps"`
	LRPerStep   []float64 `json:"lr_per_step"`
	Groups      []struct{ Hyper hyper }
	Tensors     []tensorData[F]
	Problem     string
	Hyper       hyper
	F32         []record[F]
	X0          []F       // rosenbrock
	Rows        int       // logistic_regression, with what follows
	X           floats[F] `json:"X_row_major"`
	Y, W0       floats[F]
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

type tensorData[F operands.Float] struct {
	Group     int
	InitParam floats[F]  `json:"init_param"`
	InitState *record[F] `json:"init_state"`
	Grads     []floats[F]
	F32, F64  []record[F]
	F64NoFMA  []record[F] `json:"f64_nofma"`
}

type record[F operands.Float] struct {
	Step int
	// Only in adam-golden/1; the same as Step but for steps without gradient.
	StateStep *float64 `json:"state_step"`
	Param     floats[F]
	ExpAvg    floats[F] `json:"exp_avg"` // null before the first step with a gradient
	ExpAvgSq  floats[F] `json:"exp_avg_sq"`
	MaxExpSq  floats[F] `json:"max_exp_avg_sq"`
}

func (r *record[F]) snapshot() snapshot[F] {
	t := uint64(r.Step)
	if r.StateStep != nil {
		t = uint64(*r.StateStep)
	}
	if r.ExpAvg == nil {
		zeros := make([]F, len(r.Param))
		return snapshot[F]{0, r.Param, zeros, zeros, zeros}
	}
	return snapshot[F]{t, r.Param, r.ExpAvg, r.ExpAvgSq, r.MaxExpSq}
}

// floats are bit patterns of eight hex digits, or sixteen of float64.
type floats[F operands.Float] []F

func (f *floats[F]) UnmarshalJSON(b []byte) error {
	var hex []string
	if err := json.Unmarshal(b, &hex); err != nil || hex == nil {
		return err
	}
	*f = make(floats[F], len(hex))
	for i, h := range hex {
		u, err := strconv.ParseUint(h, 16, 8*int(unsafe.Sizeof(F(0))))
		if err != nil {
			return err
		}
		(*f)[i] = operands.FromBits[F](uint32(u), u)
	}
	return nil
}

// read returns the cases of a file: one, or two if it has torch's values without FMA as well.
func read[F operands.Float](f *zip.File) ([]Case[F], error) {
	r, err := f.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	var d file[F]
	if err := json.NewDecoder(r).Decode(&d); err != nil {
		return nil, err
	}
	c := Case[F]{Name: strings.TrimSuffix(f.Name, ".json"), Steps: d.NSteps}
	c.exact = strings.HasPrefix(c.Name, noFMA)
	if d.Problem != "" {
		c.Steps = d.StoredSteps[len(d.StoredSteps)-1]
		start, gradient := d.problem()
		c.tensors = []tensor[F]{d.tensor(d.Hyper, start, nil, d.F32, gradient)}
	}
	other := Case[F]{Name: noFMA + strings.TrimPrefix(c.Name, "torch/"), Steps: c.Steps,
		exact: true}
	for _, t := range d.Tensors {
		given := func(step int, _ []F) []F { return t.Grads[step-1] }
		h := d.Groups[t.Group].Hyper
		x := d.tensor(h, t.InitParam, t.InitState, append(t.F32, t.F64...), given)
		x.exact = x.replay(c.Steps)
		c.tensors = append(c.tensors, x)
		if t.F64NoFMA != nil {
			x.snapshots = snapshots(t.F64NoFMA)
			other.tensors = append(other.tensors, x)
		}
	}
	if other.tensors == nil {
		return []Case[F]{c}, nil
	}
	return []Case[F]{c, other}, nil
}

// noFMA begins the names of the cases in which torch did not fuse multiply-adds.
const noFMA = "torch-nofma/"

func snapshots[F operands.Float](stored []record[F]) map[int]snapshot[F] {
	s := map[int]snapshot[F]{}
	for _, r := range stored {
		s[r.Step] = r.snapshot()
	}
	return s
}

func (d *file[F]) tensor(h hyper, p []F, init *record[F], stored []record[F],
	gradient func(int, []F) []F) tensor[F] {
	config := operands.Config{LR: h.LR, Beta1: h.Betas[0], Beta2: h.Betas[1], Eps: h.Eps,
		WeightDecay: h.WeightDecay, Decoupled: d.Optimizer == "AdamW", AMSGrad: h.AMSGrad,
		Maximize: h.Maximize}
	t := tensor[F]{
		gradient: gradient,
		config: func(step int) operands.Config {
			if d.LRPerStep != nil {
				config.LR = d.LRPerStep[step-1]
			}
			return config
		},
		start:     snapshot[F]{p: p, m: make([]F, len(p)), v: make([]F, len(p))},
		snapshots: snapshots(stored),
	}
	if h.AMSGrad {
		t.start.vmax = make([]F, len(p))
	}
	if init != nil {
		t.start = init.snapshot()
		t.start.p = p
	}
	return t
}

// problem returns the parameters to start from and the gradient, computed in float64 and rounded,
// where torch's autograd computed in float32.
func (d *file[F]) problem() ([]F, func(int, []F) []F) {
	if d.Problem == "rosenbrock" { // (1-x)² + 100·(y-x²)²
		return d.X0, func(_ int, p []F) []F {
			x, y := float64(p[0]), float64(p[1])
			return []F{F(-2*(1-x) - 400*x*(y-x*x)), F(200 * (y - x*x))}
		}
	}
	// The mean logistic loss of w·X + bias, which is the last of w.
	return d.W0, func(_ int, w []F) []F {
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
		g := make([]F, len(w))
		for j := range g {
			g[j] = F(sum[j] / float64(d.Rows))
		}
		return g
	}
}
