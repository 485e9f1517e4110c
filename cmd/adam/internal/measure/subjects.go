package measure

import (
	"math/rand/v2"
	"runtime"

	"github.com/fusedadam/adam"
	"github.com/fusedadam/adam/cmd/adam/internal/result"
	"github.com/fusedadam/adam/internal/plain"
	"github.com/fusedadam/adam/internal/roofline"
	"github.com/fusedadam/adam/internal/selection"
)

// A tensor with its gradient and state.
type tensor struct {
	p, g []float32
	s    *adam.State
}

var config = adam.DefaultW()

// makeTensors makes parameters and gradients as they occur in training. The gradients are far from
// zero, so that no moment becomes subnormal, which would be slow on the plain loop.
func makeTensors(sizes []int) []tensor {
	r := rand.New(rand.NewPCG(1, 2))
	ps, gs := make([]float32, 64<<10), make([]float32, 64<<10)
	for i := range ps {
		ps[i], gs[i] = float32(r.NormFloat64()), float32(r.NormFloat64()*1e-3)
	}
	var tensors []tensor
	for _, n := range sizes {
		// Large slices that lie exactly a power of two apart collide; the pages after the first are
		// those of the moments.
		const apart = 32 << 10 / 4
		t := tensor{make([]float32, n), make([]float32, apart+n)[apart:], adam.NewState(n, config)}
		for i := 0; i < n; i += len(ps) {
			copy(t.p[i:], ps)
			copy(t.g[i:], gs)
		}
		tensors = append(tensors, t)
	}
	return tensors
}

// subjects are the kernels, each followed by its ceilings, and the loops of today's programs, all
// on the same tensors. The slow ones have fewer rounds.
func subjects(kernels []string, tensors []tensor) []subject {
	var list []subject
	for _, k := range kernels {
		every := 1
		if k == selection.Generic {
			every = 2
		}
		list = append(list,
			subject{k, func(times int) { step(k, tensors, times) }, 1, every},
			// Twice in a run, which restores the data.
			subject{result.Traffic + k,
				func(times int) { traffic(k, roofline.Traffic, tensors, 2*times) }, 2, every},
			subject{result.Arithmetic + k, func(times int) { arithmetic(k, tensors, times) }, 1,
				every})
		if k != selection.Generic { // where it is the same
			list = append(list, subject{result.Prefetched + k,
				func(times int) { traffic(k, roofline.TrafficPrefetched, tensors, 2*times) }, 2,
				every})
		}
	}
	for _, loop := range plain.SIMD {
		list = append(list, loopSubject(loop, tensors, 1))
	}
	return append(list, loopSubject(plain.Loop{Name: result.Plain, Step: plain.Step}, tensors, 3))
}

func loopSubject(loop plain.Loop, tensors []tensor, every int) subject {
	steps := 0
	return subject{loop.Name, func(times int) {
		for range times {
			steps++
			loopStep(loop, tensors, steps)
		}
	}, 1, every}
}

func step(kernel string, tensors []tensor, times int) {
	defer selection.Use(selection.Use(kernel))
	for range times {
		for _, t := range tensors {
			if err := t.s.Step(t.p, t.g, config); err != nil {
				panic(err) // the slices are ours
			}
		}
	}
}

func loopStep(loop plain.Loop, tensors []tensor, t int) {
	for _, x := range tensors {
		loop.Step(x.p, x.g, x.s.M, x.s.V, t, float32(config.LR), float32(config.Beta1),
			float32(config.Beta2), float32(config.Eps), float32(config.WeightDecay))
	}
}

func traffic(kernel string, run func(kernel string, p, g, m, v []float32), tensors []tensor,
	times int) {
	for range times {
		for _, t := range tensors {
			run(kernel, t.p, t.g, t.s.M, t.s.V)
		}
	}
}

func arithmetic(kernel string, tensors []tensor, times int) {
	var sum float32
	for range times {
		for _, t := range tensors {
			sum += roofline.Arithmetic(kernel, len(t.p))
		}
	}
	runtime.KeepAlive(sum) // or the compiler may leave the work out
}
