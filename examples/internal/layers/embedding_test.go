package layers

import (
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/blas/blas32"
)

// A symbol that comes twice gets the sum of the gradients, one that does not come gets 0.
func TestEmbeddingGradients(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 0))
	m := NewMemory(EmbeddingSize(4, 3))
	l := NewEmbedding(m, rng, "embedding", 4, 3, 1)
	ids := []int{2, 0, 2, 1, 2}
	x, dx, z := NewMatrix(5, 3), NewMatrix(5, 3), NewMatrix(5, 3)
	Normal(rng, x.Data, 1)
	forward := func() {
		copy(z.Data, x.Data)
		l.Forward(ids, z)
	}
	checkLayer(t, m, x, dx, z, 1e-4, forward, func(dz blas32.General) {
		l.Backward(ids, dz)
		copy(dx.Data, dz.Data)
	})
}
