package roofline

import (
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
)

// Twice restores, once changes all of p, m and v up to the last block, and nothing beyond; with the
// generic ceiling as with those in assembly that any CPU can run.
func TestTraffic(t *testing.T) {
	for _, w := range Ways(runnable()) {
		const n = 5*Block + 3
		var s [4][]float32
		for i := range s {
			s[i] = make([]float32, n)
			for j := range s[i] {
				s[i][j] = float32(100*i + j + 1)
			}
		}
		w.Traffic(s[0], s[1], s[2], s[3])
		for i, x := range s {
			for j, y := range x {
				changed := i != 1 && j < 5*Block
				assert.Equal(t, changed, y != float32(100*i+j+1), "%v: slice %d, element %d: %v",
					w, i, j, y)
			}
		}
		w.Traffic(s[0], s[1], s[2], s[3])
		for i, x := range s {
			for j, y := range x {
				assert.Equal(t, float32(100*i+j+1), y, "%v: slice %d, element %d", w, i, j)
			}
		}
	}
}

// Every width is there once, bare and with each distance, whatever the kernels' order.
func TestWays(t *testing.T) {
	for name, bits := range widths {
		want := []string{strconv.Itoa(bits)}
		for _, d := range distances {
			w := want[0] + "+" + strconv.Itoa(d.l1)
			if d.l2 > 0 {
				w += "+" + strconv.Itoa(d.l2)
			}
			want = append(want, w)
		}
		want = append(want, "words")
		var got []string
		for _, w := range Ways([]string{name, "generic", name}) {
			got = append(got, w.String())
		}
		assert.Equal(t, want, got, name)
	}
	assert.Len(t, Ways([]string{"generic"}), 1)
}

// The work is done for its time: that it ends, with instructions that this CPU has, is all there is
// to see.
func TestArithmetic(t *testing.T) {
	for _, kernel := range runnable() {
		for _, order := range Orders {
			Arithmetic(kernel, order, 5*Block+3)
			Arithmetic64(kernel, order, 5*Block+3)
		}
	}
}
