package adam

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/fusedadam/adam/internal/operands"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// trial16 is an optimizer of one tensor of each combination that has a storage, beside an
// optimizer of the same tensors in float32, which is made anew for each step.
type trial16 struct {
	*Optimizer
	combinations []combination
	params       []Param16 // copies that the test steps itself
	states       []*State16
	averages     [][]float32
}

func newTrial16(t testing.TB, r *rand.Rand, o Options, config Config) *trial16 {
	s := &trial16{}
	byStorage := map[Storage]*Group{}
	var order []Storage
	for i, c := range combinations() {
		if config.AMSGrad && c.moments == Q8Moments {
			continue
		}
		p := c.param(r, []int{7, 64, 100, 1000, tile + 70}[i%5], operands.Normal)
		p.Name = fmt.Sprintf("%02d", r.IntN(100)) + c.String()
		storage := c.storage()
		if byStorage[storage] == nil {
			byStorage[storage] = &Group{Config: config, Storage: storage}
			order = append(order, storage)
		}
		byStorage[storage].Params16 = append(byStorage[storage].Params16, p)
	}
	var groups []Group
	for _, storage := range order {
		groups = append(groups, *byStorage[storage])
	}
	s.Optimizer = newOptimizer(t, o, groups...)
	for _, g := range s.Groups {
		for _, p := range g.Params16 {
			for _, c := range combinations() {
				if p.Name[2:] == c.String() {
					s.combinations = append(s.combinations, c)
				}
			}
			q, u := clone(p, s.State16(p.Name))
			s.params, s.states = append(s.params, q), append(s.states, u)
			s.averages = append(s.averages, inFloat32(t, q, u, Default()).Value)
		}
	}
	require.Len(t, s.combinations, len(s.params))
	return s
}

func (s *trial16) each(f func(i int, p *Param16)) {
	i := 0
	for g := range s.Groups {
		for j := range s.Groups[g].Params16 {
			f(i, &s.Groups[g].Params16[j])
			i++
		}
	}
}

// draw makes new gradients, some of them nil, now and then with an element that is not finite.
func (s *trial16) draw(r *rand.Rand, nonFinite bool) {
	s.each(func(i int, p *Param16) {
		p.Grad, p.GradBF16, p.GradF16 = nil, nil, nil
		if r.IntN(8) > 0 {
			s.combinations[i].draw(r, p, func(r *rand.Rand) float32 {
				if nonFinite && r.IntN(5000) == 0 {
					return float32(math.Inf(1))
				}
				return operands.Normal(r)
			})
		}
		q := &s.params[i]
		q.Grad, q.GradBF16, q.GradF16 = slices.Clone(p.Grad), slices.Clone(p.GradBF16),
			slices.Clone(p.GradF16)
	})
}

// step makes a step, and compares everything with one of the decoded tensors.
func (s *trial16) step(t testing.TB, begun bool) {
	t.Helper()
	o := s.Options
	o.Workers = 1
	var groups []Group
	i := 0
	for _, g := range s.Groups {
		single := Group{Config: g.Config}
		for range g.Params16 {
			p := inFloat32(t, s.params[i], s.states[i], g.Config)
			single.Params = append(single.Params, p)
			i++
		}
		groups = append(groups, single)
	}
	whole := newOptimizer(t, o, groups...)
	whole.GradScale, whole.T = s.GradScale, s.T
	want, err := whole.Step()
	require.NoError(t, err)
	got, err := s.Step()
	require.NoError(t, err)
	require.Equal(t, fmt.Sprint(want), fmt.Sprint(got)) // NaN is NaN
	i = 0
	for _, g := range whole.Groups {
		for _, p := range g.Params {
			if !want.Skipped && p.Grad != nil {
				encoded(&s.params[i], s.states[i], p)
			}
			// The average is that of the parameters as they are stored.
			now := inFloat32(t, s.params[i], s.states[i], g.Config).Value
			switch {
			case want.Skipped:
			case begun:
				averageGeneric(s.averages[i], now, float32(1-o.EMADecay))
			default:
				s.averages[i] = now
			}
			i++
		}
	}
	s.each(func(i int, p *Param16) {
		require.Empty(t, difference(s.params[i], *p, s.states[i], s.State16(p.Name)), "%s", p.Name)
		if o.EMADecay > 0 {
			require.True(t, slices.EqualFunc(s.averages[i], s.EMA(p.Name), sameFloat),
				"average of %s", p.Name)
		}
		if o.ZeroGrad {
			for _, x := range p.Grad {
				require.Zero(t, x)
			}
			for _, x := range p.GradBF16 {
				require.Zero(t, x)
			}
			for _, x := range p.GradF16 {
				require.Zero(t, x)
			}
		} else {
			require.Equal(t, fmt.Sprint(s.params[i].Grad), fmt.Sprint(p.Grad))
			require.Equal(t, s.params[i].GradBF16, p.GradBF16)
			require.Equal(t, s.params[i].GradF16, p.GradF16)
		}
	})
}

