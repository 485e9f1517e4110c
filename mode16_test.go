//go:build gc && (amd64 || arm64 || (riscv64 && linux && go1.26)) && !purego && !noasm

package adam

import (
	"math/rand/v2"
	"testing"

	"github.com/fusedadam/adam/internal/operands"
	"github.com/stretchr/testify/require"
)

// Codecs have the same bits in each mode and leave it as it was.
func TestModeOfCodecs(t *testing.T) {
	const n = 16 * block16
	eachMode(t, func(t *testing.T, m floatModeCase) {
		r := rand.New(rand.NewPCG(5, 9))
		for _, c := range codecTests {
			w := words{r.Uint32(), r.Uint32()}
			want := c.draw(r, n, func(_, bytes int) []byte {
				return append(make([]byte, 0, 64+bytes), make([]byte, bytes)...)
			})
			var got [][]byte
			for _, s := range want {
				got = append(got, append(make([]byte, 0, 64+len(s)), s...))
			}
			c.run(want, w)
			left := in(m.register, func() { c.run(got, w) })
			require.Equal(t, m.register, left, "%s, %s: the mode left", c.name, m.words)
			for i, s := range c.streams {
				require.Negative(t, s.differ(got[i], want[i]), "%s, %s: stream %d", c.name,
					m.words, i)
			}
		}
	})
}

// Fused steps too.
func TestModeOfFused(t *testing.T) {
	const n = 4 * block16
	config := DefaultW()
	config.LR, config.Eps = 0.1, 1e-30
	var c coeffs
	c.set(&config, 7, 0.7)
	eachMode(t, func(t *testing.T, m floatModeCase) {
		r := rand.New(rand.NewPCG(6, 9))
		for _, f := range fusions {
			zero := func() int { return 0 }
			want := newFusionOperands(f.fusion, n, zero)
			want.draw(r, func() operands.Kind { return operands.Kinds[r.IntN(len(operands.Kinds))] })
			got := want.clone(f.fusion, n, zero)
			w := words{r.Uint32(), r.Uint32()}
			a, b := want.p.operands(&want.s, 0, w), got.p.operands(&got.s, 0, w)
			if !c.stepFused(f.fusion, &a, n) {
				continue
			}
			left := in(m.register, func() { c.stepFused(f.fusion, &b, n) })
			require.Equal(t, m.register, left, "%s, %s: the mode left", f.name, m.words)
			require.NoError(t, got.difference(want), "%s, %s", f.name, m.words)
		}
	})
}
