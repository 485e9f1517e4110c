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
	lr := schedule.Linear(0.1, 1, 10).Then(10, schedule.Cosine(1, 0, 90)) // warm-up, then cosine decay
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

// Parameter groups are Configs: weights decay, biases do not.
func Example_parameterGroups() {
	decay := adam.DefaultW()
	noDecay := decay
	noDecay.WeightDecay = 0

	weights, biases := []float32{1, 1}, []float32{1}
	tensors := []struct {
		p, g  []float32
		cfg   *adam.Config
		state *adam.State
	}{
		{weights, make([]float32, 2), &decay, adam.NewState(2, decay)},
		{biases, make([]float32, 1), &noDecay, adam.NewState(1, noDecay)},
	}
	for range 100 { // gradients of zero: only the decay moves anything
		for _, t := range tensors {
			if err := t.state.Step(t.p, t.g, *t.cfg); err != nil {
				panic(err)
			}
		}
	}
	fmt.Printf("weights %.4f, biases %.4f\n", weights, biases)
	// Output: weights [0.9990 0.9990], biases [1.0000]
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
