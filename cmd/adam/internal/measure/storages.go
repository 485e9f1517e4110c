package measure

import (
	"slices"
	"unsafe"

	"github.com/fusedadam/adam"
	"github.com/fusedadam/adam/cmd/adam/internal/result"
	"github.com/fusedadam/adam/internal/roofline"
	"github.com/fusedadam/adam/internal/selection"
)

// StorageSizes are the sizes at which storages are measured: in cache and out of it.
var StorageSizes = []int{16 << 10, 64 << 20}

// storedBytes is what the slices of all storages need for an element, without scales.
const storedBytes = 30

// A stored tensor has its slices as one of the storages.
type stored struct {
	result.Storage
	streams []roofline.Stream
	tensor  *tensor[float32] // with its step; only that of float32 has slices
}

// makeStored makes a tensor of n elements of each storage, float32 first. Tensors share the slices
// that have one format, so that all fit into the memory together and can take turns: what one has
// stepped is a state that another can go on from.
func makeStored(n int) []stored {
	t := makeTensors([]int{n}, single)[0]
	hi, g := apart[adam.BF16](n, 0), apart[adam.BF16](n, 32<<10)
	for i, x := range t.g {
		hi[i], g[i] = adam.ToBF16(t.p[i]), adam.ToBF16(x)
	}
	split := adam.Param16{BF16: hi}
	half := adam.NewState16(split, adam.Storage{Moments: adam.BF16Moments}, 1, config)
	value := adam.Param16{Value: t.p}
	quarter := adam.NewState16(value, adam.Storage{Moments: adam.Q8Moments}, 1, config)
	full, lo := adam.State16{M: t.m, V: t.v}, half.Rest
	half.Rest = nil

	list := []stored{{streams: streams(&adam.Param16{Value: t.p, Grad: t.g}, &full), tensor: t,
		Storage: storageOf("float32", &adam.Param16{Value: t.p, Grad: t.g}, &full)}}
	add := func(label string, p adam.Param16, s adam.State16) {
		list = append(list, stored{storageOf(label, &p, &s), streams(&p, &s),
			&tensor[float32]{step: func() error { return s.Step(p, config) }}})
	}
	withRest := func(s adam.State16) adam.State16 {
		s.Rest = lo
		return s
	}
	add("bf16 g, float32 p, moments", adam.Param16{Value: t.p, GradBF16: g}, full)
	add("bf16 g, float32 p with bf16 copy", adam.Param16{Value: t.p, GradBF16: g,
		BF16: apart[adam.BF16](n, 64<<10)}, full)
	add("bf16 g, split, bf16 moments", adam.Param16{BF16: hi, GradBF16: g}, withRest(*half))
	add("bf16 p, g, moments", adam.Param16{BF16: hi, GradBF16: g}, *half)
	add("float32 p, g, bf16 moments", adam.Param16{Value: t.p, Grad: t.g}, *half)
	add("bf16 g, split, q8", adam.Param16{BF16: hi, GradBF16: g}, withRest(*quarter))
	add("float32 p, g, q8", adam.Param16{Value: t.p, Grad: t.g}, *quarter)
	return list
}

// apart returns n zeros so many bytes beyond the begin of their block, as large slices that lie a
// power of two apart collide.
func apart[E any](n, bytes int) []E {
	from := bytes / int(unsafe.Sizeof(*new(E)))
	return make([]E, from+n)[from:]
}

// streams are what a step reads and writes, but for the scales.
func streams(p *adam.Param16, s *adam.State16) []roofline.Stream {
	var list []roofline.Stream
	list = appendStream(list, p.Value, roofline.Both)
	if p.Value == nil {
		list = appendStream(list, p.BF16, roofline.Both)
	} else {
		list = appendStream(list, p.BF16, roofline.Write)
	}
	list = appendStream(list, s.Rest, roofline.Both)
	list = appendStream(list, p.Grad, roofline.Read)
	list = appendStream(list, p.GradBF16, roofline.Read)
	list = appendStream(appendStream(list, s.M, roofline.Both), s.V, roofline.Both)
	list = appendStream(appendStream(list, s.M16, roofline.Both), s.V16, roofline.Both)
	return appendStream(appendStream(list, s.M8, roofline.Both), s.V8, roofline.Both)
}

func appendStream[E int8 | int16 | adam.BF16 | float32](list []roofline.Stream, s []E,
	a roofline.Access) []roofline.Stream {
	if s == nil {
		return list
	}
	return append(list, roofline.StreamOf(s, a))
}

// storageOf counts bytes per parameter.
func storageOf(label string, p *adam.Param16, s *adam.State16) result.Storage {
	n := float64(max(len(p.Value), len(p.BF16)))
	scales := float64(len(s.MScale) + len(s.VScale))
	r := result.Storage{Label: label, Bytes: 2 * scales / n,
		State: (scales + float64(4*(len(s.M)+len(s.V))+2*(len(s.M16)+len(s.V16)+len(s.Rest))+
			len(s.M8)+len(s.V8))) / n}
	for _, x := range streams(p, s) {
		r.Bytes += float64(x.Bytes())
	}
	return r
}

// storages are the steps of each storage, their traffic, and the arithmetic of the kernels, which
// is that of float32. generic is one of the kernels only if there is no other: out of the caches it
// takes seconds. The traffic goes the ways of the best kernel, or a round takes too long.
func storages(kernels []string, n int) []subject {
	if fast := slices.DeleteFunc(slices.Clone(kernels), func(k string) bool {
		return k == selection.Generic
	}); len(fast) > 0 {
		kernels = fast
	}
	tensors := makeStored(n)
	var list []subject
	for _, k := range kernels {
		fused := fusedOn(k)
		for _, o := range roofline.Orders {
			list = append(list, subject{series: result.Arithmetic + k + string(o),
				run: func(times int) {
					arithmetic(k, o, roofline.Arithmetic, tensors[0].only(), times)
				}, calls: 1, every: 1, storage: tensors[0].Storage})
		}
		for _, t := range tensors {
			list = append(list, subject{series: k, run: func(times int) {
				step(k, t.only(), times)
			}, calls: 1, every: 1, storage: t.Storage, fused: slices.Contains(fused, t.Label)})
		}
	}
	for _, w := range roofline.Ways(kernels[:1]) {
		for _, t := range tensors {
			list = append(list, subject{series: result.Traffic + w.String(),
				run: func(times int) { // twice in a run, which restores the data
					for range 2 * times {
						w.Move(t.streams, n)
					}
				}, calls: 2, every: 1, storage: t.Storage})
		}
	}
	return list
}

func (s *stored) only() []*tensor[float32] { return []*tensor[float32]{s.tensor} }

// fusedOn returns the storages that a kernel steps in one loop.
func fusedOn(kernel string) []string {
	defer selection.Use(selection.Use(kernel))
	return selection.Fused()
}
