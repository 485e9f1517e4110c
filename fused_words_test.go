package adam

import (
	"testing"

	"github.com/fusedadam/adam/internal/selection"
	"github.com/stretchr/testify/assert"
)

// The words of each fusion are there if and only if the kernel in use makes that step.
func TestFusedWords(t *testing.T) {
	eachKernel(t, func(t *testing.T) {
		var c coeffs
		config := DefaultW()
		c.set(&config, 1, 1)
		var want []string
		for _, f := range fusions {
			o := newFusionOperands(f.fusion, block16, func() int { return 0 })
			if a := o.p.operands(&o.s, 0, words{}); c.stepFused(f.fusion, &a, block16) {
				want = append(want, fusedWords[f.fusion])
			}
		}
		assert.Equal(t, want, selection.Fused())
		if Kernel() == selection.Generic {
			assert.Empty(t, want)
		}
	})
	assert.Len(t, fusedWords, len(fusions)+1)
	assert.NotContains(t, fusedWords[1:], "")
}
