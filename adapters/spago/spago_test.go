package adamspago_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/nlpodyssey/spago/ag"
	"github.com/nlpodyssey/spago/losses"
	"github.com/nlpodyssey/spago/mat"
	"github.com/nlpodyssey/spago/nn"
	"github.com/nlpodyssey/spago/nn/linear"
	"github.com/nlpodyssey/spago/optimizers"
	spagoadam "github.com/nlpodyssey/spago/optimizers/adam"

	"github.com/fusedadam/adam"
	adamspago "github.com/fusedadam/adam/adapters/spago"
)

// asSpago returns the Config with which step t, 1 for the first, is that of spago's Adam with
// Config c whose IncExample is called once after each step. Without decay it is the same for all t.
func asSpago(c spagoadam.Config, t float64) adam.Config {
	config := plainly(c, t)
	config.EpsUncorrected = true
	config.WeightDecay *= math.Sqrt(1-math.Pow(c.Beta2, t)) / (1 - math.Pow(c.Beta1, t))
	return config
}

// asUncounted is asSpago where IncExample is never called: spago's Adam then takes all steps with
// the bias correction of the first.
func asUncounted(c spagoadam.Config, t float64) adam.Config {
	config := asSpago(c, t)
	factor := math.Sqrt(1-c.Beta2) / (1 - c.Beta1) // of StepSize: that bias correction
	config.LR *= factor * (1 - math.Pow(c.Beta1, t)) / math.Sqrt(1-math.Pow(c.Beta2, t))
	config.WeightDecay = c.Lambda * factor * c.StepSize / config.LR
	return config
}

// plainly takes over what the two Configs have in common.
func plainly(c spagoadam.Config, _ float64) adam.Config {
	return adam.Config{
		LR: c.StepSize, Beta1: c.Beta1, Beta2: c.Beta2, Eps: c.Epsilon, WeightDecay: c.Lambda,
		Decoupled: true,
	}
}

// hostCase is an Adam of spago and the Config of each step that is to be as its own.
type hostCase struct {
	name            string
	spago           spagoadam.Config
	counts          bool    // IncExample is called
	decades         float64 // the scales of the gradients lie in [10^-decades, 1]
	config          func(spagoadam.Config, float64) adam.Config
	atLeast, atMost float64 // of the largest difference
	atMost64        float64 // of that in float64
}

// What README.md says of the differences from spago's own Adam and AdamW, in 300 steps. A
// difference is counted in units of the largest |p| that the parameter ever had, or of StepSize if
// that is larger.
func TestAgainstSpago(t *testing.T) {
	c := spagoadam.NewDefaultConfig()
	w := spagoadam.NewAdamWConfig(1e-3, 0.9, 0.999, 1e-8, 0.1)
	large := spagoadam.NewAdamWConfig(1e-2, 0.8, 0.99, 1e-4, 0.3)
	const wide = 10
	for _, test := range []hostCase{
		{"Adam", c, true, wide, asSpago, 0, 2e-6, 1e-13},
		{"AdamW", w, true, wide, asSpago, 0, 2e-5, 1e-13},
		{"AdamW of other values", large, true, wide, asSpago, 0, 2e-5, 1e-13},
		{"Adam that does not count", c, false, wide, asUncounted, 0, 2e-6, 1e-13},
		{"AdamW that does not count", w, false, wide, asUncounted, 0, 2e-5, 1e-13},
		{"Adam, Eps negligible", c, true, 2, plainly, 0, 2e-5, 2e-5},
		{"Adam, Eps not negligible", c, true, wide, plainly, 0.1, math.Inf(1), math.Inf(1)},
		{"AdamW, Eps negligible", w, true, 2, plainly, 0.01, 0.03, 0.03},
		{"Adam that does not count, plainly", c, false, 2, plainly, 0.1, math.Inf(1), math.Inf(1)},
	} {
		check := func(t *testing.T, worst, atMost float64) {
			t.Logf("largest difference %.2g", worst)
			if !(worst >= test.atLeast && worst <= atMost) {
				t.Errorf("largest difference %.2g, want it in [%g, %g]",
					worst, test.atLeast, atMost)
			}
		}
		t.Run(test.name, func(t *testing.T) {
			check(t, beside[float32](t, test), test.atMost)
		})
		t.Run(test.name+", float64", func(t *testing.T) {
			check(t, beside[float64](t, test), test.atMost64)
		})
	}
}

// beside makes 300 steps with both, of a parameter of type F, and returns the largest difference.
func beside[F float](t *testing.T, test hostCase) float64 {
	const n, steps = 5000, 300
	rng := rand.New(rand.NewPCG(6, 0))
	theirs := nn.NewParam(matrixOf[F](rng, 1, n))
	ours := nn.NewParam(theirs.Value().(mat.Matrix))
	scale, unit := make([]float64, n), make([]float64, n)
	for i := range scale {
		scale[i], unit[i] = math.Pow(10, -test.decades*rng.Float64()), test.spago.StepSize
	}
	host, strategy := spagoadam.New(test.spago), &adamspago.Adam{}
	for step := range steps {
		grad := mat.NewDense[F](mat.WithShape(n))
		for i, x := range mat.Data[F](theirs) {
			unit[i] = max(unit[i], math.Abs(float64(x)))
			mat.Data[F](grad)[i] = F(
				scale[i] * math.Copysign(0.5+rng.Float64(), rng.Float64()-0.5),
			)
		}
		theirs.AccGrad(grad)
		ours.AccGrad(grad)
		strategy.Config = test.config(test.spago, float64(step+1))
		if err := host.OptimizeParams(theirs); err != nil {
			t.Fatal(err)
		}
		if err := strategy.OptimizeParams(ours); err != nil {
			t.Fatal(err)
		}
		if test.counts {
			host.IncExample()
		}
	}
	worst := 0.0
	for i, x := range mat.Data[F](theirs) {
		worst = max(worst, math.Abs(float64(x)-float64(mat.Data[F](ours)[i]))/unit[i])
	}
	return worst
}

