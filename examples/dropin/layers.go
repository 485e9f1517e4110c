package main

import (
	"fmt"
	"math"

	"github.com/fusedadam/adam"
	"github.com/fusedadam/adam/internal/plain"
)

// Shape 2: each layer has the four slices of its weights and of its biases. Biases do not decay.
type layer struct {
	W, DW, MW, VW []float32
	B, DB, MB, VB []float32
}

type network []layer

// before makes step t, 1 for the first.
func (n network) before(t int, h hyper) {
	for _, l := range n {
		plain.Step(l.W, l.DW, l.MW, l.VW, t, h.lr, h.beta1, h.beta2, h.eps, h.decay)
		plain.Step(l.B, l.DB, l.MB, l.VB, t, h.lr, h.beta1, h.beta2, h.eps, 0)
	}
}

// after makes the same step, in the program's own loop over its tensors.
func (n network) after(t int, h hyper) error {
	decay, noDecay := h.config(), h.config()
	noDecay.WeightDecay = 0
	for _, l := range n {
		if err := adam.Step(uint64(t), l.W, l.DW, l.MW, l.VW, decay); err != nil {
			return err
		}
		if err := adam.Step(uint64(t), l.B, l.DB, l.MB, l.VB, noDecay); err != nil {
			return err
		}
	}
	return nil
}

// clip scales the gradients down to a global norm of 1, which programs do before the step.
func (n network) clip() {
	squares := 0.0
	for _, l := range n {
		for _, grads := range [][]float32{l.DW, l.DB} {
			for _, g := range grads {
				squares += float64(g) * float64(g)
			}
		}
	}
	if norm := math.Sqrt(squares); norm > 1 {
		scale := float32(1 / norm)
		for _, l := range n {
			for _, grads := range [][]float32{l.DW, l.DB} {
				for i := range grads {
					grads[i] *= scale
				}
			}
		}
	}
}

// optimizer makes the loop, the clipping (MaxNorm: 1) and the sharing out among the cores one call
// of opt.Step. It goes on after t steps, in the program's own moments.
func (n network) optimizer(t int, h hyper, options adam.Options) (*adam.Optimizer, error) {
	weights, biases := adam.Group{Config: h.config()}, adam.Group{Config: h.config()}
	biases.Config.WeightDecay = 0
	for i, l := range n {
		weights.Params = append(weights.Params, adam.Param{Name: fmt.Sprintf("%d.W", i),
			Value: l.W, Grad: l.DW, State: &adam.State{T: uint64(t), M: l.MW, V: l.VW}})
		biases.Params = append(biases.Params, adam.Param{Name: fmt.Sprintf("%d.B", i),
			Value: l.B, Grad: l.DB, State: &adam.State{T: uint64(t), M: l.MB, V: l.VB}})
	}
	return begin(t, options, weights, biases)
}
