package adam

import (
	"cmp"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/fusedadam/adam/internal/operands"
	"github.com/fusedadam/adam/internal/selection"
	"github.com/stretchr/testify/require"
)

var partSizes = []int{0, 1, 100, tile - 1, tile, tile + 1, 2 * tile, 3*tile + 17, 5*tile + 5}

// shards are optimizers that share the tensors of a whole one, in memory of their own.
type shards struct {
	whole  *trial
	ranks  []*Optimizer
	single map[string]fields[float32] // of whole, by name
	double map[string]fields[float64]
}

// newShards cuts a random model at random and deals its parts to n optimizers. Each has an empty
// part of what it has nothing of. Tables, and now and then another tensor, go to one as a whole.
func newShards(t testing.TB, r *rand.Rand, n int, o Options, configs []Config,
	sizes []int) *shards {
	s := &shards{whole: newMixedTrial(t, r, o, configs, sizes),
		single: map[string]fields[float32]{}, double: map[string]fields[float64]{}}
	ranks := make([][]Group, n)
	for i := range ranks {
		ranks[i] = make([]Group, len(configs))
		for g := range configs {
			ranks[i][g].Config = configs[g]
		}
	}
	visitFloats(s.whole.Groups, func(w where, f fields[float32]) error {
		s.single[*f.name] = f
		value := slices.Clone(*f.value)
		g := func(rank int) *Group { return &ranks[rank][w.group] }
		switch owner := r.IntN(n); {
		case f.table != nil:
			g(owner).Tables = append(g(owner).Tables,
				Table{Name: *f.name, Width: f.table.Width, Value: value})
		case r.IntN(10) == 0:
			g(owner).Params = append(g(owner).Params, Param{Name: *f.name, Value: value})
		default:
			cut(r, n, len(value), func(rank, from, to int) {
				p := Part{Param{Name: *f.name, Value: value[from:to]}, from, len(value)}
				g(rank).Parts = append(g(rank).Parts, p)
			})
		}
		return nil
	}, func(w where, f fields[float64]) error {
		s.double[*f.name] = f
		value := slices.Clone(*f.value)
		cut(r, n, len(value), func(rank, from, to int) {
			p := Part64{Param64{Name: *f.name, Value: value[from:to]}, from, len(value)}
			g := &ranks[rank][w.group]
			g.Parts64 = append(g.Parts64, p)
		})
		return nil
	})
	for _, groups := range ranks {
		for i := range groups { // any order
			p := groups[i].Parts
			r.Shuffle(len(p), func(i, j int) { p[i], p[j] = p[j], p[i] })
		}
		o.Workers = 1 + r.IntN(3)
		s.ranks = append(s.ranks, newOptimizer(t, o, groups...))
	}
	return s
}

// visitFloats calls single or double for each tensor of float32 or float64, in their order.
func visitFloats(groups []Group, single func(where, fields[float32]) error,
	double func(where, fields[float64]) error) {
	_ = visit(groups, func(w where, e entry) error {
		switch f := e.(type) {
		case fields[float32]:
			return single(w, f)
		case fields[float64]:
			return double(w, f)
		}
		return nil
	})
}

// cut deals a tensor of so many elements to n ranks.
func cut(r *rand.Rand, n, elements int, deal func(rank, from, to int)) {
	has := make([]bool, n)
	for from := 0; from < elements; {
		rank, to := r.IntN(n), min(elements, from+Tile*(1+r.IntN(3)))
		deal(rank, from, to)
		has[rank], from = true, to
	}
	for rank := range n {
		if !has[rank] {
			deal(rank, 0, 0)
		}
	}
}

// share gives a part, a table or a tensor the gradient of the whole one.
func share[F float](whole map[string]fields[F], f fields[F]) error {
	w := whole[*f.name]
	*f.grad = slices.Clone(*w.grad)
	switch {
	case f.table != nil:
		f.table.Rows = w.table.Rows
	case *f.grad != nil:
		from, _ := f.run()
		*f.grad = (*f.grad)[from:][:len(*f.value)]
	}
	return nil
}

// A tileOf is a tile of an optimizer's gradients: elements from, … of its value, of a tensor at.
type tileOf struct {
	name         string
	at, from, to int
	sum          float64
	after        func(at, from, to int, before bool) // compares the values
}

