// Package layers has the layers of the example networks, forward and backward, over blas32.
//
// A matrix is row-major; the rows of a batch are its examples. Names are as in the literature: dx
// is the derivative of the loss by x.
package layers

import "gonum.org/v1/gonum/blas/blas32"

// NewMatrix returns a matrix of zeros.
func NewMatrix(rows, cols int) blas32.General {
	return blas32.General{Rows: rows, Cols: cols, Stride: cols, Data: make([]float32, rows*cols)}
}

// Row returns row i of m.
func Row(m blas32.General, i int) []float32 {
	return m.Data[i*m.Stride : i*m.Stride+m.Cols]
}

// Head returns the first n rows of m: the last batch of an epoch is smaller than its buffers.
func Head(m blas32.General, n int) blas32.General {
	m.Rows = n
	m.Data = m.Data[:n*m.Stride]
	return m
}
