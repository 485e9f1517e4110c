package main

import (
	"math/rand/v2"
	"slices"
)

// A layer is y = W·x + b with its gradients, wherever they lie. W is stored row by row.
type layer struct{ w, b, dw, db []float32 }

// A network is layers with relu between them.
type network []layer

// learn adds the gradients of the loss |y - want|²/2 of the output y for the input x, and returns
// the loss.
func (n network) learn(x, want []float32) (loss float64) {
	in := make([][]float32, len(n)+1)
	in[0] = x
	for i, l := range n {
		y := slices.Clone(l.b)
		product(y, l.w, in[i])
		if i < len(n)-1 {
			relu(y)
		}
		in[i+1] = y
	}
	dy, loss := difference(in[len(n)], want)
	for i, l := range slices.Backward(n) {
		if i < len(n)-1 {
			reluGrad(dy, in[i+1])
		}
		outer(l.dw, dy, in[i])
		add(l.db, dy)
		dx := make([]float32, len(in[i]))
		transposed(dx, l.w, dy)
		dy = dx
	}
	return loss
}

// uniform fills x with numbers in [-limit, limit).
func uniform(rng *rand.Rand, x []float32, limit float32) {
	for i := range x {
		x[i] = limit * (2*rng.Float32() - 1)
	}
}

// product adds W·x to y.
func product(y, w, x []float32) {
	for i := range y {
		for j, a := range w[i*len(x) : (i+1)*len(x)] {
			y[i] += float32(a * x[j])
		}
	}
}

// transposed adds Wᵀ·dy, the gradient of x, to dx.
func transposed(dx, w, dy []float32) {
	for i, d := range dy {
		for j, a := range w[i*len(dx) : (i+1)*len(dx)] {
			dx[j] += float32(d * a)
		}
	}
}

// outer adds dy·xᵀ, the gradient of W, to dw.
func outer(dw, dy, x []float32) {
	for i, d := range dy {
		for j, a := range x {
			dw[i*len(x)+j] += float32(d * a)
		}
	}
}

func add(sum, x []float32) {
	for i := range sum {
		sum[i] += x[i]
	}
}

func relu(y []float32) {
	for i := range y {
		y[i] = max(0, y[i])
	}
}

// reluGrad sets dy to zero where y, the output of relu, is.
func reluGrad(dy, y []float32) {
	for i := range dy {
		if y[i] == 0 {
			dy[i] = 0
		}
	}
}

// difference returns y - want, the gradient of the loss |y - want|²/2, and the loss.
func difference(y, want []float32) (dy []float32, loss float64) {
	dy = make([]float32, len(y))
	for i := range dy {
		dy[i] = y[i] - want[i]
		loss += float64(float64(dy[i])*float64(dy[i])) / 2
	}
	return dy, loss
}
