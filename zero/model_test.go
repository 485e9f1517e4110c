package zero

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/fusedadam/adam"
	"github.com/fusedadam/adam/internal/checkpoint"
	"github.com/stretchr/testify/require"
)

// A model is what tests train: all of it follows from the seed.
type model struct {
	seed    uint64
	sizes   []int // of tensors; odd ones of sizes64
	sizes64 []int
	model16
	config  adam.Config
	options adam.Options
	scale   float64
	leaves  int
	bucket  int
	without func(step, tensor int) bool // a gradient
	alter   func(step, leaf int, m *memory)
}

// memory is a model as one process has it.
type memory struct {
	groups []adam.Group
}

// names are not in the order of the tensors.
func name(i int) string { return fmt.Sprintf("t%d", i*7%11) }

// memory returns two groups. Every third tensor is in the second.
func (m *model) memory() *memory {
	other := m.config
	other.LR, other.WeightDecay = m.config.LR/2, 0
	g := []adam.Group{{Config: m.config}, {Config: other}}
	for i, n := range m.sizes {
		p := adam.Param{Name: name(i), Value: make([]float32, n), Grad: make([]float32, n)}
		fill(p.Value, m.seed, uint64(i))
		g[i%3/2].Params = append(g[i%3/2].Params, p)
	}
	for i, n := range m.sizes64 {
		p := adam.Param64{Name: "d" + name(i), Value: make([]float64, n), Grad: make([]float64, n)}
		fill(p.Value, m.seed, uint64(100+i))
		g[i%3/2].Params64 = append(g[i%3/2].Params64, p)
	}
	return &memory{m.params16(g)}
}

// fill draws numbers of some orders of magnitude.
func fill[F float](b []F, seeds ...uint64) {
	draw(b, func(x float64) F { return F(x) }, seeds...)
}

// draw is fill of any type.
func draw[E any](b []E, of func(float64) E, seeds ...uint64) {
	h := uint64(0)
	for _, s := range seeds {
		h = (h ^ s) * 0x9e3779b97f4a7c15
		h ^= h >> 29
	}
	r := rand.New(rand.NewPCG(h, 1))
	for i := range b {
		x := r.Uint64()
		b[i] = of(math.Ldexp(float64(int32(x>>32)), -31-int(x%8)))
	}
}

// backward makes the gradients those of a leaf.
func (m *model) backward(to *memory, step, leaf int) {
	i := 0
	for g := range to.groups {
		for j := range to.groups[g].Params {
			p := &to.groups[g].Params[j]
			p.Grad = gradient(m, p.Grad, len(p.Value), step, leaf, i)
			i++
		}
		for j := range to.groups[g].Params64 {
			p := &to.groups[g].Params64[j]
			p.Grad = gradient(m, p.Grad, len(p.Value), step, leaf, i)
			i++
		}
		for j := range to.groups[g].Params16 {
			m.gradient16(&to.groups[g].Params16[j], step, leaf, i)
			i++
		}
	}
	if m.alter != nil {
		m.alter(step, leaf, to)
	}
}

// gradient returns a gradient of n elements, in the memory of before where there is some, or nil.
func gradient[F float](m *model, before []F, n, step, leaf, tensor int) []F {
	return gradientOf(m, before, func(x float64) F { return F(x) }, n, step, leaf, tensor)
}

// gradientOf is gradient in any type.
func gradientOf[E any](m *model, before []E, of func(float64) E, n, step, leaf, tensor int) []E {
	if m.without != nil && m.without(step, tensor) {
		return nil
	}
	if before == nil {
		before = make([]E, n)
	}
	draw(before, of, m.seed, uint64(step), uint64(leaf), uint64(tensor))
	return before
}

// sum adds up the leaves from, …, to-1 by the tree, into the gradients of the memory.
func (m *model) sum(to *memory, step, from, until int) {
	if until-from == 1 {
		m.backward(to, step, from)
		to.widen()
		return
	}
	right := m.memory()
	m.sum(to, step, from, (from+until)/2)
	m.sum(right, step, (from+until)/2, until)
	for i := range to.groups {
		for j := range to.groups[i].Params {
			a, b := to.groups[i].Params[j].Grad, right.groups[i].Params[j].Grad
			for k := range a {
				a[k] += b[k]
			}
		}
		for j := range to.groups[i].Params64 {
			a, b := to.groups[i].Params64[j].Grad, right.groups[i].Params64[j].Grad
			for k := range a {
				a[k] += b[k]
			}
		}
		for j := range to.groups[i].Params16 {
			a, b := to.groups[i].Params16[j].Grad, right.groups[i].Params16[j].Grad
			for k := range a {
				a[k] += b[k]
			}
		}
	}
}

// A run is what a training has to show.
type run struct {
	stats  []adam.Stats
	values []byte
}

// result is what is to have the same bits.
func (m *memory) result(stats []adam.Stats) run {
	r := run{stats: stats}
	for _, g := range m.groups {
		for _, p := range g.Params {
			r.values = append(r.values, checkpoint.Memory(p.Value)...)
		}
		for _, p := range g.Params64 {
			r.values = append(r.values, checkpoint.Memory(p.Value)...)
		}
		for _, p := range g.Params16 {
			r.values = append(r.values, checkpoint.Memory(p.Value)...)
			r.values = append(r.values, checkpoint.Memory(p.BF16)...)
			r.values = append(r.values, checkpoint.Memory(p.F16)...)
		}
	}
	return r
}

// alone trains in one process.
func (m *model) alone(t *testing.T, steps int) run {
	t.Helper()
	to := m.memory()
	o, err := adam.New(m.options, to.groups...)
	require.NoError(t, err)
	defer o.Close()
	to.groups = o.Groups
	var stats []adam.Stats
	for step := range steps {
		m.sum(to, step, 0, m.leaves)
		o.GradScale = m.scale
		s, err := o.Step()
		require.NoError(t, err)
		stats = append(stats, s)
	}
	return to.result(stats)
}

// new returns the optimizer of a rank.
func (m *model) new(t *testing.T, c *comm) (*Optimizer, *memory) {
	t.Helper()
	to := m.memory()
	z, err := New(c, Options{Options: m.options, Leaves: m.leaves, Bucket: m.bucket}, to.groups...)
	require.NoError(t, err)
	z.GradScale = m.scale
	to.groups = z.Groups
	return z, to
}

// leaves adds the leaves of a rank.
func (m *model) add(t *testing.T, z *Optimizer, to *memory, step int) {
	t.Helper()
	from, until := z.Leaves()
	for leaf := from; leaf < until; leaf++ {
		m.backward(to, step, leaf)
		require.NoError(t, z.Add())
	}
}

// sharded trains with so many ranks, and returns what each of them has.
func (m *model) sharded(t *testing.T, ranks, steps int) []run {
	t.Helper()
	runs := make([]run, ranks)
	together(t, ranks, func(c *comm) {
		z, to := m.new(t, c)
		defer z.Close()
		var stats []adam.Stats
		for step := range steps {
			m.add(t, z, to, step)
			s, err := z.Step()
			require.NoError(t, err)
			stats = append(stats, s)
		}
		runs[c.rank] = to.result(slices.Clone(stats))
	})
	return runs
}
