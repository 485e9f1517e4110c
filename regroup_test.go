package adam

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"testing"

	"github.com/fusedadam/adam/internal/operands"
	"github.com/fusedadam/adam/internal/pool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Tensors that stay keep T, moments and average, whatever their group; new ones begin; the others
// go.
func TestRegroup(t *testing.T) {
	sharedOut(t)
	params := someTensors(2*tile, "a", "b", "c")
	o := newOptimizer(t, Options{Workers: 3, EMADecay: 0.9, MaxNorm: 1},
		Group{Config: Default(), Params: params})
	for range 3 {
		_, err := o.Step()
		require.NoError(t, err)
	}
	state, average := o.State("a"), o.EMA("a")
	before, beforeEMA := slices.Clone(state.M), slices.Clone(average)

	other := DefaultW()
	fresh := someTensors(100, "b", "d") // b has another length now
	require.NoError(t, o.Regroup(
		Group{Config: other, Params: []Param{fresh[0], params[0]}},
		Group{Config: Default(), Params: []Param{fresh[1]}}))
	assert.Same(t, state, o.State("a"))
	assert.EqualValues(t, 3, o.State("a").T)
	assert.Equal(t, before, o.State("a").M)
	assert.Equal(t, beforeEMA, o.EMA("a"))
	assert.EqualValues(t, 3, o.T)
	for _, name := range []string{"b", "d"} {
		assert.Zero(t, o.State(name).T)
		assert.Equal(t, make([]float32, 100), o.State(name).M)
	}
	assert.Nil(t, o.State("c"))
	stats, err := o.Step()
	require.NoError(t, err)
	assert.Equal(t, 3, stats.Stepped)
	assert.EqualValues(t, 4, o.State("a").T)
	assert.EqualValues(t, 1, o.State("b").T)
	p := o.Groups[0].Params
	assert.Equal(t, p[0].Value, o.EMA("b"),
		"the average of a new tensor begins with its first step")
	for i, x := range p[1].Value {
		d := float32(float32(1-0.9) * float32(x-beforeEMA[i]))
		require.True(t, operands.Same(flush(float32(beforeEMA[i]+d), true), o.EMA("a")[i]),
			"that of an old one goes on")
	}
}

// All or nothing.
func TestRegroupErrors(t *testing.T) {
	o := newOptimizer(t, Options{EMADecay: 0.5},
		Group{Config: Default(), Params: someTensors(5, "a", "b")})
	_, err := o.Step()
	require.NoError(t, err)
	more := func(p ...Param) []Group {
		return append(slices.Clone(o.Groups), Group{Config: Default(), Params: p})
	}
	for _, c := range []struct {
		groups []Group
		kind   error
	}{
		{more(someTensors(5, "a")...), ErrParams},
		{[]Group{{Params: someTensors(5, "x")}}, ErrConfig},
		{more(Param{Name: "c", Value: o.State("a").M}), ErrOverlap},
		{more(Param{Name: "c", Value: make([]float32, 3), Grad: make([]float32, 2)}), ErrLength},
		{more(Param{Name: "c", Value: make([]float32, 3), State: &State{}}), ErrLength},
		{more(Param{Name: "c", Value: make([]float32, 3), EMA: make([]float32, 2)}), ErrLength},
		{more(Param{Name: "c", Value: make([]float32, 3), State: o.State("a")}), ErrLength},
	} {
		unchangedBy(t, o, c.kind, func() error { return o.Regroup(c.groups...) })
		assert.Len(t, o.Groups, 1)
		_, err := o.Step()
		require.NoError(t, err)
	}
	o.Groups = more(someTensors(1, "c")...)
	unchangedBy(t, o, ErrParams, func() error { _, err := o.Step(); return err }, "Regroup", `"c"`)
	require.NoError(t, o.Regroup(o.Groups...), "what was appended by hand can be regrouped")
	require.NoError(t, o.Close())
	assert.ErrorIs(t, o.Regroup(), ErrClosed)
}

// An optimizer that grows gets workers, one that shrinks loses them.
func TestRegroupWorkers(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // which would end those of a forgotten pool
	o := newOptimizer(t, Options{Workers: 4}, Group{Config: Default(),
		Params: someTensors(10, "a")})
	goroutines(t, 0)
	require.NoError(t, o.Regroup(Group{Config: Default(), Params: someTensors(4*pool.Share, "a")}))
	goroutines(t, 3)
	_, err := o.Step()
	require.NoError(t, err)
	require.NoError(t, o.Regroup(Group{Config: Default(), Params: someTensors(2*pool.Share, "a")}))
	goroutines(t, 1)
	_, err = o.Step()
	require.NoError(t, err)
	require.NoError(t, o.Close())
	goroutines(t, 0)
}

