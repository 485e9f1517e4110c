package adamgomlx

import (
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/fusedadam/adam"
	"github.com/gomlx/gomlx/pkg/core/distributed"
	"github.com/gomlx/gomlx/pkg/core/graph"
	"github.com/gomlx/gomlx/pkg/core/tensors"
	"github.com/gomlx/gomlx/pkg/ml/context"
)

// Whatever is wrong: the error names it, nothing has changed, and once it is put right the run goes
// on to the bit.
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
		{"shape", replace(scope, tensors.FromValue([][]float32{{1, 2, 3}})),
			adam.ErrParams, `"/out/dense/weights" has shape`},
		{"same size", replace(scope, tensors.FromScalarAndDimensions(float32(1), 16)),
			adam.ErrParams, `"/out/dense/weights" has shape`},
		{"float64", replace(scope, tensors.FromScalarAndDimensions(1.0, 16, 1)),
			adam.ErrParams, `"/out/dense/weights" has shape (Float64)[16 1], want (Float32)[16 1]`},
		{"int32", replace(scope, tensors.FromScalarAndDimensions(int32(1), 16, 1)),
			adam.ErrParams, `"/out/dense/weights" is of Int32, want Float32, Float64 or BFloat16`},
		{"no value", replace(scope, nil), adam.ErrParams, `"/out/dense/weights"`},
		{"finalized", finalize(scope), adam.ErrParams, `"/out/dense/weights"`},
		{"shape of gradient", replace(Scope+scope, tensors.FromValue([]float32{1, 2})),
			adam.ErrParams, `"/adam_gradients/out/dense/weights" has shape`},
		{"float64 gradient", replace(Scope+scope, tensors.FromScalarAndDimensions(1.0, 16, 1)),
			adam.ErrParams, `"/adam_gradients/out/dense/weights" has shape (Float64)[16 1], want`},
		{"finalized gradient", finalize(Scope + scope),
			adam.ErrParams, `"/adam_gradients/out/dense/weights"`},
		{"distributed", func(r *run) func() {
			mesh := must(distributed.NewDeviceMesh([]int{1}, []string{"data"}))
			v := r.variable(scope, name)
			v.WithShardingSpec(distributed.NewReplicatedShardingSpec(mesh))
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
	exec := context.MustNewExec(
		backend,
		ctx,
		func(ctx *context.Context, x *graph.Node) *graph.Node {
			w := ctx.VariableWithValue("w", float32(1)).ValueGraph(x.Graph())
			opt.UpdateGraph(ctx, x.Graph(), graph.Mul(x, w))
			panic(errors.New("the rest of the graph cannot be built"))
		},
	)
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
		{"int32", trainable(int32(1)), New(adam.Default(), adam.Options{}), adam.ErrParams},
		{"config", trainable(float32(1)), New(adam.Config{LR: -1}, adam.Options{}), adam.ErrConfig},
		{
			"options", trainable(float32(1)), New(adam.Default(), adam.Options{Workers: -1}),
			adam.ErrConfig,
		},
	} {
		if err := c.opt.Bind(c.ctx); !errors.Is(err, c.is) || c.opt.Optimizer() != nil {
			t.Errorf("%s: error %v, want %v, and no optimizer", c.name, err, c.is)
		}
	}
}

// Bind takes variables that have come since, and after an error the optimizer is as before it.
func TestBindAgain(t *testing.T) {
	options := adam.Options{EMADecay: 0.9}
	r, whole := newRun(t, New(adam.DefaultW(), options)), newRun(t, New(adam.DefaultW(), options))
	for i := range 3 {
		r.step(i)
		whole.step(i)
	}
	integer := r.ctx.VariableWithValue("int", int32(1))
	if err := r.opt.Bind(r.ctx); !errors.Is(err, adam.ErrParams) {
		t.Errorf("error %v, want adam.ErrParams", err)
	}
	r.step(3)
	whole.step(3)
	integer.SetTrainable(false)
	late := r.ctx.VariableWithValue("late", []float32{1, 2})
	later := r.ctx.VariableWithValue("later", []float32{3})
	r.opt.NoDecay = func(string) bool { return true }
	r.opt.Config.LR = -1
	if err := r.opt.Bind(r.ctx); !errors.Is(err, adam.ErrConfig) {
		t.Errorf("error %v, want adam.ErrConfig", err)
	}
	r.opt.NoDecay = func(name string) bool { return name == "/late" }
	r.opt.Config = adam.DefaultW()
	if err := r.opt.Bind(r.ctx); err != nil {
		t.Fatal(err)
	}
	r.step(4)
	whole.step(4)
	optimizer := r.opt.Optimizer()
	if s := optimizer.State("/late"); s == nil || s.T != 0 || len(s.M) != 2 {
		t.Errorf("the state of the new variable is %+v", s)
	}
	if ps := optimizer.Groups[1].Params; len(ps) != 1 || ps[0].Name != "/late" {
		t.Errorf("without weight decay are %v, want /late", ps)
	}
	late.SetTrainable(false)
	later.SetTrainable(false)
	if !reflect.DeepEqual(r.state(), whole.state()) {
		t.Error("the other variables have not gone on as without the new ones")
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
	if _, err := r.opt.Optimizer().Step(); !errors.Is(err, adam.ErrClosed) {
		t.Errorf("the optimizer's goroutines are still there: error %v", err)
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
	opt := New(adam.DefaultW(), adam.Options{})
	opt.Close()
	if _, err := opt.Step(); !errors.Is(err, adam.ErrClosed) {
		t.Errorf("closed before the first graph: error %v, want adam.ErrClosed", err)
	}
	if err := opt.Bind(r.ctx); !errors.Is(err, adam.ErrClosed) || opt.Optimizer() != nil {
		t.Errorf("closed before Bind: error %v, want adam.ErrClosed", err)
	}
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
			other := must(b.variable(v.Scope(), v.Name()).MustValue().LocalClone())
			if err := v.SetValue(other); err != nil {
				t.Fatal(err)
			}
		}
		a.update()
		b.update()
	}
	x, y := values(a.ctx), values(b.ctx)
	for _, name := range []string{
		"/hidden/dense/biases", "/hidden/dense/weights", "/out/dense/biases", "/out/dense/weights",
	} {
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
	options := adam.Options{MaxNorm: math.Inf(1), SkipNonFinite: true, ZeroGrad: true}
	r := newRun(t, New(adam.Default(), options))
	r.execute(0)
	stats := r.update()
	squares := 0.0
	gradients := r.state().gradients
	for _, g := range gradients {
		for _, x := range g {
			squares += float64(x) * float64(x)
		}
	}
	want := math.Sqrt(squares)
	if len(gradients) != 4 || !(math.Abs(stats.GradNorm-want) < 1e-6*want) {
		t.Errorf("norm %g of %d gradients, want %g of 4", stats.GradNorm, len(gradients), want)
	}

	before := r.state()
	inputs, labels := r.batch(1)
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
