package adam

import (
	"bytes"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"

	"github.com/fusedadam/adam/internal/operands"
	"github.com/fusedadam/adam/internal/pool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// byHand is a copy of an optimizer's tensors, to be changed as a program would that has only New.
type byHand struct {
	*Optimizer
	groups []Group
}

func newByHand(o *Optimizer) *byHand {
	h := &byHand{o, slices.Clone(o.Groups)}
	for i := range h.groups {
		h.groups[i].Params = nil
		for _, p := range o.Groups[i].Params {
			s := *o.State(p.Name)
			s.M, s.V, s.VMax = slices.Clone(s.M), slices.Clone(s.V), slices.Clone(s.VMax)
			p.Value, p.Grad, p.State = slices.Clone(p.Value), nil, &s
			if o.tensor(p.Name).begun {
				p.EMA = slices.Clone(o.EMA(p.Name))
			}
			h.groups[i].Params = append(h.groups[i].Params, p)
		}
	}
	return h
}

func (h *byHand) optimizer(t *testing.T) *Optimizer {
	options := h.Options
	options.Workers = 1
	o := newOptimizer(t, options, h.groups...)
	o.T, o.GradScale = h.T, h.GradScale
	return o
}

func randoms(r *rand.Rand, n int) []float32 {
	s := make([]float32, n)
	for i := range s {
		s[i] = float32(r.NormFloat64())
	}
	return s
}

// requireSame compares all that two optimizers have, but for whose memory it is.
func requireSame(t *testing.T, want, got *Optimizer, what string) {
	t.Helper()
	require.Equal(t, want.T, got.T, what)
	require.Equal(t, len(want.Groups), len(got.Groups), what)
	for i, g := range want.Groups {
		require.Equal(t, g.Config, got.Groups[i].Config, what)
		require.Equal(t, len(g.Params), len(got.Groups[i].Params), what)
		for j, p := range g.Params {
			q := got.Groups[i].Params[j]
			require.Equal(t, p.Name, q.Name, what)
			a, b := want.State(p.Name), got.State(q.Name)
			require.Equal(t, a.T, b.T, what)
			for _, s := range [][2][]float32{
				{p.Value, q.Value}, {a.M, b.M}, {a.V, b.V}, {a.VMax, b.VMax},
				{want.EMA(p.Name), got.EMA(p.Name)},
			} {
				require.Equal(t, operands.Bits(s[0]), operands.Bits(s[1]), "%s: %q", what, p.Name)
			}
		}
	}
}

// Tensors come, go and grow, and the bits are those of an optimizer that New has made of the states
// as they should be then.
func TestMoving(t *testing.T) {
	sharedOut(t)
	eachKernel(t, func(t *testing.T) {
		for seed := range uint64(4) {
			r := rand.New(rand.NewPCG(seed, 3))
			options := []Options{
				{Workers: 1}, {Workers: 3, MaxNorm: 1, EMADecay: 0.9},
				{Workers: 2, MaxValue: 0.5}, {EMADecay: 0.5, SkipNonFinite: true},
			}[seed]
			ams := DefaultW()
			ams.AMSGrad = true
			o := newOptimizer(t, options, Group{Config: Default()}, Group{Config: ams},
				Group{Config: DefaultW(), Params: []Param{{Value: randoms(r, 9)}}})
			o.GradScale, o.T = 2, 7
			for range 15 {
				h := newByHand(o)
				names := slices.Sorted(maps.Keys(o.index))
				what := []string{"add", "add", "remove", "grow", "grow", "workers"}[r.IntN(6)]
				switch {
				case what == "workers":
					require.NoError(t, o.SetWorkers(r.IntN(4)))
				case what == "add" || len(names) == 0:
					group := r.IntN(3)
					var mine, theirs []Param
					for range r.IntN(3) {
						p := Param{
							Name:  fmt.Sprint("t", r.Uint32()),
							Value: randoms(r, someSizes[r.IntN(len(someSizes))]),
						}
						mine = append(mine, p)
						p.Value = slices.Clone(p.Value)
						theirs = append(theirs, p)
					}
					require.NoError(t, o.Add(group, mine...))
					h.groups[group].Params = append(h.groups[group].Params, theirs...)
				case what == "remove":
					gone := []string{names[r.IntN(len(names))], names[r.IntN(len(names))]}
					require.NoError(t, o.Remove(gone...))
					for i := range h.groups {
						h.groups[i].Params = slices.DeleteFunc(h.groups[i].Params,
							func(p Param) bool { return slices.Contains(gone, p.Name) })
					}
				default:
					name := names[r.IntN(len(names))]
					p := find(h.groups, name)
					more := randoms(r, r.IntN(tile))
					p.Value = append(p.Value, more...)
					zeros := make([]float32, len(more))
					p.State.M, p.State.V = append(p.State.M, zeros...), append(p.State.V, zeros...)
					if p.State.VMax != nil {
						p.State.VMax = append(p.State.VMax, zeros...)
					}
					if p.EMA != nil {
						p.EMA = append(p.EMA, more...)
					}
					require.NoError(t, o.Grow(name, slices.Clone(p.Value), nil))
				}
				twin := h.optimizer(t)
				requireSame(t, twin, o, what)
				for range r.IntN(3) { // with none, the next change meets averages before they begin
					for i, g := range o.Groups {
						for j, p := range g.Params {
							grad := randoms(r, len(p.Value))
							if r.IntN(4) == 0 {
								grad = nil
							}
							g.Params[j].Grad, twin.Groups[i].Params[j].Grad = grad, grad
						}
					}
					want, err := twin.Step()
					require.NoError(t, err)
					got, err := o.Step()
					require.NoError(t, err)
					require.Equal(t, want, got)
					requireSame(t, twin, o, what)
				}
				require.NoError(t, twin.Close())
			}
			require.NoError(t, o.Close())
		}
	})
}

// Options, GradScale, T and Metadata stay, and so does the State of a tensor that grows.
func TestMovingKeeps(t *testing.T) {
	o := newOptimizer(t, Options{MaxNorm: 1}, Group{Config: Default(),
		Params: someTensors(5, "a", "b")})
	_, err := o.Step()
	require.NoError(t, err)
	o.GradScale, o.Metadata = 8, map[string]string{"epoch": "3"}
	options, a, b := o.Options, o.State("a"), o.State("b")
	longer := someTensors(7, "a")[0]
	require.NoError(t, o.Grow("a", longer.Value, longer.Grad))
	require.NoError(t, o.Add(0, someTensors(3, "c")...))
	require.NoError(t, o.Remove("b"))
	assert.Equal(t, options, o.Options)
	assert.Equal(t, map[string]string{"epoch": "3"}, o.Metadata)
	assert.EqualValues(t, 1, o.T)
	assert.EqualValues(t, 8, o.GradScale)
	assert.Same(t, a, o.State("a"))
	assert.Len(t, a.M, 7)
	assert.Nil(t, o.State("b"))
	assert.Len(t, b.M, 5)
	assert.Nil(t, o.Groups[0].Params[0].State, "the state is not the caller's")
	_, err = o.Step()
	require.NoError(t, err)
	assert.EqualValues(t, 2, a.T)
	assert.EqualValues(t, 1, o.State("c").T)

	// The maximum is kept for when the group has AMSGrad again.
	a.VMax = slices.Repeat([]float32{3}, 7)
	longer = someTensors(8, "a")[0]
	require.NoError(t, o.Grow("a", longer.Value, longer.Grad))
	assert.Equal(t, []float32{3, 3, 3, 3, 3, 3, 3, 0}, a.VMax)

	// It comes back as a new one.
	require.NoError(t, o.Add(0, someTensors(5, "b")...))
	assert.Zero(t, o.State("b").T)
	assert.NotSame(t, b, o.State("b"))
	require.NoError(t, o.Remove("a", "b", "c", "a"))
	assert.Equal(t, []Group{{Config: Default(), Params: []Param{}}}, o.Groups)
	require.NoError(t, o.Add(0))
	require.NoError(t, o.Remove())
	require.NoError(t, o.Add(0, someTensors(5, "a")...), "the group is still there")
}

// All or nothing.
func TestMovingErrors(t *testing.T) {
	lent := Param{Name: "lent", Value: make([]float32, 5), State: NewState(5, Default())}
	average := Param{Name: "average", Value: make([]float32, 5), EMA: make([]float32, 5)}
	o := newOptimizer(t, Options{EMADecay: 0.5, Workers: 2},
		Group{Config: Default(), Params: append(someTensors(5, "a", "b"), lent, average)}, Group{})
	step := func() error { _, err := o.Step(); return err }
	require.NoError(t, step())
	six := func() []float32 { return make([]float32, 6) }
	for name, c := range map[string]struct {
		f     func() error
		kind  error
		parts []string
	}{
		"no such group": {func() error { return o.Add(2, someTensors(1, "n")...) }, ErrParams,
			[]string{"no Groups[2], there are 2", "Regroup"}},
		"group -1": {func() error { return o.Add(-1, someTensors(1, "n")...) }, ErrParams,
			[]string{"Groups[-1]"}},
		"group without a Config": {func() error { return o.Add(1, someTensors(1, "n")...) },
			ErrConfig, []string{"Groups[1]", "Default"}},
		"name taken": {func() error { return o.Add(0, someTensors(1, "n", "b")...) }, ErrParams,
			[]string{`"b"`, "Groups[0].Params[5]"}},
		"added onto another": {
			func() error { return o.Add(0, Param{Name: "n", Value: o.State("a").M}) },
			ErrOverlap, []string{`M of "a"`, `Value of "n"`}},
		"added with a short gradient": {
			func() error { return o.Add(0, Param{Name: "n", Value: six(), Grad: six()[1:]}) },
			ErrLength, []string{`"n"`, "Grad 5"}},
		"nothing to remove": {func() error { return o.Remove("a", "n") }, ErrParams,
			[]string{`no tensor "n"`, "Groups"}},
		"nothing to grow": {func() error { return o.Grow("n", six(), six()) }, ErrParams,
			[]string{`no tensor "n"`}},
		"shorter": {func() error { return o.Grow("a", six()[2:], nil) }, ErrLength,
			[]string{`"a" has 5 elements, and value 4`, "Regroup", "State"}},
		"gradient not as long": {func() error { return o.Grow("a", six(), six()[1:]) }, ErrLength,
			[]string{`"a"`, "Value 6, Grad 5"}},
		"gradient empty": {func() error { return o.Grow("a", six(), six()[:0]) }, ErrLength,
			[]string{`"a"`, "Value 6, Grad 0"}},
		"grown onto another": {
			func() error {
				mem := make([]float32, 12)
				return o.Grow("a", mem[:6], mem[5:11])
			}, ErrOverlap, []string{`Value of "a"`, `Grad of "a"`}},
		"State of the caller": {func() error { return o.Grow("lent", six(), nil) }, ErrParams,
			[]string{`"lent"`, "memory of the caller", "Regroup"}},
		"EMA of the caller": {func() error { return o.Grow("average", six(), nil) }, ErrParams,
			[]string{`"average"`, "memory of the caller", "Regroup"}},
		"workers": {func() error { return o.SetWorkers(-1) }, ErrConfig,
			[]string{"Workers = -1"}},
	} {
		t.Run(name, func(t *testing.T) {
			groups := slices.Clone(o.Groups)
			unchangedBy(t, o, c.kind, c.f, c.parts...)
			require.Equal(t, groups, o.Groups)
			require.Equal(t, 2, o.Options.Workers)
			require.NoError(t, step())
		})
	}

	// A moment of another length is no moment of the elements.
	v := o.State("a").V
	o.State("a").V = v[1:]
	unchangedBy(t, o, ErrLength, func() error { return o.Grow("a", six(), nil) }, `"a"`, "V 4")
	o.State("a").V = v
	o.Groups[0].Config.AMSGrad = true
	unchangedBy(t, o, ErrLength, func() error { return o.Grow("a", six(), nil) },
		`VMax = make([]float32, 5)`)
	o.Groups[0].Config.AMSGrad = false

	// What was changed by hand would begin anew.
	p := &o.Groups[0].Params[1]
	p.Name = "c"
	for name, f := range map[string]func() error{
		"add":    func() error { return o.Add(0) },
		"remove": func() error { return o.Remove("a") },
		"grow":   func() error { return o.Grow("a", six(), nil) },
	} {
		unchangedBy(t, o, ErrParams, f, `"b" in its place and with its 5 elements`, "Regroup")
		assert.NotEmpty(t, name)
	}
	p.Name = "b"
	last := &o.Groups[0].Params[3]
	last.Name = "c"
	unchangedBy(t, o, ErrParams, func() error { return o.Add(0) }, `"average"`)
	last.Name = "average"
	value := p.Value
	p.Value = value[1:]
	unchangedBy(t, o, ErrParams, func() error { return o.Remove("a") }, `"b"`)
	p.Value, p.Grad = six(), nil
	unchangedBy(t, o, ErrLength, step, `"b"`, "Grow")
	m := o.State("b").M
	require.NoError(t, o.Grow("b", p.Value, nil), "what the error says")
	assert.Equal(t, m, o.State("b").M[:5])
	p = &o.Groups[0].Params[1]
	p.Value = nil
	require.NoError(t, o.Remove("b"), "its memory may be gone")

	require.NoError(t, o.Close())
	for _, f := range []func() error{
		func() error { return o.Add(9) }, func() error { return o.Remove("n") },
		func() error { return o.Grow("n", nil, nil) }, func() error { return o.SetWorkers(-1) },
	} {
		unchangedBy(t, o, ErrClosed, f)
	}
}

// Memory of the caller grows as the error of Grow says.
func TestGrowMemoryOfTheCaller(t *testing.T) {
	p := someTensors(5, "a")[0]
	p.State, p.EMA = NewState(5, Default()), make([]float32, 5)
	o := newOptimizer(t, Options{EMADecay: 0.5}, Group{Config: Default(), Params: []Param{p}})
	_, err := o.Step()
	require.NoError(t, err)
	require.ErrorIs(t, o.Grow("a", make([]float32, 7), nil), ErrParams)
	m, average := slices.Clone(p.State.M), slices.Clone(p.EMA)
	q := &o.Groups[0].Params[0]
	s, zeros := q.State, make([]float32, 2)
	s.M, s.V = append(s.M, zeros...), append(s.V, zeros...)
	q.Value, q.Grad, q.EMA = append(q.Value, 1, 1), append(q.Grad, 1, 1), append(q.EMA, 1, 1)
	require.NoError(t, o.Regroup(o.Groups...))
	assert.Equal(t, append(m, 0, 0), o.State("a").M)
	assert.Equal(t, append(average, 1, 1), o.EMA("a"))
	_, err = o.Step()
	require.NoError(t, err)
	assert.EqualValues(t, 2, p.State.T)
}

// The first update of a new row is what the comment of Grow says: after a hundred thousand steps
// the bias correction is gone.
func TestGrowFirstUpdate(t *testing.T) {
	o := newOptimizer(t, Options{}, Group{Config: Default(), Params: someTensors(2, "a")})
	o.State("a").T = 100_000
	require.NoError(t, o.Grow("a", make([]float32, 3), []float32{0, 0, 5}))
	_, err := o.Step()
	require.NoError(t, err)
	c := Default()
	assert.InEpsilon(t, -c.LR*(1-c.Beta1)/math.Sqrt(1-c.Beta2),
		o.Groups[0].Params[0].Value[2], 1e-5)
}

// The norm that is remembered is that of the old tensors.
func TestMovingForgetsTheNorm(t *testing.T) {
	for name, f := range map[string]func(o *Optimizer) error{
		"Add":    func(o *Optimizer) error { return o.Add(0, someTensors(9, "n")...) },
		"Remove": func(o *Optimizer) error { return o.Remove("a") },
		"Grow": func(o *Optimizer) error {
			p := someTensors(9, "a")[0]
			return o.Grow("a", p.Value, p.Grad)
		},
	} {
		o := newOptimizer(t, Options{MaxNorm: 1}, Group{Config: Default(),
			Params: someTensors(5, "a", "b")})
		before, err := o.Norm()
		require.NoError(t, err)
		require.NoError(t, f(o))
		twin := newOptimizer(t, Options{MaxNorm: 1}, o.Groups...)
		want, err := twin.Norm()
		require.NoError(t, err)
		stats, err := o.Step()
		require.NoError(t, err)
		assert.Equal(t, want, stats.GradNorm, name)
		assert.NotEqual(t, before, want, name)
	}
}

// Goroutines are as many as were asked for, whatever was there before.
func TestSetWorkers(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(3))
	goroutines(t, 0)
	o := newOptimizer(t, Options{Workers: 1, MaxValue: 1}, Group{Config: Default(),
		Params: someTensors(8*pool.Share, "a")})
	step := func() {
		t.Helper()
		_, err := o.Step()
		require.NoError(t, err)
	}
	for _, c := range []struct{ n, goroutines int }{{1, 0}, {4, 3}, {0, 2}, {2, 1}, {20, 7}} {
		require.NoError(t, o.SetWorkers(c.n))
		assert.Equal(t, c.n, o.Options.Workers)
		goroutines(t, c.goroutines)
		step()
		require.NoError(t, o.Add(0))
		goroutines(t, c.goroutines)
	}
	require.NoError(t, o.SetWorkers(0))
	runtime.GOMAXPROCS(2)
	step()
	goroutines(t, 2)
	require.NoError(t, o.SetWorkers(0)) // as it is now
	goroutines(t, 1)

	// The error of another number in Options says what to do, and it may be done then.
	o.Options.Workers = 4
	unchangedBy(t, o, ErrConfig, func() error { return o.Add(0) }, "call SetWorkers(4)")
	require.NoError(t, o.SetWorkers(4))
	step()
	goroutines(t, 3)
	require.NoError(t, o.Remove("a"))
	goroutines(t, 0)
	runtime.KeepAlive(o)
}

