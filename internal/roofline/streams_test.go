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

// differs returns at how many elements of the first n, and of the others, a and b differ.
func differs[E comparable](a, b []E, n int) (in, beyond int) {
	for i := range a {
		if a[i] != b[i] {
			if i < n {
				in++
			} else {
				beyond++
			}
		}
	}
	return in, beyond
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
			for call, want := range []int{n, 0} {
				w.Move(list, n+odd)
				in, beyond := differs(wide, fill[float32](n+odd), n)
				assert.Equal(t, [2]int{want, 0}, [2]int{in, beyond}, "%v, call %d: 4 bytes", w, call)
				in, beyond = differs(half, fill[uint16](n+odd), n)
				assert.Equal(t, [2]int{want, 0}, [2]int{in, beyond}, "%v, call %d: 2 bytes", w, call)
				in, beyond = differs(byteWide, fill[int8](n+odd), n)
				assert.Equal(t, [2]int{want, 0}, [2]int{in, beyond}, "%v, call %d: 1 byte", w, call)
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