// A state in the caller's memory is stepped there, and its T counts.
func TestStateOfTheCaller(t *testing.T) {
	c := Default()
	c.AMSGrad = true
	own := NewState(50, c)
	average := make([]float32, 50)
	params := someTensors(50, "a", "b")
	twin := newOptimizer(t, Options{EMADecay: 0.5},
		Group{Config: c, Params: someTensors(50, "a", "b")})
	params[0].State, params[0].EMA = own, average
	o := newOptimizer(t, Options{EMADecay: 0.5}, Group{Config: c, Params: params})
	copy(average, twin.EMA("a"))
	assert.Same(t, own, o.State("a"))
	step := func() {
		t.Helper()
		for _, x := range []*Optimizer{o, twin} {
			_, err := x.Step()
			require.NoError(t, err)
		}
	}
	step()
	assert.NotEqual(t, o.Groups[0].Params[0].Value, average, "an average that is given has begun")
	assert.Equal(t, o.Groups[0].Params[1].Value, o.EMA("b"))
	step()
	assert.Equal(t, *twin.State("a"), *own)
	assert.EqualValues(t, 2, own.T)
	assert.Equal(t, twin.State("b"), o.State("b"))

	// Load copies into it.
	file := saved(t, twin)
	own.T, own.M[3] = 77, 5
	m := own.M
	require.NoError(t, o.Load(bytes.NewReader(file)))
	assert.Equal(t, *twin.State("a"), *own)
	assert.Equal(t, address(m), address(own.M))
	assert.Equal(t, address(average), address(o.EMA("a")))
	assert.Equal(t, twin.EMA("a"), average)

	// Another state needs Regroup, which takes it as it is.
	next := NewState(50, c)
	next.T = 9
	o.Groups[0].Params[0].State = next
	unchangedBy(t, o, ErrParams, func() error { _, err := o.Step(); return err }, `"a"`, "Regroup")
	require.NoError(t, o.Regroup(o.Groups...))
	assert.Same(t, next, o.State("a"))
	_, err := o.Step()
	require.NoError(t, err)
	assert.EqualValues(t, 10, next.T)
}

// Options are read at each step, and are as if they had been so from the beginning.
func TestOptionsChange(t *testing.T) {
	sharedOut(t)
	r := rand.New(rand.NewPCG(5, 6))
	s := newMixedTrial(t, r, Options{Workers: 2}, someConfigs(1), someSizes)
	for i, o := range []Options{
		{MaxNorm: 1}, {MaxValue: 0.1, ZeroGrad: true}, {SkipNonFinite: true},
		{MaxNorm: math.Inf(1)}, {}, {MaxValue: 2},
	} {
		o.Workers = 2
		s.Options = o
		s.draw(r, i == 2)
		s.step(t)
	}
	for _, c := range []struct {
		o    Options
		part string
	}{
		{Options{Workers: 3}, "Workers = 3 is not the 2"},
		{Options{Workers: 2, EMADecay: math.NaN()}, "EMADecay = NaN"},
		{Options{Workers: 2, MaxNorm: 1, MaxValue: 1}, "at most one"},
	} {
		s.Options = c.o
		for range 2 {
			unchangedBy(t, s.Optimizer, ErrConfig, func() error { _, err := s.Step(); return err },
				c.part)
		}
	}
}

// The average may begin late, warm up, rest and go on.
func TestAverageChanges(t *testing.T) {
	o := newOptimizer(t, Options{Workers: 1}, Group{Config: Default(),
		Params: someTensors(40, "a")})
	step := func() []float32 {
		_, err := o.Step()
		require.NoError(t, err)
		return o.Groups[0].Params[0].Value
	}
	step()
	assert.Nil(t, o.EMA("a"))
	o.Options.EMADecay = 0.1
	assert.Equal(t, step(), o.EMA("a"))
	before := slices.Clone(o.EMA("a"))
	o.Options.EMADecay = 0.3
	for i, p := range step() {
		want := before[i] + float32(float32(1-0.3)*float32(p-before[i]))
		require.Equal(t, want, o.EMA("a")[i])
	}
	before = slices.Clone(o.EMA("a"))
	o.Options.EMADecay = 0
	step()
	assert.Equal(t, before, o.EMA("a"))
	o.Options.EMADecay = 0.5
	step()
	assert.NotEqual(t, o.Groups[0].Params[0].Value, o.EMA("a"))
}

