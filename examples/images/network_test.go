package main

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/fusedadam/adam/examples/internal/digits"
	"github.com/fusedadam/adam/examples/internal/gradcheck"
)

// small is a network of which every gradient can be checked. Its side is odd twice.
var small = sizes{side: 9, conv1: 2, conv2: 3, hidden: 4}

// loops computes the network of params for one image in plain loops and float64, and returns its
// logits.
func loops(params []parameter, s sizes, image []float32) []float64 {
	at := func(param, i int) float64 { return float64(params[param].value.Float32s()[i]) }
	x, channels, side := widen(image), 1, s.side
	for layer, outputs := range []int{s.conv1, s.conv2} {
		half := (side + 1) / 2
		y := make([]float64, outputs*half*half)
		for o := range outputs {
			for row := range half {
				for column := range half {
					sum := at(2*layer+1, o)
					for c := range channels {
						for i := range kernel {
							for j := range kernel {
								r, k := 2*row+i-kernel/2, 2*column+j-kernel/2
								if r >= 0 && r < side && k >= 0 && k < side {
									sum += x[(c*side+r)*side+k] * at(2*layer,
										((o*channels+c)*kernel+i)*kernel+j)
								}
							}
						}
					}
					y[(o*half+row)*half+column] = max(0, sum)
				}
			}
		}
		x, channels, side = y, outputs, half
	}
	for layer, outputs := range []int{s.hidden, digits.Classes} {
		y := make([]float64, outputs)
		for o := range outputs {
			y[o] = at(2*layer+5, o)
			for i := range x {
				y[o] += x[i] * at(2*layer+4, i*outputs+o)
			}
			if layer == 0 {
				y[o] = max(0, y[o])
			}
		}
		x = y
	}
	return x
}

func widen(x []float32) []float64 {
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = float64(v)
	}
	return y
}

// crossEntropy returns -log of the softmax of z for the label.
func crossEntropy(z []float64, label int) float64 {
	largest, sum := z[0], 0.0
	for _, v := range z {
		largest = max(largest, v)
	}
	for _, v := range z {
		sum += math.Exp(v - largest)
	}
	return math.Log(sum) + largest - z[label]
}

// example returns random parameters, with biases that are not 0, a network of them, and its input.
func example(t *testing.T, s sizes, withLoss bool, labels []int) ([]parameter, *network) {
	t.Helper()
	rng := rand.New(rand.NewPCG(3, 0))
	params := newParameters(rng, s)
	for _, p := range params {
		if isBias(p.name) {
			b := p.value.Float32s()
			for i := range b {
				b[i] = float32(0.3 * rng.NormFloat64())
			}
		}
	}
	n, err := newNetwork(params, s, len(labels), withLoss)
	if err != nil {
		t.Fatal(err)
	}
	images := n.images.Float32s()
	for i := range images {
		images[i] = rng.Float32()
	}
	if withLoss {
		for i, label := range labels {
			n.targets.Float32s()[i*digits.Classes+label] = -1 / float32(len(labels))
		}
	}
	return params, n
}

func mustRun(t *testing.T, n *network) {
	t.Helper()
	if err := n.run(); err != nil {
		t.Fatal(err)
	}
}

// The logits and the loss are those of plain loops, also after the parameters have changed, and
// where the first logit of an image is so much larger than all those of the first image that a
// LogSoftMax with the wrong maximum overflows.
func TestForward(t *testing.T) {
	labels := []int{3, 0, 9, 9}
	for _, s := range []sizes{small, standard} {
		params, trained := example(t, s, true, labels)
		classifier, err := newNetwork(params, s, len(labels), false)
		if err != nil {
			t.Fatal(err)
		}
		pixels := s.side * s.side
		images := trained.images.Float32s()
		clear(images[:pixels])
		copy(classifier.images.Float32s(), images)
		for _, scale := range []float32{1, 1000} {
			output := params[6].value.Float32s()
			for i := 0; i < len(output); i += digits.Classes {
				output[i] = scale * max(output[i], -output[i])
			}
			mustRun(t, trained)
			mustRun(t, classifier)
			want, largest := 0.0, 0.0
			for i, label := range labels {
				z := loops(params, s, images[i*pixels:][:pixels])
				want += crossEntropy(z, label) / float64(len(labels))
				for j, v := range z {
					largest = max(largest, math.Abs(v))
					for name, n := range map[string]*network{"trained": trained,
						"classifier": classifier} {
						got := float64(n.logits.Value().Data().([]float32)[i*digits.Classes+j])
						if !(math.Abs(got-v) <= 2e-6*max(1, largest)) {
							t.Errorf("%v, weights times %v, %s, image %d: logit %d is %v, want %v",
								s, scale, name, i, j, got, v)
						}
					}
				}
			}
			t.Logf("largest logit %.3g, loss %.4g", largest, want)
			got := float64(trained.loss.Value().Data().(float32))
			if !(math.Abs(got-want) <= 2e-6*max(1, want)) {
				t.Errorf("%v, weights times %v: loss %v, want %v", s, scale, got, want)
			}
		}
	}
}

// The gradients are the differences of the loss of plain loops.
func TestGradients(t *testing.T) {
	labels := []int{3, 0, 9}
	params, n := example(t, small, true, labels)
	loss := func() float64 {
		sum, pixels := 0.0, small.side*small.side
		for i, label := range labels {
			sum += crossEntropy(loops(params, small, n.images.Float32s()[i*pixels:][:pixels]),
				label)
		}
		return sum / float64(len(labels))
	}
	mustRun(t, n)
	for i, p := range params {
		grad, err := n.params[i].Grad()
		if err != nil {
			t.Fatal(err)
		}
		gradcheck.Check(t, p.name, p.value.Float32s(), grad.Data().([]float32), 1e-4, 1e-5, loss,
			func() {})
	}
}
