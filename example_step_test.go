package adam_test

import (
	"fmt"

	"github.com/fusedadam/adam"
)

// A model as the Go ports of llm.c have it: everything of one kind in one slice, and
// hyper-parameters in float32.
type gpt struct {
	params, grads, m, v []float32
}

// update takes the place of the loop over the parameters. The betas are those that were rounded to
// float32, as in the loop, so that the moments keep their bits.
func (model *gpt) update(lr, beta1, beta2, eps, weightDecay float32, t int) error {
	if model.m == nil {
		model.m = make([]float32, len(model.params))
		model.v = make([]float32, len(model.params))
	}
	return adam.Step(uint64(t), model.params, model.grads, model.m, model.v, adam.Config{
		LR: float64(lr), Beta1: float64(beta1), Beta2: float64(beta2), Eps: float64(eps),
		WeightDecay: float64(weightDecay), Decoupled: true,
	})
}

// The program keeps its moments and counts its steps from 1.
func ExampleStep() {
	model := &gpt{params: []float32{0, 1, 2, 3}, grads: make([]float32, 4)}
	for t := 1; t <= 500; t++ {
		quadratic(model.params, model.grads, 5)
		if err := model.update(0.1, 0.9, 0.999, 1e-8, 0, t); err != nil {
			panic(err)
		}
	}
	fmt.Printf("%.2f\n", model.params)
	// Output: [5.00 5.00 5.00 5.00]
}

// What EpsUncorrected is about: a gradient as large as Eps. In the first steps the ε of Keras is
// many times that of PyTorch.
func ExampleDefaultKeras() {
	keras := adam.DefaultKeras()
	torch := keras
	torch.EpsUncorrected = false
	for _, c := range []adam.Config{torch, keras} {
		p, g, m, v := []float32{0}, []float32{1e-7}, []float32{0}, []float32{0}
		if err := adam.Step(1, p, g, m, v, c); err != nil {
			panic(err)
		}
		fmt.Printf("the first step is %.3f·LR\n", -float64(p[0])/c.LR)
	}
	// Output:
	// the first step is 0.500·LR
	// the first step is 0.031·LR
}
