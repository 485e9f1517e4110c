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

// The ways in which gradients and parameters may be stored.
var (
	gradForms  = []string{"Grad", "GradBF16", "GradF16"}
	valueForms = []string{"Value", "Value and BF16", "Value and F16", "split", "BF16"}
)

// combination is a storage of everything.
type combination struct {
	grad, value string
	moments     Moments
}

func (c combination) String() string {
	return fmt.Sprintf("%s, %s, %v", c.grad, c.value, c.moments)
}

func (c combination) storage() Storage {
	s := Storage{Moments: c.moments}
	if c.value == "BF16" {
		s.Master = NoMaster
	}
	return s
}

// combinations are all of them.
func combinations() (all []combination) {
	for _, g := range gradForms {
		for _, v := range valueForms {
			for m := Float32Moments; m <= Q8Moments; m++ {
				all = append(all, combination{g, v, m})
			}
		}
	}
	return all
}

// param returns a tensor of n random elements without a gradient.
func (c combination) param(r *rand.Rand, n int, value func(*rand.Rand) float32) Param16 {
	p := Param16{Name: "w"}
	switch c.value {
	case "Value and BF16":
		p.BF16 = make([]BF16, n)
	case "Value and F16":
		p.F16 = make([]F16, n)
	case "split", "BF16":
		p.BF16 = filled(n, func() BF16 { return BF16(math.Float32bits(value(r)) >> 16) })
		return p
	}
	p.Value = filled(n, func() float32 { return value(r) })
	p.copy(0, n)
	return p
}

// draw gives p another gradient.
func (c combination) draw(r *rand.Rand, p *Param16, value func(*rand.Rand) float32) {
	n := p.size()
	switch c.grad {
	case "GradBF16":
		p.GradBF16 = filled(n, func() BF16 { return ToBF16(value(r)) })
	case "GradF16":
		p.GradF16 = filled(n, func() F16 { return ToF16(value(r)) })
	default:
		p.Grad = filled(n, func() float32 { return value(r) })
	}
}

// state returns a state in which there have been some steps: of random moments.
func (c combination) state(r *rand.Rand, p Param16, config Config,
	value func(*rand.Rand) float32) *State16 {
	s := NewState16(p, c.storage(), r.Uint64(), config)
	s.T = []uint64{0, 1, 1000, 1 << 40}[r.IntN(4)]
	for i := range s.Rest {
		s.Rest[i] = int16(r.Uint32())
	}
	for i := range s.M {
		s.M[i], s.V[i] = value(r), positive(value(r))
	}
	for i := range s.M16 {
		s.M16[i], s.V16[i] = ToBF16(value(r)), ToBF16(positive(value(r)))
	}
	for i := range s.VMax {
		s.VMax[i] = positive(value(r))
	}
	for i := range s.VMax16 {
		s.VMax16[i] = ToBF16(positive(value(r)))
	}
	for i := range s.MScale {
		s.MScale[i], s.VScale[i] = uint8(110+r.IntN(20)), uint8(90+r.IntN(20))
		if r.IntN(8) == 0 {
			s.MScale[i], s.VScale[i] = uint8(16+r.IntN(239)), uint8(32+r.IntN(223))
		}
	}
	for i := range s.M8 {
		s.M8[i], s.V8[i] = int8(r.IntN(255)-127), int8(r.IntN(256)-128)
	}
	return s
}

func filled[E any](n int, f func() E) []E {
	s := make([]E, n)
	for i := range s {
		s[i] = f()
	}
	return s
}

func positive(x float32) float32 { return float32(math.Abs(float64(x))) }

// clone returns copies that share no memory with p and s.
func clone(p Param16, s *State16) (Param16, *State16) {
	return cut16(p, 0, p.size()), s.sub(0, p.size())
}

// cut16 returns copies of some elements.
func cut16(p Param16, from, to int) Param16 {
	return Param16{Name: p.Name, Value: part(p.Value, from, to), BF16: part(p.BF16, from, to),
		F16: part(p.F16, from, to), Grad: part(p.Grad, from, to),
		GradBF16: part(p.GradBF16, from, to), GradF16: part(p.GradF16, from, to)}
}

