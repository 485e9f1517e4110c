package adamgomlx

import (
	"math"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/fusedadam/adam"
	"github.com/gomlx/gomlx/pkg/core/dtypes"
	"github.com/gomlx/gomlx/pkg/core/graph"
	"github.com/gomlx/gomlx/pkg/core/tensors"
	"github.com/gomlx/gomlx/pkg/ml/context"
	"github.com/gomlx/gomlx/pkg/ml/train"
	"github.com/gomlx/gomlx/pkg/ml/train/optimizers"
)

// host returns the Config that makes the steps of GoMLX's Adam with its defaults. GoMLX computes
// 1-Beta from betas that are rounded to float32.
func host() adam.Config {
	c := adam.Default()
	c.Beta1, c.Beta2, c.Eps = float64(float32(0.9)), float64(float32(0.999)), 1e-7
	return c
}

// host64 is host for variables of float64, where GoMLX does not round the betas.
func host64() adam.Config { return with(adam.Default(), func(c *adam.Config) { c.Eps = 1e-7 }) }

// hostCase is an optimizer of GoMLX and the Config that makes its steps.
type hostCase struct {
	name   string
	host   func(ctx *context.Context) optimizers.Interface
	config adam.Config
	before func(c *adam.Config, step int)
	since  uint64 // steps before the second
	of     dtypes.DType
	within float64 // bounds of the largest difference; 2e-5 if 0
	beyond float64
}

// decayed returns the Config of a host with a weight decay of 0.1.
func decayed(host adam.Config) adam.Config {
	return with(host, func(c *adam.Config) { c.WeightDecay, c.Decoupled = 0.1, true })
}

// The steps of GoMLX's own optimizers, on the same gradients, from 1 to so small that Eps is all.
func TestHost(t *testing.T) {
	for _, c := range []hostCase{
		{name: "Adam", host: done(optimizers.Adam()), config: host()},
		{
			name:   "Adam betas, rate, epsilon",
			host:   done(optimizers.Adam().Betas(0.8, 0.99).LearningRate(0.01).Epsilon(1e-3)),
			config: adam.Config{LR: 0.01, Beta1: 0.8, Beta2: 0.99, Eps: 1e-3},
		},
		{
			name: "WeightDecay", host: done(optimizers.Adam().WeightDecay(0.1)),
			config: decayed(host()), within: 2e-4,
		},
		{
			name: "RMSProp", host: done(optimizers.RMSProp()),
			config: with(host(), func(c *adam.Config) { c.Beta1 = 0 }),
		},
		{
			name: "WithBackoffSteps", host: done(optimizers.Adam().WithBackoffSteps(5)),
			config: host(),
			before: func(c *adam.Config, step int) {
				if c.LR = 1e-3; step < 5 {
					c.LR = 0
				}
			},
		},
		{name: "after 2^24 steps", host: done(optimizers.Adam()), config: host(), since: 1<<24 + 1},
		{
			name: "betas that are not rounded", host: done(optimizers.Adam()), since: 1<<24 + 1,
			config: with(host(), func(c *adam.Config) { c.Beta1, c.Beta2 = 0.9, 0.999 }),
			within: 2e-3, beyond: 1e-4,
		},
		{
			name: "adamw by hyper-parameter",
			host: func(ctx *context.Context) optimizers.Interface {
				ctx.SetParam(optimizers.ParamAdamWeightDecay, 0.1)
				return optimizers.ByName(ctx, "adamw")
			},
			config: decayed(host()), within: 2e-4,
		},
	} {
		t.Run(c.name, c.run)
	}
}

// In float64 the host rounds neither betas nor 1-β^t to float32.
func TestHost64(t *testing.T) {
	const of, within = dtypes.Float64, 1e-12
	for _, c := range []hostCase{
		{name: "Adam", host: done(optimizers.Adam()), config: host64()},
		{
			name:   "Adam betas, rate, epsilon",
			host:   done(optimizers.Adam().Betas(0.8, 0.99).LearningRate(0.01).Epsilon(1e-3)),
			config: adam.Config{LR: 0.01, Beta1: 0.8, Beta2: 0.99, Eps: 1e-3},
		},
		{
			name: "WeightDecay", host: done(optimizers.Adam().WeightDecay(0.1)),
			config: decayed(host64()),
		},
		{
			name: "RMSProp", host: done(optimizers.RMSProp()),
			config: with(host64(), func(c *adam.Config) { c.Beta1 = 0 }),
		},
	} {
		c.of, c.within = of, within
		t.Run(c.name, c.run)
	}
}

