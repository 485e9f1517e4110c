package layers

import (
	"fmt"

	"github.com/fusedadam/adam"
	"gonum.org/v1/gonum/blas/blas32"
)

// Memory holds all parameters of a network in one slice and their gradients in another, as the
// ports of llm.c do. Its layers take their tensors from it.
type Memory struct {
	Values, Grads []float32
	params        []adam.Param
	taken         int
}

// NewMemory returns the memory of n parameters.
func NewMemory(n int) *Memory {
	return &Memory{Values: make([]float32, n), Grads: make([]float32, n)}
}

// Take returns the next n parameters, to be known under the given name, and their gradients. It
// panics if there are not so many left.
func (m *Memory) Take(name string, n int) (value, grad []float32) {
	end := m.taken + n
	if end > len(m.Values) {
		panic(fmt.Sprintf("layers: %s needs %d parameters, %d are left", name, n,
			len(m.Values)-m.taken))
	}
	value, grad = m.Values[m.taken:end:end], m.Grads[m.taken:end:end]
	m.params = append(m.params, adam.Param{Name: name, Value: value, Grad: grad})
	m.taken = end
	return value, grad
}

// TakeMatrix is Take for a matrix.
func (m *Memory) TakeMatrix(name string, rows, cols int) (value, grad blas32.General) {
	v, g := m.Take(name, rows*cols)
	return blas32.General{Rows: rows, Cols: cols, Stride: cols, Data: v},
		blas32.General{Rows: rows, Cols: cols, Stride: cols, Data: g}
}

// Params returns the tensors taken, in their order in memory. It panics if some parameters belong
// to none.
func (m *Memory) Params() []adam.Param {
	if m.taken != len(m.Values) {
		panic(fmt.Sprintf("layers: %d parameters, of which %d are taken", len(m.Values), m.taken))
	}
	return m.params
}
