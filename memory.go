package adam

import (
	"cmp"
	"fmt"
	"slices"
	"unsafe"
)

// moments returns k slices of n zeros each, laid out for the speed of a step.
func moments[E any](n, k int) [][]E {
	size := int(unsafe.Sizeof(*new(E)))
	line := 64 / size   // elements in a cache line
	page := 4096 / size // elements after which the sets of an L1 cache recur
	// All moments share one block, and each begins on a cache line. Large slices of Go begin on a
	// page, so parameters and gradients usually are at offset 0 of one. The moments of large
	// tensors begin skew, 2·skew and 3·skew further: equal offsets would meet in one set of the L1
	// cache. Slices a large power of two apart collide beyond the caches as well, which one page
	// more avoids.
	start, stride := 0, (n+line-1)&^(line-1)
	if stride >= page/2 {
		skew := page/4 + line
		if stride >= 64*page {
			skew += page
		}
		start, stride = skew, (n+page-1)&^(page-1)+skew
	}
	block := make([]E, start+k*stride+line)
	start += int(-uintptr(unsafe.Pointer(&block[0]))%64) / size
	s := make([][]E, k)
	for i := range s {
		from := start + i*stride
		s[i] = block[from : from+n : from+n]
	}
	return s
}

// A span is the memory of a slice, [from, to), under the name of a tensor's part.
type span struct {
	from, to     uintptr
	elements     int
	tensor, part string
}

func spanOf[E any](tensor, part string, s []E) span {
	at := address(s)
	return span{at, at + uintptr(len(s))*unsafe.Sizeof(*new(E)), len(s), tensor, part}
}

func (s span) String() string {
	return fmt.Sprintf("%s of %q at %#x, %d elements", s.part, s.tensor, s.from, s.elements)
}

// spans are sorted and do not overlap.
type spans []span

// newSpans sorts s, drops what is empty, and returns an error if two of the rest overlap.
func newSpans(s []span) (spans, error) {
	s = slices.DeleteFunc(s, func(a span) bool { return a.from == a.to })
	slices.SortFunc(s, func(a, b span) int { return cmp.Compare(a.from, b.from) })
	for i := 1; i < len(s); i++ {
		if s[i].from < s[i-1].to {
			return nil, overlapOf(s[i-1], s[i])
		}
	}
	return s, nil
}

// check returns an error if a overlaps with one of s.
func (s spans) check(a span) error {
	i, _ := slices.BinarySearchFunc(s, a.from, func(b span, from uintptr) int {
		return cmp.Compare(b.to, from+1)
	})
	if a.from < a.to && i < len(s) && s[i].from < a.to {
		return overlapOf(s[i], a)
	}
	return nil
}

func overlapOf(a, b span) error { return fmt.Errorf("%w: %v and %v", ErrOverlap, a, b) }

// A place is where the slices of a tensor lay when they were last checked for overlaps. What is not
// here has the length of the tensor.
type place struct {
	written [5]uintptr // Value, M, V, VMax, EMA
	vmax    int        // length of VMax
	grad    uintptr
	rows    uintptr // of a table, and
	extent  int     // the length of its Grad
}

// checkOverlaps returns an error if a slice that a step writes overlaps with any other, and
// otherwise remembers where they all lie. Gradients may overlap with each other as long as they are
// not zeroed.
func (o *Optimizer) checkOverlaps() error {
	zero := o.Options.ZeroGrad
	moved := zero != o.gradsWritten
	for _, t := range o.tensors {
		now := t.now()
		moved = moved || now.written != t.place.written || now.vmax != t.place.vmax ||
			zero && now != t.place
	}
	written := o.written
	if moved {
		all := o.spare[:0]
		for _, t := range o.tensors {
			all = t.written(all, zero)
		}
		o.spare = all
		var err error
		if written, err = newSpans(all); err != nil {
			return err
		}
	}
	for _, t := range o.tensors {
		if !moved && t.now() == t.place {
			continue
		}
		for i, s := range t.read() {
			if i == 0 && zero { // the gradient, which is among written
				continue
			}
			if err := written.check(s); err != nil {
				return err
			}
		}
	}
	if moved {
		o.written, o.spare, o.gradsWritten = written, o.written, zero
	}
	for _, t := range o.tensors {
		t.place = t.now()
	}
	return nil
}
