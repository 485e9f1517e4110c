package zero

import (
	"fmt"
	"math/bits"

	"github.com/fusedadam/adam"
	"github.com/fusedadam/adam/internal/checkpoint"
)

// leaves is what this rank has of the leaves of the step at hand. They are added up by a binary
// counter: two sums of neighbouring subtrees of one size become one at once.
type leaves struct {
	all   int      // leaves of a step
	first int      // of this rank
	want  int      // number of them
	added int      // of them in this step; more than want after one too many
	nodes [][]node // subtrees that each rank sums up, in the order of the leaves
	stack []node   // sums so far: entry i is in slots[i], the last of a step in the gradients
	slots [][][]byte
	cells []segment // all elements, in tiles

	merging int // entries of stack that the leaf at hand ends
}

// A node of the tree of additions is the sum of the leaves [index<<level, (index+1)<<level).
type node struct{ level, index int }

// subtrees cuts the leaves from, …, to-1 into as few subtrees as possible.
func subtrees(from, to int) (list []node) {
	for from < to {
		level := bits.Len(uint(to-from)) - 1
		if from > 0 {
			level = min(level, bits.TrailingZeros(uint(from)))
		}
		list = append(list, node{level, from >> level})
		from += 1 << level
	}
	return list
}

// grow plants the tree, and makes room for the sums that this rank has to keep.
func (z *Optimizer) grow(me, ranks, all int) {
	z.all = all
	for r := range ranks {
		z.nodes = append(z.nodes, subtrees(all*r/ranks, all*(r+1)/ranks))
	}
	z.first = all * me / ranks
	z.want = all*(me+1)/ranks - z.first
	room := 0
	for z.added < z.want-1 {
		z.push()
		room = max(room, len(z.stack))
	}
	z.forget()
	for range room {
		var slot [][]byte
		for _, t := range z.tensors {
			slot = append(slot, allocate(t.n))
		}
		z.slots = append(z.slots, slot)
	}
	for i, t := range z.tensors {
		for from := 0; from < t.n; from += adam.Tile * t.size {
			z.cells = append(z.cells, segment{0, i, from, min(from+adam.Tile*t.size, t.n)})
		}
	}
}

// next returns the subtree that the next leaf completes, and of how many entries of the stack.
func (l *leaves) next() (n node, merging int) {
	n = node{0, l.first + l.added}
	for k := len(l.stack) - 1; k >= 0 && n.index&1 == 1 &&
		l.stack[k] == (node{n.level, n.index - 1}); k-- {
		n = node{n.level + 1, n.index >> 1}
		merging++
	}
	return n, merging
}

// push counts the next leaf.
func (l *leaves) push() {
	n, merging := l.next()
	l.stack = append(l.stack[:len(l.stack)-merging], n)
	l.added++
}

// forget begins the step anew.
func (l *leaves) forget() { l.added, l.stack = 0, l.stack[:0] }

// Add takes the gradients as those of the next leaf of this rank. A tensor whose Grad is nil has no
// gradient, in all leaves of a step and on all ranks. With Options.ZeroGrad all gradients are zero
// after Add, but for the last leaf of a step: Step needs them. Without it what they hold then is of
// no use. Between the last Add and Step they must not be written. One of 16 bits is decoded to a
// float32 and added up as such.
//
// Add does not communicate. After an error, which is one of [adam.Optimizer.Step], the leaf does
// not count. That of one leaf too many means that the gradients of the step may be spoiled: Step is
// an error on all ranks, until this one has called [Optimizer.ZeroGrad] and added its leaves again.
func (z *Optimizer) Add() error {
	if err := z.enter(); err != nil {
		return err
	}
	defer z.leave()
	if z.added >= z.want {
		z.added = z.want + 1
		return fmt.Errorf("zero: %w", z.countError())
	}
	if err := z.bind(true); err != nil {
		return fmt.Errorf("zero: %w", err)
	}
	if z.want > 1 || z.has16 {
		_, z.merging = z.next()
		z.run((*adding)(z), len(z.cells), z.total)
	}
	z.push()
	return nil
}

// ZeroGrad sets the gradients of this rank to zero and forgets its leaves of the step at hand, to
// begin it anew. It does not communicate.
func (z *Optimizer) ZeroGrad() error {
	if err := z.enter(); err != nil {
		return err
	}
	defer z.leave()
	z.forget()
	if err := z.bind(true); err != nil {
		return fmt.Errorf("zero: %w", err)
	}
	for i := range z.tensors {
		clear(z.tensors[i].grad)
		clear(z.tensors[i].half)
	}
	return nil
}

func (z *Optimizer) countError() error {
	if z.added > z.want {
		return fmt.Errorf("more than the %d leaves of this rank were added in a step: call "+
			"ZeroGrad and add them again", z.want)
	}
	return fmt.Errorf("%d of the %d leaves of this rank were added", z.added, z.want)
}

// adding is z as the job of adding a leaf, a cell a chunk.
type adding Optimizer

func (a *adding) Do(chunk, _ int) {
	z := (*Optimizer)(a)
	c := z.cells[chunk]
	t := &z.tensors[c.tensor]
	if !t.hasGrad {
		return
	}
	t.widen(c)
	grad, top := t.grad[c.from:c.to], len(z.stack)
	sum := func(k int) []byte { return z.slots[top-1-k][c.tensor][c.from:c.to] }
	if z.added == z.want-1 {
		for k := range z.merging {
			t.accumulate(grad, sum(k))
		}
		return
	}
	for k := range z.merging - 1 {
		t.accumulate(grad, sum(k))
	}
	if z.merging > 0 {
		t.accumulate(sum(z.merging-1), grad)
	} else {
		copy(z.slots[top][c.tensor][c.from:c.to], grad)
	}
	if z.Options.ZeroGrad {
		clear(grad)
		t.clearHalf(c)
	}
}

// accumulate makes to the sum of to and from.
func (t *tensor) accumulate(to, from []byte) {
	var err error
	if t.size == 4 {
		err = adam.Accumulate(floats[float32](to), floats[float32](from))
	} else {
		err = adam.Accumulate64(floats[float64](to), floats[float64](from))
	}
	if err != nil { // cannot be: the lengths are the same, and bind has looked for overlaps
		panic(err)
	}
}

// allocate returns so many bytes, aligned for floats.
func allocate(n int) []byte { return checkpoint.Memory(make([]float64, (n+7)/8))[:n] }
