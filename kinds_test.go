package adam

import (
	"bytes"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"unsafe"

	"github.com/fusedadam/adam/internal/operands"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// kinds returns a group with a tensor of each kind, with gradients.
func kinds(c Config) Group {
	r := rand.New(rand.NewPCG(1, 2))
	doubles := func(n int) []float64 {
		s := make([]float64, n)
		for i := range s {
			s[i] = r.NormFloat64()
		}
		return s
	}
	return Group{
		Config:   c,
		Params:   []Param{{Name: "a", Value: randoms(r, 10), Grad: randoms(r, 10)}},
		Params64: []Param64{{Name: "b", Value: doubles(20), Grad: doubles(20)}},
		Tables: []Table{{Name: "c", Width: 3, Value: randoms(r, 30),
			Rows: []int32{7, 0, 1}, Grad: randoms(r, 9)}},
	}
}

func TestKindsErrors(t *testing.T) {
	int32s := func(s []float32) []int32 {
		return unsafe.Slice((*int32)(unsafe.Pointer(&s[0])), len(s))
	}
	ams := func(o *Optimizer) { o.Groups[0].Config.AMSGrad = true }
	for name, c := range map[string]struct {
		spoil func(o *Optimizer, double *Param64, table *Table)
		kind  error
		parts []string
	}{
		"row beyond the table": {func(_ *Optimizer, _ *Param64, p *Table) { p.Rows[1] = 10 },
			ErrRows, []string{`"c"`, "rows[1] = 10", "10 rows"}},
		"negative row": {func(_ *Optimizer, _ *Param64, p *Table) { p.Rows[2] = -1 },
			ErrRows, []string{`"c"`, "rows[2] = -1"}},
		"row twice": {func(_ *Optimizer, _ *Param64, p *Table) { p.Rows[2] = 7 },
			ErrRows, []string{`"c"`, "rows[0] and rows[2] are both 7"}},
		"gradient of a table": {func(_ *Optimizer, _ *Param64, p *Table) { p.Grad = p.Grad[:8] },
			ErrLength, []string{`"c": Grad 8, want 9`}},
		"gradient without rows": {func(_ *Optimizer, _ *Param64, p *Table) { p.Rows = nil },
			ErrLength, []string{`"c": Grad 9, want 0`}},
		"width": {func(_ *Optimizer, _ *Param64, p *Table) { p.Width = 5 },
			ErrLength, []string{`"c": Width 5, want the one given before`}},
		"table shorter": {func(_ *Optimizer, _ *Param64, p *Table) { p.Value = p.Value[:27] },
			ErrLength, []string{`"c" had 30 elements before; Value 27`}},
		"moments of a table": {func(o *Optimizer, _ *Param64, _ *Table) { o.State("c").M = nil },
			ErrLength, []string{`"c" had 30`, "M 0"}},
		"count of a table": {
			func(o *Optimizer, _ *Param64, _ *Table) { o.State("c").T = math.MaxUint64 },
			ErrSteps, []string{`"c": T = 18446744073709551615`}},
		"rows in the table": {
			func(_ *Optimizer, _ *Param64, p *Table) {
				p.Rows = int32s(p.Value)[:3]
				copy(p.Rows, []int32{0, 1, 2})
			},
			ErrOverlap, []string{`Value of "c"`, `Rows of "c"`, "3 elements"}},
		"gradient in the moments": {
			func(o *Optimizer, _ *Param64, p *Table) { p.Grad = o.State("c").V[:9] },
			ErrOverlap, []string{`V of "c"`, `Grad of "c"`}},
		"float64 gradient": {func(_ *Optimizer, p *Param64, _ *Table) { p.Grad = p.Grad[:19] },
			ErrLength, []string{`"b" had 20 elements before; Value 20, Grad 19`}},
		"float64 moments": {func(o *Optimizer, _ *Param64, _ *Table) { o.State64("b").V = nil },
			ErrLength, []string{`"b"`, "V 0"}},
		"float64 AMSGrad": {func(o *Optimizer, _ *Param64, _ *Table) {
			ams(o)
			o.State("a").VMax, o.State("c").VMax = make([]float32, 10), make([]float32, 30)
		}, ErrLength, []string{`State64("b").VMax = make([]float64, 20)`}},
		"float64 overlap": {
			func(o *Optimizer, p *Param64, _ *Table) { p.Grad = o.State64("b").M },
			ErrOverlap, []string{`M of "b"`, `Grad of "b"`, "20 elements"}},
		"name of another": {func(_ *Optimizer, p *Param64, _ *Table) { p.Name = "c" },
			ErrParams, []string{`Groups[0].Params64[0] is "c"`, "Regroup"}},
		"another State64": {
			func(_ *Optimizer, p *Param64, _ *Table) { p.State = NewState64(20, Default()) },
			ErrParams, []string{`"b" has another State`}},
		"another kind": {func(o *Optimizer, _ *Param64, p *Table) {
			o.Groups[0].Tables = nil
			o.Groups[0].Params64 = append(o.Groups[0].Params64, Param64{Name: "c"})
		}, ErrParams, []string{`Groups[0].Params64[1], "c", is of another kind`}},
		"a Param": {func(o *Optimizer, _ *Param64, p *Table) {
			g := &o.Groups[0]
			g.Params64, g.Tables = nil, nil
			g.Params = append(g.Params, Param{Name: "b", Value: make([]float32, 20)})
		}, ErrParams, []string{`Groups[0].Params[1], "b", is of another kind`}},
		"table lost": {func(o *Optimizer, _ *Param64, _ *Table) { o.Groups[0].Tables = nil },
			ErrParams, []string{"Groups hold 2 tensors, 3 were given"}},
	} {
		for _, options := range []Options{
			{Workers: 1}, {Workers: 1, ZeroGrad: true, MaxNorm: 1, EMADecay: 0.5},
		} {
			t.Run(name, func(t *testing.T) {
				o := newOptimizer(t, options, kinds(Default()))
				_, err := o.Step()
				require.NoError(t, err)
				c.spoil(o, &o.Groups[0].Params64[0], &o.Groups[0].Tables[0])
				for range 2 { // an error is one the second time too
					unchangedBy(t, o, c.kind, func() error {
						_, err := o.Step()
						return err
					}, c.parts...)
				}
			})
		}
	}
	for name, c := range map[string]struct {
		group func(g *Group)
		kind  error
		part  string
	}{
		"names":     {func(g *Group) { g.Params64[0].Name = "a" }, ErrParams, ".Params64[0]"},
		"names too": {func(g *Group) { g.Tables[0].Name = "b" }, ErrParams, ".Tables[0]"},
		"no width":  {func(g *Group) { g.Tables[0].Width = 0 }, ErrLength, `"c": Width 0`},
		"width":     {func(g *Group) { g.Tables[0].Width = 4 }, ErrLength, `"c": Width 4`},
		"one memory": {func(g *Group) {
			g.Tables[0].Grad, g.Tables[0].Value = nil, g.Params[0].Value[1:]
		}, ErrOverlap, `"c"`},
		"upper half of float64": {func(g *Group) {
			g.Params64[0].Value = make([]float64, 35)[:20]
			g.Params64[0].Grad = g.Params64[0].Value[15:35]
		}, ErrOverlap, `Value of "b"`},
		"one State": {func(g *Group) {
			g.Tables[0].State = NewState(10, Default())
			g.Params[0].State = g.Tables[0].State
		}, ErrParams, `"a" and "c" have the same State`},
	} {
		g := kinds(Default())
		c.group(&g)
		o, err := New(Options{}, g)
		assert.Nil(t, o, name)
		require.ErrorIs(t, err, c.kind, name)
		assert.ErrorContains(t, err, c.part, name)
	}
}

// What was a Table does not become a Param by a change of Groups, and memory that was given is not
// replaced there.
func TestKindsStay(t *testing.T) {
	g := kinds(Default())
	g.Params64 = nil
	g.Tables[0].EMA = make([]float32, 30)
	for part, f := range map[string]func(g *Group){
		`Groups[0].Params[1], "c", is of another kind than before`: func(g *Group) {
			g.Params = append(g.Params, Param{Name: "c", Value: g.Tables[0].Value})
			g.Tables = nil
		},
		`"c" has another State or EMA than before`: func(g *Group) {
			g.Tables[0].EMA = make([]float32, 30)
		},
	} {
		o := newOptimizer(t, Options{}, g)
		f(&o.Groups[0])
		unchangedBy(t, o, ErrParams, func() error { _, err := o.Step(); return err }, part)
	}
}

// After an error about a longer gradient, the whole of it is stepped once the error is mended.
func TestTableAfterError(t *testing.T) {
	o := newOptimizer(t, Options{Workers: 1}, kinds(Default()))
	_, err := o.Step()
	require.NoError(t, err)
	p := &o.Groups[0].Tables[0]
	p.Rows, p.Grad = []int32{2, 3, 4, 10}, slices.Repeat([]float32{1}, 12)
	unchangedBy(t, o, ErrRows, func() error { _, err := o.Step(); return err })
	p.Rows[3] = 9
	before := slices.Clone(p.Value)
	_, err = o.Step()
	require.NoError(t, err)
	for i := range 3 {
		assert.NotEqual(t, before[27+i], p.Value[27+i], "of the last row")
	}
}

// A maximum that is no longer needed may be dropped.
func TestAMSGradEnds(t *testing.T) {
	c := Default()
	c.AMSGrad = true
	o := newOptimizer(t, Options{}, kinds(c))
	_, err := o.Step()
	require.NoError(t, err)
	o.Groups[0].Config.AMSGrad = false
	o.State("a").VMax, o.State64("b").VMax, o.State("c").VMax = nil, nil, nil
	_, err = o.Step()
	require.NoError(t, err)
}

// State and EMA are those of the type that they are asked for; names are given by place.
func TestKindsByName(t *testing.T) {
	g := kinds(Default())
	g.Params[0].Name, g.Params64[0].Name, g.Tables[0].Name = "", "", ""
	o := newOptimizer(t, Options{EMADecay: 0.5}, Group{Config: Default()}, g)
	assert.Len(t, o.State("1.0").M, 10)
	assert.Len(t, o.State64("1.Params64.0").M, 20)
	assert.Len(t, o.State("1.Tables.0").M, 30)
	assert.Len(t, o.EMA("1.Tables.0"), 30)
	assert.Len(t, o.EMA64("1.Params64.0"), 20)
	assert.Nil(t, o.State("1.Params64.0"))
	assert.Nil(t, o.EMA("1.Params64.0"))
	for _, name := range []string{"1.0", "1.Tables.0", "?"} {
		assert.Nil(t, o.State64(name))
		assert.Nil(t, o.EMA64(name))
	}
}

// A float64 gradient whose square overflows is finite: it is no reason to skip the step, but the
// norm is +Inf and the factor of clipping 0. NaN and Inf are found by their bits.
func TestNormOverflows(t *testing.T) {
	eachKernel(t, func(t *testing.T) {
		for _, at := range []int{0, 31, 4095, 4096, 5000} {
			value, grad := make([]float64, 5001), make([]float64, 5001)
			o := newOptimizer(t, Options{Workers: 2, MaxNorm: 1, SkipNonFinite: true}, Group{
				Config:   Default(),
				Params64: []Param64{{Name: "b", Value: value, Grad: grad}},
				Params:   []Param{{Name: "z", Value: []float32{0}, Grad: []float32{1}}},
			})
			grad[at] = -1e200
			stats, err := o.Step()
			require.NoError(t, err)
			assert.Equal(t, Stats{T: 1, GradNorm: math.Inf(1), Stepped: 2}, stats)
			assert.Equal(t, make([]float64, 5001), value, "the factor is 0")
			for _, bad := range []float64{math.Inf(1), math.Inf(-1), math.NaN()} {
				grad[at] = bad
				stats, err := o.Step()
				require.NoError(t, err)
				assert.True(t, stats.Skipped)
				assert.Equal(t, "b", stats.NonFinite)
			}
			grad[at] = 0
			o.Groups[0].Params[0].Grad[0] = float32(math.NaN())
			stats, err = o.Step()
			require.NoError(t, err)
			assert.Equal(t, "z", stats.NonFinite)
		}
		// No square overflows, but their sum does.
		grad := slices.Repeat([]float64{1e154}, 9000)
		o := newOptimizer(t, Options{MaxNorm: 1, SkipNonFinite: true}, Group{Config: Default(),
			Params64: []Param64{{Name: "b", Value: make([]float64, 9000), Grad: grad}}})
		stats, err := o.Step()
		require.NoError(t, err)
		assert.Equal(t, Stats{T: 1, GradNorm: math.Inf(1), Stepped: 1}, stats)
	})
}

// A checkpoint has all kinds; what is loaded goes on to the same bits. A table and a Param of the
// same name and size are the same to it, and float32 and float64 are not.
func TestKindsCheckpoint(t *testing.T) {
	ams := DefaultW()
	ams.AMSGrad = true
	options := Options{Workers: 2, MaxNorm: 1, EMADecay: 0.9, SaveParams: true}
	o := newOptimizer(t, options, kinds(ams))
	step := func(o *Optimizer, k int) {
		r := rand.New(rand.NewPCG(uint64(k), 3))
		g := &o.Groups[0]
		for i := range g.Params64[0].Grad {
			g.Params64[0].Grad[i] = r.NormFloat64()
		}
		g.Tables[0].Rows = []int32{int32(k), int32(9 - k), int32((k + 1) % 5)}
		_, err := o.Step()
		require.NoError(t, err)
	}
	for k := range 3 {
		step(o, k)
	}
	var file bytes.Buffer
	require.NoError(t, o.Save(&file))
	assert.Contains(t, file.String(), `"adam.format":"2"`)
	assert.Contains(t, file.String(), `"state.b.exp_avg":{"dtype":"F64","shape":[20]`)
	assert.Contains(t, file.String(), `"param.b":{"dtype":"F64","shape":[20]`)
	for _, lent := range []bool{false, true} {
		g := kinds(Default())
		clear(g.Params64[0].Value)
		clear(g.Tables[0].Value)
		if lent {
			g.Params64[0].State, g.Params64[0].EMA = NewState64(20, ams), make([]float64, 20)
			g.Tables[0].State, g.Tables[0].EMA = NewState(30, ams), make([]float32, 30)
		}
		other := newOptimizer(t, options, g)
		require.NoError(t, other.Load(bytes.NewReader(file.Bytes())))
		for k := 3; k < 5; k++ {
			again := newOptimizer(t, options, kinds(ams))
			require.NoError(t, again.Load(bytes.NewReader(file.Bytes())))
			for j := 3; j <= k; j++ {
				step(again, j)
			}
			step(other, k)
			var a, b bytes.Buffer
			require.NoError(t, again.Save(&a))
			require.NoError(t, other.Save(&b))
			require.True(t, bytes.Equal(a.Bytes(), b.Bytes()), "lent %v, %d steps", lent, k+1)
		}
		if lent {
			assert.EqualValues(t, 5, g.Params64[0].State.T)
			assert.EqualValues(t, 5, g.Tables[0].State.T)
			assert.Equal(t, other.EMA64("b"), g.Params64[0].EMA)
		}
	}

	dense := kinds(ams)
	p := dense.Tables[0]
	dense.Tables = nil
	dense.Params = append(dense.Params, Param{Name: "c", Value: p.Value})
	as := newOptimizer(t, options, dense)
	require.NoError(t, as.Load(bytes.NewReader(file.Bytes())))
	assert.Equal(t, o.State("c"), as.State("c"))

	single := kinds(ams)
	single.Params64 = nil
	single.Params = append(single.Params, Param{Name: "b", Value: make([]float32, 20)})
	as = newOptimizer(t, options, single)
	unchangedBy(t, as, ErrCheckpoint, func() error {
		return as.Load(bytes.NewReader(file.Bytes()))
	}, "has dtype F64 and shape [20], want F32 and [20]")
}

// Tensors of all kinds come, go, grow and change between Param and Table; those that stay go on.
func TestKindsMove(t *testing.T) {
	options := Options{Workers: 2, EMADecay: 0.9}
	o := newOptimizer(t, options, kinds(DefaultW()), Group{Config: Default()})
	_, err := o.Step()
	require.NoError(t, err)
	double, table := o.State64("b"), o.State("c")
	m, v := slices.Clone(double.M), slices.Clone(table.V)
	average := slices.Clone(o.EMA64("b"))

	require.NoError(t, o.Add64(1, Param64{Value: []float64{1, 2}, Grad: []float64{1, 1}}))
	require.NoError(t, o.AddTables(1, Table{Width: 2, Value: make([]float32, 6)}))
	assert.NotNil(t, o.State64("1.Params64.0"))
	assert.NotNil(t, o.State("1.Tables.0"))
	assert.Same(t, double, o.State64("b"))
	assert.Same(t, table, o.State("c"))

	require.NoError(t, o.Remove("1.Params64.0"))
	assert.Nil(t, o.State64("1.Params64.0"))
	require.NoError(t, o.AddTables(1, Table{Name: "d", Width: 1, Value: make([]float32, 1)}))
	require.NoError(t, o.Remove("d"))
	assert.NotNil(t, o.State("1.Tables.0"))
	assert.Same(t, double, o.State64("b"))

	value := append(slices.Clone(o.Groups[0].Params64[0].Value), 5, 6)
	require.NoError(t, o.Grow64("b", value, nil))
	assert.Same(t, double, o.State64("b"))
	assert.EqualValues(t, 1, double.T)
	assert.Equal(t, append(m, 0, 0), double.M)
	assert.Equal(t, append(average, 5, 6), o.EMA64("b"))
	rows := append(slices.Clone(o.Groups[0].Tables[0].Value), 1, 2, 3)
	require.NoError(t, o.Grow("c", rows, nil))
	assert.Same(t, table, o.State("c"))
	assert.Equal(t, append(v, 0, 0, 0), table.V)
	p := &o.Groups[0].Tables[0]
	p.Rows, p.Grad = []int32{10}, []float32{1, 1, 1} // the new row
	stats, err := o.Step()
	require.NoError(t, err)
	assert.Equal(t, 2, stats.Stepped)
	assert.EqualValues(t, 2, table.T)
	assert.NotZero(t, table.M[30])

	for part, f := range map[string]func() error{
		`"b" has no elements of type float32`: func() error {
			return o.Grow("b", make([]float32, 50), nil)
		},
		`"c" has no elements of type float64`: func() error {
			return o.Grow64("c", make([]float64, 60), nil)
		},
		"there is no Groups[2]": func() error { return o.Add64(2, Param64{}) },
		`name "b" is not unique`: func() error {
			return o.AddTables(0, Table{Name: "b", Width: 1})
		},
	} {
		unchangedBy(t, o, ErrParams, f, part)
	}
	unchangedBy(t, o, ErrLength, func() error { return o.Grow("c", make([]float32, 34), nil) },
		`"c": Width 3`)

	// A table becomes a Param: its state goes on. A Param64 that becomes a Param begins anew.
	g := o.Groups[0]
	dense := Param{Name: "c", Value: g.Tables[0].Value}
	single := Param{Name: "b", Value: make([]float32, len(g.Params64[0].Value))}
	require.NoError(t, o.Regroup(Group{Config: DefaultW(), Params: []Param{dense, single}}))
	assert.Same(t, table, o.State("c"))
	assert.Zero(t, o.State("b").T)
	assert.Nil(t, o.State64("b"))
	require.NoError(t, o.Remove("b"))
	require.NoError(t, o.Regroup(Group{Config: DefaultW(),
		Tables: []Table{{Name: "c", Width: 3, Value: dense.Value}}}))
	assert.Same(t, table, o.State("c"))
	require.NoError(t, o.Remove("c"))
	assert.Nil(t, o.State("c"))
}

// A table in an Optimizer has the bits of State.StepRows, for any cut of its gradient among workers
// and for rows wider than a tile.
func TestTableIsStepRows(t *testing.T) {
	sharedOut(t)
	eachKernel(t, func(t *testing.T) {
		for _, width := range []int{1, 5, 64, 3000, tile, tile + 1, 2*tile + 5} {
			r := rand.New(rand.NewPCG(uint64(width), 1))
			n := 3 + 3*tile/width // rows
			value := randoms(r, n*width)
			c := DefaultW()
			c.AMSGrad = true
			p, s := slices.Clone(value), NewState(n*width, c)
			o := newOptimizer(t, Options{Workers: 3, MaxValue: 100}, Group{Config: c,
				Tables: []Table{{Name: "a", Width: width, Value: value}}})
			for range 3 {
				var rows []int32
				for _, row := range r.Perm(n)[:1+r.IntN(n)] {
					rows = append(rows, int32(row))
				}
				grad := randoms(r, len(rows)*width)
				o.Groups[0].Tables[0].Rows, o.Groups[0].Tables[0].Grad = rows, grad
				_, err := o.Step()
				require.NoError(t, err)
				require.NoError(t, s.StepRows(p, width, rows, grad, c))
				for i, pair := range [][2][]float32{{p, value}, {s.M, o.State("a").M},
					{s.V, o.State("a").V}, {s.VMax, o.State("a").VMax}} {
					require.Equal(t, operands.Bits(pair[0]), operands.Bits(pair[1]),
						"width %d, slice %d", width, i)
				}
				require.Equal(t, s.T, o.State("a").T)
			}
		}
	})
}

// Norm knows the gradients of all kinds, and notices when they change.
func TestKindsNorm(t *testing.T) {
	o := newOptimizer(t, Options{MaxNorm: math.Inf(1), ZeroGrad: true}, kinds(Default()))
	change := map[string]func(g *Group){
		"nothing": func(*Group) {},
		"float64": func(g *Group) { g.Params64[0].Grad[0]++ },
		"table":   func(g *Group) { g.Tables[0].Grad[0]++ },
		"rows": func(g *Group) {
			g.Tables[0].Rows, g.Tables[0].Grad = g.Tables[0].Rows[:1], g.Tables[0].Grad[:3]
		},
		"no rows": func(g *Group) { g.Tables[0].Rows, g.Tables[0].Grad = nil, []float32{} },
		"none":    func(g *Group) { g.Tables[0].Grad = nil },
	}
	for what, f := range change {
		g := kinds(Default())
		o.Groups[0].Params64[0].Grad = g.Params64[0].Grad
		o.Groups[0].Params[0].Grad = g.Params[0].Grad
		o.Groups[0].Tables[0].Rows = g.Tables[0].Rows
		o.Groups[0].Tables[0].Grad = g.Tables[0].Grad
		before, err := o.Norm()
		require.NoError(t, err)
		f(&o.Groups[0])
		sum := 0.0
		for _, x := range o.Groups[0].Params[0].Grad {
			sum += float64(x) * float64(x)
		}
		for _, x := range o.Groups[0].Params64[0].Grad {
			sum += x * x
		}
		for _, x := range o.Groups[0].Tables[0].Grad {
			sum += float64(x) * float64(x)
		}
		stats, err := o.Step()
		require.NoError(t, err)
		assert.InEpsilon(t, math.Sqrt(sum), stats.GradNorm, 1e-14, what)
		if what == "nothing" {
			assert.Equal(t, before, stats.GradNorm)
		}
		assert.Equal(t, make([]float64, 20), o.Groups[0].Params64[0].Grad, "zeroed")
		for _, x := range o.Groups[0].Tables[0].Grad {
			assert.Zero(t, x)
		}
	}
	o.Groups[0].Params64[0].Grad[3] = 1
	require.NoError(t, o.ZeroGrad())
	assert.Zero(t, o.Groups[0].Params64[0].Grad[3])
}
