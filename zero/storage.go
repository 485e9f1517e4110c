package zero

import (
	"fmt"
	"math"
	"unsafe"

	"github.com/fusedadam/adam"
	"github.com/fusedadam/adam/internal/checkpoint"
)

// bound16 is what a step has of a Param16 beside the memory of every tensor. The gradient is one
// of float32 by then, and the parameters are what all ranks get: Value, or BF16 alone, of whose
// split master the other half stays with its owner.
type bound16 struct {
	half        []byte // the gradient of 16 bits, nil if it is one of 32
	halfIsF16   bool
	copy        []byte // of Value, in 16 bits, or nil
	copyIsF16   bool
	valueIsBF16 bool
}

func (m *bound16) halfField() string { return field16(m.halfIsF16, "GradF16", "GradBF16") }
func (m *bound16) copyField() string { return field16(m.copyIsF16, "F16", "BF16") }

// valueField is that of what all ranks get.
func (m *bound16) valueField() string { return field16(m.valueIsBF16, "BF16", "Value") }

func field16(is bool, a, b string) string {
	if is {
		return a
	}
	return b
}

// copies are the elements whose copies in 16 bits this rank makes of what others send, in tiles.
type copies struct {
	has16  bool // there are Params16
	copied []segment
	all16  bool // also of tensors without a gradient
}

func newTensor16(p *adam.Param16, group, index int) tensor {
	t := tensor{name: p.Name, list: params16, group: group, index: index, size: 4, stored: 4,
		n: 4 * len(p.Value)}
	if p.Value == nil {
		t.stored, t.n = 2, 4*len(p.BF16)
	}
	return t
}

// find16 is find in Params16. It is where two fields that exclude each other are seen.
func (t *tensor) find16(list []adam.Param16) error {
	if t.index >= len(list) || list[t.index].Name != t.name {
		return t.lostError()
	}
	p, fault := &list[t.index], ""
	m := bound{hasGrad: p.Grad != nil || p.GradBF16 != nil || p.GradF16 != nil}
	n, grad, copied := len(p.Value), -1, -1
	switch {
	case p.Value == nil && p.F16 != nil:
		fault = "F16 is a copy of Value, which is nil"
	case p.BF16 != nil && p.F16 != nil:
		fault = "BF16 and F16 are both copies of Value: give one of them"
	case p.Grad != nil && (p.GradBF16 != nil || p.GradF16 != nil), p.GradBF16 != nil &&
		p.GradF16 != nil:
		fault = "Grad, GradBF16 and GradF16: give one gradient"
	case (p.Value == nil) != (t.stored == 2):
		fault = "parameters are no longer in the field, Value or BF16, where they were in New"
	}
	if fault != "" {
		return fmt.Errorf("%w: %q: %s", adam.ErrParams, t.name, fault)
	}
	switch {
	case p.Value == nil:
		m.value, m.valueIsBF16, n = checkpoint.Memory(p.BF16), true, len(p.BF16)
	case p.BF16 != nil:
		m.copy, copied = checkpoint.Memory(p.BF16), len(p.BF16)
	case p.F16 != nil:
		m.copy, m.copyIsF16, copied = checkpoint.Memory(p.F16), true, len(p.F16)
	}
	if p.Value != nil {
		m.value = checkpoint.Memory(p.Value)
	}
	switch {
	case p.GradBF16 != nil:
		m.half, grad = checkpoint.Memory(p.GradBF16), len(p.GradBF16)
	case p.GradF16 != nil:
		m.half, m.halfIsF16, grad = checkpoint.Memory(p.GradF16), true, len(p.GradF16)
	case p.Grad != nil:
		m.grad, grad = checkpoint.Memory(p.Grad), len(p.Grad)
	}
	if of := t.n / t.size; n != of || m.hasGrad && grad != of || m.copy != nil && copied != of {
		return fmt.Errorf("%w: %q had %d elements in New; parameters %d, gradient %d, copy %d "+
			"(-1: none)", adam.ErrLength, t.name, of, n, grad, copied)
	}
	if m.half != nil {
		if t.sum == nil {
			t.sum = allocate(t.n)
		}
		m.grad = t.sum
	}
	t.now = m
	return nil
}

