package zero

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/fusedadam/adam"
	"github.com/stretchr/testify/require"
)

// random draws a model of at most 150 thousand elements, a number of ranks and one to go on with.
func random(seed uint64) (m model, ranks, others int) {
	r := rand.New(rand.NewPCG(seed, 2))
	size := func() int {
		switch r.IntN(4) {
		case 0:
			return r.IntN(40)
		case 1:
			return adam.Tile * r.IntN(3)
		default:
			return r.IntN(3 * adam.Tile)
		}
	}
	m = model{seed: seed, config: adam.DefaultW(), scale: 1}
	for range r.IntN(4) {
		m.sizes = append(m.sizes, size())
	}
	for range r.IntN(3) {
		m.sizes64 = append(m.sizes64, size())
	}
	m.leaves = 1 << r.IntN(5)
	ranks, others = 1+r.IntN(m.leaves), 1+r.IntN(m.leaves)
	m.bucket = []int{0, 1, adam.Tile, 1 + r.IntN(5*adam.Tile)}[r.IntN(4)]
	c, o := &m.config, &m.options
	c.Decoupled, c.AMSGrad, c.Maximize = r.IntN(2) == 0, r.IntN(2) == 0, r.IntN(4) == 0
	c.EpsUncorrected = r.IntN(4) == 0
	o.Workers, o.SaveParams = 1+r.IntN(2), true
	switch r.IntN(4) {
	case 0:
		o.MaxNorm = r.Float64()
	case 1:
		o.MaxValue = r.Float64()
	}
	o.SkipNonFinite, o.ZeroGrad = r.IntN(2) == 0, r.IntN(2) == 0
	if r.IntN(2) == 0 {
		o.EMADecay = r.Float64()
	}
	if r.IntN(2) == 0 {
		m.scale = float64(m.leaves)
	}
	if none := r.Uint64() & r.Uint64(); r.IntN(2) == 0 {
		m.without = func(step, tensor int) bool { return none>>(8*step+tensor)&1 == 1 }
	}
	return m, ranks, others
}

// Random models, options and numbers of ranks: two steps, a checkpoint, and another two by another
// number of ranks have the bits of one process.
func FuzzSameBits(f *testing.F) {
	for seed := range uint64(40) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		m, ranks, others := random(seed)
		want, file := m.alone(t, 4), m.saved(t, 2)
		path := filepath.Join(t.TempDir(), "checkpoint")
		for _, half := range []struct{ ranks, from int }{{ranks, 0}, {others, 2}} {
			together(t, half.ranks, func(c *comm) {
				z, to := m.new(t, c)
				defer z.Close()
				if half.from > 0 {
					require.NoError(t, z.LoadFile(path))
				}
				z.Metadata = map[string]string{"epoch": "3"}
				var stats []adam.Stats
				for step := half.from; step < half.from+2; step++ {
					m.add(t, z, to, step)
					s, err := z.Step()
					require.NoError(t, err)
					stats = append(stats, s)
				}
				got := to.result(stats)
				require.Equal(t, fmt.Sprint(want.stats[half.from:][:2]), fmt.Sprint(got.stats))
				if half.from > 0 {
					require.True(t, bytes.Equal(want.values, got.values))
				} else {
					require.NoError(t, z.SaveFile(path))
				}
			})
			if half.from == 0 {
				got, err := os.ReadFile(path)
				require.NoError(t, err)
				require.True(t, bytes.Equal(file, got))
			}
		}
	})
}
