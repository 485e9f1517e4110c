package adam

import (
	"fmt"
	"hash/crc64"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/fusedadam/adam/internal/checkpoint"
	"github.com/fusedadam/adam/internal/golden"
	"github.com/fusedadam/adam/internal/operands"
	"github.com/fusedadam/adam/internal/selection"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Sizes of a few tensors: empty, within a vector, a block, a tile, and of some tiles.
var someSizes = []int{0, 1, 7, 33, 100, 1000, tile - 1, tile, 2*tile + 17, 3*tile + 1}

// configs of two groups of different kinds.
func someConfigs(k int) []Config {
	n := len(operands.Variants)
	return []Config{
		Config(operands.Variants[k%n].Config), Config(operands.Variants[(k+5)%n].Config),
	}
}

// Every combination of the options, on every kernel, with one, two and eight workers, against the
// plain implementation: gradients come and go, learning rates and the scale change, some gradients
// are not finite.
func TestOptimizerOptions(t *testing.T) {
	sharedOut(t)
	eachKernel(t, func(t *testing.T) {
		k := 0
		for _, clip := range []Options{{}, {MaxNorm: 3}, {MaxNorm: math.Inf(1)}, {MaxValue: 0.25}} {
			for bits := range 8 {
				o := clip
				o.SkipNonFinite, o.ZeroGrad = bits&1 != 0, bits&2 != 0
				if bits&4 != 0 {
					o.EMADecay = 0.9
				}
				o.Workers = []int{1, 2, 8}[k%3]
				r := rand.New(rand.NewPCG(uint64(k), 1))
				s := newMixedTrial(t, r, o, someConfigs(k), someSizes)
				for i := range 4 {
					s.GradScale = []float64{1, 1, 1024, 0.3}[i]
					s.Groups[0].Config.LR *= 0.9
					s.draw(r, i >= 2)
					s.step(t)
				}
				k++
			}
		}
	})
}

// digest of everything that steps have made, the same for any order and grouping.
func digest(s *trial) uint64 {
	h := crc64.New(crc64.MakeTable(crc64.ECMA))
	for i := range someSizes {
		name := fmt.Sprintf("tensor.%d", i)
		for _, p := range s.params() {
			if p.Name == name {
				fmt.Fprint(h, name, operands.Bits(p.Value), operands.Bits(s.State(name).V),
					operands.Bits(s.EMA(name)))
			}
		}
	}
	return h.Sum64()
}

// The bits do not depend on the grouping and order of the tensors, the number of workers, how the
// work is cut for them, or the kernel.
func TestOptimizerIndependence(t *testing.T) {
	sharedOut(t)
	run := func(workers, groups int, r *rand.Rand) uint64 {
		c := Config{LR: 0.01, Beta1: 0.9, Beta2: 0.99, Eps: 1e-8, WeightDecay: 0.1, Decoupled: true}
		sets := make([]Group, groups)
		for _, i := range r.Perm(len(someSizes)) {
			g := rand.New(rand.NewPCG(uint64(i), 7))
			n := someSizes[i]
			p := Param{
				Name:  fmt.Sprintf("tensor.%d", i),
				Value: make([]float32, n), Grad: make([]float32, n),
			}
			for j := range p.Value {
				p.Value[j], p.Grad[j] = float32(g.NormFloat64()), float32(g.NormFloat64())
			}
			set := &sets[r.IntN(groups)]
			set.Config, set.Params = c, append(set.Params, p)
		}
		o, err := New(Options{Workers: workers, MaxNorm: 1, EMADecay: 0.5}, sets...)
		require.NoError(t, err)
		defer o.Close()
		var stats Stats
		for range 3 {
			stats, err = o.Step()
			require.NoError(t, err)
		}
		return digest(&trial{Optimizer: o}) + math.Float64bits(stats.GradNorm)
	}
	want := run(1, 1, rand.New(rand.NewPCG(0, 0)))
	eachKernel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(3, 4))
		for workers := 1; workers <= 8; workers++ {
			for groups := 1; groups <= 3; groups++ {
				require.Equal(t, want, run(workers, groups, r),
					"%d workers, %d groups", workers, groups)
			}
		}
	})
}

