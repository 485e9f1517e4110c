package main

import (
	"errors"
	"math"
	"slices"
	"testing"
)

func TestRate(t *testing.T) {
	for k, want := range map[int]float64{-7: 3e-4, -6: 1e-3, -3: 0.03, -1: 0.3, 0: 1, 1: 3, 2: 10} {
		if got := rate(k); got != want {
			t.Errorf("rate(%d) = %v, want %v", k, got, want)
		}
	}
}

// The sweep tries the same grid whatever the losses, and goes on where the best lies at an edge
// until it does not.
func TestSweep(t *testing.T) {
	around := func(at float64) func(k int) float64 {
		return func(k int) float64 { return math.Abs(float64(k) - at) }
	}
	inf := math.Inf(1)
	for _, test := range []struct {
		name  string
		loss  func(k int) float64
		tried []int
		best  int
	}{
		{"in the middle", around(-6), []int{-8, -7, -6, -5, -4}, -6},
		{"beside the edge", around(-5), []int{-8, -7, -6, -5, -4}, -5},
		{"at the last", around(-4), []int{-8, -7, -6, -5, -4, -3}, -4},
		{"beyond the last", around(-2), []int{-8, -7, -6, -5, -4, -3, -2, -1}, -2},
		{"at the first", around(-8), []int{-8, -7, -6, -5, -4, -9}, -8},
		{"too far", around(9), []int{-8, -7, -6, -5, -4, -3, -2, -1}, -1},
		{"large ones diverge", func(k int) float64 {
			if k > -10 {
				return inf
			}
			return 1
		}, []int{-8, -7, -6, -5, -4, -9, -10, -11}, -10},
		{"the last diverges", func(k int) float64 {
			if k == -4 {
				return inf
			}
			return -float64(k)
		}, []int{-8, -7, -6, -5, -4}, -5},
	} {
		var tried []int
		best, err := sweep(-6, 5, 3,
			func(k int) (float64, error) { tried = append(tried, k); return test.loss(k), nil })
		if err != nil || best != test.best || !slices.Equal(tried, test.tried) {
			t.Errorf("%s: tried %v, best %d, error %v; want %v, %d", test.name, tried, best, err,
				test.tried, test.best)
		}
	}
	failed := errors.New("failed")
	for _, at := range []int{-8, -4, -3} {
		_, err := sweep(-6, 5, 3, func(k int) (float64, error) {
			if k == at {
				return 0, failed
			}
			return -float64(k), nil
		})
		if err != failed {
			t.Errorf("failure at %d: %v", at, err)
		}
	}
}
