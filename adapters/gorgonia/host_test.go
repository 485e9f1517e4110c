package adamgorgonia_test

import (
	"math"
	"slices"
	"testing"

	"github.com/fusedadam/adam"
	adamgorgonia "github.com/fusedadam/adam/adapters/gorgonia"
	"gorgonia.org/gorgonia"
)

// asRounded changes LR and Eps such that they make good what Gorgonia takes for 1-β: that of
// float32(β).
func asRounded(c adam.Config) adam.Config {
	m := float64(1-float32(c.Beta1)) / (1 - c.Beta1)
	v := math.Sqrt(float64(1-float32(c.Beta2)) / (1 - c.Beta2))
	c.LR, c.Eps = c.LR*m/v, c.Eps/v
	return c
}

// The Configs of README.md do what the options of gorgonia.AdamSolver do: in 300 steps the
// parameters stay within k·max(|p|, LR), in float64 within 1e-11·max(|p|, LR).
func TestAgainstAdamSolver(t *testing.T) {
	withL2 := adam.Default()
	withL2.WeightDecay = 0.1
	withL2AndBatch := adam.Default()
	withL2AndBatch.WeightDecay = 0.1 / 32
	others := adam.Config{LR: 0.02, Beta1: 0.8, Beta2: 0.99, Eps: 1e-3}
	for _, test := range []struct {
		name    string
		host    []gorgonia.SolverOpt
		config  adam.Config
		rounded bool // with float32
		options adam.Options
		scale   float64
		k       float64 // with float32
	}{
		{"defaults", nil, adam.Default(), false, adam.Options{}, 1, 3e-3},
		{"defaults, rounded", nil, adam.Default(), true, adam.Options{}, 1, 2e-4},
		{
			"others", []gorgonia.SolverOpt{
				gorgonia.WithLearnRate(0.02), gorgonia.WithBeta1(0.8), gorgonia.WithBeta2(0.99),
				gorgonia.WithEps(1e-3),
			},
			others, true, adam.Options{}, 1, 2e-4,
		},
		{
			"L2", []gorgonia.SolverOpt{gorgonia.WithL2Reg(0.1)},
			withL2, true, adam.Options{}, 1, 2e-4,
		},
		{
			"batch", []gorgonia.SolverOpt{gorgonia.WithBatchSize(32)},
			adam.Default(), true, adam.Options{}, 32, 2e-4,
		},
		{
			"batch and L2",
			[]gorgonia.SolverOpt{gorgonia.WithBatchSize(32), gorgonia.WithL2Reg(0.1)},
			withL2AndBatch, true, adam.Options{}, 32, 2e-4,
		},
		{
			"batch and clip",
			[]gorgonia.SolverOpt{gorgonia.WithBatchSize(2), gorgonia.WithClip(0.5)},
			adam.Default(), true, adam.Options{MaxValue: 0.5}, 2, 2e-4,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			host := gorgonia.NewAdamSolver(test.host...)
			config := test.config
			if test.rounded {
				config = asRounded(config)
			}
			solver := adamgorgonia.New(config, test.options)
			beside(t, host, solver, newModel, test.scale, test.k)
		})
		t.Run(test.name+", float64", func(t *testing.T) {
			host := gorgonia.NewAdamSolver(test.host...)
			solver := adamgorgonia.New(test.config, test.options)
			beside(t, host, solver, newModel64, test.scale, 1e-11)
		})
	}
}

// beside makes 300 steps with both solvers, after which the parameters must be within
// k·max(|p|, LR).
func beside(
	t *testing.T, host gorgonia.Solver, solver *adamgorgonia.Solver,
	newModel func(seed uint64) []gorgonia.ValueGrad, scale, k float64,
) {
	theirs, ours := newModel(1), newModel(1)
	defer solver.Close()
	if err := solver.Bind(ours); err != nil {
		t.Fatal(err)
	}
	solver.Optimizer().GradScale = scale
	largest := 0.0
	for _, step := range recorded() {
		setGrads(theirs, step)
		setGrads(ours, step)
		if err := host.Step(theirs); err != nil {
			t.Fatal(err)
		}
		if err := solver.Step(ours); err != nil {
			t.Fatal(err)
		}
		largest = max(largest, distance(ours, theirs, solver.Config.LR))
	}
	t.Logf("largest difference: %.3g·max(|p|, LR)", largest)
	if largest > k {
		t.Errorf("largest difference %.3g·max(|p|, LR), want at most %.3g", largest, k)
	}
	for i := range ours {
		g, err := ours[i].Grad()
		if err != nil ||
			slices.ContainsFunc(doubles(g), func(x float64) bool { return x != 0 }) {
			t.Errorf("gradient of %s is not zero after the step", ours[i].(*leaf).name)
		}
	}
}

// With an L2 term there is no Config for WithClip: Gorgonia clips the sum of both.
func TestClipOfSum(t *testing.T) {
	theirs := []gorgonia.ValueGrad{&leaf{"a", vector(-10), vector(1)}}
	ours := []gorgonia.ValueGrad{&leaf{"a", vector(-10), vector(1)}}
	host := gorgonia.NewAdamSolver(gorgonia.WithL2Reg(0.2), gorgonia.WithClip(1)) // 1 - 0.2·10 = -1
	c := adam.Default()
	c.WeightDecay = 0.2
	solver := adamgorgonia.New(c, adam.Options{MaxValue: 1})
	for _, g := range []float32{1, 5} {
		theirs[0].(*leaf).grad, ours[0].(*leaf).grad = vector(g), vector(g)
		if err := host.Step(theirs); err != nil {
			t.Fatal(err)
		}
		if err := solver.Step(ours); err != nil {
			t.Fatal(err)
		}
	}
	// Gorgonia has seen -1 and 1, this package -1 twice.
	up, down := floats(ours[0].Value())[0], floats(theirs[0].Value())[0]
	if math.Abs(float64(up)-(-10+0.002)) > 1e-5 ||
		math.Abs(float64(down)-(-10+0.001-0.0000526)) > 1e-5 {
		t.Errorf("Gorgonia %v, this package %v", down, up)
	}
}