// Norm is what the step reports, and the step does not make the pass again unless it must.
func TestNorm(t *testing.T) {
	o := newOptimizer(t, Options{MaxNorm: 1, Workers: 1},
		Group{Config: Default(), Params: someTensors(3*tile+5, "a", "b")})
	twin := newOptimizer(t, Options{MaxNorm: 1, Workers: 1},
		Group{Config: Default(), Params: someTensors(3*tile+5, "a", "b")})
	step := func(x *Optimizer) Stats {
		t.Helper()
		s, err := x.Step()
		require.NoError(t, err)
		return s
	}
	norm := func() float64 {
		t.Helper()
		n, err := o.Norm()
		require.NoError(t, err)
		return n
	}
	g, h := o.Groups[0].Params[1].Grad, twin.Groups[0].Params[1].Grad
	for i, between := range []func(x *Optimizer, g []float32){
		func(*Optimizer, []float32) {},
		func(x *Optimizer, _ []float32) { x.GradScale = 4 },
		func(x *Optimizer, _ []float32) { x.Groups[0].Params[0].Grad = nil },
		func(x *Optimizer, _ []float32) { x.Groups[0].Params[0].Grad = make([]float32, 3*tile+5) },
		func(_ *Optimizer, g []float32) {
			for i := range g {
				g[i] *= 3
			}
		},
		func(x *Optimizer, _ []float32) { require.NoError(t, x.ZeroGrad()) },
	} {
		n := norm()
		between(o, g)
		between(twin, h)
		want, got := step(twin), step(o)
		assert.Equal(t, want, got, "case %d", i)
		if i == 0 {
			assert.Equal(t, n, got.GradNorm)
		}
		assert.Equal(t, twin.Groups[0].Params[1].Value, o.Groups[0].Params[1].Value)
		if i == 4 {
			assert.NotEqual(t, n, got.GradNorm)
		}
	}

	// The pass is not made again: a change that no mark sees goes unnoticed, once.
	copy(g, h)
	for i := range g {
		g[i] = 1
	}
	n := norm()
	g[1] = 1000
	assert.Equal(t, n, step(o).GradNorm)
	assert.NotEqual(t, n, step(o).GradNorm)
}

func TestZeroGrad(t *testing.T) {
	sharedOut(t)
	for _, workers := range []int{1, 3} {
		o := newOptimizer(t, Options{Workers: workers},
			Group{Config: Default(), Params: someTensors(2*tile, "a", "b")})
		o.Groups[0].Params[0].Grad = nil
		require.NoError(t, o.ZeroGrad())
		assert.Equal(t, make([]float32, 2*tile), o.Groups[0].Params[1].Grad)
		assert.Zero(t, o.T)
	}
}

// Stats count what was stepped, and name the first tensor, by name, that is not finite.
func TestStats(t *testing.T) {
	for _, o := range []Options{{SkipNonFinite: true}, {MaxNorm: 1}, {}} {
		opt := newOptimizer(t, o, Group{Config: Default(),
			Params: someTensors(tile+9, "c", "a", "b", "none")})
		p := opt.Groups[0].Params
		p[3].Grad = nil
		stats, err := opt.Step()
		require.NoError(t, err)
		assert.Equal(t, 3, stats.Stepped)
		assert.Empty(t, stats.NonFinite)
		p[0].Grad[0], p[2].Grad[tile+2] = float32(math.NaN()), float32(math.Inf(-1))
		stats, err = opt.Step()
		require.NoError(t, err)
		switch {
		case o.SkipNonFinite:
			assert.Equal(t, "b", stats.NonFinite)
			assert.Zero(t, stats.Stepped)
		case o.MaxNorm > 0:
			assert.Equal(t, "b", stats.NonFinite)
			assert.Equal(t, 3, stats.Stepped)
		default:
			assert.Empty(t, stats.NonFinite)
		}
	}
}

// New copies groups and Params: what the caller does with its own has no effect.
func TestNewCopies(t *testing.T) {
	params := someTensors(4, "a")
	groups := []Group{{Config: Default(), Params: params}}
	o := newOptimizer(t, Options{}, groups...)
	groups[0].Config.LR, params[0].Name, params[0].Grad = -1, "b", nil
	stats, err := o.Step()
	require.NoError(t, err)
	assert.Equal(t, 1, stats.Stepped)
}

// Names are found in constant time: not by comparing them all.
func BenchmarkStateByName(b *testing.B) {
	for _, n := range []int{1000, 16000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var params []Param
			for i := range n {
				params = append(params, Param{Name: fmt.Sprintf("layer.%05d.weight", i),
					Value: make([]float32, 1)})
			}
			o := newOptimizer(b, Options{}, Group{Config: Default(), Params: params})
			b.ResetTimer()
			for i := range b.N {
				_ = o.State(params[i%n].Name)
			}
		})
	}
}
