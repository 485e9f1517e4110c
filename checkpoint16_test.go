package adam

import (
	"bytes"
	"fmt"
	"hash/crc64"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/fusedadam/adam/internal/checkpoint"
	"github.com/fusedadam/adam/internal/operands"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// saved16 are the tensors of these tests, of all forms of parameters. Some names look like keys.
var saved16 = []struct {
	name  string
	n     int
	value string
	class int // tensors of one class have one config and one Master
}{
	{"wte", 2*Tile + 70, "split", 0}, {"x", 65, "Value", 0}, {"x.exp_avg", 64, "split", 0},
	{"x.exp_avg.scale", 1, "Value and BF16", 0}, {"empty", 0, "split", 0},
	{"half", Tile, "Value and F16", 1}, {"alone", Tile + 63, "BF16", 1}, {"one", 1, "BF16", 1},
}

// model16 is how the optimizers of these tests store the tensors.
type model16 struct {
	moments Moments
	options Options
	other   bool // another grouping, order and seed, and zeros
	ranks   int  // in parts, or 0
	only    string
	rename  func(name string) string
}

// optimizers returns one, or one for each rank, at the beginning of its training.
func (m model16) optimizers(t testing.TB, r *rand.Rand) []*Optimizer {
	t.Helper()
	configs := []Config{DefaultW(), {LR: 0.01, Beta1: 0.8, Beta2: 0.99, Eps: 1e-6,
		AMSGrad: m.moments != Q8Moments, WeightDecay: 0.1}}
	groups := make([][]Group, max(m.ranks, 1))
	for i := range groups {
		for class := range configs {
			groups[i] = append(groups[i], Group{Config: configs[class],
				Storage: Storage{m.moments, Master(class)}})
		}
	}
	list := slices.Clone(saved16)
	if m.other {
		slices.Reverse(list)
		m.options.Seed += 17
	}
	for _, s := range list {
		if m.only != "" && s.name != m.only {
			continue
		}
		c := combination{value: s.value}
		value := operands.Normal
		if m.other {
			value = func(*rand.Rand) float32 { return 0 }
		}
		p := c.param(seeded(0, s.name), s.n, value)
		p.Name = s.name
		if m.rename != nil {
			p.Name = m.rename(s.name)
		}
		if m.ranks == 0 {
			groups[0][s.class].Params16 = append(groups[0][s.class].Params16, p)
			continue
		}
		for at, rank := 0, 0; at < s.n || rank < m.ranks; rank++ {
			to := at + (s.n-at)/Tile*Tile
			if rank < m.ranks-1 {
				to = at + r.IntN((to-at)/Tile+1)*Tile
			} else {
				to = s.n
			}
			q := cut16(p, at, to)
			q.Name = p.Name
			g := &groups[rank][s.class]
			place := at
			if at == to {
				place = 0
			}
			g.Parts16 = append(g.Parts16, Part16{q, place, s.n})
			at = to
		}
	}
	var all []*Optimizer
	for _, g := range groups {
		o, err := New(m.options, g...)
		require.NoError(t, err)
		t.Cleanup(func() { _ = o.Close() })
		all = append(all, o)
	}
	return all
}

func (m model16) optimizer(t testing.TB) *Optimizer { return m.optimizers(t, nil)[0] }

// each16 calls f for all tensors and parts.
func each16(o *Optimizer, f func(p *Param16, at, of int)) {
	for i := range o.Groups {
		g := &o.Groups[i]
		for j := range g.Params16 {
			f(&g.Params16[j], 0, g.Params16[j].size())
		}
		for j := range g.Parts16 {
			f(&g.Parts16[j].Param16, g.Parts16[j].At, g.Parts16[j].Of)
		}
	}
}

// train16 makes the steps from, …, to-1. Gradients are those of the names before renaming.
func train16(t testing.TB, from, to int, all ...*Optimizer) {
	t.Helper()
	for _, o := range all {
		for step := from; step < to; step++ {
			each16(o, func(p *Param16, at, of int) {
				g := cutGrad[float32](step, strings.TrimPrefix(p.Name, "new."), at, at+p.size(), of)
				p.Grad, p.GradBF16 = nil, nil
				if p.Value == nil && g != nil {
					p.GradBF16 = make([]BF16, len(g))
					encodeBF16(p.GradBF16, g)
				} else {
					p.Grad = g
				}
			})
			_, err := o.Step()
			require.NoError(t, err)
		}
	}
}

// state16Of returns all that a checkpoint can hold of an optimizer, and what steps have made of
// copies.
func state16Of(t testing.TB, all ...*Optimizer) map[string][]byte {
	t.Helper()
	for _, o := range all {
		defer func(before bool) { o.Options.SaveParams = before }(o.Options.SaveParams)
		o.Options.SaveParams = true
	}
	file := savedOf(t, len(all)*min(1, len(all[0].Groups[0].Parts16)), all)
	data, _ := contents(t, file)
	for i, o := range all {
		each16(o, func(p *Param16, _, _ int) {
			if p.Value != nil {
				data[fmt.Sprintf("copies %d.%s", i, p.Name)] = slices.Concat(
					checkpoint.Memory(retyped[uint16](p.BF16)),
					checkpoint.Memory(retyped[uint16](p.F16)))
			}
		})
	}
	return data
}

// requireState16 compares what state16Of returns, without a dump.
func requireState16(t testing.TB, want, got map[string][]byte) {
	t.Helper()
	require.Len(t, got, len(want))
	for key := range want {
		if !bytes.Equal(want[key], got[key]) {
			t.Fatalf("%s differs", key)
		}
	}
}

// values16 copies parameters between optimizers of the same tensors.
func values16(to, from *Optimizer) {
	each16(from, func(p *Param16, _, _ int) {
		each16(to, func(q *Param16, _, _ int) {
			if p.Name == q.Name {
				copy(q.Value, p.Value)
				copy(q.BF16, p.BF16)
				copy(q.F16, p.F16)
			}
		})
	})
}

// What was trained, saved, loaded by an optimizer made anew and trained on has the same bits as
// what was trained in one go, with every storage.
func TestCheckpoint16Resumes(t *testing.T) {
	eachKernel(t, func(t *testing.T) {
		for moments := Float32Moments; moments <= Q8Moments; moments++ {
			for bits := range 4 {
				options := Options{Workers: 1, SaveParams: bits&1 != 0, Seed: 3}
				if bits&2 != 0 {
					options.EMADecay = 0.9
				}
				m := model16{moments: moments, options: options}
				through := m.optimizer(t)
				train16(t, 0, bits, through)
				file := saved(t, through)
				require.Equal(t, file, saved(t, through), "Save gives the same bytes again")
				require.Contains(t, string(file), `"adam.format":"3"`)

				m.other = true
				resumed := m.optimizer(t)
				train16(t, 5, 6, resumed)
				if !options.SaveParams {
					values16(resumed, through)
				}
				require.NoError(t, resumed.Load(bytes.NewReader(file)))
				requireState16(t, state16Of(t, through), state16Of(t, resumed))
				train16(t, 10, 13, through, resumed)
				requireState16(t, state16Of(t, through), state16Of(t, resumed))
				o := m.optimizer(t) // the same gradients without the state
				train16(t, 10, 13, o)
				assert.NotEqual(t, state16Of(t, through), state16Of(t, o))
			}
		}
	})
}

// Everything has the type and the length that docs/CHECKPOINTS.md says, and nothing else is there.
func TestCheckpoint16Types(t *testing.T) {
	for moments, m := range map[Moments]string{Float32Moments: "F32", BF16Moments: "BF16",
		Q8Moments: "I8"} {
		o := model16{moments: moments, options: Options{SaveParams: true}}.optimizer(t)
		train16(t, 0, 2, o)
		file := saved(t, o)
		r, err := checkpoint.NewReader(bytes.NewReader(file), checkpoint.Limits{Tensors: -1})
		require.NoError(t, err)
		got := map[string]string{}
		for _, s := range r.Tensors {
			got[s.Name] = fmt.Sprint(s.DType, s.Shape)
		}
		want := map[string]string{}
		for _, s := range saved16 {
			n := fmt.Sprintf("[%d]", s.n)
			want["state."+s.name+".step"] = "I64[]"
			want["state."+s.name+".exp_avg"] = m + n
			want["state."+s.name+".exp_avg_sq"] = m + n
			if s.class == 1 && moments != Q8Moments {
				want["state."+s.name+".max_exp_avg_sq"] = m + n
			}
			if moments == Q8Moments {
				scales := fmt.Sprintf("U8[%d]", (s.n+63)/64)
				want["state."+s.name+".exp_avg.scale"] = scales
				want["state."+s.name+".exp_avg_sq.scale"] = scales
			}
			if moments != Float32Moments || s.value == "BF16" {
				want["state."+s.name+".rounding_key"] = "I64[]"
			}
			want["param."+s.name] = "F32" + n
			if s.value == "split" || s.value == "BF16" {
				want["param."+s.name] = "BF16" + n
			}
			if s.value == "split" {
				want["state."+s.name+".param_rest"] = "I16" + n
			}
		}
		assert.Equal(t, want, got)
	}
}

// The bytes are the same on all machines.
func TestCheckpoint16Bytes(t *testing.T) {
	for moments, want := range []uint64{0xfbcbc479741a30e7, 0xd0842eb811ea48ae,
		0xb0b3e5bd30a7fda3} {
		o := model16{moments: Moments(moments), options: Options{SaveParams: true,
			EMADecay: 0.9}}.optimizer(t)
		train16(t, 0, 3, o)
		got := crc64.Checksum(saved(t, o), crc64.MakeTable(crc64.ECMA))
		assert.Equal(t, want, got, "%v: %#x", Moments(moments), got)
	}
}

// A tensor of 16 bits that stores nothing otherwise than a Param is in the file what that is, so
// that the two may take each other's place.
func TestCheckpoint16AsParam(t *testing.T) {
	value := func() []float32 { return normals(seeded(0, "a"), 100) }
	half, err := New(smallOptions, Group{Config: DefaultW(),
		Params16: []Param16{{Name: "a", Value: value(), BF16: make([]BF16, 100)}}})
	require.NoError(t, err)
	whole, err := New(smallOptions, Group{Config: DefaultW(),
		Params: []Param{{Name: "a", Value: value()}}})
	require.NoError(t, err)
	train(t, whole, 1, 3)
	for step := 1; step < 3; step++ {
		r := seeded(step, "a")
		if half.Groups[0].Params16[0].Grad = nil; r.IntN(4) > 0 {
			half.Groups[0].Params16[0].Grad = normals(r, 100)
		}
		_, err := half.Step()
		require.NoError(t, err)
	}
	file := saved(t, whole)
	sameFile(t, file, saved(t, half), "of a Param16")
	assert.Contains(t, string(file), `"adam.format":"1"`)
	require.NoError(t, whole.Load(bytes.NewReader(file)))
	require.NoError(t, half.Load(bytes.NewReader(file)))
}

// A tensor goes on with the words that it had under another name, and whatever the seed.
func TestCheckpoint16Renamed(t *testing.T) {
	for moments := Float32Moments; moments <= Q8Moments; moments++ {
		m := model16{moments: moments, options: Options{SaveParams: true, Seed: 9}}
		a := m.optimizer(t)
		train16(t, 0, 2, a)
		m.rename = func(name string) string { return "new." + name }
		m.options.Seed = 10
		b := m.optimizer(t)
		loaded, err := b.LoadWith(bytes.NewReader(saved(t, a)), LoadOptions{Name: m.rename})
		require.NoError(t, err)
		assert.Len(t, loaded.Restored, len(saved16))
		same := func(other *Optimizer) (same bool) {
			same = true
			want, got := state16Of(t, a), state16Of(t, other)
			for key, x := range want {
				for _, s := range saved16 {
					for p := range checkpoint.Piece(checkpoint.Pieces) {
						if key == p.Key(s.name) {
							same = same && bytes.Equal(x, got[p.Key("new."+s.name)])
						}
					}
				}
			}
			return same
		}
		require.True(t, same(b))
		train16(t, 5, 7, a, b)
		require.True(t, same(b))

		// With the key of its own it goes another way.
		c := m.optimizer(t)
		_, err = c.LoadWith(bytes.NewReader(saved(t, b)), LoadOptions{})
		require.NoError(t, err)
		require.True(t, same(c))
		c.State16("new.alone").Key++
		c.State16("new.wte").Key++
		train16(t, 8, 9, a, b, c)
		require.True(t, same(b))
		require.False(t, same(c))
	}
}

// The file of parts is that of the whole tensors, and they may be cut otherwise.
func TestCheckpoint16Parts(t *testing.T) {
	r := rand.New(rand.NewPCG(13, 1))
	for moments := Float32Moments; moments <= Q8Moments; moments++ {
		m := model16{moments: moments, options: Options{SaveParams: true, Workers: 1,
			EMADecay: 0.9}}
		whole := m.optimizer(t)
		train16(t, 0, 2, whole)
		file := saved(t, whole)
		m.ranks = 3
		parts := m.optimizers(t, r)
		train16(t, 0, 2, parts...)
		sameFile(t, file, savedParts(t, parts), "%v", moments)

		checkpoint.BigEndian = !checkpoint.BigEndian
		turned := saved(t, whole)
		sameFile(t, turned, savedParts(t, parts), "%v, the other order of bytes", moments)
		again := m.optimizers(t, r)
		for _, o := range again {
			require.NoError(t, o.LoadParts(bytes.NewReader(turned)))
		}
		checkpoint.BigEndian = !checkpoint.BigEndian
		sameFile(t, file, savedParts(t, again), "%v, turned twice", moments)

		train16(t, 5, 7, whole)
		for ranks := range 5 {
			m.ranks = ranks
			resumed := m.optimizers(t, r)
			train16(t, 8, 9, resumed...)
			for _, o := range resumed {
				require.NoError(t, o.LoadParts(bytes.NewReader(file)))
			}
			sameFile(t, file, savedOf(t, ranks, resumed), "%v, %d ranks", moments, ranks)
			train16(t, 5, 7, resumed...)
			sameFile(t, saved(t, whole), savedOf(t, ranks, resumed), "%v, %d ranks trained on",
				moments, ranks)
		}
	}
}

// Memory of the caller's is written and stays where it is.
func TestCheckpoint16IntoTheCallersMemory(t *testing.T) {
	for moments := Float32Moments; moments <= Q8Moments; moments++ {
		m := model16{moments: moments, options: Options{SaveParams: true, EMADecay: 0.9}}
		source := m.optimizer(t)
		train16(t, 0, 2, source)
		lent := m.optimizer(t)
		groups := lent.Groups
		each16(lent, func(p *Param16, _, _ int) {
			p.State, p.EMA = lent.State16(p.Name), make([]float32, p.size())
		})
		o, err := New(m.options, groups...)
		require.NoError(t, err)
		where := func() (all []span) {
			each16(o, func(p *Param16, _, _ int) {
				all = append(p.State.written(p, p.Name, all), spanOf(p.Name, "EMA", p.EMA))
			})
			return all
		}
		before := where()
		require.NoError(t, o.Load(bytes.NewReader(saved(t, source))))
		assert.Equal(t, before, where())
		requireState16(t, state16Of(t, source), state16Of(t, o))
	}
}
