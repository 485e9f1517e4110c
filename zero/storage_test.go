package zero

import (
	"bytes"
	"os"
	"testing"

	"github.com/fusedadam/adam"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A model16 is the tensors of 16 and 8 bits of a model.
type model16 struct {
	sizes16    []int
	storage    adam.Storage
	value      bool   // float32 parameters
	copy, grad string // "BF16", "F16" or ""
}

// storages are those that take different ways through the package.
func storages() map[string]model16 {
	sizes := []int{65, 2*adam.Tile + 77, 1, 5 * adam.Tile, adam.Tile + 64}
	type s = adam.Storage
	none16 := s{Moments: adam.BF16Moments, Master: adam.NoMaster}
	none8 := s{Moments: adam.Q8Moments, Master: adam.NoMaster}
	return map[string]model16{
		"split, bfloat16":    {sizes, s{Moments: adam.BF16Moments}, false, "", "BF16"},
		"no master":          {sizes, none16, false, "", "BF16"},
		"float32, q8":        {sizes, s{Moments: adam.Q8Moments}, true, "", "BF16"},
		"bfloat16 copies":    {sizes, s{}, true, "BF16", "BF16"},
		"binary16 copies":    {sizes, s{Moments: adam.Q8Moments}, true, "F16", "F16"},
		"float32 gradients":  {sizes, s{Moments: adam.Q8Moments}, false, "", ""},
		"split, float32":     {sizes, s{}, false, "", "F16"},
		"no master, q8, F16": {sizes, none8, false, "", "F16"},
	}
}

// params16 adds a group of the tensors of 16 bits.
func (m *model) params16(groups []adam.Group) []adam.Group {
	if m.sizes16 == nil {
		return groups
	}
	g := adam.Group{Config: m.config, Storage: m.storage}
	for i, n := range m.sizes16 {
		p := adam.Param16{Name: "h" + name(i)}
		value := make([]float32, n)
		fill(value, m.seed, uint64(200+i))
		if m.value {
			p.Value = value
		} else {
			p.BF16 = rounded(value, adam.ToBF16)
		}
		switch m.copy {
		case "BF16":
			p.BF16 = make([]adam.BF16, n)
		case "F16":
			p.F16 = make([]adam.F16, n)
		}
		switch m.grad {
		case "BF16":
			p.GradBF16 = make([]adam.BF16, n)
		case "F16":
			p.GradF16 = make([]adam.F16, n)
		default:
			p.Grad = make([]float32, n)
		}
		g.Params16 = append(g.Params16, p)
	}
	return append(groups, g)
}

func rounded[F, E any](from []F, round func(F) E) []E {
	to := make([]E, len(from))
	for i, x := range from {
		to[i] = round(x)
	}
	return to
}

// gradient16 makes the gradient of a leaf, in 16 bits if p has such a one.
func (m *model) gradient16(p *adam.Param16, step, leaf, tensor int) {
	n := max(len(p.Value), len(p.BF16))
	switch m.grad {
	case "BF16":
		of := func(x float64) adam.BF16 { return adam.ToBF16(float32(x)) }
		p.GradBF16, p.Grad = gradientOf(m, p.GradBF16, of, n, step, leaf, tensor), nil
	case "F16":
		of := func(x float64) adam.F16 { return adam.ToF16(float32(x)) }
		p.GradF16, p.Grad = gradientOf(m, p.GradF16, of, n, step, leaf, tensor), nil
	default:
		p.Grad = gradient(m, p.Grad, n, step, leaf, tensor)
	}
}

// widen makes the gradients of 16 bits ones of float32.
func (m *memory) widen() {
	for i := range m.groups {
		for j := range m.groups[i].Params16 {
			p := &m.groups[i].Params16[j]
			switch {
			case p.GradBF16 != nil:
				p.Grad = rounded(p.GradBF16, adam.BF16.Float32)
			case p.GradF16 != nil:
				p.Grad = rounded(p.GradF16, adam.F16.Float32)
			}
			p.GradBF16, p.GradF16 = nil, nil
		}
	}
}

// What a rank gives alone is what one optimizer does with the same gradients of 16 bits.
func TestStorageAlone(t *testing.T) {
	for name, s := range storages() {
		m := ordinary()
		m.sizes, m.sizes64, m.model16, m.leaves = nil, nil, s, 1
		to := m.memory()
		o, err := adam.New(m.options, to.groups...)
		require.NoError(t, err)
		to.groups = o.Groups
		for step := range 3 {
			m.backward(to, step, 0)
			_, err := o.Step()
			require.NoError(t, err)
		}
		require.NoError(t, o.Close())
		want := to.result(nil)
		assert.True(t, bytes.Equal(want.values, m.sharded(t, 1, 3)[0].values), name)
	}
}

// Parameters of bfloat16 are sent as such, and gradients in float32.
func TestSent16(t *testing.T) {
	for name, bytes := range map[string]int{"no master": 4 + 2, "split, bfloat16": 4 + 2,
		"bfloat16 copies": 4 + 4} {
		m := ordinary()
		m.sizes, m.sizes64, m.model16 = nil, nil, storages()[name]
		m.sizes16 = []int{100 * adam.Tile, 31*adam.Tile + 9}
		for _, ranks := range []int{2, 4, 8} {
			w := together(t, ranks, func(c *comm) {
				z, to := m.new(t, c)
				defer z.Close()
				m.add(t, z, to, 0)
				_, err := z.Step()
				require.NoError(t, err)
			})
			sent, least := 0, (ranks-1)*bytes*(131*adam.Tile+9)
			for _, c := range w.ranks {
				sent += c.sent
			}
			assert.GreaterOrEqual(t, sent, least)
			assert.Less(t, float64(sent), 1.01*float64(least), "%s, %d ranks", name, ranks)
		}
	}
}

// Combinations that cannot be are errors of New, Add and Step; nothing has changed.
func TestStorageErrors(t *testing.T) {
	n := 3
	f, b, h := make([]float32, n), make([]adam.BF16, n), make([]adam.F16, n)
	type p = adam.Param16
	for _, c := range []struct {
		text string
		is   error
		p    p
	}{
		{`"h": F16 is a copy of Value, which is nil`, adam.ErrParams, p{BF16: b, F16: h}},
		{"BF16 and F16 are both copies", adam.ErrParams, p{Value: f, BF16: b, F16: h}},
		{"give one gradient", adam.ErrParams, p{BF16: b, Grad: f, GradF16: h}},
		{"give one gradient", adam.ErrParams, p{BF16: b, GradBF16: b[:1], GradF16: h}},
		{"parameters 3, gradient 2, copy -1", adam.ErrLength, p{Value: f, GradBF16: b[:2]}},
		{"parameters 3, gradient -1, copy 1", adam.ErrLength, p{Value: f, F16: h[:1]}},
		{"slices overlap: ", adam.ErrOverlap, p{BF16: b, GradBF16: b}},
		{"slices overlap: ", adam.ErrOverlap, p{Value: f, F16: h, GradF16: h}},
		{"Groups[0].Params16[0] has a State", adam.ErrParams, p{BF16: b, State: &adam.State16{}}},
		{"Groups[0].Params16[0] has a State", adam.ErrParams, p{BF16: b, EMA: f}},
	} {
		c.p.Name = "h"
		g := adam.Group{Config: adam.Default(), Params16: []p{c.p}}
		_, err := New(newWorld(2).ranks[0], Options{}, g)
		assert.ErrorIs(t, err, c.is, c.text)
		assert.ErrorContains(t, err, c.text)
	}
	half := adam.Storage{Moments: adam.BF16Moments}
	for text, g := range map[string]adam.Group{
		"there is no such Storage":   {Storage: adam.Storage{Moments: 9}},
		"that of Params16 and Parts": {Storage: half, Params: []adam.Param{{}}},
		"Groups[0].Parts16: only":    {Parts16: make([]adam.Part16, 1)},
	} {
		g.Config = adam.Default()
		_, err := New(newWorld(2).ranks[0], Options{}, g)
		assert.ErrorIs(t, err, adam.ErrParams, text)
		assert.ErrorContains(t, err, text)
	}
	m := ordinary()
	m.sizes, m.sizes64, m.model16 = nil, nil, storages()["bfloat16 copies"]
	together(t, 2, func(c *comm) {
		z, to := m.new(t, c)
		defer z.Close()
		q := &to.groups[2].Params16[0]
		old := *q
		m.backward(to, 0, 0)
		q.Value, q.BF16 = nil, old.BF16
		assert.ErrorContains(t, z.Add(), "Value or BF16, where they were in New")
		q.Value, q.GradF16 = old.Value, make([]adam.F16, len(old.Value))
		assert.ErrorContains(t, z.Add(), "give one gradient")
		q.GradF16 = nil
		m.add(t, z, to, 0)
		to.groups[2].Storage.Moments = adam.Q8Moments
		_, err := z.Step()
		assert.ErrorIs(t, err, adam.ErrParams)
		assert.Equal(t, uint64(0), z.T)
		to.groups[2].Storage.Moments = adam.Float32Moments
		_, err = z.Step()
		assert.NoError(t, err)
	})
	together(t, 2, func(c *comm) {
		m := m
		if c.rank == 1 {
			m.storage.Moments = adam.BF16Moments
		}
		z, to := m.new(t, c)
		defer z.Close()
		m.add(t, z, to, 0)
		_, err := z.Step()
		assert.ErrorContains(t, err, "rank 1 has another model")
	})
}

// LoadFile with SaveParams makes the copies of all tensors, of those without a gradient, too.
func TestLoadedCopies(t *testing.T) {
	for _, name := range []string{"bfloat16 copies", "binary16 copies"} {
		m := ordinary()
		m.sizes, m.sizes64, m.model16 = nil, nil, storages()[name]
		m.options.SaveParams = true
		path, want := paths(t, 1, "together")[0], m.alone(t, 2)
		require.NoError(t, os.WriteFile(path, m.saved(t, 2), 0o666))
		together(t, 3, func(c *comm) {
			to := m.memory()
			for i := range to.groups[2].Params16 {
				p := &to.groups[2].Params16[i]
				p.GradBF16, p.GradF16 = nil, nil
				clear(p.Value)
			}
			z, err := New(c, Options{Options: m.options, Leaves: m.leaves}, to.groups...)
			require.NoError(t, err)
			defer z.Close()
			require.NoError(t, z.LoadFile(path))
			to.groups = z.Groups
			assert.True(t, bytes.Equal(want.values, to.result(nil).values), name)
		})
	}
}
