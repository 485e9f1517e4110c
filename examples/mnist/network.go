package main

import (
	"math/rand/v2"

	"github.com/fusedadam/adam"
	"github.com/fusedadam/adam/examples/internal/layers"
	"gonum.org/v1/gonum/blas/blas32"
)

// network classifies with one hidden layer of rectified linear units and a softmax.
type network struct {
	hidden, output *layers.Dense
	memory         *layers.Memory
	h, dh          blas32.General // hidden activations
	z, dz          blas32.General // logits
}

// newNetwork returns a network for batches of at most batch rows.
func newNetwork(rng *rand.Rand, inputs, hidden, classes, batch int) *network {
	m := layers.NewMemory(layers.DenseSize(inputs, hidden) + layers.DenseSize(hidden, classes))
	return &network{
		hidden: layers.NewDense(m, rng, "hidden", inputs, hidden),
		output: layers.NewDense(m, rng, "output", hidden, classes),
		memory: m,
		h:      layers.NewMatrix(batch, hidden),
		dh:     layers.NewMatrix(batch, hidden),
		z:      layers.NewMatrix(batch, classes),
		dz:     layers.NewMatrix(batch, classes),
	}
}

// weights returns the weights of both layers, which decay.
func (n *network) weights() []adam.Param {
	p := n.memory.Params()
	return []adam.Param{p[0], p[2]}
}

// biases returns the biases of both layers, which do not.
func (n *network) biases() []adam.Param {
	p := n.memory.Params()
	return []adam.Param{p[1], p[3]}
}

// forward returns the logits of each row of x, valid until the next call.
func (n *network) forward(x blas32.General) blas32.General {
	h, z := layers.Head(n.h, x.Rows), layers.Head(n.z, x.Rows)
	n.hidden.Forward(x, h)
	layers.ReLU(h.Data)
	n.output.Forward(h, z)
	return z
}

// gradients sets the gradients of all parameters and returns the loss: both are means over the
// batch.
func (n *network) gradients(x blas32.General, labels []int) float64 {
	z := n.forward(x)
	h, dh, dz := layers.Head(n.h, x.Rows), layers.Head(n.dh, x.Rows), layers.Head(n.dz, x.Rows)
	loss := layers.CrossEntropy(z, labels, dz)
	n.output.Backward(h, dz)
	n.output.BackwardInput(dz, dh)
	layers.ReLUBackward(h.Data, dh.Data)
	n.hidden.Backward(x, dh)
	return loss
}
