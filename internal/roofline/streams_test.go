package roofline

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
)

// fill makes a slice of which no element is the complement of another.
func fill[E int8 | uint16 | float32](n int) []E {
	s := make([]E, n)
	for i := range s {
		s[i] = E(1 + i%100)
	}
	return s
}

// differs returns at how many elements of the first n, and of the others, s is not as fill made it.
func differs[E int8 | uint16 | float32](s []E, n int) (count [2]int) {
	for i, x := range fill[E](len(s)) {
		if s[i] == x {
			continue
		}
		if i < n {
			count[0]++
		} else {
			count[1]++
		}
	}
	return count
}

// Each way changes streams of every width up to the last block and nothing beyond, and restores
// them when it is called twice. What is only read stays, and what is only written gets ones.
func TestMove(t *testing.T) {
	for _, w := range Ways(runnable()) {
		for _, blocks := range []int{0, 1, 5} {
			const odd = StreamBlock - 1
			n := blocks * StreamBlock
			wide, half, byteWide := fill[float32](n+odd), fill[uint16](n+odd), fill[int8](n+odd)
			read, written := fill[uint16](n+odd), fill[uint16](n+odd)
			list := []Stream{StreamOf(wide, Both), StreamOf(half, Both), StreamOf(read, Read),
				StreamOf(byteWide, Both), StreamOf(written, Write)}
			for call, count := range []int{n, 0} {
				w.Move(list, n+odd)
				want := [2]int{count, 0}
				assert.Equal(t, want, differs(wide, n), "%v, call %d: 4 bytes", w, call)
				assert.Equal(t, want, differs(half, n), "%v, call %d: 2 bytes", w, call)
				assert.Equal(t, want, differs(byteWide, n), "%v, call %d: 1 byte", w, call)
			}
			assert.Equal(t, fill[uint16](n+odd), read, "%v: only read", w)
			ones := append(slices.Repeat([]uint16{0xffff}, n), fill[uint16](n + odd)[n:]...)
			assert.Equal(t, ones, written, "%v: only written", w)
		}
		w.Move(nil, 100)
	}
}

// The bytes of a step: a stream that is read and written counts twice.
func TestStreamBytes(t *testing.T) {
	for want, s := range map[int]Stream{
		1: StreamOf([]int8(nil), Read), 2: StreamOf([]int8(nil), Both),
		4: StreamOf([]float32(nil), Write), 8: StreamOf([]float32(nil), Both),
	} {
		assert.Equal(t, want, s.Bytes())
	}
}
