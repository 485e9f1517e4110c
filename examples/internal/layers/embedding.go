package layers

import (
	"math/rand/v2"

	"gonum.org/v1/gonum/blas/blas32"
)

// Embedding has a vector for each of its symbols.
type Embedding struct {
	W, DW blas32.General // symbols × width
}

// EmbeddingSize is the number of parameters of an embedding.
func EmbeddingSize(symbols, width int) int { return symbols * width }

// NewEmbedding returns an embedding of normally distributed numbers of the given standard
// deviation. Its tensor is name.weight.
func NewEmbedding(m *Memory, rng *rand.Rand, name string, symbols, width int,
	deviation float64) *Embedding {
	l := &Embedding{}
	l.W, l.DW = m.TakeMatrix(name+".weight", symbols, width)
	Normal(rng, l.W.Data, deviation)
	return l
}

// Forward adds the vector of ids[i] to row i of z: so the rows can hold the sum of several
// embeddings.
func (l *Embedding) Forward(ids []int, z blas32.General) {
	for i, id := range ids {
		z := Row(z, i)
		for j, w := range Row(l.W, id) {
			z[j] += w
		}
	}
}

// Backward sets the gradient of the vectors.
func (l *Embedding) Backward(ids []int, dz blas32.General) {
	clear(l.DW.Data)
	for i, id := range ids {
		dw := Row(l.DW, id)
		for j, d := range Row(dz, i) {
			dw[j] += d
		}
	}
}