// train trains a network 2-16-1 to multiply its inputs and returns the losses before and after.
// step is called in each step, with the gradients of a batch in the parameters.
func train[F float](t *testing.T, step func(*network)) (before, after float64) {
	t.Helper()
	rng := rand.New(rand.NewPCG(7, 0))
	model := &network{In: linear.New[F](2, 16), Out: linear.New[F](16, 1)}
	for _, p := range []*nn.Param{model.In.W, model.Out.W} {
		mat.SetData(p.Value(), mat.Data[F](matrixOf[F](rng, 0.5, p.Shape()...)))
	}
	var loss float64
	for i := range 200 {
		loss = 0
		const batch = 32
		for range batch {
			x := []F{2*F(rng.Float32()) - 1, 2*F(rng.Float32()) - 1}
			hidden := ag.Tanh(model.In.Forward(mat.NewDense[F](mat.WithBacking(x)))[0])
			y := model.Out.Forward(hidden)[0]
			miss := losses.MSE(y, mat.Scalar(x[0]*x[1]), true)
			loss += miss.Value().Item().F64() / batch
			if err := ag.Backward(miss); err != nil {
				t.Fatal(err)
			}
		}
		if i == 0 {
			before = loss
		}
		step(model)
		for _, p := range model.params() {
			if p.HasGrad() {
				t.Fatal("a gradient is left after the step")
			}
		}
	}
	return before, loss
}

// A network of spago learns as well as with spago's Adam, and to the same bits by spago's Optimizer
// and by Optimize.
func TestTraining(t *testing.T) {
	t.Run("float32", training[float32])
	t.Run("float64", training[float64])
}

func training[F float](t *testing.T) {
	config := adam.Default()
	config.LR = 0.01
	strategy := &adamspago.Adam{Config: config}
	before, ours := train[F](t, func(m *network) {
		if err := strategy.Optimize(nn.Parameters(m)); err != nil {
			t.Fatal(err)
		}
	})
	byOptimizer := func(strategy optimizers.OptimizationStrategy, after func()) float64 {
		_, loss := train[F](t, func(m *network) {
			if err := optimizers.New(nn.Parameters(m), strategy).Optimize(); err != nil {
				t.Fatal(err)
			}
			await(t, m.params())
			after()
		})
		return loss
	}
	oursByOptimizer := byOptimizer(strategy, func() {})
	host := spagoadam.New(spagoadam.NewConfig(config.LR, config.Beta1, config.Beta2, config.Eps))
	theirs := byOptimizer(host, host.IncExample)
	t.Logf("loss %.6g, in the end %.6g, with spago's Adam %.6g", before, ours, theirs)
	if !(ours < before/30) {
		t.Errorf("the loss has only gone from %g to %g", before, ours)
	}
	if ours != oursByOptimizer {
		t.Errorf("loss %g by Optimize, %g by spago's Optimizer", ours, oursByOptimizer)
	}
	if !(math.Abs(ours-theirs) < 1e-2*theirs) {
		t.Errorf("loss %g, with spago's Adam %g", ours, theirs)
	}
}

// A run of spago's Adam goes on from its State.
func TestTakeOver(t *testing.T) {
	t.Run("float32", func(t *testing.T) {
		takingOver[float32](t, 1e-6, func(s *spagoadam.State, timeStep int) any {
			return &adam.State{
				T: uint64(timeStep - 1), M: mat.Data[float32](s.V), V: mat.Data[float32](s.M),
			}
		})
	})
	t.Run("float64", func(t *testing.T) {
		takingOver[float64](t, 1e-14, func(s *spagoadam.State, timeStep int) any {
			return &adam.State64{
				T: uint64(timeStep - 1), M: mat.Data[float64](s.V), V: mat.Data[float64](s.M),
			}
		})
	})
}

// takingOver goes on, after 10 steps of spago's Adam, from what takeOver makes of its State: the
// State with which to go on after spago's Adam, whose IncExample was called after each step. In
// spago's State, V is the first moment and M the second.
func takingOver[F float](
	t *testing.T, atMost float64, takeOver func(s *spagoadam.State, timeStep int) any,
) {
	c := spagoadam.NewConfig(1e-2, 0.9, 0.999, 1e-8)
	host, strategy := spagoadam.New(c), &adamspago.Adam{}
	theirs, ours := parametersOf[F](), parametersOf[F]()
	both := func(step uint64) {
		for _, params := range [][]*nn.Param{theirs, ours} {
			accumulate(step, params)
		}
		strategy.Config = asSpago(c, float64(step+1))
		for i := range theirs {
			if err := host.OptimizeParams(theirs[i]); err != nil {
				t.Fatal(err)
			}
			var err error
			if step < 10 {
				err = host.OptimizeParams(ours[i])
			} else {
				err = strategy.OptimizeParams(ours[i])
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		host.IncExample()
	}
	for step := range uint64(10) {
		both(step)
	}
	for _, p := range ours {
		p.State = takeOver(p.State.(*spagoadam.State), host.TimeStep)
	}
	for step := range uint64(10) {
		both(10 + step)
	}
	worst := 0.0
	for i := range theirs {
		for j, x := range mat.Data[F](theirs[i]) {
			worst = max(worst, math.Abs(float64(x)-float64(mat.Data[F](ours[i])[j])))
		}
	}
	t.Logf("largest difference %.2g", worst)
	if worst > atMost {
		t.Errorf("largest difference %.2g", worst)
	}
}
