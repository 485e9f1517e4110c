package measure

import (
	"math/rand/v2"
	"runtime"
	"time"
	"unsafe"

	"github.com/fusedadam/adam"
	"github.com/fusedadam/adam/cmd/adam/internal/result"
	"github.com/fusedadam/adam/internal/plain"
	"github.com/fusedadam/adam/internal/roofline"
	"github.com/fusedadam/adam/internal/selection"
)

// A tensor with its gradient and moments.
type tensor[F float] struct {
	p, g, m, v []F
	step       func() error // of package adam
}

type float interface{ float32 | float64 }

var config = adam.DefaultW()

// makeTensors makes parameters and gradients as they occur in training, and lets state add the
// moments. The gradients are far from zero, so that no moment becomes subnormal, which would be
// slow on the plain loop.
func makeTensors[F float](sizes []int, state func(t *tensor[F])) []*tensor[F] {
	r := rand.New(rand.NewPCG(1, 2))
	ps, gs := make([]F, 64<<10), make([]F, 64<<10)
	for i := range ps {
		ps[i], gs[i] = F(r.NormFloat64()), F(r.NormFloat64()*1e-3)
	}
	var tensors []*tensor[F]
	for _, n := range sizes {
		// Large slices that lie exactly a power of two apart collide; the pages after the first are
		// those of the moments.
		apart := 32 << 10 / int(unsafe.Sizeof(F(0)))
		t := &tensor[F]{p: make([]F, n), g: make([]F, apart+n)[apart:]}
		state(t)
		for i := 0; i < n; i += len(ps) {
			copy(t.p[i:], ps)
			copy(t.g[i:], gs)
		}
		tensors = append(tensors, t)
	}
	return tensors
}

func single(t *tensor[float32]) {
	s := adam.NewState(len(t.p), config)
	t.m, t.v, t.step = s.M, s.V, func() error { return s.Step(t.p, t.g, config) }
}

func double(t *tensor[float64]) {
	s := adam.NewState64(len(t.p), config)
	t.m, t.v, t.step = s.M, s.V, func() error { return s.Step(t.p, t.g, config) }
}

// A loop is one of those of today's programs.
type loop[F float] struct {
	name string
	step func(t *tensor[F], k int) // step k, from 1 on
}

// singleLoops and doubleLoops end with the plain loop.
func singleLoops() []loop[float32] {
	var list []loop[float32]
	for _, l := range append(plain.SIMD[:len(plain.SIMD):len(plain.SIMD)],
		plain.Loop{Name: result.Plain, Step: plain.Step}) {
		list = append(list, loop[float32]{l.Name, func(t *tensor[float32], k int) {
			l.Step(t.p, t.g, t.m, t.v, k, float32(config.LR), float32(config.Beta1),
				float32(config.Beta2), float32(config.Eps), float32(config.WeightDecay))
		}})
	}
	return list
}

func doubleLoops() []loop[float64] {
	return []loop[float64]{{result.Plain, func(t *tensor[float64], k int) {
		plain.Step64(t.p, t.g, t.m, t.v, k, config.LR, config.Beta1, config.Beta2, config.Eps,
			config.WeightDecay)
	}}}
}

// subjects are the kernels and their arithmetic, the memory traffic, and the loops, all on the same
// tensors. The slow ones have fewer rounds.
func subjects[F float](kernels []string, tensors []*tensor[F],
	roots rootLoop[F], loops []loop[F]) []subject {
	var list []subject
	for _, k := range kernels {
		every := 1
		if k == selection.Generic {
			every = 2
		}
		list = append(list, subject{series: k, run: func(times int) { step(k, tensors, times) },
			calls: 1, every: every})
		for _, o := range roofline.Orders {
			list = append(list, subject{series: result.Arithmetic + k + string(o),
				run: func(times int) { arithmetic(k, o, roots, tensors, times) }, calls: 1,
				every: every})
		}
	}
	for _, w := range roofline.Ways(kernels) {
		list = append(list, subject{series: result.Traffic + w.String(),
			// Twice in a run, which restores the data.
			run: func(times int) { traffic(w, tensors, 2*times) }, calls: 2, every: 1})
	}
	for _, l := range loops {
		every := 1
		if l.name == result.Plain {
			every = 3
		}
		list = append(list, subject{series: l.name, run: l.run(tensors), calls: 1, every: every})
	}
	return list
}

// run makes steps of tensors.
func (l loop[F]) run(tensors []*tensor[F]) func(times int) {
	steps := 0
	return func(times int) {
		for range times {
			steps++
			for _, t := range tensors {
				l.step(t, steps)
			}
		}
	}
}

// scalarCode is how long the plain loop runs before a first step: longer than the 0.7 ms after
// which some CPUs have to make ready for wide vectors anew.
const scalarCode = 5 * time.Millisecond

// firsts are the kernels warm, and the first step after scalar code, which is what a training loop
// sees: its backward pass runs before each step, and leaves the gradients in the caches.
func firsts(kernels []string, tensors []*tensor[float32]) []subject {
	var list []subject
	plain := singleLoops()
	scalar := plain[len(plain)-1].run(tensors)
	for _, k := range kernels {
		s := subject{series: k, run: func(times int) { step(k, tensors, times) }, calls: 1,
			every: 1}
		list = append(list, s)
		s.series, s.before = result.AfterCode+k, func() {
			for start := time.Now(); time.Since(start) < scalarCode; {
				scalar(1)
			}
		}
		list = append(list, s)
	}
	return list
}

func step[F float](kernel string, tensors []*tensor[F], times int) {
	defer selection.Use(selection.Use(kernel))
	for range times {
		for _, t := range tensors {
			if err := t.step(); err != nil {
				panic(err) // the slices are ours
			}
		}
	}
}

// traffic moves bits, whatever they mean: an element of float64 is two words.
func traffic[F float](w roofline.Way, tensors []*tensor[F], times int) {
	for range times {
		for _, t := range tensors {
			w.Traffic(words(t.p), words(t.g), words(t.m), words(t.v))
		}
	}
}

func words[F float](s []F) []float32 {
	at := (*float32)(unsafe.Pointer(unsafe.SliceData(s)))
	return unsafe.Slice(at, len(s)*int(unsafe.Sizeof(F(0))/4))
}

// rootLoop is [roofline.Arithmetic] or [roofline.Arithmetic64].
type rootLoop[F float] func(kernel string, order roofline.Order, n int) F

func arithmetic[F float](kernel string, order roofline.Order, roots rootLoop[F],
	tensors []*tensor[F], times int) {
	var sum F
	for range times {
		for _, t := range tensors {
			sum += roots(kernel, order, len(t.p))
		}
	}
	runtime.KeepAlive(sum) // or the compiler may leave the work out
}
