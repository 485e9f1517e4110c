package adamgomlx

import (
	"errors"
	"math"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/fusedadam/adam"
	"github.com/gomlx/gomlx/backends/simplego"
	"github.com/gomlx/gomlx/pkg/core/distributed"
	"github.com/gomlx/gomlx/pkg/core/dtypes"
	"github.com/gomlx/gomlx/pkg/core/graph"
	"github.com/gomlx/gomlx/pkg/core/tensors"
	"github.com/gomlx/gomlx/pkg/ml/context"
	"github.com/gomlx/gomlx/pkg/ml/context/checkpoints"
	"github.com/gomlx/gomlx/pkg/ml/layers"
	"github.com/gomlx/gomlx/pkg/ml/layers/activations"
	"github.com/gomlx/gomlx/pkg/ml/layers/batchnorm"
	"github.com/gomlx/gomlx/pkg/ml/layers/lstm"
	"github.com/gomlx/gomlx/pkg/ml/train"
	"github.com/gomlx/gomlx/pkg/ml/train/losses"
	"github.com/gomlx/gomlx/pkg/ml/train/optimizers"
)

// backend makes operations one after another: in parallel, its default, they have data races.
var backend = must(simplego.New("ops_sequential"))

// network is a perceptron of two layers.
func network(ctx *context.Context, _ any, inputs []*graph.Node) []*graph.Node {
	x := layers.Dense(ctx.In("hidden"), inputs[0], true, 16)
	return []*graph.Node{layers.Dense(ctx.In("out"), activations.Apply(activations.TypeTanh, x), true, 1)}
}

// newContext returns a context that gives the variables the same values in every run, or those of a checkpoint.
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
		t.Cleanup(own.Close)
	}
	return &run{t, ctx, own, train.NewTrainer(backend, ctx, network, losses.MeanSquaredError, opt, nil, nil)}
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

// step executes the graph for the i-th batch, makes the step, if it is not part of the graph, and returns the loss.
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
	s := state{r.opt.Optimizer().T, values(r.ctx), map[string][]float32{}, map[string]adam.State{}, map[string][]float32{}}
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

// difference returns the largest difference of parameters, relative to the larger of the parameter and lr.
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

// host returns the Config that makes the steps of GoMLX's Adam with its defaults. GoMLX computes 1-Beta from betas that
// are rounded to float32.
func host() adam.Config {
	c := adam.Default()
	c.Beta1, c.Beta2, c.Eps = float64(float32(0.9)), float64(float32(0.999)), 1e-7
	return c
}

func with(c adam.Config, change func(c *adam.Config)) adam.Config {
	change(&c)
	return c
}

