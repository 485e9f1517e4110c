package zero

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"testing"

	"github.com/fusedadam/adam"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A fault is what one rank does wrong, after it has added its leaves, and what mends it.
type fault struct {
	text        string
	is          error
	spoil, mend func(z *Optimizer, to *memory)
}

func faults(t *testing.T, m *model) map[string]fault {
	again := func(z *Optimizer, to *memory) {
		assert.NoError(t, z.ZeroGrad())
		assert.Zero(t, to.groups[0].Params[0].Grad[0])
		m.add(t, z, to, 0)
	}
	config := func(f func(c *adam.Config)) func(*Optimizer, *memory) {
		return func(z *Optimizer, _ *memory) { f(&z.Groups[1].Config) }
	}
	var value []float32
	return map[string]fault{
		"Config, NaN": {"rank 1: adam: bad config: Groups[1]", adam.ErrConfig,
			config(func(c *adam.Config) { c.Beta1 = math.NaN() }),
			config(func(c *adam.Config) { *c = m.memory().groups[1].Config })},
		"Config": {"rank 1 has other Configs than rank 0", ErrRank,
			config(func(c *adam.Config) { c.LR *= 2 }),
			config(func(c *adam.Config) { *c = m.memory().groups[1].Config })},
		"T": {"rank 1 has another T than rank 0", ErrRank,
			func(z *Optimizer, _ *memory) { z.T = 5 }, func(z *Optimizer, _ *memory) { z.T = 0 }},
		"GradScale": {"rank 1 has another GradScale than rank 0", ErrRank,
			func(z *Optimizer, _ *memory) { z.GradScale *= 2 },
			func(z *Optimizer, _ *memory) { z.GradScale /= 2 }},
		"GradScale, NaN": {"rank 1: adam: bad config: GradScale", adam.ErrConfig,
			func(z *Optimizer, _ *memory) { z.GradScale = math.NaN() },
			func(z *Optimizer, _ *memory) { z.GradScale = m.scale }},
		"Options": {"rank 1 has other Options than rank 0", ErrRank,
			func(z *Optimizer, _ *memory) { z.Options.MaxNorm++ },
			func(z *Optimizer, _ *memory) { z.Options.MaxNorm-- }},
		"Workers": {"rank 1: adam: bad config: Options.Workers", adam.ErrConfig,
			func(z *Optimizer, _ *memory) { z.Options.Workers = 7 },
			func(z *Optimizer, _ *memory) { z.Options.Workers = 1 }},
		"gradient": {"rank 1 has gradients of other tensors than rank 0", ErrRank,
			func(z *Optimizer, to *memory) {
				z.forget()
				from, until := z.Leaves()
				for leaf := from; leaf < until; leaf++ {
					m.backward(to, 0, leaf)
					to.groups[1].Params[0].Grad = nil
					require.NoError(t, z.Add())
				}
			}, func(z *Optimizer, to *memory) {
				z.forget()
				m.add(t, z, to, 0)
			}},
		"leaf": {"leaves of this rank were added", ErrRank,
			func(z *Optimizer, to *memory) {
				z.forget()
				from, until := z.Leaves()
				for leaf := from; leaf < until-1; leaf++ {
					m.backward(to, 0, leaf)
					require.NoError(t, z.Add())
				}
			}, func(z *Optimizer, to *memory) {
				_, until := z.Leaves()
				m.backward(to, 0, until-1)
				require.NoError(t, z.Add())
			}},
		"too many leaves": {"rank 1: more than the", ErrRank,
			func(z *Optimizer, to *memory) {
				m.backward(to, 7, 0)
				assert.ErrorContains(t, z.Add(), "zero: more than the")
			}, again},
		"length": {`rank 1: adam: lengths differ: "t0"`, adam.ErrLength,
			func(z *Optimizer, to *memory) {
				value = z.Groups[0].Params[0].Value
				z.Groups[0].Params[0].Value = nil
			}, func(z *Optimizer, to *memory) { z.Groups[0].Params[0].Value = value }},
		"overlap": {"rank 1: adam: slices overlap: Grad of", adam.ErrOverlap,
			func(z *Optimizer, to *memory) {
				p := z.Groups[0].Params
				value = p[2].Value
				p[2].Value = p[1].Grad[7:][:len(p[2].Value)]
			}, func(z *Optimizer, to *memory) { z.Groups[0].Params[2].Value = value }},
		"name": {"rank 1: adam: bad parameters", adam.ErrParams,
			func(z *Optimizer, to *memory) { z.Groups[0].Params[0].Name = "x" },
			func(z *Optimizer, to *memory) { z.Groups[0].Params[0].Name = "t0" }},
		"more": {"rank 1: adam: bad parameters: Groups hold", adam.ErrParams,
			func(z *Optimizer, to *memory) {
				z.Groups[1].Tables = make([]adam.Table, 1)
			}, func(z *Optimizer, to *memory) { z.Groups[1].Tables = nil }},
	}
}