// A step that is skipped changes nothing but, with ZeroGrad, the gradients; the next one goes on.
func TestSkippedStep(t *testing.T) {
	for _, zero := range []bool{false, true} {
		r := rand.New(rand.NewPCG(1, 1))
		c := DefaultW()
		c.AMSGrad = true
		options := Options{SkipNonFinite: true, EMADecay: 0.9, ZeroGrad: zero}
		s := newTrial(t, r, options, []Config{c}, []int{5, 100, 0})
		s.draw(r, false)
		s.step(t)
		for _, bad := range []float32{float32(math.NaN()), float32(math.Inf(-1))} {
			s.draw(r, false)
			p := s.params()[1]
			p.Grad = make([]float32, 100)
			p.Grad[99] = bad
			s.references[1].(*reference[float32]).g = append([]float32(nil), p.Grad...)
			stats := s.step(t)
			assert.True(t, stats.Skipped)
			assert.False(t, stats.GradNorm <= math.MaxFloat64)
		}
		s.draw(r, false)
		stats := s.step(t)
		assert.False(t, stats.Skipped)
		assert.EqualValues(t, 2, stats.T)
	}
}

// Without SkipNonFinite, clipping takes NaN and Inf where torch.nn.utils.clip_grad_norm_ does.
func TestClipNonFinite(t *testing.T) {
	for bad, others := range map[float32]func(x float32) bool{
		float32(math.Inf(1)): func(x float32) bool { return x == 1 }, // the factor is 0
		float32(math.NaN()):  func(x float32) bool { return x != x }, // the factor is NaN
	} {
		p := Param{Name: "a", Value: []float32{1, 1}, Grad: []float32{bad, 2}}
		o, err := New(Options{MaxNorm: 1}, Group{Config: Default(), Params: []Param{p}})
		require.NoError(t, err)
		_, err = o.Step()
		require.NoError(t, err)
		assert.True(t, p.Value[0] != p.Value[0])
		assert.True(t, others(p.Value[1]), "gradient %v beside 2: %v", bad, p.Value[1])
	}
}

func TestClip(t *testing.T) {
	step := func(o Options, scale float64) (m []float32, s Stats) {
		c := Config{LR: 1e-3} // β1 = 0: the first moment is the gradient as it was used
		a := Param{Name: "a", Value: make([]float32, 2), Grad: []float32{3, 0}}
		b := Param{Name: "b", Value: make([]float32, 1), Grad: []float32{-4}}
		opt, err := New(
			o,
			Group{Config: c, Params: []Param{a}},
			Group{Config: c, Params: []Param{b}},
		)
		require.NoError(t, err)
		opt.GradScale = scale
		s, err = opt.Step()
		require.NoError(t, err)
		assert.Equal(t, []float32{3, 0, -4}, append(a.Grad, b.Grad...), "gradients are only read")
		return append(opt.State("a").M, opt.State("b").M...), s
	}
	for _, c := range []struct {
		o     Options
		scale float64
		m     []float32
		norm  float64
	}{
		{Options{}, 1, []float32{3, 0, -4}, 0},
		{Options{}, 2, []float32{1.5, 0, -2}, 0},
		{Options{MaxNorm: 100}, 1, []float32{3, 0, -4}, 5},
		{Options{MaxNorm: math.Inf(1)}, 4, []float32{0.75, 0, -1}, 1.25},
		{Options{MaxNorm: 2.5}, 1, []float32{1.5, 0, -2}, 5},
		{Options{MaxNorm: 2.5}, 0.5, []float32{1.5, 0, -2}, 10},
		{Options{MaxValue: 2}, 1, []float32{2, 0, -2}, 0},
		{Options{MaxValue: 2}, 2, []float32{1.5, 0, -2}, 0},
		{Options{SkipNonFinite: true}, 1, []float32{3, 0, -4}, 5},
	} {
		m, s := step(c.o, c.scale)
		assert.Equal(t, c.norm, s.GradNorm)
		for i := range m {
			assert.InDelta(t, c.m[i], m[i], 1e-6, "%+v: %v", c.o, m)
		}
	}
}

// Recorded PyTorch, as in TestPyTorchTrajectories, of an Optimizer that holds the tensor.
func TestOptimizerPyTorchTrajectories(t *testing.T) {
	cases, err := golden.Cases()
	require.NoError(t, err)
	values := 0
	for _, c := range cases {
		var o *Optimizer
		r, err := c.Check(func(s *operands.State, p, g []float32, c operands.Config) error {
			if o == nil || len(p) != len(o.State("a").M) ||
				len(p) > 0 && &o.Groups[0].Params[0].Value[0] != &p[0] {
				group := Group{Config: Config(c), Params: []Param{{Name: "a", Value: p, Grad: g}}}
				var err error
				if o, err = New(Options{}, group); err != nil {
					return err
				}
				*o.State("a") = State(*s)
			}
			o.Groups[0].Config, o.Groups[0].Params[0].Grad = Config(c), g
			_, err := o.Step()
			s.T = o.State("a").T
			return err
		})
		require.NoError(t, err)
		values += r.Values
	}
	assert.Equal(t, 42265, values)
}

