package main

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/fusedadam/adam/internal/models"
)

var sizes = []int{300, 7, 900, 1, 33}

// Of two copies of a program one keeps its loop. The other changes to adam after some steps, in the
// moments that the loop has left, and later back to the loop.
//
// The moments stay the same bits. Parameters differ, relative to the largest they have been, by
// what is rounded elsewhere: 1-LR·WeightDecay, by up to 3e-8 in each step, and in the first steps
// the powers of the betas, which the loops round.
func TestStepsLikeTheLoop(t *testing.T) {
	const tolerance = 1e-5
	for _, shape := range shapes {
		for _, workers := range []int{1, 0} {
			for _, from := range []int{0, 50} {
				// by 1/norm before, by 1/(norm+1e-6) after
				clips := strings.Contains(shape.name, "clipping")
				same := !clips && !fuses(1+0x1p-12, 1+0x1p-12, -1-0x1p-11)
				old, changed := shape.make(sizes), shape.make(sizes)
				rng := rand.New(rand.NewPCG(1, 2))
				peaks := newSlices(lengths(old.params))
				each(old.params, func(i, j int) {
					old.params[i][j] = float32(rng.NormFloat64())
					changed.params[i][j] = old.params[i][j]
				})
				var p, m, v float64 // largest differences
				var after stepper
				for step := 1; step <= from+250; step++ {
					h := hypers
					h.lr *= 1 - float32(step)/400
					addGrads(old.grads(), step)
					addGrads(changed.grads(), step)
					old.before(step, h)
					if step == from+1 {
						var err error
						if after, err = changed.after(from, workers); err != nil {
							t.Fatal(err)
						}
					}
					if step <= from || step > from+200 {
						changed.before(step, h)
					} else if err := after(step, h); err != nil {
						t.Fatal(err)
					}
					each(old.params, func(i, j int) {
						peaks[i][j] = max(peaks[i][j], abs(old.params[i][j]), h.lr)
						p = max(p, float64(abs(old.params[i][j]-changed.params[i][j])/peaks[i][j]))
						m = max(m,
							float64(abs(old.m[i][j]-changed.m[i][j]))/math.Sqrt(
								float64(old.v[i][j])))
						v = max(v, float64(abs(old.v[i][j]-changed.v[i][j])/old.v[i][j]))
					})
				}
				t.Logf("%s, %d workers, changed after %d steps: p %.1e, m %.1e, v %.1e", shape.name,
					workers, from, p, m, v)
				if !(max(p, m, v) <= tolerance) || same && max(m, v) > 0 {
					t.Errorf("the differences are too large")
				}
			}
		}
	}
}

// fuses reports whether the compiler turns x*y+z into one operation.
//
//go:noinline
func fuses(x, y, z float32) bool { return x*y+z != float32(x*y)+z }

func abs(x float32) float32 { return float32(math.Abs(float64(x))) }

func lengths(s [][]float32) []int {
	n := make([]int, len(s))
	for i := range s {
		n[i] = len(s[i])
	}
	return n
}

func each(s [][]float32, f func(i, j int)) {
	for i := range s {
		for j := range s[i] {
			f(i, j)
		}
	}
}

// addGrads adds gradients of many orders of magnitude, with a norm above 1 in some steps and below
// in others.
func addGrads(grads [][]float32, step int) {
	scales, values := rand.New(rand.NewPCG(3, 0)), rand.New(rand.NewPCG(4, uint64(step)))
	norm := math.Exp(2 * values.NormFloat64())
	each(grads, func(i, j int) {
		grads[i][j] += float32(norm / 10 * math.Exp(-20*scales.Float64()) * values.NormFloat64())
	})
}

func TestNoAllocations(t *testing.T) {
	f, n := newFlat(sizes), newNetwork(sizes)
	for name, after := range map[string]stepper{"flat": f.after, "layers": n.after} {
		allocations := testing.AllocsPerRun(10, func() {
			if err := after(1, hypers); err != nil {
				t.Fatal(err)
			}
		})
		if allocations != 0 {
			t.Errorf("%s: %v allocations a step", name, allocations)
		}
	}
}

func TestRun(t *testing.T) {
	if err := run(models.All[:1], time.Millisecond); err != nil {
		t.Error(err)
	}
}
