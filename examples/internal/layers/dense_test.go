package layers

import (
	"math/rand/v2"
	"testing"

	"github.com/fusedadam/adam/examples/internal/gradcheck"
	"gonum.org/v1/gonum/blas/blas32"
)

// checkLayer compares the gradients of a layer with finite differences, where the loss is the sum
// of the elements of the output z, each with a random weight: these weights are then dz.
func checkLayer(t *testing.T, m *Memory, x, dx, z blas32.General, tolerance float64, forward func(),
	backward func(dz blas32.General)) {
	t.Helper()
	rng := rand.New(rand.NewPCG(9, 0))
	weights, dz := NewMatrix(z.Rows, z.Cols), NewMatrix(z.Rows, z.Cols)
	Normal(rng, weights.Data, 1)
	loss := func() float64 {
		forward()
		sum := 0.0
		for i, a := range z.Data {
			sum += float64(weights.Data[i]) * float64(a)
		}
		return sum
	}
	gradients := func() {
		copy(dz.Data, weights.Data) // a backward pass may overwrite dz
		forward()
		backward(dz)
	}
	const h = 1.0 / 128
	gradcheck.Check(t, "x", x.Data, dx.Data, h, tolerance, loss, gradients)
	for _, p := range m.Params() {
		gradcheck.Check(t, p.Name, p.Value, p.Grad, h, tolerance, loss, gradients)
	}
}

func TestDenseGradients(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 0))
	m := NewMemory(DenseSize(5, 4))
	l := NewDense(m, rng, "dense", 5, 4)
	Normal(rng, l.B, 1)
	x, dx, z := NewMatrix(3, 5), NewMatrix(3, 5), NewMatrix(3, 4)
	Normal(rng, x.Data, 1)
	checkLayer(t, m, x, dx, z, 1e-3, func() { l.Forward(x, z) }, func(dz blas32.General) {
		l.Backward(x, dz)
		l.BackwardInput(dz, dx)
	})
}

func TestReLUGradients(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 0))
	x, dx, z := NewMatrix(3, 5), NewMatrix(3, 5), NewMatrix(3, 5)
	for i := range x.Data {
		x.Data[i] = (0.1 + rng.Float32()) * float32(1-2*(i%2)) // not near 0
	}
	forward := func() {
		copy(z.Data, x.Data)
		ReLU(z.Data)
	}
	checkLayer(t, NewMemory(0), x, dx, z, 1e-4, forward, func(dz blas32.General) {
		ReLUBackward(z.Data, dz.Data)
		copy(dx.Data, dz.Data)
	})
}