// sub returns copies of the state of some elements.
func (s *State16) sub(from, to int) *State16 {
	b, e := from/block16, (to+block16-1)/block16
	return &State16{T: s.T, Key: s.Key, Offset: s.Offset + from,
		M: part(s.M, from, to), V: part(s.V, from, to), VMax: part(s.VMax, from, to),
		M16: part(s.M16, from, to), V16: part(s.V16, from, to), VMax16: part(s.VMax16, from, to),
		M8: part(s.M8, from, to), V8: part(s.V8, from, to), MScale: part(s.MScale, b, e),
		VScale: part(s.VScale, b, e), Rest: part(s.Rest, from, to)}
}

func part[E any](s []E, from, to int) []E {
	if s == nil {
		return nil
	}
	return slices.Clone(s[from:to])
}

// plainStep is a step element by element, written for this test: decode, the step of State,
// encode.
func plainStep(t testing.TB, p *Param16, s *State16, config Config) {
	f := inFloat32(t, *p, s, config)
	require.NoError(t, f.State.Step(f.Value, f.Grad, config))
	encoded(p, s, f)
}

// inFloat32 returns a tensor in float32, with copies of all that the step of config needs.
func inFloat32(t testing.TB, p Param16, s *State16, config Config) Param {
	n := p.size()
	f := Param{Name: p.Name, Value: make([]float32, n), State: NewState(n, config)}
	if p.hasGrad() {
		f.Grad = make([]float32, n)
	}
	f.State.T = s.T
	require.NoError(t, s.Float32(f.State.M, f.State.V))
	for i := range n {
		switch {
		case p.Value != nil:
			f.Value[i] = p.Value[i]
		case s.Rest != nil:
			f.Value[i] = math.Float32frombits(uint32(int32(p.BF16[i])<<16 + int32(s.Rest[i])))
		default:
			f.Value[i] = p.BF16[i].Float32()
		}
		switch {
		case p.GradBF16 != nil:
			f.Grad[i] = p.GradBF16[i].Float32()
		case p.GradF16 != nil:
			f.Grad[i] = p.GradF16[i].Float32()
		case p.Grad != nil:
			f.Grad[i] = p.Grad[i]
		}
		switch x := f.State.VMax; {
		case x != nil && s.VMax != nil:
			x[i] = s.VMax[i]
		case x != nil:
			x[i] = s.VMax16[i].Float32()
		}
	}
	return f
}

// encoded makes f, on which a step was made, what p and s store.
func encoded(p *Param16, s *State16, f Param) {
	m, v, x := f.State.M, f.State.V, f.State.VMax
	s.T = f.State.T
	round := func(x float32, r uint32) BF16 {
		if x != x {
			return 0x7fc0
		}
		return BF16((math.Float32bits(x) + r) >> 16)
	}
	for i, y := range f.Value {
		at := uint64(s.Offset + i)
		k := mix(mix(s.Key+s.T) + at/8192)
		w := words{uint32(at%8192)*wordStep + uint32(k), uint32(k >> 32)}.at(0)
		switch {
		case p.Value != nil:
			p.Value[i] = y
			if p.BF16 != nil {
				p.BF16[i] = ToBF16(y)
			}
			if p.F16 != nil {
				p.F16[i] = ToF16(y)
			}
		case s.Rest != nil:
			encodeSplitGeneric(p.BF16[i:i+1], s.Rest[i:i+1], f.Value[i:i+1])
		default:
			p.BF16[i] = round(y, w&0xffff)
		}
		switch {
		case s.M != nil:
			s.M[i], s.V[i] = m[i], v[i]
		case s.M16 != nil:
			s.M16[i], s.V16[i] = round(m[i], w&0xffff), round(v[i], w>>16)
		}
		switch {
		case s.VMax != nil && x != nil:
			s.VMax[i] = x[i]
		case x != nil:
			s.VMax16[i] = round(x[i], w>>16)
		}
	}
	for b := range s.MScale {
		i, j := b*block16, min(len(m), (b+1)*block16)
		encodeQ8Generic(s.M8[i:j], s.V8[i:j], s.MScale[b:b+1], s.VScale[b:b+1], m[i:j], v[i:j],
			wordsAt(s.Key, s.T, uint64(s.Offset+i)))
	}
}