// unchangedBy runs f, which must return an error of the kind whose text has the parts, and compares
// all that o has before and after.
func unchangedBy(t *testing.T, o *Optimizer, kind error, f func() error, parts ...string) {
	t.Helper()
	snapshot := func() string {
		var s strings.Builder
		fmt.Fprint(&s, o.T, begun(o))
		for _, t := range o.tensors {
			fmt.Fprint(&s, t.name, *t.count())
			for p := range checkpoint.Piece(checkpoint.Pieces) {
				fmt.Fprint(&s, t.memory(p))
			}
		}
		for _, g := range o.Groups {
			fmt.Fprint(&s, g)
		}
		return s.String()
	}
	before := snapshot()
	err := f()
	require.ErrorIs(t, err, kind)
	for _, p := range parts {
		assert.ErrorContains(t, err, p)
	}
	assert.Equal(t, before, snapshot())
}

func TestOptimizerErrors(t *testing.T) {
	make2 := func(o Options) *Optimizer {
		mem := make([]float32, 400)
		for i := range mem {
			mem[i] = float32(i + 1)
		}
		ams := DefaultW()
		ams.AMSGrad = true
		opt, err := New(o,
			Group{Config: Default(), Params: []Param{
				{Name: "a", Value: mem[0:10], Grad: mem[100:110]},
				{Name: "b", Value: mem[10:30], Grad: mem[110:130]},
			}},
			Group{},
			Group{Config: ams, Params: []Param{
				{Name: "c", Value: mem[30:35], Grad: mem[130:135]},
				{Name: "none", Value: mem[40:40]},
			}})
		require.NoError(t, err)
		_, err = opt.Step()
		require.NoError(t, err)
		return opt
	}
	for name, c := range map[string]struct {
		spoil func(o *Optimizer)
		kind  error
		parts []string
	}{
		"config of the last group": {
			func(o *Optimizer) { o.Groups[2].Config.LR = -1 },
			ErrConfig, []string{"Groups[2]", "LR = -1"},
		},
		"config of an empty group": {
			func(o *Optimizer) { o.Groups[1].Config.Beta1 = 1 },
			ErrConfig, []string{"Groups[1]", "Beta1 = 1"},
		},
		"scale 0": {
			func(o *Optimizer) { o.GradScale = 0 },
			ErrConfig, []string{"GradScale = 0"},
		},
		"scale NaN": {
			func(o *Optimizer) { o.GradScale = math.NaN() },
			ErrConfig, []string{"GradScale = NaN"},
		},
		"scale negative": {
			func(o *Optimizer) { o.GradScale = -1 },
			ErrConfig, []string{"GradScale = -1"},
		},
		"scale Inf": {
			func(o *Optimizer) { o.GradScale = math.Inf(1) },
			ErrConfig, []string{"GradScale = +Inf"},
		},
		"scale tiny": {
			func(o *Optimizer) { o.GradScale = 1e-39 },
			ErrConfig, []string{"GradScale = 1e-39"},
		},
		"short gradient": {
			func(o *Optimizer) { p := &o.Groups[2].Params[0]; p.Grad = p.Grad[:4] },
			ErrLength, []string{`"c"`, "Value 5", "Grad 4"},
		},
		"empty gradient": {
			func(o *Optimizer) { o.Groups[0].Params[1].Grad = []float32{} },
			ErrLength, []string{`"b"`, "Value 20", "Grad 0"},
		},
		"short value": {
			func(o *Optimizer) { p := &o.Groups[0].Params[0]; p.Value = p.Value[1:] },
			ErrLength, []string{`"a" had 10`, "Value 9"},
		},
		"moment lost": {
			func(o *Optimizer) { o.State("b").V = nil },
			ErrLength, []string{`"b"`, "V 0"},
		},
		"AMSGrad turned on": {
			func(o *Optimizer) { o.Groups[0].Config.AMSGrad = true },
			ErrLength,
			[]string{`"a"`, `VMax 0 (AMSGrad needs State("a").VMax = make([]float32, 10))`},
		},
		"counter at its end": {
			func(o *Optimizer) { o.State("c").T = math.MaxUint64 },
			ErrSteps, []string{`"c"`},
		},
		"name changed": {
			func(o *Optimizer) { o.Groups[0].Params[1].Name = "x" },
			ErrParams, []string{"Groups[0].Params[1]", `"x"`},
		},
		"tensors swapped": {
			func(o *Optimizer) { p := o.Groups[0].Params; p[0], p[1] = p[1], p[0] },
			ErrParams, []string{"Groups[0].Params[0]"},
		},
		"tensor removed": {
			func(o *Optimizer) { o.Groups[2].Params = o.Groups[2].Params[:1] },
			ErrParams, []string{"3 tensors, 4"},
		},
		"group removed": {
			func(o *Optimizer) { o.Groups = o.Groups[:1] },
			ErrParams, []string{"2 tensors, 4"},
		},
		"tensor added": {
			func(o *Optimizer) {
				o.Groups[2].Params = append(o.Groups[2].Params, Param{Name: "new"})
			},
			ErrParams, []string{"Groups[2].Params[2]", "new"},
		},
		"gradient on its own value": {
			func(o *Optimizer) { p := &o.Groups[2].Params[0]; p.Grad = p.Value },
			ErrOverlap, []string{`Value of "c"`, `Grad of "c"`, "5 elements"},
		},
		"gradient on another's value": {
			func(o *Optimizer) { o.Groups[2].Params[0].Grad = o.Groups[0].Params[0].Value[5:10] },
			ErrOverlap, []string{`Value of "a"`, `Grad of "c"`},
		},
		"gradient on a moment": {
			func(o *Optimizer) { o.Groups[2].Params[0].Grad = o.State("b").M[:5] },
			ErrOverlap, []string{`M of "b"`, `Grad of "c"`},
		},
		"value on another": {
			func(o *Optimizer) { o.Groups[2].Params[0].Value = o.Groups[0].Params[0].Value[:5] },
			ErrOverlap, []string{`Value of "a"`, `Value of "c"`},
		},
		"moment on another": {
			func(o *Optimizer) { o.State("b").V = o.State("b").M },
			ErrOverlap, []string{`M of "b"`, `V of "b"`},
		},
		"closed": {
			func(o *Optimizer) { o.Close() },
			ErrClosed, nil,
		},
	} {
		for _, options := range []Options{
			{Workers: 1}, {Workers: 1, ZeroGrad: true, MaxNorm: 1, EMADecay: 0.5},
		} {
			t.Run(name, func(t *testing.T) {
				o := make2(options)
				c.spoil(o)
				for range 2 { // an error is one the second time too
					unchangedBy(t, o, c.kind, func() error {
						s, err := o.Step()
						assert.Equal(t, Stats{T: 1}, s)
						return err
					}, c.parts...)
				}
			})
		}
	}

	shareGrad := func(o *Optimizer) { o.Groups[2].Params[0].Grad = o.Groups[0].Params[1].Grad[3:8] }
	o := make2(Options{Workers: 1, ZeroGrad: true})
	shareGrad(o)
	unchangedBy(t, o, ErrOverlap, func() error { _, err := o.Step(); return err },
		`Grad of "b"`, `Grad of "c"`)
	o = make2(Options{Workers: 1})
	shareGrad(o)
	_, err := o.Step()
	assert.NoError(t, err, "gradients that are only read may be shared")
}