// Every storage with every option, on every kernel and with one, two and three workers, has the
// step of the decoded tensors.
func TestOptimizer16(t *testing.T) {
	sharedOut(t)
	eachKernel(t, func(t *testing.T) {
		for k, o := range []Options{
			{}, {MaxNorm: 3, ZeroGrad: true}, {MaxNorm: math.Inf(1), SkipNonFinite: true,
				EMADecay: 0.9},
			{MaxValue: 0.25}, {MaxValue: 0.25, EMADecay: 0.5, ZeroGrad: true, SkipNonFinite: true},
		} {
			o.Workers, o.Seed = 1+k%3, uint64(k)
			r := rand.New(rand.NewPCG(uint64(k), 16))
			configs := combination{}.configs()
			s := newTrial16(t, r, o, configs[k%len(configs)])
			begun := false
			for i := range 4 {
				s.GradScale = []float64{1, 1, 1024, 0.3}[i]
				for g := range s.Groups {
					s.Groups[g].Config.LR *= 0.9
				}
				s.draw(r, i >= 2)
				steps := s.T
				s.step(t, begun)
				begun = begun || o.EMADecay > 0 && s.T > steps
			}
		}
	})
}

// Parts of tensors in two optimizers have the bits of the whole tensors in one.
func TestParts16(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 16))
	for _, c := range combinations() {
		o := Options{MaxNorm: 1, Seed: 9, EMADecay: 0.5}
		n := 3*tile + 77
		p := c.param(r, n, operands.Normal)
		g := Group{Config: DefaultW(), Storage: c.storage()}
		ranks := [2]Group{g, g}
		for i, to := range []int{tile, 2 * tile, n} {
			q := cut16(p, min(i*tile, to), to)
			ranks[i%2].Parts16 = append(ranks[i%2].Parts16, Part16{q, i * tile, n})
		}
		g.Params16 = []Param16{p}
		whole := newOptimizer(t, o, g)
		shards := [2]*Optimizer{newOptimizer(t, o, ranks[0]), newOptimizer(t, o, ranks[1])}
		for range 3 {
			p := &whole.Groups[0].Params16[0]
			c.draw(r, p, operands.Normal)
			var tiles []float64 // 0, 2 and 3, 1
			for _, o := range shards {
				for i := range o.Groups[0].Parts16 {
					part := &o.Groups[0].Parts16[i]
					q := cut16(*p, part.At, part.At+part.size())
					part.Grad, part.GradBF16, part.GradF16 = q.Grad, q.GradBF16, q.GradF16
				}
				sums, _, err := o.Squares()
				require.NoError(t, err)
				tiles = append(tiles, sums...)
			}
			sums, _, err := whole.Squares()
			require.NoError(t, err)
			require.Equal(t, sums, []float64{tiles[0], tiles[3], tiles[1], tiles[2]}, "%v", c)
			total := 0.0
			for _, x := range sums {
				total += x
			}
			want, err := whole.Step()
			require.NoError(t, err)
			for _, o := range shards {
				got, err := o.StepWith(total, "", nil, nil)
				require.NoError(t, err)
				require.Equal(t, want, got)
			}
		}
		for _, o := range shards {
			for _, part := range o.Groups[0].Parts16 {
				to := part.At + part.size()
				s := whole.State16("w").sub(part.At, to)
				require.Empty(t, difference(cut16(whole.Groups[0].Params16[0], part.At, to),
					part.Param16, s, o.starting("w", part.At).kind.(*tensor16).State16), "%v", c)
			}
		}
	}
}