// difference says where two tensors differ, "" if they do not. A NaN is as good as another.
func difference(p, q Param16, s, t *State16) string {
	differ := ""
	note := func(what string, ok bool) {
		if !ok && differ == "" {
			differ = what
		}
	}
	note("T or Key", s.T == t.T && s.Key == t.Key)
	note("Value", slices.EqualFunc(p.Value, q.Value, sameFloat))
	note("F16", slices.EqualFunc(p.F16, q.F16, func(a, b F16) bool {
		return sameFloat(a.Float32(), b.Float32())
	}))
	if s.Rest != nil {
		a, b := make([]float32, len(p.BF16)), make([]float32, len(q.BF16))
		note("length of BF16", JoinFloat32(a, p.BF16, s.Rest) == nil &&
			JoinFloat32(b, q.BF16, t.Rest) == nil)
		note("split", slices.EqualFunc(a, b, sameFloat))
	}
	for what, pair := range map[string][2][]BF16{
		"BF16": {p.BF16, q.BF16}, "M16": {s.M16, t.M16}, "V16": {s.V16, t.V16},
		"VMax16": {s.VMax16, t.VMax16},
	} {
		note(what, slices.EqualFunc(pair[0], pair[1], func(a, b BF16) bool {
			return sameFloat(a.Float32(), b.Float32())
		}))
	}
	for what, pair := range map[string][2][]float32{
		"M": {s.M, t.M}, "V": {s.V, t.V}, "VMax": {s.VMax, t.VMax},
	} {
		note(what, slices.EqualFunc(pair[0], pair[1], sameFloat))
	}
	note("M8", slices.Equal(s.M8, t.M8))
	note("V8", slices.Equal(s.V8, t.V8))
	note("MScale", slices.Equal(s.MScale, t.MScale))
	note("VScale", slices.Equal(s.VScale, t.VScale))
	return differ
}

func sameFloat(a, b float32) bool {
	return math.Float32bits(a) == math.Float32bits(b) || a != a && b != b
}

// Configs that a combination can have: plain, decayed either way, AMSGrad.
func (c combination) configs() []Config {
	l2 := Default()
	l2.WeightDecay = 0.1
	max := DefaultW()
	max.AMSGrad = true
	list := []Config{DefaultW(), l2, max}
	if c.moments == Q8Moments {
		list = list[:2]
	}
	return list
}

// Every storage, on every kernel, against the step element by element, wherever the tensor is cut.
func TestStep16(t *testing.T) {
	eachKernel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(1, 3))
		for _, c := range combinations() {
			for _, config := range c.configs() {
				for i, n := range []int{0, 1, 63, 64, 65, 200, 1024, 1100, tile + 100} {
					if n > 1000 && i%2 == r.IntN(2) {
						continue
					}
					value := operands.Kinds[r.IntN(len(operands.Kinds))].Value
					p := c.param(r, n, value)
					s := c.state(r, p, config, value)
					s.Offset = []int{0, 64, tile - 64, math.MaxInt - 1<<20 + 1}[r.IntN(4)]
					q, u := clone(p, s)
					for range 2 {
						c.draw(r, &p, value)
						q.Grad, q.GradBF16, q.GradF16 = p.Grad, p.GradBF16, p.GradF16
						require.NoError(t, s.Step(p, config))
						plainStep(t, &q, u, config)
						require.Empty(t, difference(p, q, s, u), "%v, %+v, %d elements from %d on",
							c, config, n, s.Offset)
					}
				}
			}
		}
	})
}