// What is wrong on one rank is an error on all, which names the rank. Nothing has changed, and when
// it is mended the step has the bits that it would have had.
func TestFaults(t *testing.T) {
	m := ordinary()
	m.options.MaxNorm, m.options.SaveParams = 1, true
	want := m.alone(t, 1)
	for name, f := range faults(t, &m) {
		for _, ranks := range []int{2, 5} {
			together(t, ranks, func(c *comm) {
				z, to := m.new(t, c)
				defer z.Close()
				m.add(t, z, to, 0)
				before := z.state(t)
				if c.rank == 1 {
					f.spoil(z, to)
				}
				stats, err := z.Step()
				what := fmt.Sprintf("%s, rank %d of %d: %v", name, c.rank, ranks, err)
				require.ErrorIs(t, err, ErrRank, what)
				assert.ErrorIs(t, err, f.is, what)
				assert.NotErrorIs(t, err, adam.ErrSteps, what)
				assert.ErrorContains(t, err, f.text, what)
				assert.Equal(t, 1, bytes.Count([]byte(err.Error()), []byte("zero:")), what)
				assert.Equal(t, adam.Stats{T: z.T}, stats)
				if c.rank == 1 {
					f.mend(z, to)
				}
				assert.True(t, bytes.Equal(before, z.state(t)), "%s: has changed", what)
				stats, err = z.Step()
				require.NoError(t, err, what)
				got := to.result([]adam.Stats{stats})
				assert.Equal(t, want.stats, got.stats, what)
				assert.True(t, bytes.Equal(want.values, got.values), what)
			})
		}
	}
}

// Faults that cannot be mended.
func TestOtherModel(t *testing.T) {
	for name, change := range map[string]func(m *model){
		"length": func(m *model) { m.sizes[1]++ },
		"tensor": func(m *model) { m.sizes64 = m.sizes64[1:] },
		"leaves": func(m *model) { m.leaves = 16 },
		"bucket": func(m *model) { m.bucket++ },
	} {
		together(t, 3, func(c *comm) {
			m := ordinary()
			if c.rank == 2 {
				change(&m)
			}
			z, to := m.new(t, c)
			defer z.Close()
			m.add(t, z, to, 0)
			_, err := z.Step()
			assert.ErrorIs(t, err, ErrRank, name)
			assert.ErrorContains(t, err, "rank 2 has another model", name)
		})
	}
	together(t, 3, func(c *comm) {
		m := ordinary()
		z, to := m.new(t, c)
		defer z.Close()
		m.add(t, z, to, 0)
		if c.rank == 0 {
			require.NoError(t, z.Close())
		}
		_, err := z.Step()
		assert.ErrorIs(t, err, adam.ErrClosed)
		assert.ErrorContains(t, err, "rank 0: adam: optimizer is closed")
	})
}

// Add looks at its leaf before it takes it.
func TestAddErrors(t *testing.T) {
	m := ordinary()
	want := m.alone(t, 1)
	together(t, 1, func(c *comm) {
		z, to := m.new(t, c)
		defer z.Close()
		for leaf := range m.leaves {
			m.backward(to, 0, leaf)
			p := &to.groups[0].Params[1]
			grad := p.Grad
			p.Grad = grad[1:]
			assert.ErrorIs(t, z.Add(), adam.ErrLength)
			p.Grad = to.groups[0].Params[3].Grad[:1]
			assert.ErrorIs(t, z.Add(), adam.ErrLength)
			if p.Grad = nil; leaf > 0 {
				assert.ErrorContains(t, z.Add(), "has a gradient in some leaves of a step only")
			}
			p.Grad = grad
			require.NoError(t, z.Add())
		}
		_, err := z.Step()
		require.NoError(t, err)
		assert.True(t, bytes.Equal(want.values, to.result(nil).values))
	})
}

