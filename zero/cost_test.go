package zero

import (
	"math/bits"
	"runtime"
	"testing"

	"github.com/fusedadam/adam"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A step sends 2(N-1)/N of the parameters' bytes, where N is a power of two, and at most 2 % more.
func TestSent(t *testing.T) {
	m := ordinary()
	m.sizes, m.sizes64 = []int{100 * adam.Tile, 700, 31*adam.Tile + 9, 800, 40000, 3}, []int{12345}
	m.options.MaxNorm, m.bucket = 1, 40*adam.Tile
	total := 0
	for _, n := range m.sizes {
		total += 4 * n
	}
	for _, n := range m.sizes64 {
		total += 8 * n
	}
	for _, ranks := range []int{1, 2, 4, 8} {
		w := together(t, ranks, func(c *comm) {
			z, to := m.new(t, c)
			defer z.Close()
			m.add(t, z, to, 0)
			_, err := z.Step()
			require.NoError(t, err)
		})
		for _, c := range w.ranks {
			least := 2 * float64(ranks-1) / float64(ranks) * float64(total)
			assert.LessOrEqual(t, float64(c.sent), 1.02*least, "rank %d of %d", c.rank, ranks)
		}
	}
}

// The memory that a rank keeps: sums of its leaves, and what it receives of two buckets. Steps
// after the first allocate nothing that depends on the size of the model.
func TestMemory(t *testing.T) {
	m := ordinary()
	m.sizes, m.sizes64 = []int{60 * adam.Tile, 1, 20*adam.Tile + 1}, []int{9 * adam.Tile}
	m.options.MaxNorm, m.options.EMADecay, m.bucket = 1, 0.5, 16*adam.Tile
	m.model16 = storages()["no master"]
	for _, leaves := range []int{8, 16} {
		for _, ranks := range []int{1, 2, 3, 8} {
			m.leaves = leaves
			together(t, ranks, func(c *comm) {
				z, _ := m.new(t, c)
				defer z.Close()
				kept := 0
				for _, slot := range z.slots {
					for _, b := range slot {
						kept += len(b)
					}
				}
				from, to := z.Leaves()
				most := bits.Len(uint(to-from)) - 1 // powers of two: log2
				if leaves%ranks != 0 {
					most = 2 * bits.Len(uint(to-from))
				}
				assert.LessOrEqual(t, kept, most*z.total, "rank %d of %d", c.rank, ranks)
				if leaves == ranks {
					assert.Zero(t, kept)
				}
				foreign := 0
				for r, nodes := range z.nodes {
					if r != c.rank {
						foreign += len(nodes)
					}
				}
				share := 4*m.bucket/ranks + 4*8*adam.Tile // and the rounding to whole tiles
				assert.LessOrEqual(t, len(z.room[0])+len(z.room[1]), 2*foreign*share)
			})
		}
	}
	m.leaves = 4
	w := newWorld(1)
	z, to := m.new(t, w.ranks[0])
	defer z.Close()
	step := func() {
		for leaf := range m.leaves {
			m.backward(to, 0, leaf)
			require.NoError(t, z.Add())
		}
		_, err := z.Step()
		require.NoError(t, err)
	}
	step()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range 10 {
		step()
	}
	runtime.ReadMemStats(&after)
	assert.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(10*16<<10), "of %d bytes", z.total)
}

// Messages are split where they are too large for an engine.
func TestMessages(t *testing.T) {
	m := ordinary()
	want := m.alone(t, 1)
	together(t, 3, func(c *comm) {
		z, to := m.new(t, c)
		defer z.Close()
		assert.Equal(t, 1<<30, z.message)
		z.message = 1000
		m.add(t, z, to, 0)
		_, err := z.Step()
		require.NoError(t, err)
		assert.Equal(t, want.values, to.result(nil).values)
	})
}

// What ZeroGrad promises of all gradients, those that others own, too.
func TestZeroGrad(t *testing.T) {
	m := ordinary()
	m.options.ZeroGrad, m.model16 = true, storages()["no master"]
	together(t, 3, func(c *comm) {
		z, to := m.new(t, c)
		defer z.Close()
		from, until := z.Leaves()
		for leaf := from; leaf < until; leaf++ {
			m.backward(to, 0, leaf)
			require.NoError(t, z.Add())
			if leaf < until-1 {
				assertZero(t, to)
			}
		}
		_, err := z.Step()
		require.NoError(t, err)
		assertZero(t, to)
	})
}

func assertZero(t *testing.T, m *memory) {
	t.Helper()
	for _, g := range m.groups {
		for _, p := range g.Params {
			assert.Equal(t, make([]float32, len(p.Grad)), p.Grad)
		}
		for _, p := range g.Params64 {
			assert.Equal(t, make([]float64, len(p.Grad)), p.Grad)
		}
		for _, p := range g.Params16 {
			assert.Equal(t, make([]adam.BF16, len(p.GradBF16)), p.GradBF16)
		}
	}
}