// States of slices have the bits of the whole tensor, with its Key and their Offset.
func TestStep16InSlices(t *testing.T) {
	eachKernel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(2, 3))
		for _, c := range combinations() {
			n := 2*tile + 77
			p := c.param(r, n, operands.Normal)
			c.draw(r, &p, operands.Normal)
			s := c.state(r, p, DefaultW(), operands.Normal)
			var cuts []int
			for at := 0; at < n; at = min(n, at+64*(1+r.IntN(200))) {
				cuts = append(cuts, at)
			}
			cuts = append(cuts, n)
			var ps []Param16
			var ss []*State16
			for i, to := range cuts[1:] {
				ps, ss = append(ps, cut16(p, cuts[i], to)), append(ss, s.sub(cuts[i], to))
				require.NoError(t, ss[i].Step(ps[i], DefaultW()))
			}
			require.NoError(t, s.Step(p, DefaultW()))
			for i, to := range cuts[1:] {
				u := s.sub(cuts[i], to)
				require.Empty(t, difference(cut16(p, cuts[i], to), ps[i], u, ss[i]),
					"%v, from %d on", c, cuts[i])
			}
		}
	})
}

// The names of fields that cannot stand beside each other, and of those of other lengths.
func TestStep16Errors(t *testing.T) {
	const n = 100
	f, b, h := make([]float32, n), make([]BF16, n), make([]F16, n)
	split := Param16{BF16: b, GradBF16: make([]BF16, n)}
	for name, c := range map[string]struct {
		p      Param16
		s      Storage
		config Config
		change func(p *Param16, s *State16)
		kind   error
		text   string
	}{
		"zero Config": {split, Storage{}, Config{}, nil, ErrConfig, "Default()"},
		"F16 alone": {Param16{F16: h, Grad: f}, Storage{}, Default(), nil, ErrParams,
			"F16 is a copy"},
		"two copies": {Param16{Value: f, BF16: b, F16: h, Grad: make([]float32, n)}, Storage{},
			Default(), nil, ErrParams, "BF16 and F16"},
		"Grad and GradBF16": {split, Storage{}, Default(),
			func(p *Param16, s *State16) { p.Grad = f }, ErrParams, "Grad and GradBF16"},
		"GradBF16 and GradF16": {split, Storage{}, Default(),
			func(p *Param16, s *State16) { p.GradF16 = h }, ErrParams, "GradBF16 and GradF16"},
		"Grad and GradF16": {Param16{BF16: b, Grad: f, GradF16: h}, Storage{}, Default(), nil,
			ErrParams, "Grad and GradF16"},
		"no gradient": {Param16{BF16: b}, Storage{}, Default(), nil, ErrLength, "GradBF16"},
		"two pairs of moments": {split, Storage{}, Default(),
			func(p *Param16, s *State16) { s.M16 = make([]BF16, n) }, ErrParams, "M16, V16"},
		"Q8 and float32": {split, Storage{}, Default(),
			func(p *Param16, s *State16) { s.VScale = make([]uint8, 2) }, ErrParams, "M8, V8"},
		"Q8 and bfloat16": {split, Storage{Moments: BF16Moments}, Default(),
			func(p *Param16, s *State16) { s.M8 = make([]int8, n) }, ErrParams, "M8, V8"},
		"VMax of another type": {split, Storage{Moments: BF16Moments}, Default(),
			func(p *Param16, s *State16) { s.VMax = f }, ErrParams, "VMax16"},
		"VMax16 of another type": {split, Storage{}, Default(),
			func(p *Param16, s *State16) { s.VMax16 = make([]BF16, n) }, ErrParams, "VMax16"},
		"Rest beside Value": {Param16{Value: f, GradBF16: b}, Storage{}, Default(),
			func(p *Param16, s *State16) { s.Rest = make([]int16, n) }, ErrParams, "Rest"},
		"Offset within a block": {split, Storage{Moments: Q8Moments}, Default(),
			func(p *Param16, s *State16) { s.Offset = 32 }, ErrParams, "multiple of 64"},
		"Offset below 0": {split, Storage{}, Default(),
			func(p *Param16, s *State16) { s.Offset = -64 }, ErrParams, "Offset is -64"},
		"AMSGrad of Q8": {split, Storage{Moments: Q8Moments}, Config{LR: 1, AMSGrad: true}, nil,
			ErrConfig, "BF16Moments"},
		"no VMax16": {split, Storage{Moments: BF16Moments}, Default(),
			func(p *Param16, s *State16) { s.VMax16 = nil }, nil, ""},
		"short gradient": {split, Storage{}, Default(),
			func(p *Param16, s *State16) { p.GradBF16 = b[:n-1] }, ErrLength, "GradBF16 has 99"},
		"short copy": {Param16{Value: f, Grad: make([]float32, n), F16: h[:3]}, Storage{},
			Default(),
			nil, ErrLength, "F16 has 3 elements, want 100"},
		"short Rest": {split, Storage{}, Default(),
			func(p *Param16, s *State16) { s.Rest = s.Rest[1:] }, ErrLength, "Rest"},
		"short scales": {split, Storage{Moments: Q8Moments}, Default(),
			func(p *Param16, s *State16) { s.MScale = s.MScale[1:] }, ErrLength, "MScale has 1"},
		"short V16": {split, Storage{Moments: BF16Moments}, Default(),
			func(p *Param16, s *State16) { s.V16 = s.V16[1:] }, ErrLength, "V16 has 99"},
		"overlap": {split, Storage{Moments: BF16Moments}, Default(),
			func(p *Param16, s *State16) { s.V16 = s.M16 }, ErrOverlap, "V16"},
		"gradient in the parameters": {split, Storage{}, Default(),
			func(p *Param16, s *State16) { p.GradBF16 = p.BF16 }, ErrOverlap, "GradBF16"},
		"last step": {split, Storage{}, Default(),
			func(p *Param16, s *State16) { s.T = math.MaxUint64 }, ErrSteps, "T = "},
	} {
		t.Run(name, func(t *testing.T) {
			p := c.p
			s := NewState16(p, c.s, 0, c.config)
			if c.change != nil {
				c.change(&p, s)
			}
			err := s.Step(p, c.config)
			if c.kind == nil {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, c.kind)
			assert.ErrorContains(t, err, c.text)
		})
	}
}

