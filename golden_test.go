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
	trajectories(t, cases, makeStep, golden.Floor, counts{123, 42265, 18070, 41341})
}

// The same of float64, within golden.Bound64.
func TestPyTorchTrajectories64(t *testing.T) {
	cases, err := golden.Cases64()
	require.NoError(t, err)
	trajectories(t, cases, makeStep64, golden.Floor64, counts{82, 9186, 8150, 8330})
}

// counts are what an archive holds: cases, parameters, moments compared to the bit, and parameters
// compared with exact ones.
type counts struct{ cases, values, exact, compared int }

func trajectories[F operands.Float](t *testing.T, cases []golden.Case[F], step operands.StepOf[F],
	floor float64, want counts) {
	eachKernel(t, func(t *testing.T) {
		got, worst := counts{cases: len(cases)}, 0.0
		var ratio [2]float64
		for _, c := range cases {
			r, err := c.Check(step)
			assert.NoError(t, err)
			got.values += r.Values
			got.exact += r.Exact
			got.compared += r.Errors[golden.Given].N
			worst = max(worst, r.MaxError)
			for i := range ratio {
				if ours, torch := r.Errors[i].RMS(); ours > floor {
					ratio[i] = max(ratio[i], ours/torch)
				}
			}
		}
		assert.Equal(t, want, got)
		t.Logf("%+v: parameters within %.2g of max(|p|, LR); at most %.2f times as far from exact "+
			"arithmetic as torch", got, worst, ratio)
	})
}

// The comparison with exact arithmetic sees a step that truncates its parameters instead of
// rounding them: half a unit in the last place on average, here one unit in every second step.
func TestPyTorchTruncated(t *testing.T) {
	cases, err := golden.Cases()
	require.NoError(t, err)
	truncated(t, cases, makeStep, func(x float32) float32 { return math.Nextafter32(x, 0) }, 62)
}

// The same of float64, where it is seen less often: torch takes rounded powers from 1, and is
// further from exact arithmetic in the first steps.
func TestPyTorchTruncated64(t *testing.T) {
	cases, err := golden.Cases64()
	require.NoError(t, err)
	truncated(t, cases, makeStep64, func(x float64) float64 { return math.Nextafter(x, 0) }, 20)
}

func truncated[F operands.Float](t *testing.T, cases []golden.Case[F], step operands.StepOf[F],
	next func(F) F, least int) {
	seen := 0
	for _, c := range cases {
		_, err := c.Check(func(s *operands.StateOf[F], p, g []F, c operands.Config) error {
			err := step(s, p, g, c)
			for i, x := range p {
				if s.T%2 == 0 && x == x {
					p[i] = next(x)
				}
			}
			return err
		})
		if err != nil && strings.Contains(err.Error(), "times as far") {
			seen++
		}
	}
	t.Logf("%d trajectories are further from exact arithmetic", seen)
	assert.GreaterOrEqual(t, seen, least)
}
