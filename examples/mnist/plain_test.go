package main

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/fusedadam/adam"
)

// The plain loop and adam compute one formula in different orders of rounding: after 200 steps their
// parameters differ by at most a few units in the last place.
func TestPlainAgrees(t *testing.T) {
	const n, steps, tolerance = 1001, 200, 4e-6
	rng := rand.New(rand.NewPCG(1, 0))
	p, g, scale := make([]float32, n), make([]float32, n), make([]float64, n)
	for i := range p {
		p[i] = float32(rng.NormFloat64())
		scale[i] = math.Pow(10, -10*rng.Float64()) // down to where Eps matters
	}
	c := adam.DefaultW()
	c.WeightDecay = 0.1
	ours, theirs := adam.NewState(n, c), newPlain(p)
	for step := range steps {
		for i := range g {
			g[i] = float32(scale[i] * rng.NormFloat64())
		}
		c.LR = 3e-3 * (1 - float64(step)/steps)
		if err := ours.Step(p, g, c); err != nil {
			t.Fatal(err)
		}
		theirs.step(g, c)
	}
	worst := 0.0
	for i := range p {
		worst = max(worst, math.Abs(float64(p[i])-float64(theirs.p[i])))
	}
	t.Logf("largest difference: %.2g", worst)
	if !(worst <= tolerance) {
		t.Errorf("largest difference %.2g, want at most %g", worst, tolerance)
	}
}
