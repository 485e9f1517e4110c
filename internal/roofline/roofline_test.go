package roofline

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

// Twice restores, once changes all of p, m and v up to the last block, and nothing beyond; with the
// generic ceiling as with those in assembly that any CPU can run.
func TestTraffic(t *testing.T) {
	for _, kernel := range runnable() {
		type traffic func(kernel string, p, g, m, v []float32)
		for _, f := range []traffic{Traffic, TrafficPrefetched} {
			const n = 5*Block + 3
			var s [4][]float32
			for i := range s {
				s[i] = make([]float32, n)
				for j := range s[i] {
					s[i][j] = float32(100*i + j + 1)
				}
			}
			f(kernel, s[0], s[1], s[2], s[3])
			for i, x := range s {
				for j, y := range x {
					changed := i != 1 && j < 5*Block
					assert.Equal(t, changed, y != float32(100*i+j+1),
						"%s: slice %d, element %d: %v", kernel, i, j, y)
				}
			}
			f(kernel, s[0], s[1], s[2], s[3])
			for i, x := range s {
				for j, y := range x {
					assert.Equal(t, float32(100*i+j+1), y, "%s: slice %d, element %d", kernel, i, j)
				}
			}
		}
	}
}

// The work is done for its time: that it ends, with instructions that this CPU has, is all there is
// to see.
func TestArithmetic(t *testing.T) {
	for _, kernel := range runnable() {
		Arithmetic(kernel, 5*Block+3)
		Arithmetic64(kernel, 5*Block+3)
	}
}