// Float32 and SetFloat32 are each other's inverse where moments need no rounding.
func TestMomentsInFloat32(t *testing.T) {
	const n = 3*block16 + 5
	p := Param16{BF16: make([]BF16, n)}
	for m := Float32Moments; m <= Q8Moments; m++ {
		s := NewState16(p, Storage{Moments: m}, 5, Default())
		a, b := make([]float32, n), make([]float32, n)
		for i := range a {
			a[i], b[i] = []float32{1, -1, 0}[i%3], []float32{1, 0.5, 1.5}[i%3]
		}
		require.NoError(t, s.SetFloat32(a, b))
		c, d := make([]float32, n), make([]float32, n)
		require.NoError(t, s.Float32(c, d))
		if m != Q8Moments {
			assert.Equal(t, a, c)
		}
		assert.Equal(t, b, d)
		for i := range a {
			assert.InDelta(t, a[i], c[i], 0.13)
		}
		require.ErrorIs(t, s.Float32(c[1:], d), ErrLength)
		require.ErrorIs(t, s.SetFloat32(c, d[1:]), ErrLength)
	}
}

// Steps do not allocate, whatever the storage.
func TestStep16DoesNotAllocate(t *testing.T) {
	const n = 10_000
	c := DefaultW()
	for _, m := range []Moments{Float32Moments, BF16Moments, Q8Moments} {
		for _, p := range []Param16{
			{Value: make([]float32, n), GradBF16: make([]BF16, n)},
			{BF16: make([]BF16, n), GradF16: make([]F16, n)},
			{BF16: make([]BF16, n), GradBF16: make([]BF16, n)},
		} {
			s := NewState16(p, Storage{Moments: m}, 1, c)
			require.Zero(t, testing.AllocsPerRun(10, func() {
				if err := s.Step(p, c); err != nil {
					t.Fatal(err)
				}
			}))
		}
	}
}
