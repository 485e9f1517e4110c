package adam

import (
	"math"
	"strings"
	"testing"

	"github.com/fusedadam/adam/internal/golden"
	"github.com/fusedadam/adam/internal/operands"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Every trajectory of real PyTorch, on every kernel: parameters within golden.Bound and not much
// further from exact arithmetic than torch's, the moments of torch without FMA to the bit.
func TestPyTorchTrajectories(t *testing.T) {
	cases, err := golden.Cases()
	require.NoError(t, err)
	eachKernel(t, func(t *testing.T) {
		var total golden.Result
		var ratio [2]float64
		compared := 0 // with exact arithmetic
		for _, c := range cases {
			r, err := c.Check(makeStep)
			assert.NoError(t, err)
			total.Values += r.Values
			total.Exact += r.Exact
			total.MaxError = max(total.MaxError, r.MaxError)
			compared += r.Errors[golden.Given].N
			for i := range ratio {
				if ours, torch := r.Errors[i].RMS(); ours > golden.Floor {
					ratio[i] = max(ratio[i], ours/torch)
				}
			}
		}
		assert.Len(t, cases, 123) // what the archive holds
		assert.Equal(t, 42265, total.Values)
		assert.Equal(t, 18070, total.Exact)
		assert.Equal(t, 41341, compared)
		t.Logf("%d trajectories, %d parameters within %.2g of max(|p|, LR), "+
			"%d moments to the bit; at most %.2f times as far from exact arithmetic as torch",
			len(cases), total.Values, total.MaxError, total.Exact, ratio)
	})
}

// The comparison with exact arithmetic sees a step that truncates its parameters instead of
// rounding them: half a unit in the last place on average, here one unit in every second step.
func TestPyTorchTruncated(t *testing.T) {
	cases, err := golden.Cases()
	require.NoError(t, err)
	seen := 0
	for _, c := range cases {
		_, err := c.Check(func(s *operands.State, p, g []float32, c operands.Config) error {
			err := makeStep(s, p, g, c)
			for i, x := range p {
				if s.T%2 == 0 && x == x {
					p[i] = math.Nextafter32(x, 0)
				}
			}
			return err
		})
		if err != nil && strings.Contains(err.Error(), "times as far") {
			seen++
		}
	}
	t.Logf("%d trajectories are further from exact arithmetic", seen)
	assert.Greater(t, seen, len(cases)/2)
}
