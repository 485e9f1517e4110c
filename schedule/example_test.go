package schedule_test

import (
	"fmt"

	"github.com/fusedadam/adam"
	"github.com/fusedadam/adam/schedule"
)

// Warm-up and cosine decay, the usual schedule of AdamW. State.T is all it needs to go on where a
// run that was saved has stopped.
func Example() {
	const warmup, steps, base = 10, 100, 0.3
	lr := schedule.Linear(1.0/warmup, 1, warmup-1).Then(warmup, schedule.Cosine(1, 0, steps-warmup))

	p, g := make([]float32, 3), make([]float32, 3)
	cfg := adam.DefaultW()
	state := adam.NewState(len(p), cfg)
	for state.T < steps {
		for i := range p {
			g[i] = p[i] - 1 // of ½·Σ(p-1)²
		}
		cfg.LR = base * lr(state.T)
		if state.T%25 == 0 {
			fmt.Printf("step %2d: LR %.3f\n", state.T, cfg.LR)
		}
		if err := state.Step(p, g, cfg); err != nil {
			panic(err)
		}
	}
	fmt.Printf("%.1f\n", p)
	// Output:
	// step  0: LR 0.030
	// step 25: LR 0.280
	// step 50: LR 0.176
	// step 75: LR 0.054
	// [1.0 1.0 1.0]
}

// Warm-up, stable, decay: each schedule takes over at a milestone and begins at its own step 0.
func ExampleSchedule_Then() {
	lr := schedule.Linear(0, 1, 4).
		Then(4, schedule.Constant(1)).
		Then(8, schedule.Linear(1, 0.2, 4))
	for step := range uint64(14) {
		fmt.Printf("%.2f ", lr(step))
	}
	fmt.Println()
	// Output: 0.00 0.25 0.50 0.75 1.00 1.00 1.00 1.00 1.00 0.80 0.60 0.40 0.20 0.20
}

// A warm-up on top of a decay that runs from the first step.
func ExampleProduct() {
	lr := schedule.Product(schedule.Linear(0.25, 1, 3), schedule.Step(0.5, 4))
	for step := range uint64(9) {
		fmt.Printf("%.3f ", lr(step))
	}
	fmt.Println()
	// Output: 0.250 0.500 0.750 1.000 0.500 0.500 0.500 0.500 0.250
}

// PyTorch's defaults: from 1/25 of the base up to it in 30 % of the steps, and down to 1/250000.
func ExampleOneCycle() {
	lr := schedule.OneCycle(1.0/25, 1.0/25e4, 0.3, 10)
	for step := range uint64(10) {
		fmt.Printf("%.4f ", lr(step))
	}
	fmt.Println()
	// Output: 0.0400 0.5200 1.0000 0.9505 0.8117 0.6113 0.3887 0.1883 0.0495 0.0000
}

// Any function of the step is a schedule, here inverse time decay.
func ExampleSchedule() {
	decay := schedule.Schedule(func(step uint64) float64 { return 1 / (1 + float64(step)) })
	lr := schedule.Constant(1).Then(2, decay)
	fmt.Println(lr(0), lr(1), lr(2), lr(3), lr(5))
	// Output: 1 1 1 0.5 0.25
}
