package plain_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/fusedadam/adam"
	"github.com/fusedadam/adam/internal/plain"
)

// The loops and adam compute one formula in different orders of rounding: after 200 steps their
// parameters differ by at most a few units in the last place.
func TestPlainAgrees(t *testing.T) {
	for _, loop := range append([]plain.Loop{{Name: "plain", Step: plain.Step}}, plain.SIMD...) {
		t.Run(loop.Name, func(t *testing.T) { agrees(t, loop) })
	}
}

func agrees(t *testing.T, loop plain.Loop) {
	const n, steps, tolerance = 1001, 200, 8e-6
	rng := rand.New(rand.NewPCG(1, 0))
	p, g, scale := make([]float32, n), make([]float32, n), make([]float64, n)
	for i := range p {
		p[i] = float32(rng.NormFloat64())
		scale[i] = math.Pow(10, -10*rng.Float64()) // down to where Eps matters
	}
	c := adam.DefaultW()
	c.WeightDecay = 0.1
	state := adam.NewState(n, c)
	q, m, v := slices.Clone(p), make([]float32, n), make([]float32, n)
	for step := range steps {
		for i := range g {
			g[i] = float32(scale[i] * rng.NormFloat64())
		}
		c.LR = 3e-3 * (1 - float64(step)/steps)
		if err := state.Step(p, g, c); err != nil {
			t.Fatal(err)
		}
		loop.Step(q, g, m, v, step+1, float32(c.LR), float32(c.Beta1), float32(c.Beta2),
			float32(c.Eps), float32(c.WeightDecay))
	}
	worst := 0.0
	for i := range p {
		worst = max(worst, math.Abs(float64(p[i])-float64(q[i])))
	}
	t.Logf("largest difference: %.2g", worst)
	if !(worst <= tolerance) {
		t.Errorf("largest difference %.2g, want at most %g", worst, tolerance)
	}
}

// The same of float64.
func TestPlain64Agrees(t *testing.T) {
	const n, steps, tolerance = 1001, 200, 1e-13
	rng := rand.New(rand.NewPCG(1, 0))
	p, g, scale := make([]float64, n), make([]float64, n), make([]float64, n)
	for i := range p {
		p[i], scale[i] = rng.NormFloat64(), math.Pow(10, -10*rng.Float64())
	}
	c := adam.DefaultW()
	state := adam.NewState64(n, c)
	q, m, v := slices.Clone(p), make([]float64, n), make([]float64, n)
	worst := 0.0
	for step := range steps {
		for i := range g {
			g[i] = scale[i] * rng.NormFloat64()
		}
		if err := state.Step(p, g, c); err != nil {
			t.Fatal(err)
		}
		plain.Step64(q, g, m, v, step+1, c.LR, c.Beta1, c.Beta2, c.Eps, c.WeightDecay)
	}
	for i := range p {
		worst = max(worst, math.Abs(p[i]-q[i]))
	}
	t.Logf("largest difference: %.2g", worst)
	if !(worst <= tolerance) {
		t.Errorf("largest difference %.2g, want at most %g", worst, tolerance)
	}
}
