package main

import (
	"math"

	"github.com/fusedadam/adam"
)

// Shape 1: the whole model in four slices, as in llm.c and its ports to Go.
type flat struct{ params, grads, m, v []float32 }

// The hyper-parameters of the old loops, in their float32.
type hyper struct{ lr, beta1, beta2, eps, decay float32 }

// before makes step t, 1 for the first, in the manner of those ports: the bias correction is
// computed anew for each parameter. plain.Step is the same with the two powers before the loop.
func (f *flat) before(t int, h hyper) {
	for i, p := range f.params {
		g := f.grads[i]
		m := h.beta1*f.m[i] + (1-h.beta1)*g
		v := h.beta2*f.v[i] + (1-h.beta2)*g*g
		mHat := m / (1 - float32(math.Pow(float64(h.beta1), float64(t))))
		vHat := v / (1 - float32(math.Pow(float64(h.beta2), float64(t))))
		f.m[i], f.v[i] = m, v
		f.params[i] -= h.lr * (mHat/(float32(math.Sqrt(float64(vHat)))+h.eps) + h.decay*p)
	}
}

// after makes the same step. The moments stay where they are, so that whatever saves and loads them
// goes on working.
func (f *flat) after(t int, h hyper) error {
	return adam.Step(uint64(t), f.params, f.grads, f.m, f.v, h.config())
}

// config turns the float32 numbers of the loops into a Config: the formula is the same. The betas
// are those that were rounded to float32, with which the moments stay the same bits: 1-beta2
// differs from 1-0.999 by 1.3e-5 of it.
func (h hyper) config() adam.Config {
	return adam.Config{LR: float64(h.lr), Beta1: float64(h.beta1), Beta2: float64(h.beta2),
		Eps:         float64(h.eps),
		WeightDecay: float64(h.decay), Decoupled: true}
}

// optimizer is for steps on all cores. It goes on after t steps, in the program's own moments.
func (f *flat) optimizer(t int, h hyper) (*adam.Optimizer, error) {
	state := &adam.State{T: uint64(t), M: f.m, V: f.v}
	params := []adam.Param{{Name: "params", Value: f.params, Grad: f.grads, State: state}}
	return begin(t, adam.Options{}, adam.Group{Config: h.config(), Params: params})
}

// begin makes an optimizer that goes on after t steps.
func begin(t int, options adam.Options, groups ...adam.Group) (*adam.Optimizer, error) {
	opt, err := adam.New(options, groups...)
	if err != nil {
		return nil, err
	}
	opt.T = uint64(t)
	return opt, nil
}
