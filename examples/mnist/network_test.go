package main

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/fusedadam/adam/examples/internal/gradcheck"
	"github.com/fusedadam/adam/examples/internal/layers"
	"gonum.org/v1/gonum/blas/blas32"
)

// The gradients must agree with central differences of the loss. Their error is about h² from the
// curvature and 1e-7/h from the rounding of the logits to float32.
func TestGradients(t *testing.T) {
	const (
		h         = 1.0 / 128
		tolerance = 2e-4
		kink      = 4 * h // no hidden unit may come so near to 0 that a difference crosses it
	)
	rng := rand.New(rand.NewPCG(2, 0))
	n := newNetwork(rng, 5, 4, 3, 8)
	for i := range n.hidden.B {
		n.hidden.B[i] = float32(rng.NormFloat64())
	}
	// fewer rows than the network has room for, as at the end of an epoch
	x := layers.NewMatrix(6, 5)
	for i := range x.Data {
		x.Data[i] = rng.Float32()
	}
	labels := []int{0, 1, 2, 2, 1, 0}

	z := layers.NewMatrix(x.Rows, 4)
	n.hidden.Forward(x, z)
	active := 0
	for _, a := range z.Data {
		if math.Abs(float64(a)) < kink {
			t.Fatalf("a hidden unit is at %g: choose another seed", a)
		}
		if a > 0 {
			active++
		}
	}
	if active == 0 || active == len(z.Data) {
		t.Fatalf("%d of %d hidden units are active: choose another seed", active, len(z.Data))
	}

	loss := func() float64 { return n.gradients(x, labels) }
	loss() // whose gradients the next call must set, not add to
	for _, w := range n.memory.Params() {
		gradcheck.Check(t, w.Name, w.Value, w.Grad, h, tolerance, loss, func() { loss() })
	}
}

// The loss of a batch is the mean of its images' losses, also where a larger batch went before.
func TestLossIsMean(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 0))
	n := newNetwork(rng, 5, 4, 3, 3)
	x := layers.NewMatrix(3, 5)
	for i := range x.Data {
		x.Data[i] = rng.Float32()
	}
	labels := []int{2, 0, 1}
	loss, sum := n.gradients(x, labels), 0.0
	for i := range labels {
		image := blas32.General{Rows: 1, Cols: 5, Stride: 5, Data: layers.Row(x, i)}
		sum += n.gradients(image, labels[i:i+1])
	}
	if mean := sum / 3; math.Abs(loss-mean) > 1e-6 {
		t.Errorf("loss %v, mean of the images %v", loss, mean)
	}
}
