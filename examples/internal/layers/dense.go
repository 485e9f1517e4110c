package layers

import (
	"math"
	"math/rand/v2"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas32"
)

// Dense is a fully connected layer, Z = X·W + b.
type Dense struct {
	W, DW blas32.General // inputs × outputs
	B, DB []float32
}

// DenseSize is the number of parameters of a dense layer.
func DenseSize(in, out int) int { return in*out + out }

// NewDense returns a layer with the initialization of He et al. (2015): weights of variance 2/in,
// biases of 0. Its tensors are name.weight and name.bias.
func NewDense(m *Memory, rng *rand.Rand, name string, in, out int) *Dense {
	l := &Dense{}
	l.W, l.DW = m.TakeMatrix(name+".weight", in, out)
	l.B, l.DB = m.Take(name+".bias", out)
	Normal(rng, l.W.Data, math.Sqrt(2/float64(in)))
	return l
}

// Normal fills x with normally distributed numbers of mean 0.
func Normal(rng *rand.Rand, x []float32, deviation float64) {
	for i := range x {
		x[i] = float32(deviation * rng.NormFloat64())
	}
}

// Forward sets z = x·W + b.
func (l *Dense) Forward(x, z blas32.General) {
	for i := range z.Rows {
		copy(Row(z, i), l.B)
	}
	blas32.Gemm(blas.NoTrans, blas.NoTrans, 1, x, l.W, 1, z)
}

// Backward sets the gradients of the parameters, dW = xᵀ·dz and db = Σ dz.
func (l *Dense) Backward(x, dz blas32.General) {
	blas32.Gemm(blas.Trans, blas.NoTrans, 1, x, dz, 0, l.DW)
	clear(l.DB)
	for i := range dz.Rows {
		for j, d := range Row(dz, i) {
			l.DB[j] += d
		}
	}
}

// BackwardInput sets dx = dz·Wᵀ.
func (l *Dense) BackwardInput(dz, dx blas32.General) {
	blas32.Gemm(blas.NoTrans, blas.Trans, 1, dz, l.W, 0, dx)
}
