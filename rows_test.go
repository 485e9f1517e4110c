package adam

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"github.com/fusedadam/adam/internal/operands"
	"github.com/fusedadam/adam/internal/selection"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// someRows draws rows of a table of n: each with the probability share, in ascending order or in
// any.
func someRows(r *rand.Rand, n int, share float64, ascending bool) []int32 {
	rows := []int32{}
	for row := range n {
		if r.Float64() < share {
			rows = append(rows, int32(row))
		}
	}
	if !ascending {
		r.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
	}
	return rows
}

// compareRows makes a step of rows of o and compares all of o with the definition, row by row and
// element by element, and with State.Step of each row.
func compareRows(t testing.TB, o *operands.Operands, width int, rows []int32, c operands.Config) {
	t.Helper()
	defined, single := o.Clone([5]int{1, 2, 3, 4, 5}), o.Clone([5]int{5, 4, 3, 2, 1})
	g := o.G[:len(rows)*width]
	gradient, given := operands.Bits(o.G), slices.Clone(rows)
	for i, row := range rows {
		from, to := int(row)*width, int(row+1)*width
		ref := reference[float32]{p: defined.P[from:to], g: g[i*width:][:width],
			m: defined.M[from:to], v: defined.V[from:to], x: defined.VMax[from:to], t: o.T,
			c: Config(c)}
		ref.step(1, 0)
		s := State{T: o.T, M: single.M[from:to], V: single.V[from:to], VMax: single.VMax[from:to]}
		require.NoError(t, s.Step(single.P[from:to], ref.g, Config(c)))
	}
	defined.T++
	single.T++
	err := (*State)(&o.StateOf).StepRows(o.P, width, rows, g, Config(c))
	if err == nil {
		err = o.Intact()
	}
	if err == nil {
		err = o.Difference(defined)
	}
	if err == nil {
		err = o.Difference(single)
	}
	if err != nil {
		t.Fatalf("kernel %s, %+v, width %d, rows %v: %v", Kernel(), c, width, rows, err)
	}
	require.True(t, operands.Unchanged(o.G, gradient), "the gradient was changed")
	require.True(t, slices.Equal(given, rows), "rows was changed")
}

func TestStepRows(t *testing.T) {
	eachKernel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(1, 2))
		for _, variant := range operands.Variants {
			for _, width := range []int{1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 24, 31, 33, 48, 67} {
				const n = 20
				o := operands.New(r, n*width, operands.Offsets(r),
					operands.Kinds[r.IntN(len(operands.Kinds))].Value)
				o.T = []uint64{0, 1, 9, 1000, 1 << 40}[r.IntN(5)]
				for _, share := range []float64{0.2, 0.6, 1} {
					compareRows(t, o, width, someRows(r, n, share, r.IntN(2) == 0), variant.Config)
				}
			}
		}
	})
}

// Runs that are longer than a tile, rows that are, more runs than a call of the kernel has, and
// both limits in one step.
func TestStepRowsOfManyCalls(t *testing.T) {
	eachKernel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(3, 4))
		for _, size := range []struct {
			width, n int
			share    float64
		}{{4, 4 * tile / 4, 1}, {4, 1000, 0.5}, {100, 300, 0.8}, {tile - 1, 4, 1}, {tile, 4, 0.7},
			{2*tile + 5, 3, 0.7}, {1, runsPerCall * 4, 0.5}, {tile / runsPerCall, 300, 0.5}} {
			for _, ascending := range []bool{true, false} {
				o := operands.New(r, size.n*size.width, operands.Offsets(r), operands.Normal)
				variant := operands.Variants[r.IntN(len(operands.Variants))]
				compareRows(t, o, size.width, someRows(r, size.n, size.share, ascending),
					variant.Config)
			}
		}
	})
}