func TestNewErrors(t *testing.T) {
	mem := make([]float32, 100)
	fine := Group{
		Config: Default(),
		Params: []Param{{Name: "a", Value: mem[:10]}, {Name: "b", Value: mem[10:20]}},
	}
	for _, c := range []struct {
		name   string
		o      Options
		groups []Group
		kind   error
		part   string
	}{
		{"workers", Options{Workers: -1}, nil, ErrConfig, "Workers = -1"},
		{"norm", Options{MaxNorm: -1}, nil, ErrConfig, "MaxNorm = -1"},
		{"norm NaN", Options{MaxNorm: math.NaN()}, nil, ErrConfig, "MaxNorm = NaN"},
		{"value", Options{MaxValue: -1}, nil, ErrConfig, "MaxValue = -1"},
		{"value Inf", Options{MaxValue: math.Inf(1)}, nil, ErrConfig, "MaxValue = +Inf"},
		{"value tiny", Options{MaxValue: 1e-60}, nil, ErrConfig, "MaxValue = 1e-60"},
		{"both", Options{MaxNorm: 1, MaxValue: 1}, nil, ErrConfig, "MaxNorm = 1 and MaxValue = 1"},
		{"average", Options{EMADecay: 1}, nil, ErrConfig, "EMADecay = 1"},
		{"config", Options{}, []Group{fine, {Config: Config{Eps: -1}}}, ErrConfig,
			"adam: bad config: Groups[1]: Eps = -1"},
		{"no config", Options{},
			[]Group{fine, {Params: []Param{{Name: "c", Value: mem[50:60]}}}},
			ErrConfig,
			"Groups[1]: the Config is the zero value: begin with Default"},
		{"names", Options{},
			[]Group{fine, {Config: Default(), Params: []Param{{Name: "a", Value: mem[50:60]}}}},
			ErrParams, `"a"`},
		{"UTF-8", Options{},
			[]Group{{Config: Default(), Params: []Param{{Name: "\xff", Value: mem}}}},
			ErrParams, `"\xff"`},
		{"values", Options{},
			[]Group{fine, {Config: Default(), Params: []Param{{Name: "c", Value: mem[19:60]}}}},
			ErrOverlap, `Value of "b"`},
		{"gradient", Options{},
			[]Group{{Config: Default(),
				Params: []Param{{Name: "c", Value: mem[:10], Grad: mem[9:19]}}}},
			ErrOverlap, `Grad of "c"`},
		{"length", Options{},
			[]Group{{Config: Default(),
				Params: []Param{{Name: "c", Value: mem[:10], Grad: mem[10:19]}}}},
			ErrLength, "Grad 9"},
	} {
		o, err := New(c.o, c.groups...)
		assert.Nil(t, o, c.name)
		require.ErrorIs(t, err, c.kind, c.name)
		assert.ErrorContains(t, err, c.part, c.name)
	}
	for _, groups := range [][]Group{
		nil, {{}}, {{Config: Default(), Params: []Param{{}}}}, {fine},
	} {
		o, err := New(Options{MaxNorm: 1, EMADecay: 0.5, ZeroGrad: true}, groups...)
		require.NoError(t, err)
		for range 2 {
			_, err = o.Step()
			require.NoError(t, err,
				"empty groups and tensors are fine, as is a step without gradients")
		}
		assert.EqualValues(t, 2, o.T)
		o.Close()
	}
}

