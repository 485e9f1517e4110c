package adamgomlx

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/fusedadam/adam"
	"github.com/gomlx/gomlx/backends/simplego"
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

// network is a perceptron of two layers.
func network(ctx *context.Context, _ any, inputs []*graph.Node) []*graph.Node {
	x := layers.Dense(ctx.In("hidden"), inputs[0], true, 16)
	x = activations.Apply(activations.TypeTanh, x)
	return []*graph.Node{layers.Dense(ctx.In("out"), x, true, 1)}
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
func batch(i int) (inputs, labels []*tensors.Tensor) {
	const size = 32
	rng := rand.New(rand.NewPCG(uint64(i), 0))
	x, y := make([]float32, 0, 2*size), make([]float32, 0, size)
	for range size {
		a, b := float32(rng.NormFloat64()), float32(rng.NormFloat64())
		x, y = append(x, a, b), append(y, a*b)
	}
	inputs = []*tensors.Tensor{tensors.FromFlatDataAndDimensions(x, size, 2)}
	labels = []*tensors.Tensor{tensors.FromFlatDataAndDimensions(y, size, 1)}
	return inputs, labels
}

// run is a model in training.
type run struct {
	t       testing.TB
	ctx     *context.Context
	opt     *Optimizer // nil if the host's is used
	trainer *train.Trainer
}

// newRun trains the network with opt.
func newRun(t testing.TB, opt optimizers.Interface) *run {
	ctx := newContext(t)
	own, _ := opt.(*Optimizer)
	if own != nil {
		t.Cleanup(func() { own.Close() })
	}
	trainer := train.NewTrainer(backend, ctx, network, losses.MeanSquaredError, opt, nil, nil)
	return &run{t, ctx, own, trainer}
}

// execute executes the graph for the i-th batch and returns the loss.
func (r *run) execute(i int) float32 {
	r.t.Helper()
	inputs, labels := batch(i)
	metrics, err := r.trainer.TrainStep(nil, inputs, labels)
	if err != nil {
		r.t.Fatal(err)
	}
	return tensors.ToScalar[float32](metrics[0])
}

// step executes the graph for the i-th batch, makes the step, if it is not part of the graph, and
// returns the loss.
func (r *run) step(i int) float32 {
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
func values(ctx *context.Context) map[string][]float32 {
	all := map[string][]float32{}
	for v := range ctx.IterVariables() {
		if v.Trainable {
			all[v.ScopeAndName()] = tensors.MustCopyFlatData[float32](v.MustValue())
		}
	}
	return all
}

// state is all that a step may change.
type state struct {
	t         uint64
	values    map[string][]float32
	gradients map[string][]float32
	moments   map[string]adam.State
	averages  map[string][]float32
}

func (r *run) state() state {
	s := state{
		r.opt.Optimizer().T, values(r.ctx), map[string][]float32{},
		map[string]adam.State{}, map[string][]float32{},
	}
	for v := range r.ctx.InAbsPath(Scope).IterVariablesInScope() {
		s.gradients[v.ScopeAndName()] = tensors.MustCopyFlatData[float32](v.MustValue())
	}
	for name := range s.values {
		m := *r.opt.Optimizer().State(name)
		m.M, m.V = append([]float32{}, m.M...), append([]float32{}, m.V...)
		s.moments[name] = m
		s.averages[name] = append([]float32{}, r.opt.Optimizer().EMA(name)...)
	}
	return s
}

// difference returns the largest difference of parameters, relative to the larger of the parameter
// and lr.
func difference(a, b map[string][]float32, lr float64) float64 {
	worst := 0.0
	for name := range b {
		for i, x := range b[name] {
			d := math.Abs(float64(a[name][i])-float64(x)) / max(math.Abs(float64(x)), lr)
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
