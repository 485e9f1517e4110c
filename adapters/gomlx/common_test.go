package adamgomlx

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/fusedadam/adam"
	"github.com/gomlx/gomlx/backends/simplego"
	"github.com/gomlx/gomlx/pkg/core/dtypes"
	"github.com/gomlx/gomlx/pkg/core/dtypes/bfloat16"
	"github.com/gomlx/gomlx/pkg/core/graph"
	"github.com/gomlx/gomlx/pkg/core/tensors"
	"github.com/gomlx/gomlx/pkg/ml/context"
	"github.com/gomlx/gomlx/pkg/ml/layers"
	"github.com/gomlx/gomlx/pkg/ml/layers/activations"
	"github.com/gomlx/gomlx/pkg/ml/train"
	"github.com/gomlx/gomlx/pkg/ml/train/losses"
	"github.com/gomlx/gomlx/pkg/ml/train/optimizers"
)

// backend makes operations one after another: in parallel, its default, they have data races.
var backend = must(simplego.New("ops_sequential"))

// network is a perceptron of two layers, the first of the type of the inputs, the second of the one
// that is given.
func network(out dtypes.DType) train.ModelFn {
	return func(ctx *context.Context, _ any, inputs []*graph.Node) []*graph.Node {
		x := layers.Dense(ctx.In("hidden"), inputs[0], true, 16)
		x = graph.ConvertDType(activations.Apply(activations.TypeTanh, x), out)
		return []*graph.Node{layers.Dense(ctx.In("out"), x, true, 1)}
	}
}

// newContext returns a context that gives the variables the same values in every run, or those of a
// checkpoint.
func newContext(t testing.TB) *context.Context {
	ctx := context.New()
	if err := ctx.SetRNGStateFromSeed(42); err != nil {
		t.Fatal(err)
	}
	return ctx.Checked(false)
}

// batch returns the i-th batch: points, and the product of their coordinates.
func (r *run) batch(i int) (inputs, labels []*tensors.Tensor) {
	const size = 32
	rng := rand.New(rand.NewPCG(uint64(i), 0))
	x, y := make([]float64, 0, 2*size), make([]float64, 0, size)
	for range size {
		a, b := float32(rng.NormFloat64()), float32(rng.NormFloat64())
		x, y = append(x, float64(a), float64(b)), append(y, float64(a*b))
	}
	inputs = []*tensors.Tensor{newTensor(r.hidden, x, size, 2)}
	labels = []*tensors.Tensor{newTensor(r.out, y, size, 1)}
	return inputs, labels
}

// newTensor returns a tensor of float32, float64 or bfloat16.
func newTensor(of dtypes.DType, elements []float64, dimensions ...int) *tensors.Tensor {
	switch of {
	case dtypes.Float64:
		return tensors.FromFlatDataAndDimensions(elements, dimensions...)
	case dtypes.BFloat16:
		halves := make([]bfloat16.BFloat16, len(elements))
		for i, x := range elements {
			halves[i] = bfloat16.FromFloat32(float32(x))
		}
		return tensors.FromFlatDataAndDimensions(halves, dimensions...)
	}
	rounded := make([]float32, len(elements))
	for i, x := range elements {
		rounded[i] = float32(x)
	}
	return tensors.FromFlatDataAndDimensions(rounded, dimensions...)
}

// doubles returns a copy of the elements of a tensor, of any type, in float64.
func doubles(of *tensors.Tensor) (all []float64) {
	switch of.DType() {
	case dtypes.Float64:
		return tensors.MustCopyFlatData[float64](of)
	case dtypes.BFloat16:
		for _, x := range tensors.MustCopyFlatData[bfloat16.BFloat16](of) {
			all = append(all, float64(x.Float32()))
		}
		return all
	}
	for _, x := range tensors.MustCopyFlatData[float32](of) {
		all = append(all, float64(x))
	}
	return all
}

// run is a model in training.
type run struct {
	t           testing.TB
	ctx         *context.Context
	opt         *Optimizer // nil if the host's is used
	trainer     *train.Trainer
	hidden, out dtypes.DType // of the two layers
}

// newRun trains the network in float32 with opt.
func newRun(t testing.TB, opt optimizers.Interface) *run {
	return newRunOf(t, opt, dtypes.Float32, dtypes.Float32)
}

func newRunOf(t testing.TB, opt optimizers.Interface, hidden, out dtypes.DType) *run {
	ctx := newContext(t)
	own, _ := opt.(*Optimizer)
	if own != nil {
		t.Cleanup(func() { own.Close() })
	}
	trainer := train.NewTrainer(backend, ctx, network(out), losses.MeanSquaredError, opt, nil, nil)
	return &run{t, ctx, own, trainer, hidden, out}
}

// execute executes the graph for the i-th batch and returns the loss.
func (r *run) execute(i int) float64 {
	r.t.Helper()
	inputs, labels := r.batch(i)
	metrics, err := r.trainer.TrainStep(nil, inputs, labels)
	if err != nil {
		r.t.Fatal(err)
	}
	return doubles(metrics[0])[0]
}

// step executes the graph for the i-th batch, makes the step, if it is not part of the graph, and
// returns the loss.
func (r *run) step(i int) float64 {
	r.t.Helper()
	loss := r.execute(i)
	if r.opt != nil {
		r.update()
	}
	return loss
}

func (r *run) update() adam.Stats {
	r.t.Helper()
	stats, err := r.opt.Step()
	if err != nil {
		r.t.Fatal(err)
	}
	return stats
}

func (r *run) variable(scope, name string) *context.Variable {
	return r.ctx.GetVariableByScopeAndName(scope, name)
}

// values returns copies of the trainable variables by name.
func values(ctx *context.Context) map[string][]float64 {
	all := map[string][]float64{}
	for v := range ctx.IterVariables() {
		if v.Trainable {
			all[v.ScopeAndName()] = doubles(v.MustValue())
		}
	}
	return all
}

// state is all that a step may change.
type state struct {
	t         uint64
	values    map[string][]float64
	gradients map[string][]float64
	moments   map[string]any // adam.State or adam.State64
	averages  map[string]any
}

func (r *run) state() state {
	s := state{
		r.opt.Optimizer().T, values(r.ctx), map[string][]float64{},
		map[string]any{}, map[string]any{},
	}
	for v := range r.ctx.InAbsPath(Scope).IterVariablesInScope() {
		s.gradients[v.ScopeAndName()] = doubles(v.MustValue())
	}
	o := r.opt.Optimizer()
	for name := range s.values {
		if double := o.State64(name); double != nil {
			m := *double
			m.M, m.V = slices.Clone(m.M), slices.Clone(m.V)
			s.moments[name], s.averages[name] = m, slices.Clone(o.EMA64(name))
		} else {
			m := *o.State(name)
			m.M, m.V = slices.Clone(m.M), slices.Clone(m.V)
			s.moments[name], s.averages[name] = m, slices.Clone(o.EMA(name))
		}
	}
	return s
}

// difference returns the largest difference of parameters, relative to the larger of the parameter
// and lr.
func difference(a, b map[string][]float64, lr float64) float64 {
	worst := 0.0
	for name := range b {
		for i, x := range b[name] {
			d := math.Abs(a[name][i]-x) / max(math.Abs(x), lr)
			if !(d <= worst) {
				worst = d
			}
		}
	}
	return worst
}

func with(c adam.Config, change func(c *adam.Config)) adam.Config {
	change(&c)
	return c
}

func must[T any](x T, err error) T {
	if err != nil {
		panic(err)
	}
	return x
}