// FuzzRows compares every kernel with the definition, or sees an error that changes nothing.
func FuzzRows(f *testing.F) {
	for i, n := range boundaries {
		f.Add(n, uint16(i), uint64(i), []byte{1, 2, 3, 9, 0, byte(i)})
		f.Add(n*8, n, uint64(i), []byte{0, 0, 0, 7, 5, 1, 0xff, byte(n)})
	}
	f.Fuzz(func(t *testing.T, n, width uint16, seed uint64, rows []byte) {
		w := 1 + int(width)%300
		n = n % (tile + 100) / uint16(w) // rows of the table
		c, o := drawn(int(n)*w, seed)
		var list []int32
		valid := true
		row := -1
		for _, b := range rows { // most rows follow the one before
			row += int(int8(b))%4 + 1
			valid = valid && row >= 0 && row < int(n) && !slices.Contains(list, int32(row))
			list = append(list, int32(row))
		}
		for _, name := range Kernels() {
			exercised[name]++
			before := selection.Use(name)
			if table := o.Clone([5]int{1, 2, 3, 4, 5}); valid {
				compareRows(t, table, w, list, c)
			} else {
				refuseRows(t, table, w, list, make([]float32, len(list)*w), Config(c), ErrRows)
			}
			selection.Use(before)
		}
	})
}

// refuseRows makes a step of rows that must fail with want and every given part in its message, and
// must change nothing.
func refuseRows(t testing.TB, o *operands.Operands, width int, rows []int32, g []float32, c Config,
	want error, parts ...string) {
	t.Helper()
	var before [5][]uint64
	for i, s := range o.Slices() {
		before[i] = operands.Bits(*s)
	}
	T, gradient, given := o.T, operands.Bits(g), slices.Clone(rows)
	err := (*State)(&o.StateOf).StepRows(o.P, width, rows, g, c)
	require.ErrorIs(t, err, want)
	assert.Equal(t, 1, strings.Count(err.Error(), "adam:"), "%v", err)
	for _, part := range parts {
		assert.ErrorContains(t, err, part)
	}
	assert.Equal(t, T, o.T)
	for i, s := range o.Slices() {
		assert.True(t, operands.Unchanged(*s, before[i]), "%s changed", operands.Names[i])
	}
	assert.True(t, operands.Unchanged(g, gradient), "g changed")
	assert.Equal(t, given, rows)
}

func TestBadRows(t *testing.T) {
	amsgrad := Default()
	amsgrad.AMSGrad = true
	const width = 4 // of 5 rows
	for _, bad := range []struct {
		rows []int32
		part string
	}{
		{[]int32{5}, "rows[0] = 5, of a table of 5 rows"},
		{[]int32{0, 1, 4, math.MaxInt32}, "rows[3] = 2147483647"},
		{[]int32{-1}, "rows[0] = -1"},
		{[]int32{3, math.MinInt32}, "rows[1] = -2147483648"},
		{[]int32{4, 3, 5}, "rows[2] = 5"},
		{[]int32{2, 2}, "rows[0] and rows[1] are both 2: give each row once"},
		{[]int32{0, 4, 1, 3, 4}, "rows[1] and rows[4] are both 4"},
		{[]int32{0, 1, 2, 3, 4, 0}, "rows[0] and rows[5] are both 0"},
	} {
		for range 3 { // what one call marks is gone in the next
			refuseRows(t, normal(20), width, bad.rows, make([]float32, width*len(bad.rows)),
				amsgrad, ErrRows, bad.part)
			o := normal(20)
			require.NoError(t, (*State)(&o.StateOf).StepRows(o.P, width, []int32{4, 3, 2, 1, 0},
				o.G, amsgrad))
		}
	}
	one, g := []int32{1}, make([]float32, width)
	refuseRows(t, normal(0), width, one, g, amsgrad, ErrRows, "of a table of 0 rows")
	refuseRows(t, normal(20), width, one, g, Config{}, ErrConfig)
	for _, w := range []int{0, -1, math.MinInt} {
		refuseRows(t, normal(20), w, nil, nil, amsgrad, ErrLength, "want 1 or more")
	}
	refuseRows(t, normal(20), 3, one, g[:3], amsgrad, ErrLength,
		"p 20, want a multiple of the width, 3")
	refuseRows(t, normal(20), 21, nil, nil, amsgrad, ErrLength, "p 20")
	refuseRows(t, normal(20), math.MaxInt, one, g, amsgrad, ErrLength, "p 20")
	for _, n := range []int{0, 3, 5} {
		refuseRows(t, normal(20), width, one, make([]float32, n), amsgrad, ErrLength,
			"want 4: 1 rows of width 4")
	}
	refuseRows(t, normal(20), width, nil, g, amsgrad, ErrLength, "g 4, want 0")
	for i, name := range []string{"M", "V", "VMax"} {
		o := normal(20)
		s := o.Slices()[i+2]
		*s = (*s)[:16]
		refuseRows(t, o, width, one, g, amsgrad, ErrLength, name+" 16", "p 20")
		if name == "VMax" {
			assert.NoError(t, (*State)(&o.StateOf).StepRows(o.P, width, one, g, Default()),
				"VMax is of no concern without AMSGrad")
		}
	}
	o := normal(20)
	o.T = math.MaxUint64
	refuseRows(t, o, width, one, g, amsgrad, ErrSteps, "18446744073709551615")
}

