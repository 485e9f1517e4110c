package main

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/fusedadam/adam"
	"github.com/fusedadam/adam/examples/internal/layers"
	"gonum.org/v1/gonum/blas/blas32"
)

// widths are the channels of the hidden layers.
var widths = []int{16, 32, 64, 64, 64}

// halvings is how many layers, from the first, halve the resolution: from the canvas to the grid.
const halvings = 3

// network is a convolutional network from a canvas to the outputs of the grid's cells: hidden
// layers of 3×3 patches with rectified linear units, and one of 1×1.
type network struct {
	convs  []*layers.Conv
	memory *layers.Memory
	z, dz  []blas32.General // outputs of the layers
}

// shape calls f for each layer of a network of the given widths.
func shape(widths []int, f func(name string, size, stride, in, out int)) {
	in := 1
	for i, out := range widths {
		stride := 1
		if i < halvings {
			stride = 2
		}
		f(fmt.Sprintf("conv%d", i+1), 3, stride, in, out)
		in = out
	}
	f("head", 1, 1, in, outputs)
}

// networkSize is the number of parameters of a network.
func networkSize(widths []int) int {
	n := 0
	shape(widths, func(_ string, size, _, in, out int) { n += layers.ConvSize(size, in, out) })
	return n
}

// newNetwork returns a network with the parameters of m, which it initializes.
func newNetwork(m *layers.Memory, rng *rand.Rand, widths []int) *network {
	n := &network{memory: m}
	in := layers.Image{Height: canvas, Width: canvas, Channels: 1}
	shape(widths, func(name string, size, stride, _, out int) {
		l := layers.NewConv(m, rng, name, 1, in, size, stride, out)
		in = l.Out
		n.convs = append(n.convs, l)
		n.z = append(n.z, layers.NewMatrix(1, in.Size()))
		n.dz = append(n.dz, layers.NewMatrix(1, in.Size()))
	})
	return n
}

// params returns the weights, which decay, or the biases, which do not.
func (n *network) params(suffix string) []adam.Param {
	var some []adam.Param
	for _, p := range n.memory.Params() {
		if strings.HasSuffix(p.Name, suffix) {
			some = append(some, p)
		}
	}
	return some
}

// forward returns the outputs for a canvas, valid until the next call.
func (n *network) forward(pixels []float32) []float32 {
	x := blas32.General{Rows: 1, Cols: len(pixels), Stride: len(pixels), Data: pixels}
	for i, l := range n.convs {
		z := n.z[i]
		l.Forward(x, z)
		if i < len(n.convs)-1 {
			layers.ReLU(z.Data)
		}
		x = z
	}
	return x.Data
}

// gradients sets the gradients of all parameters and returns the loss of a scene, both times scale.
func (n *network) gradients(s scene, scale float64) loss {
	last := len(n.convs) - 1
	l := sceneLoss(n.forward(s.pixels), s.truth, scale, n.dz[last].Data)
	for i := last; i >= 0; i-- {
		n.convs[i].Backward(n.dz[i])
		if i > 0 {
			n.convs[i].BackwardInput(n.dz[i], n.dz[i-1])
			layers.ReLUBackward(n.z[i-1].Data, n.dz[i-1].Data)
		}
	}
	return l
}
