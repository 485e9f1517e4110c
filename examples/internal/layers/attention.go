package layers

import (
	"math"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas32"
)

// Attention is causal self-attention with several heads (Vaswani et al., 2017), without the
// projections before and after it, which are [Dense]. The rows of its matrices are one sequence: a
// row attends to itself and to those before it.
type Attention struct {
	weights  []blas32.General // of each head, query × key: what the softmax gives
	dweights blas32.General   // of one head
}

// The scores of so many queries are computed at once. The keys after the last of them are left out,
// which saves most of the half that causality masks.
const queries = 32

// NewAttention returns a layer for a sequence of the given length.
func NewAttention(length, heads int) *Attention {
	l := &Attention{dweights: NewMatrix(length, length)}
	for range heads {
		l.weights = append(l.weights, NewMatrix(length, length))
	}
	return l
}

// block returns the given part of m.
func block(m blas32.General, row, rows, col, cols int) blas32.General {
	begin := row*m.Stride + col
	return blas32.General{Rows: rows, Cols: cols, Stride: m.Stride,
		Data: m.Data[begin : begin+(rows-1)*m.Stride+cols]}
}

// each calls f for each head and each block of n queries from row first on.
func (l *Attention) each(f func(head, first, n int)) {
	length := l.dweights.Rows
	for head := range l.weights {
		for first := 0; first < length; first += queries {
			f(head, first, min(queries, length-first))
		}
	}
}

// Forward sets z from qkv, whose rows hold the queries, the keys and the values of all heads, each
// as wide as z. It keeps the weights for Backward.
func (l *Attention) Forward(qkv, z blas32.General) {
	width := z.Cols
	size := width / len(l.weights)
	scale := float32(1 / math.Sqrt(float64(size)))
	l.each(func(head, first, n int) {
		keys := first + n
		q := block(qkv, first, n, head*size, size)
		k := block(qkv, 0, keys, width+head*size, size)
		v := block(qkv, 0, keys, 2*width+head*size, size)
		w := block(l.weights[head], first, n, 0, keys)
		blas32.Gemm(blas.NoTrans, blas.Trans, scale, q, k, 0, w)
		for i := range n {
			row := Row(w, i)
			softmax(row[:first+i+1])
			clear(row[first+i+1:])
		}
		blas32.Gemm(blas.NoTrans, blas.NoTrans, 1, w, v, 0, block(z, first, n, head*size, size))
	})
}

// softmax replaces x by its softmax.
func softmax(x []float32) {
	top := x[0]
	for _, a := range x {
		top = max(top, a)
	}
	sum := float32(0)
	for i, a := range x {
		e := float32(math.Exp(float64(a - top)))
		x[i] = e
		sum += e
	}
	for i := range x {
		x[i] /= sum
	}
}

// Backward sets dqkv, after Forward with the same qkv.
func (l *Attention) Backward(qkv, dz, dqkv blas32.General) {
	width := dz.Cols
	size := width / len(l.weights)
	scale := float32(1 / math.Sqrt(float64(size)))
	clear(dqkv.Data)
	l.each(func(head, first, n int) {
		keys := first + n
		q, dq := block(qkv, first, n, head*size, size), block(dqkv, first, n, head*size, size)
		k, dk := block(qkv, 0, keys, width+head*size, size),
			block(dqkv, 0, keys, width+head*size, size)
		v, dv := block(qkv, 0, keys, 2*width+head*size, size),
			block(dqkv, 0, keys, 2*width+head*size, size)
		w, dw := block(l.weights[head], first, n, 0, keys), block(l.dweights, first, n, 0, keys)
		dz := block(dz, first, n, head*size, size)
		blas32.Gemm(blas.Trans, blas.NoTrans, 1, w, dz, 1, dv)
		blas32.Gemm(blas.NoTrans, blas.Trans, 1, dz, v, 0, dw)
		for i := range n { // through the softmax
			w, dw := Row(w, i), Row(dw, i)
			mean := float32(0)
			for j, d := range dw {
				mean += w[j] * d
			}
			for j, d := range dw {
				dw[j] = w[j] * (d - mean)
			}
		}
		blas32.Gemm(blas.NoTrans, blas.NoTrans, scale, dw, k, 0, dq)
		blas32.Gemm(blas.Trans, blas.NoTrans, scale, dw, q, 1, dk)
	})
}
