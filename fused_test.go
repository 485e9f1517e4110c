package adam

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/fusedadam/adam/internal/operands"
	"github.com/fusedadam/adam/internal/selection"
	"github.com/stretchr/testify/require"
)

var fusions = []struct {
	name   string
	fusion fusion
}{
	{"Split", fusedSplit},
	{"BF16", fusedBF16},
	{"Moments", fusedMoments},
	{"SplitQ8", fusedSplitQ8},
	{"Q8", fusedQ8},
	{"Gradient", fusedGradient},
	{"Copy", fusedCopy},
}

// fusionOperands are a tensor of a fusion. Each slice lies within memory that a step must leave.
type fusionOperands struct {
	p Param16
	s State16

	floats [][]float32
	halves [][]BF16
	rest   [][]int16
	codes  [][]int8
	scales [][]uint8
}

const margin = 70 // elements before and behind

// within appends memory to all and returns n elements of it.
func within[E any](all *[][]E, n, offset int) []E {
	s := make([]E, n+2*margin)
	*all = append(*all, s)
	return s[margin-offset:][:n:n]
}

func newFusionOperands(f fusion, n int, offset func() int) *fusionOperands {
	o := new(fusionOperands)
	floats := func() []float32 { return within(&o.floats, n, offset()) }
	halves := func() []BF16 { return within(&o.halves, n, offset()) }
	switch f {
	case fusedSplit, fusedSplitQ8:
		o.p.BF16, o.p.GradBF16, o.s.Rest = halves(), halves(), within(&o.rest, n, offset())
	case fusedBF16:
		o.p.BF16, o.p.GradBF16 = halves(), halves()
	case fusedGradient:
		o.p.Value, o.p.GradBF16 = floats(), halves()
	case fusedCopy:
		o.p.Value, o.p.GradBF16, o.p.BF16 = floats(), halves(), halves()
	case fusedMoments, fusedQ8:
		o.p.Value, o.p.Grad = floats(), floats()
	}
	switch f {
	case fusedSplit, fusedBF16, fusedMoments:
		o.s.M16, o.s.V16 = halves(), halves()
	case fusedSplitQ8, fusedQ8:
		o.s.M8, o.s.V8 = within(&o.codes, n, offset()), within(&o.codes, n, offset())
		o.s.MScale = within(&o.scales, n/block16, offset())
		o.s.VScale = within(&o.scales, n/block16, offset())
	case fusedGradient, fusedCopy:
		o.s.M, o.s.V = floats(), floats()
	}
	return o
}

// draw fills the memory. Each block is of one of the kinds of internal/operands, so that not all of
// them have a NaN; most scales are those of moderate values.
func (o *fusionOperands) draw(r *rand.Rand, kind func() operands.Kind) {
	blocks := func(n int, set func(i int, x float32)) {
		k := kind()
		for i := range n {
			if i%block16 == 0 {
				k = kind()
			}
			set(i, k.Value(r))
		}
	}
	for _, s := range o.floats {
		blocks(len(s), func(i int, x float32) { s[i] = x })
	}
	for _, s := range o.halves {
		blocks(len(s), func(i int, x float32) { s[i] = BF16(math.Float32bits(x) >> 16) })
	}
	for _, s := range o.rest {
		for i := range s {
			s[i] = int16(r.Uint32())
		}
	}
	for _, s := range o.codes {
		for i := range s {
			s[i] = int8(r.Uint32())
		}
	}
	for _, s := range o.scales {
		for i := range s {
			s[i] = []uint8{0, poison, uint8(r.Uint32()), uint8(r.Uint32()), 100, 110, 120,
				124}[r.IntN(8)]
		}
	}
	for i := range o.s.V { // second moments are mostly positive
		if i/block16%8 != 5 {
			o.s.V[i] = math.Float32frombits(math.Float32bits(o.s.V[i]) &^ (1 << 31))
		}
	}
	for i := range o.s.V16 {
		if i/block16%8 != 5 {
			o.s.V16[i] &^= 1 << 15
		}
	}
}

