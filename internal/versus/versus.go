// Package versus is a benchmark of two sides in one run: the step of a host's own optimizer against
// adam's.
package versus

import (
	"runtime"
	"testing"
	"time"

	"github.com/fusedadam/adam/internal/stats"
)

const atLeast = 5 * time.Millisecond // of a sample: short steps are repeated

// Run makes b.N rounds in which both sides step in turn, so that a drift of the machine meets both.
// It reports the medians of ns per parameter and of the ratio of the two, the quartiles of that
// ratio, and the allocations of a step.
func Run(b *testing.B, parameters int, host, adam func()) {
	sides := [2]func(){host, adam}
	var repeat [2]int
	var allocs [2]uint64
	for i, step := range sides {
		step() // what is made at the first step is no cost of a step
		repeat[i] = 1 + int(atLeast/max(1, measure(step, 1)))
		allocs[i] = allocations(step)
	}
	var times [2][]float64
	ratios := make([]float64, b.N)
	b.ResetTimer()
	for round := range b.N {
		for i, step := range sides {
			took := measure(step, repeat[i])
			times[i] = append(times[i], float64(took.Nanoseconds())/float64(repeat[i]*parameters))
		}
		ratios[round] = times[0][round] / times[1][round]
	}
	b.StopTimer()
	for i, name := range [2]string{"host", "adam"} {
		b.ReportMetric(stats.Median(times[i]), name+"-ns/param")
		b.ReportMetric(float64(allocs[i]), name+"-allocs/step")
	}
	quartiles := stats.Quantiles(ratios, 0.25, 0.5, 0.75)
	for i, name := range [3]string{"speedup-q1", "speedup", "speedup-q3"} {
		b.ReportMetric(quartiles[i], name)
	}
	b.ReportMetric(0, "ns/op")
}

func measure(step func(), times int) time.Duration {
	began := time.Now()
	for range times {
		step()
	}
	return time.Since(began)
}

// allocations returns how often a step allocates, on all goroutines.
func allocations(step func()) uint64 {
	const steps = 3
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range steps {
		step()
	}
	runtime.ReadMemStats(&after)
	return (after.Mallocs - before.Mallocs) / steps
}
