package main

// A map from tensor to moments: parameters come with the step, and gradients in a map that the
// backward pass makes anew.
//
// Before, Step looked up two slices of moments for each tensor, made them where there were none,
// and looped over the elements, with one t for all tensors or one in a third map.
//
// Now there is one map, to States, which count the steps of their tensor. A State's Step checks its
// own tensor only: an error leaves that tensor as it was. To clip by the norm of all gradients, use
// an Optimizer, and Regroup when the set of tensors changes.

import (
	"fmt"
	"math/rand/v2"

	"github.com/fusedadam/adam"
	"github.com/fusedadam/adam/examples/internal/checksum"
)

type tensor struct{ data []float32 }

type optimizer struct {
	config adam.Config
	states map[*tensor]*adam.State // delete a tensor's when the tensor goes
}

// Step makes a step of the tensors that have a gradient. It makes a State when it first meets one.
func (o *optimizer) Step(params []*tensor, grads map[*tensor][]float32) error {
	for _, p := range params {
		g, ok := grads[p]
		if !ok {
			continue
		}
		s, ok := o.states[p]
		if !ok {
			s = adam.NewState(len(p.data), o.config)
			o.states[p] = s
		}
		if err := s.Step(p.data, g, o.config); err != nil {
			return err
		}
	}
	return nil
}

// trainLazy trains a body that three heads share. Step 0 knows one head, and another comes in every
// 200 steps; each step is one head's.
func trainLazy() (r result, err error) {
	const width, points, steps = 32, 32, 900
	rng := rand.New(rand.NewPCG(4, 0))
	opt := &optimizer{adam.Default(), map[*tensor]*adam.State{}}
	opt.config.LR = 0.01
	var params []*tensor
	add := func(in, out int) {
		w, b := &tensor{make([]float32, in*out)}, &tensor{make([]float32, out)}
		uniform(rng, w.data, 1)
		uniform(rng, b.data, 0.5)
		params = append(params, w, b)
	}
	add(1, width) // the body
	curves := []func(x float32) float32{
		func(x float32) float32 { return x * x },
		func(x float32) float32 { return max(x, -x) },
		func(x float32) float32 { return min(x, 0.5) },
	}
	for step := range steps {
		if step%200 == 0 && step/200 < len(curves) {
			add(width, 1)
		}
		head := step % (len(params)/2 - 1)
		grads := map[*tensor][]float32{} // of the tensors that have a part in this step
		part := func(i int) layer {
			w, b := params[2*i], params[2*i+1]
			grads[w], grads[b] = make([]float32, len(w.data)), make([]float32, len(b.data))
			return layer{w.data, b.data, grads[w], grads[b]}
		}
		net := network{part(0), part(1 + head)}
		loss := 0.0
		for i := range points {
			x := float32(i)/(points/2) - 1
			loss += net.learn([]float32{x}, []float32{curves[head](x)}) / points
		}
		if err := opt.Step(params, grads); err != nil {
			return r, err
		}
		r.see(loss)
	}
	var all [][]float32
	for _, p := range params {
		all = append(all, p.data)
		r.note += fmt.Sprintf(" %d", opt.states[p].T)
	}
	r.sum, r.note = checksum.Of(all...), "steps of each tensor:"+r.note
	return r, nil
}