func (o *fusionOperands) clone(f fusion, n int, offset func() int) *fusionOperands {
	c := newFusionOperands(f, n, offset)
	for i := range o.floats {
		copy(c.floats[i], o.floats[i])
	}
	for i := range o.halves {
		copy(c.halves[i], o.halves[i])
	}
	for i := range o.rest {
		copy(c.rest[i], o.rest[i])
	}
	for i := range o.codes {
		copy(c.codes[i], o.codes[i])
	}
	for i := range o.scales {
		copy(c.scales[i], o.scales[i])
	}
	return c
}

// difference compares the memory of both. A NaN equals a NaN.
func (o *fusionOperands) difference(want *fusionOperands) error {
	for k, s := range o.floats {
		for i, x := range s {
			if y := want.floats[k][i]; !operands.Same(x, y) {
				return fmt.Errorf("float32 %d[%d-%d]: %x, want %x", k, i, margin, x, y)
			}
		}
	}
	for k, s := range o.halves {
		for i, x := range s {
			if y := want.halves[k][i]; x != y && !operands.Same(x.Float32(), y.Float32()) {
				return fmt.Errorf("bfloat16 %d[%d-%d]: %#x, want %#x", k, i, margin, x, y)
			}
		}
	}
	if err := firstDifference("rest", o.rest, want.rest); err != nil {
		return err
	}
	if err := firstDifference("code", o.codes, want.codes); err != nil {
		return err
	}
	return firstDifference("scale", o.scales, want.scales)
}

func firstDifference[E comparable](name string, got, want [][]E) error {
	for k, s := range got {
		for i, x := range s {
			if y := want[k][i]; x != y {
				return fmt.Errorf("%s %d[%d-%d]: %v, want %v", name, k, i, margin, x, y)
			}
		}
	}
	return nil
}

// checkFused compares a fused step of the elements from place on in their tile with one of the
// generic kernel, which decodes, steps and encodes. It returns whether there is a fused one.
func checkFused(t *testing.T, r *rand.Rand, f fusion, n int, offset func() int,
	kind func() operands.Kind) bool {
	t.Helper()
	var list []int // of offsets, to have the same twice
	got := newFusionOperands(f, n, func() int {
		list = append(list, offset())
		return list[len(list)-1]
	})
	got.draw(r, kind)
	got.s.Key, got.s.T = r.Uint64(), r.Uint64()>>r.IntN(64)
	got.s.Offset = r.IntN((tile-n)/block16+1)*block16 + r.IntN(3)*tile
	want := got.clone(f, n, func() int {
		defer func() { list = list[1:] }()
		return list[0]
	})
	require.Equal(t, f, got.p.fusion(&got.s))

	config := DefaultW()
	config.Maximize = r.IntN(2) == 0
	config.WeightDecay = []float64{0, 0.1}[r.IntN(2)]
	config.Eps = []float64{1e-8, 1e-12, 0}[r.IntN(3)]
	var c coeffs
	c.set(&config, []uint64{1, 2, 10, 1000}[r.IntN(4)], []float64{1, 0.25, 1e-3}[r.IntN(3)])
	w := wordsAt(got.s.Key, got.s.T+1, uint64(got.s.Offset))
	a := got.p.operands(&got.s, 0, w)
	fused := c.stepFused(f, &a, n)
	if fused {
		defer selection.Use(selection.Use(selection.Generic))
		room := new(scratch16)
		want.s.Key, want.s.T, want.s.Offset = got.s.Key, got.s.T, got.s.Offset
		for from := 0; from < n; from += piece {
			c.stepPiece(&want.p, &want.s, from, min(n, from+piece), 0, 0, w.from(from), room)
		}
	}
	if err := got.difference(want); err != nil {
		t.Fatalf("%d elements, words of %d, step %d, offset %d, fused %v: %v", n, got.s.Key,
			got.s.T+1, got.s.Offset, fused, err)
	}
	return fused
}

