package adam

import (
	"bytes"
	"errors"
	"math"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// partsOf returns a group with parts of both types that have gradients: of "a" the first tile and
// the end, of "b", which is of float64, the middle, and nothing of "c".
func partsOf(c Config) Group {
	a, b := someTensors(3*tile+5, "a")[0], make([]float64, tile)
	at := func(from, to int) Part {
		p := Param{Name: "a", Value: a.Value[from:to], Grad: a.Grad[from:to]}
		return Part{p, from, len(a.Value)}
	}
	return Group{
		Config: c,
		Parts: []Part{at(2*tile, 3*tile+5), at(0, tile),
			{Param{Name: "c", Value: []float32{}, Grad: []float32{}}, 0, tile + 1}},
		Parts64: []Part64{{Param64{Name: "b", Value: b, Grad: slices.Clone(b)}, tile, 4 * tile}},
	}
}

// Parts that no tensor can have are refused, and the error names them.
func TestPartsErrors(t *testing.T) {
	long := make([]float32, 5*tile)
	for name, c := range map[string]struct {
		group func(g *Group)
		kind  error
		text  string
	}{
		"no name": {func(g *Group) { g.Parts[1].Name = "" }, ErrParams,
			`Groups[0].Parts[1], "", has At 0, Of 24581 and 8192 elements: give it the Name`},
		"no name of float64": {func(g *Group) { g.Parts64[0].Name = "" }, ErrParams,
			"Groups[0].Parts64[0]"},
		"no UTF-8":         {func(g *Group) { g.Parts[0].Name = "\xff" }, ErrParams, `"\xff"`},
		"before the start": {func(g *Group) { g.Parts[0].At = -tile }, ErrParams, "want elements"},
		"beyond the end": {func(g *Group) { g.Parts[0].At = 3 * tile }, ErrParams,
			"want elements"},
		"far beyond": {func(g *Group) { g.Parts[0].At = math.MaxInt - tile + 1 }, ErrParams,
			"want elements"},
		"longer than the tensor": {func(g *Group) { g.Parts[1].Of = tile - 1 }, ErrParams,
			"want elements"},
		"empty elsewhere": {func(g *Group) { g.Parts[2].At = tile }, ErrParams,
			`"c", has At 8192, Of 8193 and 0 elements: want At 0`},
		"start within a tile": {func(g *Group) { g.Parts[0].At, g.Parts[0].Of = tile+5, 2*tile+10 },
			ErrParams, "cut the tensor at multiples of 8192"},
		"half a tile of float64": {func(g *Group) { g.Parts64[0].At = tile / 2 }, ErrParams,
			"multiples of 8192"},
		"end within a tile": {func(g *Group) { g.Parts[0].Of++ }, ErrParams, "multiples of 8192"},
		"given twice": {func(g *Group) { g.Parts = append(g.Parts, g.Parts[1]) }, ErrParams,
			`"a" is Groups[0].Parts[`},
		"empty twice": {func(g *Group) { g.Parts = append(g.Parts, g.Parts[2]) }, ErrParams,
			`"c" is Groups[0].Parts[`},
		"one element twice": {func(g *Group) {
			p := Part{Param{Name: "a", Value: long[:2*tile]}, tile, 3*tile + 5}
			g.Parts = append(g.Parts, p)
		}, ErrParams, "At 8192 with 16384 elements and At 16384: want each element once"},
		"another Of": {func(g *Group) { g.Parts[1].Of = 3 * tile }, ErrParams,
			"Of 24576 and 24581: want the elements of the tensor"},
		"two types": {func(g *Group) {
			p := Param64{Name: "a", Value: make([]float64, tile)}
			g.Parts64 = append(g.Parts64, Part64{p, tile, 3*tile + 5})
		}, ErrParams, `"a" is Groups[0].Parts[1] and Groups[0].Parts64[1]: one is float32`},
		"whole and part": {func(g *Group) {
			g.Params = append(g.Params, Param{Name: "a", Value: long[:tile]})
		}, ErrParams, "one is the whole tensor"},
		"part and whole": {func(g *Group) {
			g.Tables = append(g.Tables, Table{Name: "b", Width: 1, Value: long[:tile]})
		}, ErrParams, "one is the whole tensor"},
		"another T": {func(g *Group) {
			g.Parts[0].State = NewState(tile+5, Default())
			g.Parts[0].State.T = 3
		}, ErrParams, `Groups[0].Parts[1] and Groups[0].Parts[0] are parts of "a": T is 0 and 3`},
		"one average": {func(g *Group) { g.Parts[0].EMA = make([]float32, tile+5) }, ErrParams,
			"give EMA to all or to none"},
		"no gradient": {func(g *Group) { g.Parts[1].Grad = nil }, ErrParams,
			"one has a gradient and one has none"},
		"gradient": {func(g *Group) { g.Parts[1].Grad = long[:5] }, ErrLength,
			`"a" from 0 on had 8192 elements before; Value 8192, Grad 5`},
		"one State": {func(g *Group) {
			g.Parts[1].State = NewState(tile, Default())
			g.Parts[0].State = g.Parts[1].State
		}, ErrParams, "have the same State"},
		"one memory": {func(g *Group) { g.Parts[0].Grad = g.Parts[1].Value[:5] }, ErrLength, `"a"`},
		"memory that overlaps": {func(g *Group) {
			g.Parts[1].Value = g.Parts[0].Value[5:]
		}, ErrOverlap, `Value of "a"`},
	} {
		g := partsOf(Default())
		c.group(&g)
		o, err := New(Options{}, g)
		assert.Nil(t, o, name)
		require.ErrorIs(t, err, c.kind, name)
		assert.ErrorContains(t, err, c.text, name)
	}
	g := partsOf(Default())
	other := Group{Config: Default(), Parts: g.Parts[:1:1]}
	g.Parts = g.Parts[1:]
	_, err := New(Options{}, g, other)
	require.ErrorIs(t, err, ErrParams)
	assert.ErrorContains(t, err, "want one group for all parts of a tensor")
}

// What is wrong with parts later is an error in all that a step consists of, and nothing changes.
func TestPartsStay(t *testing.T) {
	ams := Default()
	ams.AMSGrad = true
	for name, c := range map[string]struct {
		spoil func(o *Optimizer, g *Group)
		kind  error
		text  string
	}{
		"At": {func(_ *Optimizer, g *Group) { g.Parts[0].At = tile }, ErrParams,
			`"a" from 16384 on has At 8192 and Of 24581, not as given before`},
		"Of": {func(_ *Optimizer, g *Group) { g.Parts64[0].Of++ }, ErrParams,
			`"b" from 8192 on has At 8192 and Of 32769, not as given before`},
		"gradient of one": {func(_ *Optimizer, g *Group) { g.Parts[0].Grad = nil }, ErrParams,
			`Groups[0].Parts[1] and Groups[0].Parts[0] are parts of "a": one has a gradient`},
		"count of one": {func(o *Optimizer, g *Group) { *o.tensors[0].count()++ }, ErrParams,
			"T is 1 and 2: want one T"},
		"count": {func(o *Optimizer, g *Group) {
			*o.tensors[0].count(), *o.tensors[1].count() = math.MaxUint64, math.MaxUint64
		}, ErrSteps, `"a" from 16384 on: T = 18446744073709551615`},
		"length": {func(_ *Optimizer, g *Group) { g.Parts[1].Value = g.Parts[1].Value[1:] },
			ErrLength, `"a" from 0 on had 8192 elements before; Value 8191`},
		"State": {func(_ *Optimizer, g *Group) { g.Parts[1].State = NewState(tile, Default()) },
			ErrParams, `"a" from 0 on has another State`},
		"no VMax": {func(_ *Optimizer, g *Group) { g.Config = ams }, ErrLength,
			"AMSGrad needs a State that has VMax: give Regroup the part with one"},
		"whole": {func(_ *Optimizer, g *Group) {
			g.Params = []Param{g.Parts[0].Param}
			g.Parts = g.Parts[1:]
		}, ErrParams, `Groups[0].Params[0], "a", is of another kind than before`},
		"another list": {func(_ *Optimizer, g *Group) { g.Parts = g.Parts[:2] }, ErrParams,
			`Groups[0].Parts64[0] is "b", not as given before`},
		"lost": {func(_ *Optimizer, g *Group) { g.Parts64 = nil }, ErrParams,
			"hold 3 tensors"},
		"Optimizer": {func(o *Optimizer, _ *Group) { o.T = math.MaxUint64 }, ErrSteps,
			"Optimizer.T"},
	} {
		t.Run(name, func(t *testing.T) {
			o := newOptimizer(t, Options{MaxNorm: 1}, partsOf(Default()))
			_, err := o.Step()
			require.NoError(t, err)
			c.spoil(o, &o.Groups[0])
			for method, f := range map[string]func() error{
				"Check":   o.Check,
				"Step":    func() error { _, err := o.Step(); return err },
				"Squares": func() error { _, _, err := o.Squares(); return err },
				"StepWith": func() error {
					_, err := o.StepWith(1, "", nil, func(int) { t.Error("called") })
					return err
				},
			} {
				unchangedBy(t, o, c.kind, f, c.text)
				assert.Equal(t, 1, bytes.Count([]byte(f().Error()), []byte("adam:")), method)
			}
		})
	}
}

// Sums, names and runs that no gradients have are refused; without a norm the sums do not matter.
func TestStepWithErrors(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	o := newOptimizer(t, Options{MaxNorm: 1}, partsOf(Default()))
	tiles, name, err := o.Squares()
	require.NoError(t, err)
	require.Len(t, tiles, 1+2+2)
	require.Empty(t, name)
	stepped := func(int) { t.Error("called") }
	for _, c := range []struct {
		squares   float64
		nonFinite string
		runs      []int
		text      string
	}{
		{-1, "", nil, "squares = -1 "},
		{nan, "", nil, "squares = NaN "},
		{1, "a", nil, `nonFinite = "a"`},
		{1, "", []int{}, "runs are []"},
		{1, "", []int{4}, "runs are [4]"},
		{1, "", []int{3, 2, 5}, "runs are [3 2 5]"},
		{1, "", []int{-1, 5}, "[-1 5]: want ascending numbers of tiles, the last of all 5"},
		{1, "", []int{2, 6}, "runs are [2 6]"},
	} {
		unchangedBy(t, o, ErrParams, func() error {
			_, err := o.StepWith(c.squares, c.nonFinite, c.runs, stepped)
			return err
		}, c.text)
	}
	for _, squares := range []float64{0, 1, inf} { // that of float64 may be infinite
		stats, err := o.StepWith(squares, "", []int{0, 0, 5, 5}, nil)
		require.NoError(t, err)
		assert.Equal(t, math.Sqrt(squares), stats.GradNorm)
	}
	o.Options.MaxNorm = 0
	stats, err := o.StepWith(nan, "", nil, nil)
	require.NoError(t, err)
	assert.Equal(t, Stats{T: 4, Stepped: 3}, stats)

	for method, f := range map[string]func() error{
		"Check":    o.Check,
		"Squares":  func() error { _, _, err := o.Squares(); return err },
		"StepWith": func() error { _, err := o.StepWith(1, "", nil, nil); return err },
	} {
		require.True(t, o.busy.CompareAndSwap(false, true))
		unchangedBy(t, o, ErrBusy, f)
		o.leave()
		assert.ErrorIs(t, (&Optimizer{pool: o.pool}).Check(), ErrParams, method)
	}
	require.NoError(t, o.Close())
	assert.ErrorIs(t, o.Check(), ErrClosed)
	_, _, err = o.Squares()
	assert.ErrorIs(t, err, ErrClosed)
	_, err = o.StepWith(1, "", nil, nil)
	assert.ErrorIs(t, err, ErrClosed)
}

// A gradient of another rank that is not finite skips the step of this one, and the next Step has
// this one's norm again, even where Norm was called before.
func TestStepWithSkips(t *testing.T) {
	for _, zero := range []bool{false, true} {
		o := newOptimizer(t, Options{SkipNonFinite: true, ZeroGrad: zero}, partsOf(Default()))
		norm, err := o.Norm()
		require.NoError(t, err)
		require.NotZero(t, norm)
		value := slices.Clone(o.Groups[0].Parts[0].Value)
		stats, err := o.StepWith(math.NaN(), "z", nil, func(int) { t.Error("called") })
		require.NoError(t, err)
		assert.True(t, stats.Skipped)
		assert.Equal(t, "z", stats.NonFinite)
		assert.Zero(t, stats.T+o.T+uint64(stats.Stepped))
		assert.Equal(t, value, o.Groups[0].Parts[0].Value)
		assert.Equal(t, zero, o.Groups[0].Parts[0].Grad[0] == 0)
		if zero {
			norm = 0
		}
		stats, err = o.Step()
		require.NoError(t, err)
		assert.False(t, stats.Skipped)
		assert.Equal(t, norm, stats.GradNorm)
	}
}

// The sums that Squares returns are the caller's to write.
func TestSquaresAreTheCallers(t *testing.T) {
	o := newOptimizer(t, Options{}, partsOf(Default()))
	_, err := o.Norm()
	require.NoError(t, err)
	first, _, err := o.Squares()
	require.NoError(t, err)
	want := slices.Clone(first)
	require.NotZero(t, want[0])
	clear(first)
	again, _, err := o.Squares()
	require.NoError(t, err)
	assert.Equal(t, want, again)
}

// A stepped that panics, or ends the goroutine, leaves an optimizer that is closed and has counted
// nothing.
func TestSteppedPanics(t *testing.T) {
	sharedOut(t)
	o := newOptimizer(t, Options{Workers: 2, EMADecay: 0.5}, partsOf(Default()))
	assert.PanicsWithValue(t, "here", func() {
		_, _ = o.StepWith(0, "", []int{1, 5}, func(run int) {
			_, err := o.Step()
			assert.ErrorIs(t, err, ErrBusy)
			if run == 0 {
				panic("here")
			}
		})
	})
	assert.Zero(t, o.T)
	for _, p := range o.tensors {
		assert.Zero(t, *p.count())
		assert.False(t, p.begun)
	}
	assert.ErrorIs(t, o.Check(), ErrClosed)
}

// An optimizer of empty parts alone counts the steps of its tensors.
func TestEmptyParts(t *testing.T) {
	empty := func(name string) Param {
		return Param{Name: name, Value: []float32{}, Grad: []float32{}}
	}
	o := newOptimizer(t, Options{MaxNorm: 1, EMADecay: 0.5}, Group{Config: Default(),
		Parts:   []Part{{empty("a"), 0, 10}, {empty("b"), 0, 0}},
		Parts64: []Part64{{Param64{Name: "c"}, 0, math.MaxInt}}})
	tiles, name, err := o.Squares()
	require.NoError(t, err)
	assert.Empty(t, tiles)
	assert.Empty(t, name)
	calls := 0
	stats, err := o.StepWith(4, "", []int{0, 0}, func(run int) { calls++ })
	require.NoError(t, err)
	assert.Equal(t, 2, calls)
	assert.Equal(t, Stats{T: 1, GradNorm: 2, Stepped: 2}, stats)
	assert.EqualValues(t, 1, *o.tensors[0].count())
	assert.EqualValues(t, 0, *o.tensors[2].count(), "its Grad is nil")
	o.Groups[0].Parts[0].Grad = nil
	stats, err = o.StepWith(4, "", nil, nil)
	require.NoError(t, err)
	assert.Equal(t, 1, stats.Stepped)
	assert.EqualValues(t, 1, *o.tensors[0].count())
}

// Parts come and go by Regroup and Remove. Those with the same elements go on, and so does a whole
// tensor that becomes a part of all its elements.
func TestPartsMove(t *testing.T) {
	g := partsOf(DefaultW())
	o := newOptimizer(t, Options{EMADecay: 0.5}, g)
	_, err := o.Step()
	require.NoError(t, err)
	assert.Nil(t, o.State("a"), "State knows whole tensors only")
	assert.Nil(t, o.State64("b"))
	assert.Nil(t, o.EMA("a"))
	state := func(name string, from int) *state[float32] {
		return typedOf[float32](o.starting(name, from).kind).state
	}
	first, last := state("a", 0), state("a", 2*tile)

	require.NoError(t, o.Add(0, someTensors(tile, "d")...))
	assert.Same(t, last, state("a", 2*tile))
	for text, f := range map[string]func() error{
		`"a" is in parts, which do not grow: give Regroup`: func() error {
			return o.Grow("a", make([]float32, 4*tile), nil)
		},
		`"b" is in parts, which do not grow`: func() error {
			return o.Grow64("b", make([]float64, 4*tile), nil)
		},
		"one is the whole tensor": func() error { return o.Add(0, someTensors(3, "a")...) },
		`no tensor "e"`:           func() error { return o.Remove("a", "e") },
		"T is 0 and 1": func() error {
			p := g.Parts[1]
			p.State = NewState(tile, Default())
			return o.Regroup(Group{Config: Default(), Parts: []Part{g.Parts[0], p}})
		},
	} {
		unchangedBy(t, o, ErrParams, f, text)
	}
	o.Groups[0].Parts[0].At = tile
	unchangedBy(t, o, ErrParams, func() error { return o.Add(0, someTensors(3, "e")...) },
		`Groups do not hold "a"`)
	o.Groups[0].Parts[0].At = 2 * tile

	// "d" becomes a part of all its elements, and the first part of "a" is cut elsewhere.
	whole := o.State("d")
	all := Part{o.Groups[0].Params[0], 0, tile}
	require.NoError(t, o.Regroup(Group{Config: Default(), Parts: []Part{all, g.Parts[1]}}))
	assert.Same(t, whole, (*State)(state("d", 0)))
	assert.Same(t, first, state("a", 0))
	assert.Nil(t, o.State("d"))
	longer := g.Parts[1]
	longer.Of = 2 * tile // another tensor under the same name
	require.NoError(t, o.Regroup(Group{Config: Default(), Parts: []Part{all, longer}}))
	assert.NotSame(t, first, state("a", 0))
	assert.Zero(t, state("a", 0).T)
	require.NoError(t, o.Regroup(Group{Config: Default(), Parts: []Part{longer},
		Params: []Param{all.Param}}))
	assert.Same(t, whole, o.State("d"))

	require.NoError(t, o.Regroup(partsOf(Default())))
	require.NoError(t, o.Remove("a", "b"))
	require.Len(t, o.tensors, 1)
	assert.Equal(t, "c", o.tensors[0].name)
}

// The groups that New is given are the caller's.
func TestPartsAreCopied(t *testing.T) {
	g := partsOf(Default())
	o := newOptimizer(t, Options{}, g)
	g.Parts[0].Name, g.Parts64[0].Name = "x", "y"
	assert.NoError(t, o.Check())
}

// An optimizer that has parts does not write the checkpoints of whole tensors.
func TestPartsCheckpoint(t *testing.T) {
	o := newOptimizer(t, Options{}, partsOf(Default()))
	path := filepath.Join(t.TempDir(), "checkpoint")
	whole := newOptimizer(t, Options{}, Group{Config: Default(),
		Params: someTensors(3*tile+5, "a")})
	require.NoError(t, whole.SaveFile(path))
	for method, f := range map[string]func() error{
		"Save":     func() error { return o.Save(new(bytes.Buffer)) },
		"SaveFile": func() error { return o.SaveFile(path) },
	} {
		unchangedBy(t, o, ErrParams, f, "is in parts: use SaveParts")
		assert.False(t, errors.Is(f(), ErrCheckpoint), method)
	}
	assert.NoError(t, whole.LoadFile(path), "nothing has been written")
}

// The two halves of a step do not allocate.
func TestPartsDoNotAllocate(t *testing.T) {
	sharedOut(t)
	for _, options := range []Options{{Workers: 1}, {Workers: 2, MaxNorm: 1, EMADecay: 0.5,
		SkipNonFinite: true, ZeroGrad: true}, {Workers: 2, MaxValue: 1}} {
		o := newOptimizer(t, options, partsOf(Default()))
		runs, calls := []int{1, 2, 5}, 0
		stepped := func(int) { calls++ }
		step := func() {
			tiles, name, err := o.Squares()
			sum := 0.0
			for _, s := range tiles {
				sum += s
			}
			if err == nil {
				err = o.Check()
			}
			if err == nil {
				_, err = o.StepWith(sum, name, runs, stepped)
			}
			if err == nil {
				_, err = o.StepWith(sum, name, nil, stepped)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		step()
		assert.Zero(t, testing.AllocsPerRun(20, step))
		assert.Equal(t, 4*22, calls)
	}
}