// The steps of GoMLX's own optimizers, on the same gradients, from 1 to so small that Eps is all.
func TestHost(t *testing.T) {
	const n, steps, close = 1000, 200, 2e-5
	decayed := with(host(), func(c *adam.Config) { c.WeightDecay, c.Decoupled = 0.1, true })
	for _, c := range []struct {
		name   string
		host   func(ctx *context.Context) optimizers.Interface
		config adam.Config
		before func(c *adam.Config, step int)
		since  uint64  // steps before the second
		within float64 // bounds of the largest difference, close if 0
		beyond float64
	}{
		{name: "Adam", host: done(optimizers.Adam()), config: host()},
		{name: "Adam betas, rate, epsilon", host: done(optimizers.Adam().Betas(0.8, 0.99).LearningRate(0.01).Epsilon(1e-3)),
			config: adam.Config{LR: 0.01, Beta1: 0.8, Beta2: 0.99, Eps: 1e-3}},
		{name: "WeightDecay", host: done(optimizers.Adam().WeightDecay(0.1)), config: decayed, within: 2e-4},
		{name: "RMSProp", host: done(optimizers.RMSProp()), config: with(host(), func(c *adam.Config) { c.Beta1 = 0 })},
		{name: "WithBackoffSteps", host: done(optimizers.Adam().WithBackoffSteps(5)), config: host(),
			before: func(c *adam.Config, step int) {
				if c.LR = 1e-3; step < 5 {
					c.LR = 0
				}
			}},
		{name: "after 2^24 steps", host: done(optimizers.Adam()), config: host(), since: 1<<24 + 1},
		{name: "betas that are not rounded", host: done(optimizers.Adam()), since: 1<<24 + 1,
			config: with(host(), func(c *adam.Config) { c.Beta1, c.Beta2 = 0.9, 0.999 }), within: 2e-3, beyond: 1e-4},
		// FromContext sets what the context does not say to defaults, so "adamw" has no weight decay.
		{name: "adamw by name", host: func(ctx *context.Context) optimizers.Interface { return optimizers.ByName(ctx, "adamw") },
			config: host()},
		{name: "FromContext after Betas", host: func(ctx *context.Context) optimizers.Interface {
			return optimizers.Adam().Betas(0.5, 0.5).WeightDecay(0.1).FromContext(ctx).Done()
		}, config: host()},
		{name: "adamw by hyper-parameter", host: func(ctx *context.Context) optimizers.Interface {
			ctx.SetParam(optimizers.ParamAdamWeightDecay, 0.1)
			return optimizers.ByName(ctx, "adamw")
		}, config: decayed, within: 2e-4},
	} {
		t.Run(c.name, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(1, 2))
			initial, scale := make([]float32, n), make([]float64, n)
			for i := range initial {
				initial[i], scale[i] = float32(rng.NormFloat64()), math.Pow(10, -10*rng.Float64())
			}
			weighted := func(ctx *context.Context, _ any, inputs []*graph.Node) []*graph.Node {
				w := ctx.VariableWithValue("w", tensors.FromFlatDataAndDimensions(initial, n))
				return []*graph.Node{graph.Mul(w.ValueGraph(inputs[0].Graph()), inputs[0])}
			}
			sum := func(_, predictions []*graph.Node) *graph.Node { return graph.ReduceAllSum(predictions[0]) } // gradient: the inputs
			hostCtx, ctx := newContext(t), newContext(t)
			opt := New(c.config, adam.Options{})
			defer opt.Close()
			trainers := [2]*train.Trainer{
				train.NewTrainer(backend, hostCtx, weighted, sum, c.host(hostCtx), nil, nil),
				train.NewTrainer(backend, ctx, weighted, sum, opt, nil, nil),
			}
			worst := 0.0
			for step := range steps {
				g := make([]float32, n)
				for i := range g {
					g[i] = float32(scale[i] * rng.NormFloat64())
				}
				for _, trainer := range trainers {
					if _, err := trainer.TrainStep(nil, []*tensors.Tensor{tensors.FromFlatDataAndDimensions(g, n)}, nil); err != nil {
						t.Fatal(err)
					}
				}
				if c.before != nil {
					c.before(&opt.Config, step)
				}
				if _, err := opt.Step(); err != nil {
					t.Fatal(err)
				}
				worst = max(worst, difference(values(hostCtx), values(ctx), c.config.LR))
				if step == 0 && c.since > 0 {
					counter := hostCtx.GetVariableByScopeAndName("/"+optimizers.AdamDefaultScope, optimizers.GlobalStepVariableName)
					if err := counter.SetValue(tensors.FromScalar(int64(c.since))); err != nil {
						t.Fatal(err)
					}
					opt.Optimizer().State("/w").T = c.since
				}
			}
			if c.within == 0 {
				c.within = close
			}
			t.Logf("largest difference: %.2g", worst)
			if !(c.beyond <= worst && worst <= c.within) {
				t.Errorf("largest difference %.2g, want one in [%g, %g]", worst, c.beyond, c.within)
			}
			if reflect.DeepEqual(values(ctx)["/w"], initial) {
				t.Error("no parameter has changed")
			}
		})
	}
}

func done(c *optimizers.AdamConfig) func(*context.Context) optimizers.Interface {
	return func(*context.Context) optimizers.Interface { return c.Done() }
}

// A network amplifies differences of rounding: its gradients depend on its parameters.
func TestHostNetwork(t *testing.T) {
	const steps, tolerance = 200, 2e-4
	a, b := newRun(t, optimizers.Adam().Done()), newRun(t, New(host(), adam.Options{}))
	worst := 0.0
	for i := range steps {
		a.step(i)
		b.step(i)
		worst = max(worst, difference(values(a.ctx), values(b.ctx), 1e-3))
	}
	t.Logf("largest difference: %.2g", worst)
	if !(worst <= tolerance) {
		t.Errorf("largest difference %.2g, want at most %g", worst, tolerance)
	}
	if x, y := a.trainer.GlobalStep(), b.trainer.GlobalStep(); x != steps || y != steps {
		t.Errorf("global steps: %d with the host's Adam, %d with this, want %d", x, y, steps)
	}
}

func TestLearns(t *testing.T) {
	r := newRun(t, New(with(adam.DefaultW(), func(c *adam.Config) { c.LR = 0.02 }), adam.Options{MaxNorm: 1}))
	first, last := r.step(0), float32(0)
	for i := range 500 {
		last = r.step(i + 1)
	}
	if !(first > 0.5 && last < 0.02) {
		t.Errorf("loss %g at first, %g after 501 steps, want less than 0.02", first, last)
	}
}