// tiles lists those of a rank in the order that Squares has.
func (s *shards) tiles(t testing.TB, o *Optimizer) (list []tileOf) {
	visitFloats(o.Groups, func(_ where, f fields[float32]) error {
		return appendTiles(t, &list, s.single, f, 8192)
	}, func(_ where, f fields[float64]) error {
		return appendTiles(t, &list, s.double, f, 4096)
	})
	slices.SortFunc(list, byPosition)
	return list
}

func byPosition(a, b tileOf) int {
	return cmp.Or(cmp.Compare(a.name, b.name), cmp.Compare(a.at, b.at))
}

func appendTiles[F float](t testing.TB, list *[]tileOf, whole map[string]fields[F], f fields[F],
	size int) error {
	n, now := len(*f.value), slices.Clone(*f.value)
	if f.table != nil {
		n = len(*f.grad)
	}
	at, _ := f.run()
	for from := 0; from < n; from += size {
		to := min(n, from+size)
		tile := tileOf{name: *f.name, at: at + from, from: from, to: to}
		tile.after = func(at, from, to int, stepped bool) {
			if f.table != nil {
				return
			}
			want := now[from:to]
			if stepped {
				want = (*whole[*f.name].value)[at:][:to-from]
			}
			requireBits(t, want, (*f.value)[from:to], *f.name)
		}
		*list = append(*list, tile)
	}
	return nil
}

func requireBits[F float](t testing.TB, want, got []F, what string) {
	t.Helper()
	if !slices.EqualFunc(want, got, func(a, b F) bool { return operands.Same(a, b) }) {
		require.Equal(t, operands.Bits(want), operands.Bits(got), what)
	}
}

// step makes a step of the whole and of all ranks, and compares everything.
func (s *shards) step(t testing.TB, r *rand.Rand) Stats {
	t.Helper()
	var all []tileOf
	first := ""
	for _, o := range s.ranks {
		visitFloats(o.Groups, func(_ where, f fields[float32]) error { return share(s.single, f) },
			func(_ where, f fields[float64]) error { return share(s.double, f) })
		o.GradScale = s.whole.GradScale
		for i := range o.Groups {
			o.Groups[i].Config = s.whole.Groups[i].Config
		}
		workers := o.Options.Workers
		o.Options = s.whole.Options
		o.Options.Workers = workers
		require.NoError(t, o.Check())
		if r.IntN(4) == 0 {
			_, err := o.Norm()
			require.NoError(t, err)
		}
		sums, name, err := o.Squares()
		require.NoError(t, err)
		list := s.tiles(t, o)
		require.Len(t, sums, len(list))
		for i := range list {
			list[i].sum = sums[i]
		}
		all = append(all, list...)
		if name != "" && (first == "" || name < first) {
			first = name
		}
		if r.IntN(2) == 0 {
			clear(sums) // the slice is the caller's
		}
	}
	slices.SortFunc(all, byPosition)
	sum := 0.0
	for _, tile := range all {
		sum += tile.sum
	}

	own := make([][]tileOf, len(s.ranks)) // with the values before
	for i, o := range s.ranks {
		own[i] = s.tiles(t, o)
	}
	want, err := s.whole.Step()
	require.NoError(t, err)
	for i, o := range s.ranks {
		var runs []int
		if r.IntN(3) > 0 {
			for range r.IntN(4) {
				runs = append(runs, r.IntN(len(own[i])+1))
			}
			slices.Sort(runs)
			runs = append(runs, len(own[i]))
		}
		calls := 0
		stepped := func(run int) {
			require.Equal(t, calls, run)
			calls++
			for k, tile := range own[i] {
				tile.after(tile.at, tile.from, tile.to, runs == nil || k < runs[run])
			}
		}
		if r.IntN(3) == 0 {
			stepped = nil
		}
		got, err := o.StepWith(sum, first, runs, stepped)
		require.NoError(t, err)
		switch {
		case got.Skipped || stepped == nil:
			require.Zero(t, calls)
		default:
			require.Equal(t, max(1, len(runs)), calls)
		}
		requireStats(t, want, got, s.known(o))
		require.Equal(t, s.whole.Optimizer.T, o.T)
		for _, p := range o.tensors {
			compareParts[float32](t, s.whole.Optimizer, p)
			compareParts[float64](t, s.whole.Optimizer, p)
		}
	}
	return want
}

// known is the number of tensors of o that have a gradient.
func (s *shards) known(o *Optimizer) int {
	names := map[string]bool{}
	for _, t := range o.tensors {
		if t.hasGrad {
			names[t.name] = true
		}
	}
	return len(names)
}