// A fused step has the bits of the way through the generic codecs, of any length, at any alignment
// and place, and touches nothing else. A kernel that has none leaves everything as it is.
func TestFusedEqualGeneric(t *testing.T) {
	eachKernel(t, func(t *testing.T) {
		for _, f := range fusions {
			t.Run(f.name, func(t *testing.T) {
				r := rand.New(rand.NewPCG(31, uint64(f.fusion)))
				any := func() operands.Kind { return operands.Kinds[r.IntN(len(operands.Kinds))] }
				normal := func() operands.Kind { return operands.Kinds[0] }
				fused := false
				for n := block16; n <= tile; n += block16 {
					if n > 10*block16 && n%(31*block16) != 0 && n != tile {
						continue
					}
					for range max(2, 4000/n) {
						if checkFused(t, r, f.fusion, n, func() int { return r.IntN(64) }, any) {
							fused = true
						}
						checkFused(t, r, f.fusion, n, func() int { return 0 }, normal)
					}
				}
				has := Kernel() != "rvv" && Kernel() != selection.Generic &&
					(Kernel() != "neon" || f.fusion != fusedCopy)
				require.True(t, fused || !has, "no fused step")
			})
		}
	})
}

// BenchmarkFused measures steps of tensors of 16 and 8 bits: fused ones, and those that go through
// the codecs, beside the step of float32. The three take turns, and the least that each took for an
// element is reported.
func BenchmarkFused(b *testing.B) {
	config := DefaultW()
	var c coeffs
	c.set(&config, 10, 1)
	for _, n := range []int{1 << 10, 16 << 10, 256 << 10, 1 << 20, 4 << 20, 64 << 20} {
		for _, name := range Kernels() {
			b.Run(fmt.Sprintf("n=%s/kernel=%s", sizeName(n), name), func(b *testing.B) {
				defer selection.Use(selection.Use(name))
				o := operands.New(rand.New(rand.NewPCG(1, 2)), tile, [5]int{}, operands.Normal)
				var float32s [4][]float32
				var memory [][]float32 // not all at one place of their pages
				for i := range float32s {
					float32s[i] = within(&memory, n, 6)
					repeat(float32s[i], *o.Slices()[i])
				}
				for _, f := range fusions {
					b.Run(f.name, func(b *testing.B) { benchFused(b, f.fusion, n, &c, float32s) })
				}
			})
		}
	}
}

// repeat fills to with copies of from.
func repeat[E any](to, from []E) {
	for len(to) > 0 {
		to = to[copy(to, from):]
	}
}

func benchFused(b *testing.B, f fusion, n int, c *coeffs, float32s [4][]float32) {
	one := newFusionOperands(f, tile, func() int { return 6 })
	one.draw(rand.New(rand.NewPCG(3, 4)), func() operands.Kind { return operands.Kinds[0] })
	o := newFusionOperands(f, n, func() int { return 6 })
	for i := range o.floats {
		repeat(o.floats[i], one.floats[i])
	}
	for i := range o.halves {
		repeat(o.halves[i], one.halves[i])
	}
	for i := range o.rest {
		repeat(o.rest[i], one.rest[i])
	}
	for i := range o.codes {
		repeat(o.codes[i], one.codes[i])
	}
	for i := range o.s.MScale {
		o.s.MScale[i], o.s.VScale[i] = 120, 110
	}
	room := new(scratch16)
	if a := o.p.operands(&o.s, 0, words{}); !c.stepFused(f, &a, block16) {
		b.Skip("no fused step")
	}
	tiles := func(do func(from, to int)) func() {
		return func() {
			for from := 0; from < n; from += tile {
				do(from, min(n, from+tile))
			}
		}
	}
	sides := []struct {
		name string
		step func()
	}{
		{"fused", tiles(func(from, to int) { c.step16(&o.p, &o.s, from, to, 0, 0) })},
		{"codecs", tiles(func(from, to int) {
			w := wordsAt(o.s.Key, o.s.T+1, uint64(from))
			for i := from; i < to; i += piece {
				c.stepPiece(&o.p, &o.s, i, min(to, i+piece), 0, 0, w.from(i-from), room)
			}
		})},
		{"float32", func() {
			step(float32s[0], float32s[1], float32s[2], float32s[3], nil, c)
		}},
	}
	least := make([]float64, len(sides))
	for range b.N {
		for i, s := range sides {
			begin := time.Now()
			s.step()
			ns := float64(time.Since(begin)) / float64(n)
			if least[i] == 0 || ns < least[i] {
				least[i] = ns
			}
		}
	}
	b.ReportMetric(0, "ns/op")
	for i, s := range sides {
		b.ReportMetric(least[i], s.name+"-ns/element")
	}
}
