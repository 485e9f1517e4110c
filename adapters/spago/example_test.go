package adamspago_test

import (
	"fmt"

	"github.com/nlpodyssey/spago/ag"
	"github.com/nlpodyssey/spago/losses"
	"github.com/nlpodyssey/spago/mat"
	"github.com/nlpodyssey/spago/nn"
	"github.com/nlpodyssey/spago/nn/linear"

	"github.com/fusedadam/adam"
	adamspago "github.com/fusedadam/adam/adapters/spago"
	"github.com/fusedadam/adam/schedule"
)

// fit trains a linear model to give 3x+1, where optimize makes a step.
func fit(steps uint64, optimize func(step uint64, model *linear.Model) error) *linear.Model {
	model := linear.New[float32](1, 1)
	for step := range steps {
		for i := range 8 {
			x := float32(i)/4 - 1
			y := model.Forward(mat.Scalar(x))[0]
			if err := ag.Backward(losses.MSE(y, mat.Scalar(3*x+1), true)); err != nil {
				panic(err)
			}
		}
		if err := optimize(step, model); err != nil {
			panic(err)
		}
	}
	return model
}

// Training with a learning-rate schedule.
func ExampleAdam_Optimize() {
	const steps = 300
	lr := schedule.Cosine(0.1, 0, steps)
	strategy := &adamspago.Adam{Config: adam.Default()}
	model := fit(steps, func(step uint64, model *linear.Model) error {
		strategy.Config.LR = lr(step)
		return strategy.Optimize(nn.Parameters(model))
	})
	fmt.Printf(
		"%.2fx + %.2f after %d steps\n", model.W.Item().F64(), model.B.Item().F64(),
		model.W.State.(*adam.State).T)
	// Output: 3.00x + 1.00 after 300 steps
}

// Weights decay and biases do not: one Adam for each group of parameters.
func ExampleAdam_Optimize_groups() {
	decay := &adamspago.Adam{Config: adam.DefaultW()}
	noDecay := &adamspago.Adam{Config: adam.Default()}
	decay.Config.LR, noDecay.Config.LR = 0.01, 0.01
	decay.Config.WeightDecay = 0.5
	model := fit(1500, func(_ uint64, model *linear.Model) error {
		if err := decay.Optimize(nn.StreamParams([]*nn.Param{model.W})); err != nil {
			return err
		}
		return noDecay.Optimize(nn.StreamParams([]*nn.Param{model.B}))
	})
	fmt.Printf("%.0fx + %.0f\n", model.W.Item().F64(), model.B.Item().F64())
	// Output: 2x + 1
}