// The workers are those that were hired, though there are fewer cores by now.
func TestScratchOfAllWorkers(t *testing.T) {
	sharedOut(t)
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(3))
	o := newOptimizer(t, Options{}, Group{Config: Default(),
		Params: someTensors(64*tile, "a")})
	twin := newOptimizer(t, Options{Workers: 1, MaxValue: 1}, Group{Config: Default(),
		Params: someTensors(64*tile, "a")})
	runtime.GOMAXPROCS(2)
	o.Options.MaxValue = 1
	for range 50 {
		_, err := o.Step()
		require.NoError(t, err)
		_, err = twin.Step()
		require.NoError(t, err)
	}
	assert.Equal(t, twin.Groups[0].Params[0].Value, o.Groups[0].Params[0].Value)
}

// Tensors without a name are called by their place, and keep that name.
func TestTensorsWithoutNames(t *testing.T) {
	nameless := func(sizes ...int) (params []Param) {
		for _, n := range sizes {
			params = append(params, Param{Value: make([]float32, n), Grad: make([]float32, n)})
		}
		return params
	}
	groups := func() []Group {
		return []Group{{Config: Default(), Params: nameless(3)},
			{Config: DefaultW(), Params: append(nameless(4, 5), someTensors(2, "named")...)}}
	}
	names := func(o *Optimizer) (names []string) {
		for _, g := range o.Groups {
			for _, p := range g.Params {
				names = append(names, p.Name)
			}
		}
		return names
	}
	given := groups()
	o := newOptimizer(t, Options{}, given...)
	assert.Equal(t, []string{"0.0", "1.0", "1.1", "named"}, names(o))
	assert.Empty(t, given[1].Params[0].Name, "the caller's are as they were")
	_, err := o.Step()
	require.NoError(t, err)
	state := o.State("1.1")
	require.Len(t, state.M, 5)

	// The next run finds its tensors in the checkpoint.
	twin := newOptimizer(t, Options{}, groups()...)
	require.NoError(t, twin.Load(bytes.NewReader(saved(t, o))))
	assert.Equal(t, state, twin.State("1.1"))

	require.NoError(t, o.Remove("1.0"))
	assert.Equal(t, []string{"0.0", "1.1", "named"}, names(o))
	assert.Same(t, state, o.State("1.1"))
	require.NoError(t, o.Add(1, nameless(6)...))
	assert.Equal(t, []string{"0.0", "1.1", "named", "1.2"}, names(o))
	require.NoError(t, o.Regroup(o.Groups[1], o.Groups[0]))
	assert.Equal(t, []string{"1.1", "named", "1.2", "0.0"}, names(o))
	assert.Same(t, state, o.State("1.1"))

	// A name that is taken, by whichever comes first, is an error.
	_, err = New(Options{}, Group{Config: Default(), Params: []Param{{Name: "0.1"}, {}}})
	require.ErrorIs(t, err, ErrParams)
	assert.ErrorContains(t, err, `name "0.1" is not unique or not UTF-8: `+
		`give Groups[0].Params[1] another (without one it is "0.1")`)
	_, err = New(Options{}, Group{Config: Default(), Params: []Param{{}, {Name: "0.0"}}})
	require.ErrorIs(t, err, ErrParams)
	require.NoError(t, o.Regroup(Group{Config: Default(), Params: append(nameless(1),
		Param{Name: "0.2"})}))
	unchangedBy(t, o, ErrParams, func() error { return o.Add(0, nameless(1)...) },
		`"0.2"`, "Groups[0].Params[2] another")
}

// find returns the Param of a tensor that is there.
func find(groups []Group, name string) *Param {
	for i := range groups {
		for j := range groups[i].Params {
			if p := &groups[i].Params[j]; p.Name == name {
				return p
			}
		}
	}
	panic("no such tensor")
}
