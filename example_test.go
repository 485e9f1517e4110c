package adam_test

import (
	"bytes"
	"encoding/gob"
	"fmt"

	"github.com/fusedadam/adam"
	"github.com/fusedadam/adam/schedule"
)

// quadratic writes the gradient of ½·Σ(p-target)² to g.
func quadratic(p, g []float32, target float32) {
	for i, x := range p {
		g[i] = x - target
	}
}

func Example() {
	p := []float32{0, 1, 2, 3}
	g := make([]float32, len(p))
	cfg := adam.Default()
	cfg.LR = 0.1
	state := adam.NewState(len(p), cfg)
	for range 500 {
		quadratic(p, g, 5)
		if err := state.Step(p, g, cfg); err != nil {
			panic(err)
		}
	}
	fmt.Printf("%.2f after %d steps\n", p, state.T)
	// Output: [5.00 5.00 5.00 5.00] after 500 steps
}

// A Config belongs to a step: a learning-rate schedule writes LR before each.
func Example_learningRateSchedule() {
	const peak = 0.3
	// warm-up, then cosine decay
	lr := schedule.Linear(0.1, 1, 10).Then(10, schedule.Cosine(1, 0, 90))
	p, g := make([]float32, 3), make([]float32, 3)
	cfg := adam.DefaultW()
	state := adam.NewState(len(p), cfg)
	for range 100 {
		cfg.LR = peak * lr(state.T)
		quadratic(p, g, 1)
		if err := state.Step(p, g, cfg); err != nil {
			panic(err)
		}
	}
	fmt.Printf("%.1f\n", p)
	// Output: [1.0 1.0 1.0]
}

// Parameter groups, clipping by the global norm, and a schedule: weights decay, biases do not.
func ExampleOptimizer() {
	decay, noDecay := adam.DefaultW(), adam.DefaultW()
	noDecay.WeightDecay = 0
	weights, biases := make([]float32, 4), make([]float32, 2)
	opt, err := adam.New(adam.Options{MaxNorm: 1},
		adam.Group{Config: decay, Params: []adam.Param{{Name: "weights", Value: weights,
			Grad: make([]float32, 4)}}},
		adam.Group{Config: noDecay, Params: []adam.Param{{Name: "biases", Value: biases,
			Grad: make([]float32, 2)}}})
	if err != nil {
		panic(err)
	}
	defer opt.Close()
	lr := schedule.Linear(0.1, 1, 10).Then(10, schedule.Cosine(1, 0, 190))
	for opt.T < 200 {
		for i, g := range opt.Groups {
			opt.Groups[i].Config.LR = 0.3 * lr(opt.T)
			for _, p := range g.Params {
				quadratic(p.Value, p.Grad, 5)
			}
		}
		stats, err := opt.Step()
		if err != nil {
			panic(err)
		}
		if stats.T == 1 {
			fmt.Printf("norm of the first gradient: %.2f\n", stats.GradNorm)
		}
	}
	fmt.Printf("weights %.1f, biases %.1f\n", weights, biases)
	// Output:
	// norm of the first gradient: 12.25
	// weights [5.0 5.0 5.0 5.0], biases [5.0 5.0]
}

// A checkpoint holds all that a run needs to go on to the bit, here with the parameters and their
// average.
func ExampleOptimizer_Save() {
	options := adam.Options{EMADecay: 0.9, SaveParams: true}
	newRun := func() *adam.Optimizer {
		opt, err := adam.New(options, adam.Group{Config: adam.DefaultW(),
			Params: []adam.Param{{Name: "p", Value: []float32{1, 2, 3}, Grad: make([]float32, 3)}}})
		if err != nil {
			panic(err)
		}
		return opt
	}
	train := func(opt *adam.Optimizer, steps int) {
		for range steps {
			p := opt.Groups[0].Params[0]
			quadratic(p.Value, p.Grad, 5)
			if _, err := opt.Step(); err != nil {
				panic(err)
			}
		}
	}
	run := newRun()
	defer run.Close()
	train(run, 10)
	var file bytes.Buffer
	if err := run.Save(&file); err != nil {
		panic(err)
	}
	train(run, 10)

	resumed := newRun()
	defer resumed.Close()
	if err := resumed.Load(&file); err != nil {
		panic(err)
	}
	train(resumed, 10)
	a, b := run.Groups[0].Params[0].Value, resumed.Groups[0].Params[0].Value
	fmt.Println(resumed.T, a[0] == b[0], run.EMA("p")[2] == resumed.EMA("p")[2])
	// Output: 20 true true
}

// A State is plain data. What resumes goes on to the bit.
func Example_saveAndResume() {
	cfg := adam.DefaultW()
	cfg.AMSGrad = true
	p, g := []float32{1, 2, 3}, make([]float32, 3)
	state := adam.NewState(len(p), cfg)
	train := func(p []float32, state *adam.State, steps int) {
		for range steps {
			quadratic(p, g, 5)
			if err := state.Step(p, g, cfg); err != nil {
				panic(err)
			}
		}
	}
	train(p, state, 10)

	var file bytes.Buffer
	type checkpoint struct {
		Params []float32
		State  adam.State
	}
	if err := gob.NewEncoder(&file).Encode(checkpoint{p, *state}); err != nil {
		panic(err)
	}
	train(p, state, 10)

	var resumed checkpoint
	if err := gob.NewDecoder(&file).Decode(&resumed); err != nil {
		panic(err)
	}
	train(resumed.Params, &resumed.State, 10)

	fmt.Println(resumed.State.T, resumed.Params[0] == p[0], resumed.State.V[2] == state.V[2])
	// Output: 20 true true
}