// Accumulated gradients are the mean of several batches, and global steps are fewer.
func TestAccumulateGradients(t *testing.T) {
	a, b := newRun(t, optimizers.Adam().Done()), newRun(t, New(host(), adam.Options{}))
	for _, r := range []*run{a, b} {
		if err := r.trainer.AccumulateGradients(3); err != nil {
			t.Fatal(err)
		}
		for i := range 3 {
			r.execute(i) // the first graphs leave no gradient, so there is nothing that a step could bind to
		}
	}
	b.update()
	for i := 3; i < 60; i++ {
		a.step(i)
		b.step(i)
	}
	if d := difference(values(a.ctx), values(b.ctx), 1e-3); !(d <= 1e-5) {
		t.Errorf("difference %g, want at most 1e-5", d)
	}
	if got := b.opt.Optimizer().T; got != 20 {
		t.Errorf("%d steps, want 20", got)
	}
}

// A step is made in the memory that the next execution reads, wherever GoMLX keeps the variable.
func TestNextExecutionSeesStep(t *testing.T) {
	const shared, local, device = 1, 2, 4
	kept := func(w *tensors.Tensor) (where int) {
		if w.IsShared() {
			return shared
		}
		if w.IsLocal() {
			where |= local
		}
		if w.IsOnAnyDevice() {
			where |= device
		}
		return where
	}
	initial := tensors.FromValue([]float32{1, 2, 3})
	for _, c := range []struct {
		name  string
		make  func(ctx *context.Context) *context.Variable
		place func(v *context.Variable) error // before the step
		want  int
	}{
		{"shared", func(ctx *context.Context) *context.Variable {
			return ctx.VariableWithValue("w", must(initial.LocalClone()))
		}, nil, shared},
		{"device", func(ctx *context.Context) *context.Variable {
			return ctx.VariableWithShape("w", initial.Shape())
		}, nil, device},
		{"device and local", func(ctx *context.Context) *context.Variable {
			return ctx.VariableWithShape("w", initial.Shape())
		}, func(v *context.Variable) error { v.MustValue().MaterializeLocal(); return nil }, device | local},
		{"local", func(ctx *context.Context) *context.Variable {
			return ctx.VariableWithShape("w", initial.Shape())
		}, func(v *context.Variable) error { return v.SetValue(must(initial.LocalClone())) }, local},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx := newContext(t)
			opt := New(with(adam.Default(), func(c *adam.Config) { c.LR = 0.5 }), adam.Options{})
			defer opt.Close()
			exec := context.MustNewExec(backend, ctx, func(ctx *context.Context, x *graph.Node) *graph.Node {
				w := c.make(ctx).ValueGraph(x.Graph())
				opt.UpdateGraph(ctx, x.Graph(), graph.ReduceAllSum(graph.Mul(w, x)))
				return w
			})
			evaluation := context.MustNewExec(backend, ctx.Reuse(), func(ctx *context.Context, g *graph.Graph) *graph.Node {
				return ctx.VariableWithShape("w", initial.Shape()).ValueGraph(g)
			})
			exec.MustExec([]float32{1, 1, 1})
			w := ctx.GetVariable("w")
			if c.place != nil {
				if err := c.place(w); err != nil {
					t.Fatal(err)
				}
			}
			if got := kept(w.MustValue()); got != c.want {
				t.Fatalf("the variable lies in %b, this case is about %b", got, c.want)
			}
			for range 3 {
				want := tensors.MustCopyFlatData[float32](w.MustValue())
				for i := range want {
					want[i] -= 0.5
				}
				if _, err := opt.Step(); err != nil {
					t.Fatal(err)
				}
				for _, got := range [][]float32{
					tensors.MustCopyFlatData[float32](w.MustValue()),
					tensors.MustCopyFlatData[float32](evaluation.MustExec()[0]),
					tensors.MustCopyFlatData[float32](exec.MustExec([]float32{1, 1, 1})[0]),
				} {
					if d := difference(map[string][]float32{"": got}, map[string][]float32{"": want}, 1); !(d < 1e-5) {
						t.Errorf("got %v, want %v", got, want)
					}
				}
			}
			before := w.MustValue()
			at := address(before)
			if _, err := opt.Step(); err != nil {
				t.Fatal(err)
			}
			exec.MustExec([]float32{1, 1, 1})
			if kept(before) != shared || w.MustValue() != before || address(before) != at {
				t.Error("the variable has been moved, want a step in place")
			}
		})
	}
}

// address tells where the elements of w lie.
func address(w *tensors.Tensor) (at *float32) {
	tensors.MustConstFlatData(w, func(flat []float32) { at = &flat[0] })
	return at
}

func must[T any](x T, err error) T {
	if err != nil {
		panic(err)
	}
	return x
}