// What New refuses, and Step where Groups were changed.
func TestOptimizer16Errors(t *testing.T) {
	const n = 100
	split := func() Param16 {
		return Param16{Name: "a", BF16: make([]BF16, n), GradBF16: make([]BF16, n)}
	}
	state := func(s Storage, offset int) *State16 {
		u := NewState16(split(), s, 0, Default())
		u.Offset = offset
		return u
	}
	with := func(s *State16) Param16 {
		p := split()
		p.State = s
		return p
	}
	part := func(p Param16, at int) Part16 { return Part16{p, at, at + n} }
	bf16 := Storage{Moments: BF16Moments}
	for name, c := range map[string]struct {
		group Group
		kind  error
		text  string
	}{
		"Storage of Params": {Group{Storage: bf16, Params: someTensors(n, "b")}, ErrParams,
			"Groups[0].Storage is BF16Moments, SplitMaster: it is that of Params16"},
		"Storage of both": {Group{Storage: Storage{Master: NoMaster}, Params: someTensors(n, "b"),
			Params16: []Param16{split()}}, ErrParams, "Storage is Float32Moments, NoMaster"},
		"no such Moments": {Group{Storage: Storage{Moments: 9}, Params16: []Param16{split()}},
			ErrParams, "Moments(9), SplitMaster: there is no such Storage"},
		"no such Master": {Group{Storage: Storage{Master: 7}, Params16: []Param16{split()}},
			ErrParams, "Master(7): there is no such Storage"},
		"fields": {Group{Params16: []Param16{{Name: "a", F16: make([]F16, 1)}}}, ErrParams,
			`Groups[0].Params16[0], "a": F16 is a copy`},
		"AMSGrad of Q8": {Group{Config: Config{LR: 1, AMSGrad: true},
			Storage: Storage{Moments: Q8Moments}, Params16: []Param16{split()}}, ErrConfig, `"a"`},
		"State of another Storage": {Group{Params16: []Param16{with(state(bf16, 0))}}, ErrParams,
			`"a" has a State with BF16Moments, SplitMaster`},
		"State without Rest": {Group{
			Params16: []Param16{with(state(Storage{Master: NoMaster}, 0))}}, ErrParams, "NoMaster"},
		"State with Offset": {Group{Params16: []Param16{with(state(Storage{}, 64))}}, ErrParams,
			"Offset 64, want 0"},
		"part without Offset": {Group{Parts16: []Part16{part(with(state(Storage{}, 0)), tile)}},
			ErrParams, "Offset 0, want 8192"},
		"part without a name": {Group{Parts16: []Part16{part(Param16{BF16: make([]BF16, n)}, 0)}},
			ErrParams, "Name"},
		"a name twice": {Group{Params16: []Param16{split(), split()}}, ErrParams, `"a"`},
		"short EMA": {Group{Params16: []Param16{{Name: "a", Value: make([]float32, n),
			EMA: make([]float32, 3)}}}, ErrLength, "EMA has 3"},
	} {
		t.Run(name, func(t *testing.T) {
			if c.group.Config == (Config{}) {
				c.group.Config = Default()
			}
			_, err := New(Options{}, c.group)
			require.ErrorIs(t, err, c.kind)
			assert.ErrorContains(t, err, c.text)
		})
	}

	o := newOptimizer(t, Options{Workers: 1}, Group{Config: Default(), Storage: bf16,
		Params16: []Param16{split()}})
	g := &o.Groups[0]
	for name, c := range map[string]struct {
		spoil func()
		kind  error
		text  string
	}{
		"other Storage": {func() { g.Storage.Moments = Q8Moments }, ErrParams, "Storage"},
		"other length":  {func() { g.Params16[0].BF16 = make([]BF16, 3) }, ErrLength, "Regroup"},
		"other name":    {func() { g.Params16[0].Name = "b" }, ErrParams, `"b"`},
		"other State": {func() { g.Params16[0].State = state(bf16, 0) }, ErrParams,
			"another State"},
		"another kind": {func() {
			g.Params16[0].BF16, g.Params16[0].Value = nil, make([]float32, n)
		}, ErrParams, "Rest"},
		"two gradients": {func() { g.Params16[0].Grad = make([]float32, n) }, ErrParams,
			"Grad and"},
		"short gradient": {func() { g.Params16[0].GradBF16 = make([]BF16, 3) }, ErrLength,
			"GradBF16"},
		"overlap": {func() { g.Params16[0].GradBF16 = g.Params16[0].BF16 }, ErrOverlap,
			`GradBF16 of "a"`},
		"last step": {func() { o.State16("a").T = math.MaxUint64 }, ErrSteps, `"a"`},
	} {
		t.Run("step with "+name, func(t *testing.T) {
			before, p, u := *g, g.Params16[0], *o.State16("a")
			c.spoil()
			unchangedBy(t, o, c.kind, func() error { _, err := o.Step(); return err }, c.text)
			before.Params16[0] = p
			*g, *o.State16("a") = before, u
			_, err := o.Step()
			require.NoError(t, err)
		})
	}
	require.ErrorIs(t, o.Grow("a", nil, nil), ErrParams)
}

