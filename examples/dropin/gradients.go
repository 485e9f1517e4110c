package main

import (
	"fmt"

	"github.com/fusedadam/adam"
	"github.com/fusedadam/adam/internal/plain"
)

// Shape 3: gradients that are summed over several micro-batches, and lie in other slices at each
// step.
type tensors struct{ params, m, v [][]float32 }

// before makes step t, 1 for the first, from the sums over so many batches, and zeroes them for the
// next.
func (x *tensors) before(t int, h hyper, sums [][]float32, batches int) {
	scale := 1 / float32(batches)
	for i, g := range sums {
		for j := range g {
			g[j] *= scale
		}
		plain.Step(x.params[i], g, x.m[i], x.v[i], t, h.lr, h.beta1, h.beta2, h.eps, h.decay)
		clear(g)
	}
}

// after makes the same step in one pass, with an optimizer that zeroes the gradients.
func (x *tensors) after(opt *adam.Optimizer, sums [][]float32, batches int) error {
	for i, g := range sums {
		opt.Groups[0].Params[i].Grad = g
	}
	opt.GradScale = float64(batches)
	_, err := opt.Step()
	return err
}

// optimizer goes on after t steps, in the program's own moments.
func (x *tensors) optimizer(t int, h hyper, options adam.Options) (*adam.Optimizer, error) {
	group := adam.Group{Config: h.config()}
	for i, p := range x.params {
		group.Params = append(group.Params, adam.Param{Name: fmt.Sprint(i), Value: p,
			State: &adam.State{T: uint64(t), M: x.m[i], V: x.v[i]}})
	}
	options.ZeroGrad = true
	return begin(t, options, group)
}
