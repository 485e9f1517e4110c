package adam

import (
	"fmt"
	"unsafe"
)

// Accumulate adds from to to: to[i] += from[i], rounded once. It makes one gradient of those of
// several backward passes, for gradient accumulation or data parallel workers.
//
// The order of several additions is the caller's, and decides on the last bits of the sum. A fixed
// tree over the parts of a batch, (a+b)+(c+d) for four of them, gives the same bits for any number
// of workers and ranks, as long as each part's gradient has the same bits for them.
//
// Both slices have the same length, which may be 0, and must not overlap. An error wraps
// [ErrLength] or [ErrOverlap], and nothing has been changed. NaN and Inf are no error: they go
// where IEEE 754 takes them. Accumulate does not allocate.
func Accumulate(to, from []float32) error {
	if err := addable(to, from); err != nil {
		return err
	}
	raceWrite(to)
	raceRead(from)
	for len(to) > tile {
		addTile(to[:tile], from[:tile])
		to, from = to[tile:], from[tile:]
	}
	addTile(to, from)
	return nil
}

// Accumulate64 is [Accumulate] of float64.
func Accumulate64(to, from []float64) error {
	if err := addable(to, from); err != nil {
		return err
	}
	raceWrite(to)
	raceRead(from)
	for len(to) > tile64 {
		addTile64(to[:tile64], from[:tile64])
		to, from = to[tile64:], from[tile64:]
	}
	addTile64(to, from)
	return nil
}

// addable returns an error if from cannot be added to to.
func addable[F float](to, from []F) error {
	n := len(to)
	if len(from) != n {
		return fmt.Errorf("%w: to %d, from %d", ErrLength, n, len(from))
	}
	a, b := address(to), address(from)
	if overlap(a, b, n*int(unsafe.Sizeof(F(0))/4)) {
		return fmt.Errorf("%w: to at %#x and from at %#x, %d elements each", ErrOverlap, a, b, n)
	}
	return nil
}

// addTile adds a tile of from to one of to.
func addTile(to, from []float32) {
	n := len(to) &^ (block - 1)
	addBlocks(to[:n], from[:n])
	if n < len(to) {
		var sum, more [block]float32
		copy(sum[:], to[n:])
		copy(more[:], from[n:])
		addBlocks(sum[:], more[:])
		copy(to[n:], sum[:])
	}
}

// addTile64 is addTile of float64.
func addTile64(to, from []float64) {
	n := len(to) &^ (block - 1)
	addBlocks64(to[:n], from[:n])
	if n < len(to) {
		var sum, more [block]float64
		copy(sum[:], to[n:])
		copy(more[:], from[n:])
		addBlocks64(sum[:], more[:])
		copy(to[n:], sum[:])
	}
}

// addGeneric is the reference of the kernels.
func addGeneric[F float](to, from []F) {
	from = from[:len(to)]
	for i, x := range from {
		to[i] += x
	}
}
