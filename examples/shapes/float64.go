package main

// Matrices of float64 as slices of rows, [][]float64, each with its gradient and its moments.
//
// Before, newMatrix made each row with a make of its own, m and v were two more matrices, and two
// loops over i and j made the step, with math.Sqrt and two divisions for each element.
//
// Now the rows of a matrix are parts of one slice, which is all that newMatrix does otherwise: the
// loops over w[i][j] stay, and Step64 makes the step of the whole slice. The program goes on
// counting the steps. A State64 would do so for it, and a Param64 lets an Optimizer clip, zero and
// save.

import (
	"fmt"
	"math/bits"
	"math/rand/v2"

	"github.com/fusedadam/adam"
	"github.com/fusedadam/adam/examples/internal/checksum"
)

// newMatrix returns a matrix, and the slice in which its rows lie one after the other.
func newMatrix(rows, cols int) (m [][]float64, all []float64) {
	all = make([]float64, rows*cols)
	for i := range rows {
		m = append(m, all[i*cols:(i+1)*cols:(i+1)*cols])
	}
	return m, all
}

type matrix struct {
	w, dw         [][]float64
	p, grad, m, v []float64
}

func newWeights(rng *rand.Rand, rows, cols int) *matrix {
	a := &matrix{m: make([]float64, rows*cols), v: make([]float64, rows*cols)}
	a.w, a.p = newMatrix(rows, cols)
	a.dw, a.grad = newMatrix(rows, cols)
	for i := range a.p {
		a.p[i] = 2*rng.Float64() - 1
	}
	return a
}

// forward returns W·x.
func (a *matrix) forward(x []float64) []float64 {
	y := make([]float64, len(a.w))
	for i := range y {
		for j := range x {
			y[i] += float64(a.w[i][j] * x[j])
		}
	}
	return y
}

// backward adds dy·xᵀ to the gradient, and returns Wᵀ·dy.
func (a *matrix) backward(x, dy []float64) []float64 {
	dx := make([]float64, len(x))
	for i := range dy {
		for j := range x {
			a.dw[i][j] += float64(dy[i] * x[j])
			dx[j] += float64(a.w[i][j] * dy[i])
		}
	}
	return dx
}

// trainFloat64 trains a network of two layers to say of the numbers below 16 whether the number of
// their ones is odd.
func trainFloat64() (r result, err error) {
	const in, hidden, steps = 4, 16, 1500
	rng := rand.New(rand.NewPCG(7, 0))
	layers := []*matrix{newWeights(rng, hidden, in+1), newWeights(rng, 1, hidden+1)}
	config := adam.Default()
	config.LR = 0.01
	for t := range uint64(steps) {
		loss := 0.0
		for n := range 1 << in {
			x := make([]float64, in+1)
			for i := range in {
				x[i] = float64(n >> i & 1)
			}
			x[in] = 1 // for the bias, as below
			h := layers[0].forward(x)
			for i := range h {
				h[i] = max(h[i], 0)
			}
			h = append(h, 1)
			dy := layers[1].forward(h)
			dy[0] -= float64(bits.OnesCount(uint(n)) % 2)
			loss += float64(dy[0]*dy[0]) / 2
			dh := layers[1].backward(h, dy)[:hidden]
			for i := range dh {
				if h[i] == 0 {
					dh[i] = 0
				}
			}
			layers[0].backward(x, dh)
		}
		for _, a := range layers {
			if err := adam.Step64(t+1, a.p, a.grad, a.m, a.v, config); err != nil {
				return r, err
			}
			clear(a.grad)
		}
		r.see(loss)
	}
	r.sum = checksum.Of(layers[0].p, layers[1].p)
	r.note = fmt.Sprintf("the last loss is %.0e", r.losses[steps-1])
	return r, nil
}