// Slices that have moved onto another one are found, wherever they are.
func TestOptimizer16Overlaps(t *testing.T) {
	const n = 128
	p := Param16{Name: "a", BF16: make([]BF16, n), GradBF16: make([]BF16, n)}
	o := newOptimizer(t, Options{}, Group{Config: Default(), Storage: Storage{Moments: Q8Moments},
		Params16: []Param16{p, {Name: "b", Value: make([]float32, n), F16: make([]F16, n),
			Grad: make([]float32, n)}}})
	_, err := o.Step()
	require.NoError(t, err)
	s := o.State16("a")
	for what, spoil := range map[string]func(){
		"VScale": func() { s.VScale = s.MScale },
		"Rest":   func() { s.Rest = retyped[int16](p.BF16) },
		"V8":     func() { s.V8 = s.M8 },
		"F16":    func() { o.Groups[0].Params16[1].F16 = retyped[F16](p.BF16) },
	} {
		u, q := *s, o.Groups[0].Params16[1]
		spoil()
		_, err := o.Step()
		require.ErrorIs(t, err, ErrOverlap, what)
		*s, o.Groups[0].Params16[1] = u, q
		_, err = o.Step()
		require.NoError(t, err, what)
	}
}

// A clip factor that is NaN makes moments NaN, with whatever bits: those of memory that nobody
// wrote, say. None may be rounded to another value.
func TestNaNOfAnyBits(t *testing.T) {
	eachKernel(t, func(t *testing.T) {
		for m := Float32Moments; m <= Q8Moments; m++ {
			p := Param16{Name: "a", BF16: make([]BF16, 2*block16+1),
				GradBF16: make([]BF16, 2*block16+1)}
			bad := []float32{math.Float32frombits(0x7fffffff)}
			o := newOptimizer(t, Options{MaxNorm: 1, Workers: 1},
				Group{Config: DefaultW(), Storage: Storage{Moments: m}, Params16: []Param16{p}},
				Group{Config: DefaultW(), Params: []Param{{Name: "b", Value: []float32{1},
					Grad: bad}}})
			_, err := o.Step()
			require.NoError(t, err)
			u, v := make([]float32, len(p.BF16)), make([]float32, len(p.BF16))
			require.NoError(t, o.State16("a").Float32(u, v))
			for i := range u {
				require.True(t, u[i] != u[i] && v[i] != v[i] &&
					p.BF16[i].Float32() != p.BF16[i].Float32(),
					"%v, element %d: m %v, v %v, p %v", m, i, u[i], v[i], p.BF16[i].Float32())
			}
		}
	})
}

// Tensors of few bits are added, removed and regrouped as others are, and keep their states.
func TestRegroup16(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 16))
	c := combination{"GradBF16", "BF16", Q8Moments}
	named := func(name string) Param16 {
		p := c.param(r, 300, operands.Normal)
		p.Name = name
		c.draw(r, &p, operands.Normal)
		return p
	}
	g := Group{Config: DefaultW(), Storage: c.storage(),
		Params16: []Param16{named("a"), named("b")}}
	o := newOptimizer(t, Options{EMADecay: 0.5, Seed: 3}, g)
	_, err := o.Step()
	require.NoError(t, err)
	a := o.State16("a")
	ema := o.EMA("a")
	require.NoError(t, o.Add16(0, named("c")))
	require.NoError(t, o.Remove("b"))
	assert.Same(t, a, o.State16("a"))
	assert.Equal(t, ema, o.EMA("a"))
	assert.Nil(t, o.State16("b"))
	assert.Equal(t, uint64(0), o.State16("c").T)
	assert.Equal(t, keyOf(3, "c"), o.State16("c").Key)
	assert.Nil(t, o.State("a"))
	_, err = o.Step()
	require.NoError(t, err)
	assert.Equal(t, uint64(2), a.T)
	require.ErrorIs(t, o.Add(0, someTensors(3, "d")...), ErrParams) // beside a Storage

	// A tensor that begins with another name and the State of "a" goes on as "a" would.
	p, s := clone(o.Groups[0].Params16[0], a)
	p.Name, p.State = "renamed", s
	q := newOptimizer(t, Options{Seed: 99}, Group{Config: DefaultW(), Storage: c.storage(),
		Params16: []Param16{p}})
	for _, o := range []*Optimizer{o, q} {
		_, err = o.Step()
		require.NoError(t, err)
	}
	assert.Empty(t, difference(o.Groups[0].Params16[0], q.Groups[0].Params16[0], a, s))
}