// run makes 200 steps with both.
func (c hostCase) run(t *testing.T) {
	if c.of == dtypes.InvalidDType {
		c.of = dtypes.Float32
	}
	const n, steps = 1000, 200
	rng := rand.New(rand.NewPCG(1, 2))
	initial, scale := make([]float64, n), make([]float64, n)
	for i := range initial {
		initial[i], scale[i] = float64(float32(rng.NormFloat64())), math.Pow(10, -10*rng.Float64())
	}
	weighted := func(ctx *context.Context, _ any, inputs []*graph.Node) []*graph.Node {
		w := ctx.VariableWithValue("w", newTensor(c.of, initial, n))
		return []*graph.Node{graph.Mul(w.ValueGraph(inputs[0].Graph()), inputs[0])}
	}
	sum := func(_, predictions []*graph.Node) *graph.Node { // its gradient: the inputs
		return graph.ReduceAllSum(predictions[0])
	}
	hostCtx, ctx := newContext(t), newContext(t)
	opt := New(c.config, adam.Options{})
	defer opt.Close()
	trainers := [2]*train.Trainer{
		train.NewTrainer(backend, hostCtx, weighted, sum, c.host(hostCtx), nil, nil),
		train.NewTrainer(backend, ctx, weighted, sum, opt, nil, nil),
	}
	worst := 0.0
	for step := range steps {
		g := make([]float64, n)
		for i := range g {
			g[i] = scale[i] * rng.NormFloat64()
		}
		for _, trainer := range trainers {
			inputs := []*tensors.Tensor{newTensor(c.of, g, n)}
			if _, err := trainer.TrainStep(nil, inputs, nil); err != nil {
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
			counter := hostCtx.GetVariableByScopeAndName(
				"/"+optimizers.AdamDefaultScope, optimizers.GlobalStepVariableName)
			if err := counter.SetValue(tensors.FromScalar(int64(c.since))); err != nil {
				t.Fatal(err)
			}
			opt.Optimizer().State("/w").T = c.since
		}
	}
	if c.within == 0 {
		c.within = 2e-5
	}
	t.Logf("largest difference: %.2g", worst)
	if !(c.beyond <= worst && worst <= c.within) {
		t.Errorf("largest difference %.2g, want one in [%g, %g]", worst, c.beyond, c.within)
	}
	if reflect.DeepEqual(values(ctx)["/w"], initial) {
		t.Error("no parameter has changed")
	}
}

func done(c *optimizers.AdamConfig) func(*context.Context) optimizers.Interface {
	return func(*context.Context) optimizers.Interface { return c.Done() }
}

// A network amplifies differences of rounding: its gradients depend on its parameters.
func TestHostNetwork(t *testing.T) {
	const steps = 200
	for _, c := range []struct {
		of     dtypes.DType
		config adam.Config
		within float64
	}{{dtypes.Float32, host(), 2e-4}, {dtypes.Float64, host64(), 1e-11}} {
		a := newRunOf(t, optimizers.Adam().Done(), c.of, c.of)
		b := newRunOf(t, New(c.config, adam.Options{}), c.of, c.of)
		worst := 0.0
		for i := range steps {
			a.step(i)
			b.step(i)
			worst = max(worst, difference(values(a.ctx), values(b.ctx), 1e-3))
		}
		t.Logf("%s: largest difference: %.2g", c.of, worst)
		if !(worst <= c.within) {
			t.Errorf("%s: largest difference %.2g, want at most %g", c.of, worst, c.within)
		}
		if x, y := a.trainer.GlobalStep(), b.trainer.GlobalStep(); x != steps || y != steps {
			t.Errorf("global steps: %d with the host's Adam, %d with this, want %d", x, y, steps)
		}
	}
}

// A network learns in either type, and in one layer of each.
func TestLearns(t *testing.T) {
	config := with(adam.DefaultW(), func(c *adam.Config) { c.LR = 0.02 })
	for _, of := range [][2]dtypes.DType{
		{dtypes.Float32, dtypes.Float32}, {dtypes.Float64, dtypes.Float64},
		{dtypes.Float32, dtypes.Float64}, {dtypes.Float64, dtypes.Float32},
	} {
		r := newRunOf(t, New(config, adam.Options{MaxNorm: 1}), of[0], of[1])
		first, last := r.step(0), 0.0
		for i := range 500 {
			last = r.step(i + 1)
		}
		if !(first > 0.5 && last < 0.02) {
			t.Errorf("%s: loss %g at first, %g after 501 steps, want less than 0.02",
				of, first, last)
		}
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
			r.execute(i) // the first graphs leave no gradient that a step could bind to
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