func requireStats(t testing.TB, want, got Stats, stepped int) {
	t.Helper()
	if !want.Skipped {
		require.Equal(t, stepped, got.Stepped)
	}
	if operands.Same(want.GradNorm, got.GradNorm) {
		got.GradNorm, want.GradNorm = 0, 0
	}
	got.Stepped, want.Stepped = 0, 0
	require.Equal(t, want, got)
}

// compareParts compares a tensor, if it is of this type, with the elements that it has of a whole
// one.
func compareParts[F float](t testing.TB, whole *Optimizer, p tensor) {
	t.Helper()
	got, all := typedOf[F](p.kind), typedOf[F](whole.tensor(p.name).kind)
	if got == nil {
		return
	}
	require.Equal(t, all.T, got.T, "T of %s", p.name)
	require.Equal(t, all.begun, got.begun)
	of := func(s []F) []F { return s[p.from:][:p.n] }
	requireBits(t, of(*all.at.value), *got.at.value, "Value of "+p.name)
	requireBits(t, of(all.M), got.M, "M of "+p.name)
	requireBits(t, of(all.V), got.V, "V of "+p.name)
	if len(all.VMax) > 0 {
		requireBits(t, of(all.VMax), got.VMax, "VMax of "+p.name)
	}
	if all.ema != nil {
		requireBits(t, of(all.ema), got.ema, "EMA of "+p.name)
	}
	require.Equal(t, *all.at.grad == nil, *got.at.grad == nil)
	if g := *all.at.grad; g != nil {
		if got.at.table == nil {
			g = of(g)
		}
		requireBits(t, g, *got.at.grad, "Grad of "+p.name)
	}
}

// spoil gives some gradients of the whole a value that is not finite, or whose square is not.
func (s *shards) spoil(r *rand.Rand) {
	for _, name := range slices.Sorted(maps.Keys(s.double)) {
		if g := *s.double[name].grad; len(g) > 0 && r.IntN(2) == 0 {
			g[r.IntN(len(g))] = []float64{1e200, -1e155, math.NaN()}[r.IntN(3)]
		}
	}
}

// A model that is cut at random, and stepped by optimizers of its parts, has the bits of the whole
// one, with every combination of the options.
func TestParts(t *testing.T) {
	sharedOut(t)
	eachKernel(t, func(t *testing.T) {
		k := 0
		for _, clip := range []Options{{}, {MaxNorm: 3}, {MaxNorm: math.Inf(1)}, {MaxValue: 0.25}} {
			for bits := range 8 {
				trialOfParts(t, uint64(k), 1+k%5, clip, uint8(bits))
				k++
			}
		}
	})
}

func trialOfParts(t testing.TB, seed uint64, ranks int, o Options, bits uint8) {
	o.Workers = 1
	o.SkipNonFinite, o.ZeroGrad = bits&1 != 0, bits&2 != 0
	if bits&4 != 0 {
		o.EMADecay = 0.9
	}
	r := rand.New(rand.NewPCG(seed, 11))
	var sizes []int
	for range 1 + r.IntN(5) {
		sizes = append(sizes, partSizes[r.IntN(len(partSizes))])
	}
	s := newShards(t, r, ranks, o, someConfigs(int(seed%1000)), sizes)
	for i := range 4 {
		s.whole.GradScale = []float64{1, 1024, 0.3, 1}[i]
		s.whole.Groups[0].Config.LR *= 0.9
		s.whole.draw(r, i == 1)
		if i == 2 {
			s.spoil(r)
		}
		s.step(t, r)
	}
}

// FuzzParts is TestParts of any model, cut and options.
func FuzzParts(f *testing.F) {
	for i := range uint64(16) {
		f.Add(i*i*77, uint8(i), uint8(i*5), float64(i%5)-1)
	}
	f.Fuzz(func(t *testing.T, seed uint64, ranks, bits uint8, limit float64) {
		sharedOut(t)
		o := Options{MaxNorm: limit}
		if bits&8 != 0 {
			o = Options{MaxValue: limit}
		}
		if o.validate() != nil {
			o = Options{}
		}
		names := Kernels()
		defer selection.Use(selection.Use(names[seed%uint64(len(names))]))
		trialOfParts(t, seed, 1+int(ranks%16), o, bits)
	})
}
