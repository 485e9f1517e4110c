package adam

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/fusedadam/adam/internal/models"
	"github.com/fusedadam/adam/internal/stats"
)

// alternate takes the times of the sides in turn, b.N rounds, and reports the median of each in ns
// per so many units, and of the ratio of the first to each other.
func alternate(b *testing.B, units int, unit string, names []string,
	sides ...func() time.Duration) {
	times := make([][]float64, len(sides))
	for range 3 {
		for _, side := range sides {
			side()
		}
	}
	b.ResetTimer()
	for range b.N {
		for i, side := range sides {
			times[i] = append(times[i], float64(side().Nanoseconds())/float64(units))
		}
	}
	b.StopTimer()
	for i, name := range names {
		if i > 0 {
			ratios := make([]float64, b.N)
			for j := range ratios {
				ratios[j] = times[0][j] / times[i][j]
			}
			b.ReportMetric(stats.Median(ratios), names[0]+"/"+name)
		}
		b.ReportMetric(stats.Median(times[i]), name+"-ns/"+unit)
	}
	b.ReportMetric(0, "ns/op")
}

// benchGroup makes a group of tensors of the given sizes.
func benchGroup(sizes ...int) Group {
	r := rand.New(rand.NewPCG(1, 2))
	group := Group{Config: DefaultW()}
	for i, n := range sizes {
		p := Param{Name: fmt.Sprint(i), Value: make([]float32, n),
			Grad: make([]float32, n+apart)[apart:]}
		for j := range n {
			p.Value[j], p.Grad[j] = float32(r.NormFloat64()), float32(r.NormFloat64()*1e-3)
		}
		group.Params = append(group.Params, p)
	}
	return group
}

func benchOptimizer(b *testing.B, options Options, group Group) *Optimizer {
	o, err := New(options, group)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = o.Close() })
	return o
}

// stepper returns a function that makes a step and says how long it took.
func stepper(b *testing.B, o *Optimizer) func() time.Duration {
	return func() time.Duration {
		began := time.Now()
		if _, err := o.Step(); err != nil {
			b.Fatal(err)
		}
		return time.Since(began)
	}
}

// BenchmarkOptimizerWorkers compares one worker with two: steps in a row (gap=0), and with 200 µs
// between them in which the caller computes and other workers fall asleep.
func BenchmarkOptimizerWorkers(b *testing.B) {
	for _, gap := range []time.Duration{0, 200 * time.Microsecond} {
		for n := 64; n <= 64<<20; n *= 2 {
			b.Run(fmt.Sprintf("gap=%v/n=%s", gap, sizeName(n)), func(b *testing.B) {
				group := benchGroup(n)
				k := max(1, 128<<20/n)
				if gap > 0 {
					k = min(k, 100)
				}
				side := func(workers int) func() time.Duration {
					step := stepper(b, benchOptimizer(b, Options{Workers: workers}, group))
					return func() (sum time.Duration) {
						for range k {
							for began := time.Now(); time.Since(began) < gap; {
							}
							sum += step()
						}
						return sum
					}
				}
				alternate(b, n*k, "param", []string{"one", "two"}, side(1), side(2))
			})
		}
	}
}

func BenchmarkOptimizerSmallTensors(b *testing.B) {
	sizes := make([]int, 1000)
	for i := range sizes {
		sizes[i] = 64
	}
	o := benchOptimizer(b, Options{Workers: 1}, benchGroup(sizes...))
	alternate(b, 1000, "tensor", []string{"step"}, stepper(b, o))
}

// BenchmarkOptimizerPasses compares a step with clipping by norm, check for NaN and Inf, and
// zeroing (fused) with the same as passes of their own over all the memory, each in SIMD, and with
// the bare step. In passes-4 the check comes with the norm, in passes-5 it reads the gradients once
// more, as most programs do. Once they are zeroed the gradients are zeros for all; no time here
// depends on their values.
func BenchmarkOptimizerPasses(b *testing.B) {
	for _, workers := range []int{1, 2} {
		for _, n := range []int{1 << 20, 64 << 20} {
			b.Run(fmt.Sprintf("workers=%d/n=%s", workers, sizeName(n)), func(b *testing.B) {
				group := benchGroup(n)
				p := group.Params[0]
				fused := benchOptimizer(b,
					Options{Workers: workers, MaxNorm: 1, SkipNonFinite: true, ZeroGrad: true},
					group)
				bare := benchOptimizer(b, Options{Workers: workers}, group)
				each := func(f func(g []float32)) { bare.pool.Run(tiles{p.Grad, f}, n/tile) }
				passes := func(checks int) func() {
					return func() {
						bare.pool.Begin(n)
						for range checks {
							each(func(g []float32) { sumSquares(g) })
						}
						each(func(g []float32) { clampTile(g, g, 0.5, math.MaxFloat32) })
						stepper(b, bare)()
						each(func(g []float32) { clear(g) })
					}
				}
				k := max(1, 64<<20/n)
				inARow := func(f func()) func() time.Duration {
					return func() time.Duration {
						began := time.Now()
						for range k {
							f()
						}
						return time.Since(began)
					}
				}
				alternate(b, n*k, "param", []string{"fused", "passes-4", "passes-5", "bare"},
					inARow(func() { stepper(b, fused)() }), inARow(passes(1)), inARow(passes(2)),
					inARow(func() { stepper(b, bare)() }))
			})
		}
	}
}

// tiles is a pass of f over the tiles of g.
type tiles struct {
	g []float32
	f func(g []float32)
}

func (t tiles) Do(i, _ int) { t.f(t.g[i*tile : (i+1)*tile]) }

// BenchmarkOptimizerGPT2 compares the 148 tensors of GPT-2 124M with one tensor of as many
// elements.
func BenchmarkOptimizerGPT2(b *testing.B) {
	gpt2 := models.All[len(models.All)-1]
	total := gpt2.Parameters()
	for _, workers := range []int{1, 2} {
		b.Run(fmt.Sprintf("workers=%d", workers), func(b *testing.B) {
			tensors := benchOptimizer(b, Options{Workers: workers}, benchGroup(gpt2.Tensors...))
			flat := benchOptimizer(b, Options{Workers: workers}, benchGroup(total))
			alternate(b, total, "param", []string{"tensors", "flat"}, stepper(b, tensors),
				stepper(b, flat))
		})
	}
}