// Whatever is wrong: the error names it, nothing has changed, and once it is put right the run goes on to the bit.
func TestErrors(t *testing.T) {
	const scope, name = "/out/dense", "weights"
	replace := func(scope string, value *tensors.Tensor) func(r *run) (repair func()) {
		return func(r *run) func() {
			v := r.variable(scope, name)
			old := v.MustValue()
			if err := v.SetValuePreservingOld(value); err != nil {
				r.t.Fatal(err)
			}
			return func() {
				if err := v.SetValuePreservingOld(old); err != nil {
					r.t.Fatal(err)
				}
			}
		}
	}
	finalize := func(scope string) func(r *run) (repair func()) {
		return func(r *run) func() {
			old := r.variable(scope, name).MustValue()
			repair := replace(scope, must(old.LocalClone()))(r)
			value := r.variable(scope, name).MustValue()
			value.MustFinalizeAll()
			return repair
		}
	}
	for _, c := range []struct {
		name    string
		spoil   func(r *run) (repair func())
		is      error
		message string
	}{
		{"shape", replace(scope, tensors.FromValue([][]float32{{1, 2, 3}})), adam.ErrParams, `"/out/dense/weights" has shape`},
		{"same size", replace(scope, tensors.FromScalarAndDimensions(float32(1), 16)), adam.ErrParams, `"/out/dense/weights" has shape`},
		{"float64", replace(scope, tensors.FromScalarAndDimensions(1.0, 16, 1)), adam.ErrParams, `"/out/dense/weights" is of Float64`},
		{"no value", replace(scope, nil), adam.ErrParams, `"/out/dense/weights"`},
		{"finalized", finalize(scope), adam.ErrParams, `"/out/dense/weights"`},
		{"shape of gradient", replace(Scope+scope, tensors.FromValue([]float32{1, 2})), adam.ErrParams, `"/adam_gradients/out/dense/weights" has shape`},
		{"float64 gradient", replace(Scope+scope, tensors.FromScalarAndDimensions(1.0, 16, 1)), adam.ErrParams, `"/adam_gradients/out/dense/weights" is of Float64`},
		{"finalized gradient", finalize(Scope + scope), adam.ErrParams, `"/adam_gradients/out/dense/weights"`},
		{"distributed", func(r *run) func() {
			mesh := must(distributed.NewDeviceMesh([]int{1}, []string{"data"}))
			v := r.variable(scope, name).WithShardingSpec(distributed.NewReplicatedShardingSpec(mesh))
			return func() { v.WithShardingSpec(nil) }
		}, adam.ErrParams, `"/out/dense/weights" is distributed`},
		{"config", func(r *run) func() {
			r.opt.Config.LR = math.NaN()
			return func() { r.opt.Config.LR = 1e-3 }
		}, adam.ErrConfig, "LR = NaN"},
		{"steps", func(r *run) func() {
			s := r.opt.Optimizer().State("/out/dense/weights")
			s.T = math.MaxUint64
			return func() { s.T = 1 }
		}, adam.ErrSteps, `"/out/dense/weights"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			newTwin := func() *run {
				r := newRun(t, New(adam.DefaultW(), adam.Options{EMADecay: 0.9}))
				r.step(0)
				r.execute(1)
				return r
			}
			undisturbed, r := newTwin(), newTwin()
			before := r.state()
			repair := c.spoil(r)
			stats, err := r.opt.Step()
			if !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.message) {
				t.Errorf("error %v, want one with %s", err, c.message)
			}
			if stats != (adam.Stats{T: 1}) {
				t.Errorf("stats %+v, want only T: 1", stats)
			}
			repair()
			if !reflect.DeepEqual(r.state(), before) {
				t.Error("the step has changed something")
			}
			for _, r := range []*run{undisturbed, r} {
				r.update()
				r.step(2)
			}
			if !reflect.DeepEqual(r.state(), undisturbed.state()) {
				t.Error("the run is not as one without the error")
			}
		})
	}
}

// What cannot be trained is an error of the execution that builds the graph.
func TestGraphErrors(t *testing.T) {
	scalar := func(ctx *context.Context, name string, value any, x *graph.Node) *graph.Node {
		return ctx.VariableWithValue(name, value).ValueGraph(x.Graph())
	}
	for _, c := range []struct {
		name, message string
		build         func(ctx *context.Context, opt *Optimizer, x *graph.Node)
	}{
		{"loss", "shape (Float32)[2], want a scalar", func(ctx *context.Context, opt *Optimizer, x *graph.Node) {
			opt.UpdateGraph(ctx, x.Graph(), graph.Mul(x, scalar(ctx, "w", float32(1), x)))
		}},
		{"float64", `"/v" is of Float64`, func(ctx *context.Context, opt *Optimizer, x *graph.Node) {
			v := graph.ConvertDType(scalar(ctx, "v", 1.0, x), dtypes.Float32)
			opt.UpdateGraph(ctx, x.Graph(), graph.ReduceAllSum(graph.Mul(x, graph.Mul(v, scalar(ctx, "w", float32(1), x)))))
		}},
		{"no variable", "no trainable variable", func(ctx *context.Context, opt *Optimizer, x *graph.Node) {
			opt.UpdateGraph(ctx, x.Graph(), graph.ReduceAllSum(x))
		}},
		{"clip_step_by_value", "not supported", func(ctx *context.Context, opt *Optimizer, x *graph.Node) {
			ctx.SetParam(optimizers.ParamClipStepByValue, 0.1)
			opt.UpdateGraph(ctx, x.Graph(), graph.ReduceAllSum(graph.Mul(x, scalar(ctx, "w", float32(1), x))))
		}},
		{"clip_nan", "not supported", func(ctx *context.Context, opt *Optimizer, x *graph.Node) {
			ctx.SetParam(optimizers.ParamClipNaN, true)
			opt.UpdateGraph(ctx, x.Graph(), graph.ReduceAllSum(graph.Mul(x, scalar(ctx, "w", float32(1), x))))
		}},
		{"number of gradients", "1 gradients of the 2 trainable variables", func(ctx *context.Context, opt *Optimizer, x *graph.Node) {
			v, _ := scalar(ctx, "v", float32(1), x), scalar(ctx, "w", float32(1), x)
			opt.UpdateGraphWithGradients(ctx, []*graph.Node{v}, dtypes.Float32)
		}},
		{"shape of gradient", `gradient of "/v" has shape (Float32)[2]`, func(ctx *context.Context, opt *Optimizer, x *graph.Node) {
			scalar(ctx, "v", float32(1), x)
			opt.UpdateGraphWithGradients(ctx, []*graph.Node{x}, dtypes.Float32)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, opt := newContext(t), New(adam.Default(), adam.Options{})
			exec := context.MustNewExec(backend, ctx, func(ctx *context.Context, x *graph.Node) *graph.Node {
				c.build(ctx, opt, x)
				return x
			})
			if _, err := exec.Exec([]float32{1, 2}); err == nil || !strings.Contains(err.Error(), c.message) {
				t.Errorf("error %v, want one with %s", err, c.message)
			}
			for v := range ctx.InAbsPath(Scope).IterVariablesInScope() {
				t.Errorf("there is a gradient %s", v)
			}
			if _, err := opt.Step(); !errors.Is(err, adam.ErrParams) {
				t.Errorf("Step: error %v, want adam.ErrParams", err)
			}
		})
	}
}

// A graph need not have outputs of its own.
func TestGraphWithoutOutputs(t *testing.T) {
	ctx, opt := newContext(t), New(adam.Default(), adam.Options{})
	defer opt.Close()
	exec := context.MustNewExec(backend, ctx, func(ctx *context.Context, x *graph.Node) {
		w := ctx.VariableWithValue("w", float32(1)).ValueGraph(x.Graph())
		opt.UpdateGraph(ctx, x.Graph(), graph.Mul(w, x))
	})
	for range 3 {
		if _, err := exec.Exec(float32(2)); err != nil {
			t.Fatal(err)
		}
		if _, err := opt.Step(); err != nil {
			t.Fatal(err)
		}
	}
	if got := tensors.ToScalar[float32](ctx.GetVariable("w").MustValue()); math.Abs(float64(got)-0.997) > 1e-6 {
		t.Errorf("w = %g, want 0.997", got)
	}
}

// A gradient is stepped once, and what is not computed yet is no gradient.
func TestStepWithoutGradients(t *testing.T) {
	r := newRun(t, New(adam.DefaultW(), adam.Options{}))
	r.execute(0)
	if s := r.update(); s.T != 1 {
		t.Errorf("%d steps, want 1", s.T)
	}
	before := r.state()
	if s := r.update(); s.T != 1 || !reflect.DeepEqual(r.state(), before) {
		t.Error("a second step without an execution has changed something")
	}

	ctx, opt := newContext(t), New(adam.DefaultW(), adam.Options{})
	defer opt.Close()
	exec := context.MustNewExec(backend, ctx, func(ctx *context.Context, x *graph.Node) *graph.Node {
		opt.UpdateGraph(ctx, x.Graph(), graph.Mul(x, ctx.VariableWithValue("w", float32(1)).ValueGraph(x.Graph())))
		panic(errors.New("the rest of the graph cannot be built"))
	})
	if _, err := exec.Exec(float32(1)); err == nil {
		t.Fatal("no error of a graph that panics")
	}
	if stats, err := opt.Step(); err != nil || stats.T != 0 || opt.Optimizer().State("/w").T != 0 {
		t.Errorf("without an execution: %+v, %v, want no step", stats, err)
	}
}

func TestBindErrors(t *testing.T) {
	trainable := func(value any) *context.Context {
		ctx := newContext(t)
		ctx.VariableWithValue("w", value)
		return ctx
	}
	for _, c := range []struct {
		name string
		ctx  *context.Context
		opt  *Optimizer
		is   error
	}{
		{"no variables", newContext(t), New(adam.Default(), adam.Options{}), adam.ErrParams},
		{"float64", trainable(1.0), New(adam.Default(), adam.Options{}), adam.ErrParams},
		{"config", trainable(float32(1)), New(adam.Config{LR: -1}, adam.Options{}), adam.ErrConfig},
		{"options", trainable(float32(1)), New(adam.Default(), adam.Options{Workers: -1}), adam.ErrConfig},
	} {
		if err := c.opt.Bind(c.ctx); !errors.Is(err, c.is) || c.opt.Optimizer() != nil {
			t.Errorf("%s: error %v, want %v, and no optimizer", c.name, err, c.is)
		}
	}
}

func TestClose(t *testing.T) {
	r := newRun(t, New(adam.DefaultW(), adam.Options{}))
	r.step(0)
	r.execute(1)
	before := r.state()
	r.opt.Close()
	r.opt.Close()
	if _, err := r.opt.Step(); !errors.Is(err, adam.ErrClosed) {
		t.Errorf("error %v, want adam.ErrClosed", err)
	}
	if !reflect.DeepEqual(r.state(), before) {
		t.Error("the step has changed something")
	}
	r = newRun(t, New(adam.DefaultW(), adam.Options{}))
	r.execute(0)
	r.opt.Close()
	if _, err := r.opt.Step(); !errors.Is(err, adam.ErrClosed) {
		t.Errorf("closed before the first step: error %v, want adam.ErrClosed", err)
	}
}

// Only what the executed graph computes a gradient of is stepped.
func TestGraphs(t *testing.T) {
	ctx := newContext(t)
	opt := New(adam.DefaultW(), adam.Options{})
	defer opt.Close()
	names := []string{"a"}
	model := func(ctx *context.Context, _ any, inputs []*graph.Node) []*graph.Node {
		y := inputs[0]
		for _, name := range names {
			y = graph.Mul(y, ctx.VariableWithValue(name, float32(1)).ValueGraph(y.Graph()))
		}
		return []*graph.Node{y}
	}
	trainer := train.NewTrainer(backend, ctx, model, losses.MeanSquaredError, opt, nil, nil)
	step := func(spec string) error {
		x := []*tensors.Tensor{tensors.FromValue([]float32{1, 2})}
		if _, err := trainer.TrainStep(spec, x, []*tensors.Tensor{tensors.FromValue([]float32{3, 4})}); err != nil {
			return err
		}
		_, err := opt.Step()
		return err
	}
	ctx.Checked(false).VariableWithValue("b", float32(1)) // before the optimizer is bound
	want := map[string]uint64{"/a": 0, "/b": 0}
	expect := func() {
		t.Helper()
		for name, n := range want {
			if got := opt.Optimizer().State(name).T; got != n {
				t.Errorf("%s has %d steps, want %d", name, got, n)
			}
		}
	}
	for _, c := range []struct {
		spec  string
		names []string
	}{{"a", []string{"a"}}, {"ab", []string{"a", "b"}}, {"a", []string{"a"}}, {"b", []string{"b"}}} {
		names = c.names
		if err := step(c.spec); err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			want["/"+name]++
		}
		expect()
	}

	ctx.GetVariable("a").SetTrainable(false) // freezing works as with the host's optimizers: for graphs built from now on
	trainer.ResetComputationGraphs()
	names = []string{"a", "b"}
	if err := step("ab"); err != nil {
		t.Fatal(err)
	}
	want["/b"]++
	expect()

	names = []string{"b", "new"}
	before := values(ctx)
	err := step("new")
	if !errors.Is(err, adam.ErrParams) || !strings.Contains(err.Error(), `"/new" was not there`) {
		t.Errorf("error %v, want one about a new variable", err)
	}
	expect()
	if after := values(ctx); !reflect.DeepEqual(after["/b"], before["/b"]) {
		t.Error("the step has changed something")
	}

	if err := opt.Clear(ctx); err != nil {
		t.Fatal(err)
	}
	for v := range ctx.InAbsPath(Scope).IterVariablesInScope() {
		t.Errorf("after Clear there is a gradient %s", v)
	}
	trainer.ResetComputationGraphs()
	if err := step("new"); err != nil {
		t.Fatal(err)
	}
	want = map[string]uint64{"/b": 1, "/new": 1}
	expect()
}

func TestNoDecay(t *testing.T) {
	decay, plain := New(adam.DefaultW(), adam.Options{}), New(adam.Default(), adam.Options{})
	asked := map[string]int{}
	decay.NoDecay = func(name string) bool {
		asked[name]++
		return strings.HasSuffix(name, "/biases")
	}
	a, b := newRun(t, decay), newRun(t, plain)
	for _, lr := range []float64{1e-3, 5e-3} { // gradients are the same up to the first step
		a.opt.Config.LR, b.opt.Config.LR = lr, lr
		a.execute(0)
		b.execute(0)
		for v := range a.ctx.InAbsPath(Scope).IterVariablesInScope() {
			if err := v.SetValue(must(b.variable(v.Scope(), v.Name()).MustValue().LocalClone())); err != nil {
				t.Fatal(err)
			}
		}
		a.update()
		b.update()
	}
	x, y := values(a.ctx), values(b.ctx)
	for _, name := range []string{"/hidden/dense/biases", "/hidden/dense/weights", "/out/dense/biases", "/out/dense/weights"} {
		if same := reflect.DeepEqual(x[name], y[name]); same != strings.HasSuffix(name, "/biases") {
			t.Errorf("%s is as without decay: %v", name, same)
		}
		if asked[name] != 1 {
			t.Errorf("NoDecay was called %d times for %s, want once", asked[name], name)
		}
	}
}

// The options of package adam are about all variables together.
func TestOptions(t *testing.T) {
	r := newRun(t, New(adam.Default(), adam.Options{MaxNorm: math.Inf(1), SkipNonFinite: true, ZeroGrad: true}))
	r.execute(0)
	stats := r.update()
	squares := 0.0
	gradients := r.state().gradients
	for _, g := range gradients {
		for _, x := range g {
			squares += float64(x) * float64(x)
		}
	}
	if want := math.Sqrt(squares); len(gradients) != 4 || !(math.Abs(stats.GradNorm-want) < 1e-6*want) {
		t.Errorf("norm %g of %d gradients, want %g of 4", stats.GradNorm, len(gradients), want)
	}

	before := r.state()
	inputs, labels := batch(1)
	tensors.MustMutableFlatData(labels[0], func(flat []float32) { flat[0] = float32(math.Inf(1)) })
	if _, err := r.trainer.TrainStep(nil, inputs, labels); err != nil {
		t.Fatal(err)
	}
	if stats := r.update(); !stats.Skipped {
		t.Error("a step with Inf was not skipped")
	}
	after := r.state()
	after.gradients = before.gradients
	if !reflect.DeepEqual(after, before) {
		t.Error("the skipped step has changed something")
	}
	if stats := r.update(); stats.Skipped {
		t.Error("the gradients of the skipped step were taken again")
	}
	r.execute(2)
	if stats := r.update(); stats.Skipped || stats.T != 2 {
		t.Errorf("the step after it: %+v, want a second step", stats)
	}
}

// A run goes on from its checkpoint to the bit: with the parameters in the checkpoint of the optimizer, or in one of GoMLX.
func TestResume(t *testing.T) {
	const until, steps = 7, 15
	newOptimizer := func(saveParams bool) *Optimizer {
		return New(adam.DefaultW(), adam.Options{EMADecay: 0.9, SaveParams: saveParams})
	}
	whole := newRun(t, newOptimizer(false))
	for i := range steps {
		whole.step(i)
	}
	path := filepath.Join(t.TempDir(), "run.safetensors")
	t.Run("SaveParams", func(t *testing.T) {
		saved := newRun(t, newOptimizer(true))
		for i := range until {
			saved.step(i)
		}
		saved.execute(until) // moves variables; the gradients are lost
		if err := saved.opt.Bind(saved.ctx); err != nil {
			t.Fatal(err)
		}
		if err := saved.opt.Optimizer().SaveFile(path); err != nil {
			t.Fatal(err)
		}

		resumed := newRun(t, newOptimizer(true))
		inputs, labels := batch(0)
		if _, err := resumed.trainer.EvalStep(nil, inputs, labels); err != nil { // creates the variables
			t.Fatal(err)
		}
		if err := resumed.opt.Bind(resumed.ctx); err != nil {
			t.Fatal(err)
		}
		if err := resumed.opt.Optimizer().LoadFile(path); err != nil {
			t.Fatal(err)
		}
		for i := until; i < steps; i++ {
			resumed.step(i)
		}
		if !reflect.DeepEqual(resumed.state(), whole.state()) {
			t.Error("the resumed run is not as one in one piece")
		}
	})
	t.Run("GoMLX", func(t *testing.T) {
		dir := t.TempDir()
		saved := newRun(t, newOptimizer(false))
		for i := range until {
			saved.step(i)
		}
		handler := must(checkpoints.Build(saved.ctx).Dir(dir).Done())
		for v := range saved.ctx.InAbsPath(Scope).IterVariablesInScope() {
			handler.ExcludeVarsFromSaving(v)
		}
		if err := handler.Save(); err != nil {
			t.Fatal(err)
		}
		if err := saved.opt.Optimizer().SaveFile(path); err != nil {
			t.Fatal(err)
		}

		resumed := newRun(t, newOptimizer(false))
		must(checkpoints.Build(resumed.ctx).Dir(dir).Done())
		resumed.execute(until) // loads the variables
		if err := resumed.opt.Bind(resumed.ctx); err != nil {
			t.Fatal(err)
		}
		if err := resumed.opt.Optimizer().LoadFile(path); err != nil {
			t.Fatal(err)
		}
		resumed.update()
		for i := until + 1; i < steps; i++ {
			resumed.step(i)
		}
		if !reflect.DeepEqual(resumed.state(), whole.state()) {
			t.Error("the resumed run is not as one in one piece")
		}
		if got := resumed.trainer.GlobalStep(); got != steps {
			t.Errorf("global step %d, want %d", got, steps)
		}
	})
}

// The pure-Go backend computes the gradients of these layers, and lacks operations for the others.
func TestLayers(t *testing.T) {
	for _, c := range []struct {
		name  string
		lacks string // the operation
		layer func(ctx *context.Context, image *graph.Node) *graph.Node
	}{
		{"dense", "", func(ctx *context.Context, image *graph.Node) *graph.Node { return layers.Dense(ctx, image, true, 2) }},
		{"dropout", "", func(ctx *context.Context, image *graph.Node) *graph.Node {
			return layers.DropoutStatic(ctx, layers.Dense(ctx, image, true, 2), 0.5)
		}},
		{"layer normalization", "", func(ctx *context.Context, image *graph.Node) *graph.Node {
			return layers.LayerNormalization(ctx, image, -1).Done()
		}},
		{"embedding", "", func(ctx *context.Context, image *graph.Node) *graph.Node {
			tokens := graph.ConvertDType(graph.Abs(graph.Reshape(image, -1, 1)), dtypes.Int32)
			return layers.Embedding(ctx, tokens, dtypes.Float32, 5, 4)
		}},
		{"attention", "", func(ctx *context.Context, image *graph.Node) *graph.Node {
			x := graph.Reshape(image, 2, 16, 3)
			return layers.MultiHeadAttention(ctx, x, x, x, 2, 4).Done()
		}},
		{"convolution", "Reverse", func(ctx *context.Context, image *graph.Node) *graph.Node {
			return layers.Convolution(ctx, image).Channels(2).KernelSize(3).PadSame().Done()
		}},
		{"maximum pooling", "SelectAndScatterMax", func(ctx *context.Context, image *graph.Node) *graph.Node {
			return graph.MaxPool(layers.Dense(ctx, image, true, 2)).Window(2).Done()
		}},
		{"mean pooling", "Pad", func(ctx *context.Context, image *graph.Node) *graph.Node {
			return graph.MeanPool(layers.Dense(ctx, image, true, 2)).Window(2).Done()
		}},
		{"slice", "Pad", func(ctx *context.Context, image *graph.Node) *graph.Node {
			return graph.Slice(layers.Dense(ctx, image, true, 2), graph.AxisRange(0, 1))
		}},
		{"LSTM", "Pad", func(ctx *context.Context, image *graph.Node) *graph.Node {
			all, _, _ := lstm.New(ctx, graph.Reshape(image, 2, 16, 3), 4).Done()
			return all
		}},
		{"batch normalization", "BatchNormForTraining", func(ctx *context.Context, image *graph.Node) *graph.Node {
			return batchnorm.New(ctx, image, -1).Done()
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, opt := newContext(t), New(adam.Default(), adam.Options{})
			defer opt.Close()
			exec := context.MustNewExec(backend, ctx, func(ctx *context.Context, image *graph.Node) {
				ctx.SetTraining(image.Graph(), true)
				opt.UpdateGraph(ctx, image.Graph(), graph.ReduceAllSum(graph.Square(c.layer(ctx, image))))
			})
			image := random(rand.New(rand.NewPCG(1, 2)), 1, 2, 4, 4, 3)
			_, err := exec.Exec(image)
			if c.lacks != "" {
				if err == nil || !strings.Contains(err.Error(), `op "`+c.lacks+`" not implemented`) {
					t.Errorf("error %v, want one about the operation %s", err, c.lacks)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			before := values(ctx)
			if _, err := opt.Step(); err != nil {
				t.Fatal(err)
			}
			if after := values(ctx); len(after) == 0 || reflect.DeepEqual(after, before) {
				t.Error("no parameter has changed")
			}
		})
	}
}
