package golden

import (
	"math"
	"math/big"
	"testing"

	"github.com/fusedadam/adam/internal/operands"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A distance is that from the exact value, not from the float64 beside it.
func TestValue(t *testing.T) {
	third := over(wide(1), wide(3))
	assert.InEpsilon(t, 0x1p-54/3, -ValueOf(third).Off(1.0/3), 1e-15) // 1/3 is rounded down
	assert.Zero(t, ValueOf(wide(0.1)).Off(0.1))
	assert.Equal(t, -0x1p-80, ValueOf(plus(wide(1), wide(0x1p-80))).Off(1))
}

// Both replays make the same steps, of the trajectories of float32: they are two programs.
func TestReplaysAgree(t *testing.T) {
	cases, err := Cases()
	require.NoError(t, err)
	worst, values := 0.0, 0
	for _, c := range cases {
		for _, x := range c.tensors {
			if x.exact == nil || c.Steps > 50 {
				continue
			}
			e := NewExact64(widen(x.start.p), &operands.StateOf[float64]{T: x.start.t,
				M: widen(x.start.m), V: widen(x.start.v), VMax: widen(x.start.vmax)})
			for k := 1; k <= c.Steps; k++ {
				config := x.config(k)
				if g := x.gradient(k, nil); g != nil {
					e.Step(widen(g), config)
				}
				for i := range x.snapshots[k].p {
					narrow := x.exact[k][Given][i].Near
					if e.lost[i] || !finite(narrow) {
						continue
					}
					values++
					size := max(math.Abs(narrow), config.LR)
					if size > 0 {
						worst = max(worst, math.Abs(e.At(i).Off(narrow))/size)
					}
				}
			}
		}
	}
	t.Logf("%d parameters, at most %.2g of max(|p|, LR) apart", values, worst)
	assert.Greater(t, values, 20000)
	assert.Less(t, worst, 1e-12)
}

// An element whose step is not defined is lost, and the others go on.
func TestExact64Loses(t *testing.T) {
	zeros := func() []float64 { return make([]float64, 4) }
	e := NewExact64(zeros(), &operands.StateOf[float64]{M: zeros(), V: zeros(), VMax: zeros()})
	c := operands.Config{LR: 1, Beta1: 0.5, Beta2: 0.5}
	e.Step([]float64{math.NaN(), 0, math.Inf(1), 2}, c) // 0: with Eps 0, 0/0
	e.Step([]float64{1, 1, 1, 2}, c)
	for i := range 3 {
		assert.True(t, math.IsNaN(e.At(i).Near), "element %d", i)
	}
	assert.Equal(t, Value{-2, 0}, e.At(3))
	assert.Zero(t, e.P[0].Cmp(new(big.Float)), "a lost element stays where it was")
}
