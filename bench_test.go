package adam

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"unsafe"

	"github.com/fusedadam/adam/internal/plain"
	"github.com/fusedadam/adam/internal/roofline"
	"github.com/fusedadam/adam/internal/selection"
)

// Sizes of the benchmark, from one element to far beyond the caches.
var benchSizes = []int{1, 4, 16, 64, 256, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20,
	4 << 20, 16 << 20, 64 << 20}

func sizeName(n int) string {
	switch {
	case n >= 1<<20:
		return fmt.Sprintf("%dMi", n>>20)
	case n >= 1<<10:
		return fmt.Sprintf("%dKi", n>>10)
	}
	return fmt.Sprint(n)
}

// BenchmarkStep measures State.Step on each kernel, and in the same run
//
//   - kernel=plain, the loop that Go programs write today;
//   - ceiling=traffic, in the fastest of several ways, and ceiling=arithmetic: the slower of the
//     two is what the machine can do at most (internal/roofline).
//
// A step moves 28 bytes an element: it reads p, g, M and V and writes p, M and V.
func BenchmarkStep(b *testing.B) {
	c := DefaultW()
	for _, name := range Kernels() {
		bench(b, "kernel="+name, func(b *testing.B, p, g []float32, s *State) {
			defer selection.Use(selection.Use(name))
			b.ResetTimer()
			for range b.N {
				if err := s.Step(p, g, c); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	bench(b, "kernel=plain", func(b *testing.B, p, g []float32, s *State) {
		b.ResetTimer()
		for i := range b.N {
			plain.Step(p, g, s.M, s.V, i+1, float32(c.LR), float32(c.Beta1), float32(c.Beta2),
				float32(c.Eps), float32(c.WeightDecay))
		}
	})
	for _, way := range roofline.Ways(Kernels()) {
		bench(b, fmt.Sprint("ceiling=traffic/", way), func(b *testing.B, p, g []float32, s *State) {
			b.ResetTimer()
			for range b.N {
				way.Traffic(p, g, s.M, s.V)
			}
		})
	}
	for _, name := range Kernels() {
		for _, order := range roofline.Orders {
			bench(b, fmt.Sprint("ceiling=arithmetic/kernel=", name, order),
				func(b *testing.B, p, g []float32, s *State) {
					b.ResetTimer()
					for range b.N {
						roofline.Arithmetic(name, order, len(p))
					}
				})
		}
	}
}

// BenchmarkStep64 is BenchmarkStep of State64. A step moves 56 bytes an element.
func BenchmarkStep64(b *testing.B) {
	c := DefaultW()
	words := func(s []float64) []float32 {
		return unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(s))), 2*len(s))
	}
	for _, name := range Kernels() {
		bench64(b, "kernel="+name, func(b *testing.B, p, g []float64, s *State64) {
			defer selection.Use(selection.Use(name))
			b.ResetTimer()
			for range b.N {
				if err := s.Step(p, g, c); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	bench64(b, "kernel=plain", func(b *testing.B, p, g []float64, s *State64) {
		b.ResetTimer()
		for i := range b.N {
			plain.Step64(p, g, s.M, s.V, i+1, c.LR, c.Beta1, c.Beta2, c.Eps, c.WeightDecay)
		}
	})
	for _, way := range roofline.Ways(Kernels()) {
		bench64(b, fmt.Sprint("ceiling=traffic/", way),
			func(b *testing.B, p, g []float64, s *State64) {
				b.ResetTimer()
				for range b.N {
					way.Traffic(words(p), words(g), words(s.M), words(s.V))
				}
			})
	}
	for _, name := range Kernels() {
		for _, order := range roofline.Orders {
			bench64(b, fmt.Sprint("ceiling=arithmetic/kernel=", name, order),
				func(b *testing.B, p, g []float64, s *State64) {
					b.ResetTimer()
					for range b.N {
						roofline.Arithmetic64(name, order, len(p))
					}
				})
		}
	}
}

// BenchmarkSmallKernels measures the small kernels on a tile in cache and on tile after tile of
// 128 MiB.
func BenchmarkSmallKernels(b *testing.B) {
	for _, name := range Kernels() {
		for _, k := range smallKernels {
			benchSmall(b, name, k, tile)
		}
		for _, k := range smallKernels64 {
			benchSmall(b, name, k, tile64)
		}
	}
}

func benchSmall[F float](b *testing.B, kernel string, k smallKernel[F], tile int) {
	for _, tiles := range []int{1, 4 << 10} {
		n := tiles * tile
		b.Run(fmt.Sprintf("%s/kernel=%s/n=%s", k.name, kernel, sizeName(n)), func(b *testing.B) {
			defer selection.Use(selection.Use(kernel))
			all := make([]F, 2*n)
			for i := range all {
				all[i] = F(i%7) - 3
			}
			p, g := all[:n], all[n:]
			b.SetBytes(int64(n) * int64(unsafe.Sizeof(p[0])))
			b.ResetTimer()
			for range b.N {
				for i := 0; i < n; i += tile {
					k.run(p[i:i+tile], g[i:i+tile], 0.5)
				}
			}
		})
	}
}

func bench64(b *testing.B, name string, f func(b *testing.B, p, g []float64, s *State64)) {
	for _, n := range benchSizes {
		b.Run(name+"/n="+sizeName(n), func(b *testing.B) {
			r := rand.New(rand.NewPCG(1, 2))
			p, s := make([]float64, n), NewState64(n, Config{})
			g := make([]float64, n+apart/2)[apart/2:]
			for i := range p {
				p[i], g[i] = r.NormFloat64(), r.NormFloat64()*1e-3
			}
			clear(s.M) // the first touch of a page is the system's time
			clear(s.V)
			b.SetBytes(56 * int64(n))
			f(b, p, g, s)
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/param")
		})
	}
}

// apart is the distance, in elements, of the gradients from a power of two: slices that lie exactly
// one apart, as with these sizes they would, collide in the memory.
const apart = 32 << 10 / 4

func bench(b *testing.B, name string, f func(b *testing.B, p, g []float32, s *State)) {
	for _, n := range benchSizes {
		b.Run(name+"/n="+sizeName(n), func(b *testing.B) {
			r := rand.New(rand.NewPCG(1, 2))
			p, s := make([]float32, n), NewState(n, Config{})
			g := make([]float32, n+apart)[apart:]
			for i := range min(n, 64<<10) {
				p[i], g[i] = float32(r.NormFloat64()), float32(r.NormFloat64()*1e-3)
			}
			for i := 64 << 10; i < n; i *= 2 { // the same again
				copy(p[i:], p[:i])
				copy(g[i:], g[:i])
			}
			clear(s.M) // the first touch of a page is the system's time
			clear(s.V)
			b.SetBytes(28 * int64(n))
			f(b, p, g, s)
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/param")
		})
	}
}
