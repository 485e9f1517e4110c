//go:build !race

package adam

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

// The caller's own arrays stay on its stack. (What the race detector is told of escapes.)
func TestStepOnLocalArrays(t *testing.T) {
	c := Default()
	eachKernel(t, func(t *testing.T) {
		assert.Zero(t, testing.AllocsPerRun(100, func() {
			var p, g, m, v [16]float32
			s := State{M: m[:], V: v[:]}
			if s.Step(p[:], g[:], c) != nil || Step(s.T+1, p[:], g[:], m[:], v[:], c) != nil {
				t.Fail()
			}
		}))
		assert.Zero(t, testing.AllocsPerRun(100, func() {
			var p, g, m, v [16]float64
			s := State64{M: m[:], V: v[:]}
			if s.Step(p[:], g[:], c) != nil || Step64(s.T+1, p[:], g[:], m[:], v[:], c) != nil {
				t.Fail()
			}
		}))
		assert.Zero(t, testing.AllocsPerRun(100, func() {
			var a, b [77]float32
			var a64, b64 [77]float64
			if Accumulate(a[:], b[:]) != nil || Accumulate64(a64[:], b64[:]) != nil {
				t.Fail()
			}
		}))
	})
}

// So do those of a step of rows. Rows in ascending order allocate nothing, others not in every
// step.
func TestStepRowsOnLocalArrays(t *testing.T) {
	eachKernel(t, func(t *testing.T) {
		for _, c := range []Config{Default(), {WeightDecay: 1, AMSGrad: true}} {
			for _, rows := range [][3]int32{{0, 1, 5}, {2, 7, 15}, {15, 3, 4}} {
				assert.Zero(t, testing.AllocsPerRun(100, func() {
					var p, m, v, x [64]float32
					var g [12]float32
					rows := rows
					s := State{M: m[:], V: v[:], VMax: x[:]}
					if s.StepRows(p[:], 4, rows[:], g[:], c) != nil {
						t.Fail()
					}
				}), "%v", rows)
			}
		}
	})
}
