package zero

import (
	"bytes"
	"fmt"
	"math"
	"testing"

	"github.com/fusedadam/adam"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func ordinary() model {
	return model{
		seed:    1,
		sizes:   []int{1, 3*adam.Tile + 5, 7, adam.Tile, 20000, 2 * adam.Tile, adam.Tile + 1},
		sizes64: []int{5, 2*adam.Tile + 4097, adam.Tile - 1},
		config:  adam.DefaultW(),
		options: adam.Options{Workers: 1},
		scale:   1,
		leaves:  8,
		bucket:  3 * adam.Tile,
	}
}

// variants are models with all options.
func variants() map[string]model {
	list := map[string]model{}
	add := func(name string, f func(m *model)) {
		m := ordinary()
		f(&m)
		list[name] = m
	}
	add("plain", func(m *model) {})
	add("norm", func(m *model) { m.options.MaxNorm, m.scale = 0.5, 8 })
	add("infinite", func(m *model) { m.options.MaxNorm = math.Inf(1) })
	add("value", func(m *model) { m.options.MaxValue, m.options.ZeroGrad = 0.25, true })
	add("average", func(m *model) { m.options.EMADecay, m.options.ZeroGrad = 0.9, true })
	add("amsgrad", func(m *model) { m.config.AMSGrad, m.config.Decoupled = true, false })
	add("workers", func(m *model) { m.options.Workers, m.options.MaxNorm = 3, 1 })
	add("one bucket", func(m *model) { m.bucket, m.options.MaxNorm = 0, 1 })
	add("small buckets", func(m *model) { m.bucket, m.options.MaxNorm = 1, 1 })
	add("some without", func(m *model) {
		m.options.MaxNorm = 1
		m.without = func(step, tensor int) bool { return (step+tensor)%3 == 0 }
	})
	add("none", func(m *model) {
		m.options.MaxNorm, m.options.EMADecay = 1, 0.5
		m.without = func(step, tensor int) bool { return step == 1 }
	})
	add("skipped", func(m *model) {
		m.options.SkipNonFinite, m.options.ZeroGrad = true, true
		m.alter = func(step, leaf int, to *memory) {
			if step == 1 && leaf == 5 {
				to.groups[1].Params[0].Grad[3] = float32(math.NaN())
				to.groups[0].Params64[1].Grad[adam.Tile] = math.Inf(-1)
			}
		}
	})
	add("not finite", func(m *model) {
		m.options.MaxNorm = 1
		m.alter = func(step, leaf int, to *memory) {
			if step == 2 && leaf == 0 {
				to.groups[0].Params[3].Grad[9000] = float32(math.Inf(1))
			}
		}
	})
	for name, s := range storages() {
		add(name, func(m *model) {
			m.sizes, m.sizes64, m.model16 = m.sizes[:3], m.sizes64[:1], s
			m.options.MaxNorm, m.options.EMADecay, m.options.ZeroGrad = 1, 0.9, true
			m.options.Seed = 7
		})
	}
	add("skipped copies", func(m *model) {
		m.sizes64, m.model16 = nil, storages()["bfloat16 copies"]
		m.options.SkipNonFinite = true
		m.without = func(step, tensor int) bool { return tensor == 9 || step > 0 && tensor%2 == 0 }
		m.alter = func(step, leaf int, to *memory) {
			if step == 0 && leaf == 1 {
				to.groups[2].Params16[0].GradBF16[0] = 0x7f80
			}
		}
	})
	add("copies of NaN", func(m *model) {
		m.sizes64, m.model16 = nil, storages()["bfloat16 copies"]
		m.alter = func(step, leaf int, to *memory) {
			if leaf == 2 {
				to.groups[2].Params16[1].GradBF16[adam.Tile+7] = 0xffc1
			}
		}
	})
	add("large squares", func(m *model) {
		m.options.MaxNorm, m.options.SkipNonFinite = 1, true
		m.alter = func(step, leaf int, to *memory) { to.groups[0].Params64[0].Grad[1] = 1e200 }
	})
	return list
}

// Any number of ranks has the bits of one optimizer that is given the sum.
func TestSameBits(t *testing.T) {
	counts := []int{1, 2, 3, 4, 5, 7, 8}
	if testing.Short() {
		counts = []int{1, 3, 8}
	}
	for name, m := range variants() {
		want := m.alone(t, 3)
		for _, ranks := range counts {
			for r, got := range m.sharded(t, ranks, 3) {
				what := fmt.Sprintf("%s, rank %d of %d", name, r, ranks)
				require.Equal(t, fmt.Sprint(want.stats), fmt.Sprint(got.stats), what)
				require.True(t, bytes.Equal(want.values, got.values), what)
			}
		}
	}
}

// The trees of 1 to 16 ranks: sums of numbers of which each order of additions has its own.
func TestLeaves(t *testing.T) {
	for _, leaves := range []int{1, 2, 4, 16, 32} {
		m := ordinary()
		m.sizes, m.sizes64, m.leaves = []int{20, adam.Tile + 1}, []int{3}, leaves
		want := m.alone(t, 2)
		for ranks := 1; ranks <= min(16, leaves); ranks++ {
			next := 0
			for r := range ranks {
				z, err := New(&comm{world: newWorld(ranks), rank: r}, Options{Leaves: leaves})
				require.NoError(t, err)
				from, to := z.Leaves()
				require.Equal(t, next, from)
				require.InDelta(t, leaves/ranks, to-from, 1)
				next = to
			}
			require.Equal(t, leaves, next)
			for _, got := range m.sharded(t, ranks, 2) {
				assert.True(t, bytes.Equal(want.values, got.values), "%d of %d", ranks, leaves)
			}
		}
	}
}
