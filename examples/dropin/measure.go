package main

import (
	"time"

	"github.com/fusedadam/adam/internal/stats"
)

// A result is the time of a step, and the ratio of that of the loop before to it.
type result struct {
	step  time.Duration
	ratio float64
}

// measure takes the times of the loop before, of the step after with one worker, and of that with
// all, in turn, in rounds, for about so long but at least twice. It returns the medians, and tells
// done after each round how long it has taken.
func measure(p program, about time.Duration, done func(time.Duration)) ([3]result, error) {
	const t = 1000 // a step in the middle of a run
	sides := [3]stepper{func(t int, h hyper) error { p.before(t, h); return nil }}
	for i, workers := range []int{1, 0} {
		side, err := p.after(t-1, workers)
		if err != nil {
			return [3]result{}, err
		}
		sides[1+i] = side
		if _, err := p.time(side, t); err != nil { // touches all memory
			return [3]result{}, err
		}
	}
	var times, ratios [3][]float64
	for began := time.Now(); len(times[0]) < 2 ||
		time.Since(began) < about; done(time.Since(began)) {
		for i, side := range sides {
			took, err := p.time(side, t)
			if err != nil {
				return [3]result{}, err
			}
			times[i] = append(times[i], float64(took))
			ratios[i] = append(ratios[i], times[0][len(times[0])-1]/float64(took))
		}
	}
	var results [3]result
	for i := range results {
		results[i] = result{time.Duration(stats.Median(times[i])), stats.Median(ratios[i])}
	}
	return results, nil
}

// time returns the mean time of step t, without that of the gradients. Short steps are repeated.
func (p program) time(side stepper, t int) (time.Duration, error) {
	const atLeast = 20 * time.Millisecond
	steps, total := time.Duration(0), time.Duration(0)
	for ; total < atLeast; steps++ {
		for _, g := range p.grads() {
			fill(g)
		}
		began := time.Now()
		err := side(t, hypers)
		total += time.Since(began)
		if err != nil {
			return 0, err
		}
	}
	return total / steps, nil
}

// fill writes gradients that are never so small that arithmetic on their moments is slow.
func fill(g []float32) {
	for i := range g {
		g[i] = float32(i&15+1) * 1e-4
	}
}