// cut16 is cut of a Param16: q gets the elements of a part.
func (t *tensor) cut16(p part, q *adam.Param16) {
	at, to := p.from/t.size, p.to/t.size
	value := t.values(p.from, p.to)
	q.Value, q.BF16, q.F16, q.Grad = nil, nil, nil, nil
	switch {
	case t.valueIsBF16:
		q.BF16 = halves[adam.BF16](value)
	default:
		q.Value = floats[float32](value)
	}
	switch {
	case t.copy == nil:
	case t.copyIsF16:
		q.F16 = halves[adam.F16](t.copy[2*at : 2*to])
	default:
		q.BF16 = halves[adam.BF16](t.copy[2*at : 2*to])
	}
	if t.hasGrad {
		q.Grad = floats[float32](t.grad[p.from:p.to])
	}
}

// halves is floats of 16 bits.
func halves[E adam.BF16 | adam.F16](b []byte) []E {
	return unsafe.Slice((*E)(unsafe.Pointer(unsafe.SliceData(b))), len(b)/2)
}

// noRest are the lower halves of float32 that are bfloat16.
var noRest [adam.Tile]int16

// widen decodes a gradient of 16 bits, of the elements of a tile.
func (t *tensor) widen(c segment) {
	if t.half == nil {
		return
	}
	d, b := floats[float32](t.grad[c.from:c.to]), t.half[c.from/2:c.to/2]
	if t.halfIsF16 {
		for i, h := range halves[adam.F16](b) {
			d[i] = h.Float32()
		}
		return
	}
	if err := adam.JoinFloat32(d, halves[adam.BF16](b), noRest[:len(d)]); err != nil {
		panic(err) // cannot be: the lengths are the same
	}
}

// clearHalf zeroes the gradient of 16 bits of a run.
func (t *tensor) clearHalf(s segment) {
	if t.half != nil {
		clear(t.half[s.from/2 : s.to/2])
	}
}

// listCopies lists what others own of the tensors that may have copies.
func (z *Optimizer) listCopies(me int) {
	for i := range z.tensors {
		z.has16 = z.has16 || z.tensors[i].list == params16
	}
	for _, bucket := range z.buckets {
		for _, s := range bucket {
			t := &z.tensors[s.tensor]
			for from := s.from; from < s.to && s.owner != me && t.list == params16 &&
				t.stored == t.size; from += adam.Tile * t.size {
				z.copied = append(z.copied,
					segment{s.owner, s.tensor, from, min(from+adam.Tile*t.size, s.to)})
			}
		}
	}
}

// copyValues makes the copies in 16 bits of what others have sent, as the step makes those of its
// own: of tensors that were stepped, or of all.
func (z *Optimizer) copyValues(all bool) {
	if len(z.copied) > 0 {
		z.all16 = all
		z.run((*copying)(z), len(z.copied), z.total)
	}
}

// copying is z as the job of making copies, a tile a chunk.
type copying Optimizer

func (a *copying) Do(chunk, _ int) {
	c := a.copied[chunk]
	t := &a.tensors[c.tensor]
	if t.copy == nil || !t.hasGrad && !a.all16 {
		return
	}
	value, b := floats[float32](t.values(c.from, c.to)), t.copy[c.from/2:c.to/2]
	if t.copyIsF16 {
		d := halves[adam.F16](b)
		for i, x := range value {
			d[i] = adam.ToF16(x)
		}
		return
	}
	d := halves[adam.BF16](b)
	for i, x := range value {
		if d[i] = adam.ToBF16(x); x != x { // as a step encodes it
			d[i] = adam.BF16(math.Float32bits(x)>>31<<15 | 0x7fc0)
		}
	}
}
