package adam

import (
	"fmt"
	"math"
	"slices"
)

// Check makes the checks of Step, with its errors, and changes nothing: for ranks that agree on a
// step before they make it.
func (o *Optimizer) Check() error {
	if err := o.enter(); err != nil {
		return err
	}
	defer o.leave()
	return o.readyToStep()
}

// Squares is the first half of Step, the pass over the gradients, where the global norm is that of
// other optimizers' tensors as well. It returns the sum of squares of each tile of the gradients:
// 8192 elements of float32, 4096 of float64, or the rest of a tensor. They are in the order of the
// tensors' names, then of the elements, with 0 where there is no gradient. nonFinite is the name of
// the first tensor whose gradient has a NaN or Inf, "" if none has.
//
// The tiles are valid until the next call of a method. Errors are those of Step. Squares does not
// allocate.
func (o *Optimizer) Squares() (tiles []float64, nonFinite string, err error) {
	if err := o.enter(); err != nil {
		return nil, "", err
	}
	defer o.leave()
	if err := o.readyToStep(); err != nil {
		return nil, "", err
	}
	o.pool.Begin(o.grid.words)
	defer o.pool.End()
	nonFinite = o.measure()
	o.normed = false // the caller may write the sums
	return o.sums, nonFinite, nil
}

// StepWith is the second half of Step: all but the pass over the gradients. squares is the sum of
// what [Optimizer.Squares] returns, of all optimizers that share the tensors, added up from 0 in
// the order of names and elements, and nonFinite the first name of all. Then parts have the bits of
// the whole tensors in one Optimizer, and all make or skip the step. Both count only with MaxNorm
// or SkipNonFinite, without which Squares is not needed.
//
// The step is made run by run. Run i ends before the tile runs[i], as Squares counts tiles, and the
// last has all that are left; runs may be empty. After each one stepped is called on the caller's
// goroutine: the parameters of the run, but not yet the averages of tables, are what they are after
// the step. It must not call methods of o, and is not called if the step is skipped. With nil runs
// the step is one run. With a nil stepped, runs are of no effect.
//
// Errors are those of Step, and [ErrParams] for squares, nonFinite or runs that cannot be; nothing
// has changed. If stepped panics, no tensor has been counted and o is closed. StepWith does not
// allocate.
func (o *Optimizer) StepWith(squares float64, nonFinite string, runs []int,
	stepped func(run int)) (Stats, error) {
	if err := o.enter(); err != nil {
		return Stats{}, err
	}
	defer o.leave()
	stats := Stats{T: o.T}
	if err := o.readyToStep(); err != nil {
		return stats, err
	}
	if o.needsNorm() {
		if fault := squaresFault(squares, nonFinite); fault != "" {
			return stats, fmt.Errorf("%w: squares = %v and nonFinite = %q: %s", ErrParams, squares,
				nonFinite, fault)
		}
	}
	tiles := len(o.grid.cells)
	if runs != nil && (!slices.IsSorted(runs) || len(runs) == 0 || runs[0] < 0 ||
		runs[len(runs)-1] != tiles) {
		return stats, fmt.Errorf("%w: runs are %v: want ascending numbers of tiles, the last of "+
			"all %d", ErrParams, runs, tiles)
	}
	if runs == nil {
		runs = []int{tiles}
	}
	o.pool.Begin(o.grid.words)
	defer o.pool.End()
	o.squares, o.normed = squares, false
	return o.stepWith(nonFinite, runs, stepped), nil
}

// squaresFault says why the gradients cannot have these squares, "" if they can. Finite ones of
// float64 may have an infinite sum.
func squaresFault(squares float64, nonFinite string) string {
	switch {
	case squares < 0:
		return "want a sum of squares"
	case squares != squares && nonFinite == "":
		return "want the name of the tensor that has a NaN, from Squares"
	case squares <= math.MaxFloat64 && nonFinite != "":
		return "want \"\" for a finite sum"
	}
	return ""
}
