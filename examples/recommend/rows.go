package main

import "slices"

// rows are the rows of a table that a batch uses, and their gradients: what an [adam.Table] is
// given in each step, as [adam.State.StepRows] would be. It takes memory for the batch, not for the
// table.
type rows struct {
	width int
	ids   []int32   // ascending, each once
	grads []float32 // len(ids)·width, in the order of ids
}

// begin takes the rows of a batch, in any order, and as often as the batch uses them. Their
// gradients are 0: the optimizer's ZeroGrad leaves them so.
func (r *rows) begin(ids []int32) {
	r.ids = append(r.ids[:0], ids...)
	slices.Sort(r.ids)
	r.ids = slices.Compact(r.ids)
	n := len(r.ids) * r.width
	if n > cap(r.grads) {
		r.grads = make([]float32, n)
	}
	r.grads = r.grads[:n]
}

// grad returns the gradient of a row of the batch, to add to.
func (r *rows) grad(id int32) []float32 {
	i, _ := slices.BinarySearch(r.ids, id)
	return r.grads[i*r.width:][:r.width]
}
