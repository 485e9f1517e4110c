package layers

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/fusedadam/adam/examples/internal/gradcheck"
)

func TestCrossEntropyGradients(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 0))
	z, dz := NewMatrix(3, 4), NewMatrix(3, 4)
	Normal(rng, z.Data, 1)
	labels := []int{2, 0, 3}
	loss := func() float64 { return CrossEntropy(z, labels, dz) }
	gradcheck.Check(t, "z", z.Data, dz.Data, 1e-2, 1e-4, loss, func() { loss() })
}

// Logits far beyond the range of exp must give the loss and the gradients that the formula has.
func TestCrossEntropyOfLargeLogits(t *testing.T) {
	z, dz := NewMatrix(2, 3), NewMatrix(2, 3)
	copy(z.Data, []float32{2000, 1000, 0, -1000, -1000, -1000})
	loss := CrossEntropy(z, []int{1, 0}, dz)
	if want := (1000 + math.Log(3)) / 2; math.Abs(loss-want) > 1e-9 {
		t.Errorf("loss %v, want %v", loss, want)
	}
	for i, want := range []float64{0.5, -0.5, 0, -1. / 3, 1. / 6, 1. / 6} {
		if math.Abs(float64(dz.Data[i])-want) > 1e-7 {
			t.Errorf("dz[%d] = %v, want %v", i, dz.Data[i], want)
		}
	}
}
