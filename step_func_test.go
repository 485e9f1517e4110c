package adam

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/fusedadam/adam/internal/operands"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Step makes the step of a State, in the caller's moments and with the caller's count.
func TestStepFunc(t *testing.T) {
	eachKernel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(8, 9))
		for _, variant := range operands.Variants {
			c := variant.Config
			if c.AMSGrad {
				continue
			}
			for _, from := range []uint64{0, 7, math.MaxUint64 - 3} {
				want := operands.New(r, 77, [5]int{}, operands.Normal)
				want.T = from
				got := want.Clone([5]int{5, 4, 3, 2, 1})
				for range 3 {
					got.T++
					require.NoError(t, Step(got.T, got.P, got.G, got.M, got.V, Config(c)))
					steps(t, want, c, 1)
					require.NoError(t, got.Difference(want), "%s, step %d", variant.Name, got.T)
					require.NoError(t, got.Intact())
				}
			}
		}
	})
}

// What Step refuses, it leaves as it was.
func TestStepFuncRefuses(t *testing.T) {
	amsgrad, bad := Default(), Default()
	amsgrad.AMSGrad, bad.Beta1 = true, 1
	for _, k := range []struct {
		t      uint64
		change func(o *operands.Operands)
		c      Config
		want   error
		words  string
	}{
		{0, nil, Default(), ErrSteps, "t = 0, want 1 for the first step"},
		{1, nil, amsgrad, ErrConfig, "use the Step of a State that has VMax"},
		{1, nil, bad, ErrConfig, "Beta1 = 1"},
		{1, nil, Config{}, ErrConfig, "zero value"},
		{1, func(o *operands.Operands) { o.V = o.V[:7] }, Default(), ErrLength,
			"p 20, g 20, M 20, V 7"},
		{1, func(o *operands.Operands) { o.M = o.V }, Default(), ErrOverlap, "M at"},
	} {
		o := normal(20)
		if k.change != nil {
			k.change(o)
		}
		var before [5][]uint64
		for i, b := range o.Blocks() {
			before[i] = operands.Bits(b)
		}
		err := Step(k.t, o.P, o.G, o.M, o.V, k.c)
		require.ErrorIs(t, err, k.want)
		assert.ErrorContains(t, err, k.words)
		for i, b := range o.Blocks() {
			assert.True(t, operands.Unchanged(b, before[i]), "%v: %s", err, operands.Names[i])
		}
	}
	assert.NoError(t, Step(1, nil, nil, nil, nil, Default()))
}

// Step64 makes the step of a State64, and refuses what Step refuses.
func TestStepFunc64(t *testing.T) {
	eachKernel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(8, 10))
		for _, variant := range operands.Variants64 {
			c := Config(variant.Config)
			want := operands.New(r, 77, [5]int{}, operands.Normal64)
			want.T = 7
			got := want.Clone([5]int{5, 4, 3, 2, 1})
			err := Step64(8, got.P, got.G, got.M, got.V, c)
			if c.AMSGrad {
				require.ErrorIs(t, err, ErrConfig)
				require.NoError(t, got.Difference(want), "nothing has changed")
				continue
			}
			require.NoError(t, err)
			got.T++
			steps64(t, want, variant.Config, 1)
			require.NoError(t, got.Difference(want), variant.Name)
			require.NoError(t, got.Intact())
			require.ErrorIs(t, Step64(0, got.P, got.G, got.M, got.V, c), ErrSteps)
			require.NoError(t, got.Difference(want), "nothing has changed")
		}
	})
}