// A slice that is written may not share memory with any other, on whichever rows.
func TestRowsOverlap(t *testing.T) {
	const n, width = 40, 4
	rows := []int32{0}
	for i, name := range []string{"p", "M", "V", "VMax"} {
		for j, other := range []string{"p", "M", "V", "VMax", "g", "rows"} {
			if i == j {
				continue
			}
			length := n
			if j >= 4 {
				length = width
			}
			for _, d := range []int{-length + 1, 0, n - 1, -length, n} {
				block := make([]float32, 3*n)
				o, r := normal(n), rows
				o.G = o.G[:width]
				slices := [...]*[]float32{&o.P, &o.M, &o.V, &o.VMax, &o.G}
				*slices[i] = block[n : 2*n]
				at := block[n+d:][:length]
				if other == "rows" {
					r = asRows(at[:1])
					length = 1
				} else {
					*slices[j] = at
				}
				if d <= -length || d >= n { // neighbours
					assert.NoError(t, (*State)(&o.StateOf).StepRows(o.P, width, r, o.G,
						Config{AMSGrad: true}), "%s, %s, %d", name, other, d)
					continue
				}
				refuseRows(t, o, width, r, o.G, Config{AMSGrad: true}, ErrOverlap,
					name+" at", other+" at")
			}
		}
	}
	o := normal(n)
	for _, inside := range [][]float32{o.P[4:4], o.M[:0]} {
		assert.NoError(t, (*State)(&o.StateOf).StepRows(o.P, width, nil, inside, Default()),
			"an empty slice inside of another does not overlap")
	}
	o.G = o.G[:width]
	assert.NoError(t, (*State)(&o.StateOf).StepRows(o.P, width, asRows(make([]float32, 1)), o.G,
		Default()))
}

// asRows returns the memory of s as rows.
func asRows(s []float32) []int32 {
	return unsafe.Slice((*int32)(unsafe.Pointer(unsafe.SliceData(s))), len(s))
}

// Steps without rows are counted, and move nothing.
func TestNoRows(t *testing.T) {
	o := normal(20)
	want := o.Clone([5]int{})
	for _, none := range [][]int32{nil, {}} {
		require.NoError(t, (*State)(&o.StateOf).StepRows(o.P, 5, none, nil, DefaultW()))
		want.T++
		require.NoError(t, o.Difference(want))
	}
	var empty State
	require.NoError(t, empty.StepRows(nil, 7, nil, nil, Default()))
	assert.Equal(t, uint64(1), empty.T)
}