func TestNewErrors(t *testing.T) {
	p := adam.Param{Name: "a", Value: make([]float32, 3)}
	p64 := adam.Param64{EMA: []float64{}}
	stated, twice, short, bad := p, p, p, p
	stated.State, twice.Grad, short.Grad = &adam.State{}, p.Value, p.Value[:1]
	bad.Name = "\xff"
	one := adam.Group{Params: []adam.Param{p}}
	negative, params := adam.Options{MaxNorm: -1}, adam.ErrParams
	type group = adam.Group
	type list = []adam.Param
	for text, c := range map[string]struct {
		is error
		o  Options
		g  adam.Group
	}{
		"Leaves = 3, want a power of two":  {adam.ErrConfig, Options{Leaves: 3}, one},
		"Leaves = -1":                      {adam.ErrConfig, Options{Leaves: -1}, one},
		"2 ranks, want from 1 to Leaves":   {adam.ErrConfig, Options{Leaves: 1}, one},
		"Bucket = -1":                      {adam.ErrConfig, Options{Bucket: -1}, one},
		"MaxNorm = -1":                     {adam.ErrConfig, Options{Options: negative}, one},
		"Groups[0].Tables: only":           {is: params, g: group{Tables: make([]adam.Table, 1)}},
		"Groups[0].Parts: only":            {is: params, g: group{Parts: make([]adam.Part, 1)}},
		"Groups[0].Parts64: only":          {is: params, g: group{Parts64: make([]adam.Part64, 1)}},
		`name "a" is not unique`:           {is: params, g: group{Params: list{p, p}}},
		"not UTF-8":                        {is: params, g: group{Params: list{bad}}},
		"Groups[0].Params[0] has a State":  {is: params, g: group{Params: list{stated}}},
		"Groups[0].Params64[0] has a":      {is: params, g: group{Params64: []adam.Param64{p64}}},
		`Value of "a" and Grad of "a"`:     {is: adam.ErrOverlap, g: group{Params: list{twice}}},
		`"a" had 3 elements in New; Value`: {is: adam.ErrLength, g: group{Params: list{short}}},
	} {
		c.g.Config = adam.Default()
		_, err := New(newWorld(2).ranks[0], c.o, c.g)
		assert.ErrorIs(t, err, c.is, text)
		assert.ErrorContains(t, err, text)
	}
}

// An engine that fails in any of its calls breaks the optimizers of all ranks, at once and for
// ever. The last checkpoint stays.
func TestBrokenEngine(t *testing.T) {
	m := small()
	m.options.MaxNorm = 1
	old := m.saved(t, 1)
	for call, failed := 1, true; failed; call += 1 + call/20 {
		path := paths(t, 3, "mixed")
		require.NoError(t, os.WriteFile(path[0], old, 0o666))
		failed = false
		w := newWorld(3)
		w.ranks[1].fails = call
		w.run(func(c *comm) {
			z, to := m.new(t, c)
			defer z.Close()
			m.add(t, z, to, 0)
			_, err := z.Step()
			if err == nil {
				err = z.SaveFile(path[c.rank])
			}
			if err == nil {
				err = z.LoadFile(path[c.rank])
			}
			if err == nil {
				return
			}
			assert.ErrorIs(t, err, ErrBroken)
			assert.ErrorIs(t, err, errEngine)
			assert.ErrorIs(t, z.Add(), errEngine)
			assert.ErrorIs(t, z.SaveFile(path[c.rank]), errEngine)
			assert.ErrorIs(t, z.LoadFile(path[c.rank]), errEngine)
			_, err = z.Step()
			assert.ErrorIs(t, err, ErrBroken)
			w.Lock()
			defer w.Unlock()
			failed = true
		})
		onlyFile(t, path[0])
		b, err := os.ReadFile(path[0])
		require.NoError(t, err)
		whole := bytes.Equal(b, old)
		if !whole {
			o, err := adam.New(m.options, m.memory().groups...)
			require.NoError(t, err)
			whole = o.Load(bytes.NewReader(b)) == nil
			o.Close()
		}
		assert.True(t, whole, "the file after call %d", call)
	}
}

// A panic in the middle of a step, here of the engine, leaves a broken optimizer.
func TestPanic(t *testing.T) {
	m := small()
	w := newWorld(1)
	z, to := m.new(t, w.ranks[0])
	defer z.Close()
	m.add(t, z, to, 0)
	z.comm = panicking{w.ranks[0]}
	assert.Panics(t, func() { _, _ = z.Step() })
	_, err := z.Step()
	assert.ErrorIs(t, err, ErrBroken)
}

type panicking struct{ *comm }

func (panicking) Wait(int) error { panic("lost") }