// Values and gradients may lie elsewhere in every step.
func TestSlicesMayMove(t *testing.T) {
	for _, zero := range []bool{false, true} {
		r := rand.New(rand.NewPCG(1, 2))
		s := newTrial(t, r, Options{ZeroGrad: zero}, []Config{Default()}, []int{40, 50, 60})
		for range 5 {
			s.draw(r, false)
			for _, p := range s.params() {
				p.Value = append([]float32(nil), p.Value...)
			}
			s.step(t)
		}
	}
}

// FuzzOptimizer compares an optimizer with the plain implementation: any options, configs and
// sizes.
func FuzzOptimizer(f *testing.F) {
	for i := range uint64(40) {
		f.Add(i, uint16(i*i*37), uint8(i), uint8(i*7), uint8(i))
	}
	f.Fuzz(func(t *testing.T, seed uint64, size uint16, options, workers, tensors uint8) {
		sharedOut(t)
		r := rand.New(rand.NewPCG(seed, 9))
		o := Options{
			Workers: 1 + int(workers)%8, SkipNonFinite: options&1 != 0, ZeroGrad: options&2 != 0,
		}
		if options&4 != 0 {
			o.EMADecay = r.Float64()
		}
		switch options >> 3 & 3 {
		case 1:
			o.MaxNorm = math.Exp2(10*r.Float64() - 5)
		case 2:
			o.MaxValue = math.Exp2(10*r.Float64() - 5)
		case 3:
			o.MaxNorm = math.Inf(1)
		}
		var sizes []int
		for range tensors % 7 {
			sizes = append(sizes, r.IntN(1+int(size)%(2*tile)))
		}
		configs := make([]Config, 1+r.IntN(3))
		for i := range configs {
			configs[i] = Config(operands.Variants[r.IntN(len(operands.Variants))].Config)
		}
		names := Kernels()
		defer selection.Use(selection.Use(names[r.IntN(len(names))]))
		s := newMixedTrial(t, r, o, configs, sizes)
		for range 3 {
			s.GradScale = math.Exp2(40*r.Float64() - 20)
			s.draw(r, r.IntN(2) == 0)
			s.step(t)
		}
	})
}
