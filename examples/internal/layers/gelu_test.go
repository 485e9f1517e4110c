package layers

import (
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/blas/blas32"
)

func TestGELUGradients(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 0))
	x, dx, z, slopes := NewMatrix(4, 5), NewMatrix(4, 5), NewMatrix(4, 5), NewMatrix(4, 5)
	Normal(rng, x.Data, 1.5)
	forward := func() {
		copy(slopes.Data, x.Data)
		GELU(slopes.Data, z.Data)
	}
	checkLayer(t, NewMemory(0), x, dx, z, 2e-4, forward, func(dz blas32.General) {
		GELUBackward(slopes.Data, dz.Data)
		copy(dx.Data, dz.Data)
	})
}

// The approximation is near x·Φ(x), and far from 0 it is 0 or x.
func TestGELU(t *testing.T) {
	for a := -8.0; a <= 8; a += 0.125 {
		z := []float32{0}
		GELU([]float32{float32(a)}, z)
		if want := a / 2 * (1 + math.Erf(a/math.Sqrt2)); math.Abs(float64(z[0])-want) > 5e-4 {
			t.Errorf("GELU(%v) = %v, want about %v", a, z[0], want)
		}
	}
	x, z := []float32{-1000, 1000}, []float32{0, 0}
	GELU(x, z)
	if z[0] != 0 || z[1] != 1000 || x[0] != 0 || x[1] != 1 {
		t.Errorf("GELU of -1000 and 1000: %v, slopes %v", z, x)
	}
}
