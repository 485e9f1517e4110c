package layers

import (
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/blas/blas32"
)

func TestLayerNormGradients(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 0))
	m := NewMemory(LayerNormSize(6))
	l := NewLayerNorm(m, "norm", 6)
	Normal(rng, l.Gain, 1)
	Normal(rng, l.Bias, 1)
	x, dx, z := NewMatrix(4, 6), NewMatrix(4, 6), NewMatrix(4, 6)
	Normal(rng, x.Data, 2)
	for i := range x.Data {
		x.Data[i] += 3
	}
	checkLayer(t, m, x, dx, z, 2e-4, func() { l.Forward(x, z) }, func(dz blas32.General) {
		clear(dx.Data)
		l.Backward(x, dz, dx)
	})
}

// The derivative by x is added to what dx holds.
func TestLayerNormBackwardAdds(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 0))
	l := NewLayerNorm(NewMemory(LayerNormSize(4)), "norm", 4)
	x, dz, alone, dx := NewMatrix(3, 4), NewMatrix(3, 4), NewMatrix(3, 4), NewMatrix(3, 4)
	Normal(rng, x.Data, 1)
	Normal(rng, dz.Data, 1)
	l.Backward(x, dz, alone)
	for i := range dx.Data {
		dx.Data[i] = 5
	}
	l.Backward(x, dz, dx)
	for i, d := range dx.Data {
		if want := 5 + alone.Data[i]; math.Abs(float64(d-want)) > 1e-6 {
			t.Errorf("dx[%d] is %v, want %v", i, d, want)
		}
	}
}

// A new layer gives rows of mean 0 and variance 1.
func TestLayerNormMoments(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 0))
	l := NewLayerNorm(NewMemory(LayerNormSize(50)), "norm", 50)
	x, z := NewMatrix(3, 50), NewMatrix(3, 50)
	Normal(rng, x.Data, 20)
	l.Forward(x, z)
	for i := range z.Rows {
		sum, squares := 0.0, 0.0
		for _, a := range Row(z, i) {
			sum += float64(a)
			squares += float64(a) * float64(a)
		}
		if math.Abs(sum) > 1e-4 || math.Abs(squares/50-1) > 1e-4 {
			t.Errorf("row %d has mean %v and variance %v", i, sum/50, squares/50)
		}
	}
}
