package layers

import (
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/blas/blas32"
)

// The length is no multiple of the block of queries, and larger than one.
func TestAttentionGradients(t *testing.T) {
	const length, heads, width = queries + 3, 2, 4
	rng := rand.New(rand.NewPCG(1, 0))
	l := NewAttention(length, heads)
	qkv, dqkv, z := NewMatrix(length, 3*width), NewMatrix(length, 3*width), NewMatrix(length, width)
	Normal(rng, qkv.Data, 1)
	Normal(rng, dqkv.Data, 1) // Backward sets it, and does not add to it
	checkLayer(t, NewMemory(0), qkv, dqkv, z, 2e-4, func() { l.Forward(qkv, z) },
		func(dz blas32.General) {
			l.Backward(qkv, dz, dqkv)
		})
}

// Forward gives what the formula does, written down without blocks, also where the scores are
// large.
func TestAttention(t *testing.T) {
	const length, heads, size = 2*queries + 5, 3, 2
	const width = heads * size
	rng := rand.New(rand.NewPCG(1, 0))
	l := NewAttention(length, heads)
	qkv, z := NewMatrix(length, 3*width), NewMatrix(length, width)
	for _, deviation := range []float64{1, 30} {
		Normal(rng, qkv.Data, deviation)
		l.Forward(qkv, z)
		for row := range length {
			for h := range heads {
				query := Row(qkv, row)[h*size:][:size]
				scores, top := make([]float64, row+1), math.Inf(-1)
				for k := range scores {
					for j, q := range query {
						scores[k] += float64(q) * float64(Row(qkv, k)[width+h*size+j]) / math.Sqrt(
							size)
					}
					top = max(top, scores[k])
				}
				sum, want := 0.0, [size]float64{}
				for k, s := range scores {
					e := math.Exp(s - top)
					sum += e
					for j := range want {
						want[j] += e * float64(Row(qkv, k)[2*width+h*size+j])
					}
				}
				for j, w := range want {
					if got := float64(Row(z,
						row)[h*size+j]); !(math.Abs(got-w/sum) <= 2e-4*deviation) {
						t.Errorf("deviation %v, row %d, head %d, element %d is %v, want %v",
							deviation, row, h, j, got, w/sum)
					}
				}
			}
		}
	}
}
