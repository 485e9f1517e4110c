//go:build gc && (amd64 || arm64 || (riscv64 && linux && go1.26)) && !purego && !noasm

package adam

import (
	"math/rand/v2"
	"testing"

	"github.com/fusedadam/adam/internal/selection"
	"github.com/stretchr/testify/require"
)

// The codecs have their bits in every floating-point mode of the thread, and leave it as it was.
func TestModeOfCodecs(t *testing.T) {
	eachMode(t, func(t *testing.T, m floatModeCase) {
		r := rand.New(rand.NewPCG(1, 2))
		for _, c := range codecTests {
			usual := c.run
			c.run = func(s [][]byte, w words) {
				if Kernel() == selection.Generic {
					usual(s, w)
					return
				}
				left := in(m.register, func() { usual(s, w) })
				require.Equal(t, m.register, left, "%s: the mode left", c.name)
			}
			for _, n := range []int{1, 64, 300} {
				c.check(t, r, n, func(int) int { return 0 })
			}
		}
	})
}

// So does a step with 16 or 8 bits, fused or not.
func TestModeOfStep16(t *testing.T) {
	eachMode(t, func(t *testing.T, m floatModeCase) {
		r := rand.New(rand.NewPCG(3, 4))
		value := func(r *rand.Rand) float32 { return tiny(r, 1)[0] }
		for i, c := range combinations() {
			config := c.configs()[i%len(c.configs())]
			p := c.param(r, 200, value)
			c.draw(r, &p, value)
			s := c.state(r, p, config, value)
			want, wantState := clone(p, s)
			require.NoError(t, wantState.Step(want, config))
			left := in(m.register, func() { _ = s.Step(p, config) })
			require.Equal(t, m.register, left, "%v, %s: the mode left", c, m.words)
			require.Empty(t, difference(p, want, s, wantState), "%v, %s", c, m.words)
		}
	})
}
