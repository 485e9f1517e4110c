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
	})
}
