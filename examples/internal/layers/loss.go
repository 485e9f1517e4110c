package layers

import (
	"math"

	"github.com/fusedadam/adam/internal/stats"
	"gonum.org/v1/gonum/blas/blas32"
)

// CrossEntropy returns the mean over the rows of z of -log softmax(z)[label], and its derivative in
// dz. It computes in float64: a softmax is little work beside the products.
func CrossEntropy(z blas32.General, labels []int, dz blas32.General) float64 {
	loss, n := 0.0, float64(z.Rows)
	for i, label := range labels {
		z, dz := Row(z, i), Row(dz, i)
		top := float64(z[stats.Argmax(z)]) // subtracted so that exp cannot overflow
		sum := 0.0
		for _, a := range z {
			sum += math.Exp(float64(a) - top)
		}
		for j, a := range z {
			dz[j] = float32(math.Exp(float64(a)-top) / sum / n)
		}
		dz[label] -= float32(1 / n)
		loss += math.Log(sum) + top - float64(z[label])
	}
	return loss / n
}
