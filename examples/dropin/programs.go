package main

import (
	"slices"

	"github.com/fusedadam/adam"
	"github.com/fusedadam/adam/internal/plain"
)

// A program is one of the shapes with slices of its own, which all its steps share.
type program struct {
	params, m, v [][]float32
	// zeros, to which the next backward pass adds
	grads  func() [][]float32
	before func(t int, h hyper) // makes step t
	// what goes on after t steps; workers as in adam.Options
	after func(t, workers int) (stepper, error)
}

// A stepper makes step t.
type stepper func(t int, h hyper) error

// shapes make programs with tensors of the given sizes.
var shapes = []struct {
	name string
	make func(sizes []int) program
}{
	{"four slices, powers in the loop", func(sizes []int) program {
		f := newFlat(sizes)
		return f.program(f.before)
	}},
	{"four slices, powers before it", func(sizes []int) program {
		f := newFlat(sizes)
		return f.program(func(t int, h hyper) {
			plain.Step(f.params, f.grads, f.m, f.v, t, h.lr, h.beta1, h.beta2, h.eps, h.decay)
		})
	}},
	{"slices of each layer", func(sizes []int) program {
		n := newNetwork(sizes)
		return n.program(n.before, func(t, workers int) (stepper, error) {
			if workers == 1 {
				return n.after, nil
			}
			return optimizerStep(n.optimizer(t, hypers, adam.Options{}))
		})
	}},
	{"slices of each layer, clipping", func(sizes []int) program {
		n := newNetwork(sizes)
		return n.program(func(t int, h hyper) { n.clip(); n.before(t, h) },
			func(t, workers int) (stepper, error) {
				options := adam.Options{MaxNorm: 1, Workers: workers}
				return optimizerStep(n.optimizer(t, hypers, options))
			})
	}},
	{"sums of gradients that move", func(sizes []int) program {
		const batches = 3
		x := &tensors{newSlices(sizes), newSlices(sizes), newSlices(sizes)}
		sums, other := newSlices(sizes), newSlices(sizes)
		return program{x.params, x.m, x.v,
			func() [][]float32 { sums, other = other, sums; return sums },
			func(t int, h hyper) { x.before(t, h, sums, batches) },
			func(t, workers int) (stepper, error) {
				opt, err := x.optimizer(t, hypers, adam.Options{Workers: workers})
				return func(_ int, h hyper) error {
					opt.Groups[0].Config.LR = float64(h.lr)
					return x.after(opt, sums, batches)
				}, err
			}}
	}},
}

// The hyper-parameters at the start, as in the tests of llm.c but for the learning rate.
var hypers = hyper{lr: 1e-3, beta1: 0.9, beta2: 0.999, eps: 1e-8, decay: 0.01}

func optimizerStep(opt *adam.Optimizer, err error) (stepper, error) {
	return func(_ int, h hyper) error {
		for i := range opt.Groups {
			opt.Groups[i].Config.LR = float64(h.lr)
		}
		_, err := opt.Step()
		return err
	}, err
}

func newSlices(sizes []int) [][]float32 {
	s := make([][]float32, len(sizes))
	for i, n := range sizes {
		s[i] = make([]float32, n)
	}
	return s
}

func newFlat(sizes []int) *flat {
	n := 0
	for _, size := range sizes {
		n += size
	}
	return &flat{make([]float32, n), make([]float32, n), make([]float32, n), make([]float32, n)}
}

func (f *flat) program(before func(t int, h hyper)) program {
	one := func(s []float32) [][]float32 { return [][]float32{s} }
	grads := func() [][]float32 { clear(f.grads); return one(f.grads) }
	return program{one(f.params), one(f.m), one(f.v), grads, before,
		func(t, workers int) (stepper, error) {
			if workers == 1 {
				return f.after, nil
			}
			return optimizerStep(f.optimizer(t, hypers))
		}}
}

// newNetwork makes layers of two tensors each.
func newNetwork(sizes []int) network {
	var n network
	for pair := range slices.Chunk(sizes, 2) {
		w, b := pair[0], 0 // the last may have no biases
		if len(pair) > 1 {
			b = pair[1]
		}
		n = append(n, layer{make([]float32, w), make([]float32, w), make([]float32, w),
			make([]float32, w),
			make([]float32, b), make([]float32, b), make([]float32, b), make([]float32, b)})
	}
	return n
}

func (n network) program(before func(t int, h hyper),
	after func(t, workers int) (stepper, error)) program {
	p := program{before: before, after: after}
	var grads [][]float32
	for _, l := range n {
		p.params, grads = append(p.params, l.W, l.B), append(grads, l.DW, l.DB)
		p.m, p.v = append(p.m, l.MW, l.MB), append(p.v, l.VW, l.VB)
	}
	p.grads = func() [][]float32 {
		for _, g := range grads {
			clear(g)
		}
		return grads
	}
	return p
}
