package verify

import (
	"cmp"
	"fmt"
	"math/rand/v2"

	"github.com/fusedadam/adam"
	"github.com/fusedadam/adam/internal/operands"
	"github.com/fusedadam/adam/internal/selection"
)

// A Step16 makes one step of a tensor of 16 or 8 bits.
type Step16 func(s *adam.State16, p adam.Param16, c adam.Config) error

// On16 is On of 16 and 8 bits.
func On16(kernel string) Step16 {
	return func(s *adam.State16, p adam.Param16, c adam.Config) error {
		return using(kernel, func() error { return s.Step(p, c) })
	}
}

// A storage is a combination of what a step reads and writes.
type storage struct {
	grad, params string
	adam.Storage
}

func (s storage) String() string {
	return fmt.Sprintf("%s gradients, %s, %v", s.grad, s.params, s.Moments)
}

// What gradients and parameters may be.
const (
	single   = "float32"
	half     = "bf16"
	binary16 = "f16"

	alone     = "float32 parameters"
	copyBF16  = "float32 parameters with a bf16 copy"
	copyF16   = "float32 parameters with an f16 copy"
	splitBF16 = "split parameters"
	onlyBF16  = "bf16 parameters"
)

// storages are all combinations.
var storages = func() (list []storage) {
	for _, grad := range []string{single, half, binary16} {
		for _, params := range []string{alone, copyBF16, copyF16, splitBF16, onlyBF16} {
			for _, m := range []adam.Moments{adam.Float32Moments, adam.BF16Moments,
				adam.Q8Moments} {
				s := storage{grad, params, adam.Storage{Moments: m}}
				if params == onlyBF16 {
					s.Master = adam.NoMaster
				}
				list = append(list, s)
			}
		}
	}
	return list
}()

// lengths16 are around the blocks of 64, and the last is beyond a tile.
func lengths16(tile int) []int {
	return []int{0, 1, 63, 64, 65, 127, 128, 129, 191, 640, 1000, tile + 65}
}

// kinds16 are the kinds of values: as they occur, those that squares underflow or overflow with,
// and the mixture, which has NaN and infinities.
var kinds16 = []operands.Kind{operands.Kinds[1], operands.Kinds[3], operands.Kinds[4],
	operands.Kinds[len(operands.Kinds)-1]}

// Scope16 says in words what AgainstGeneric16 covers.
func Scope16() string {
	return fmt.Sprintf("%d storages of 16 and 8 bits, %d lengths (around blocks of 64, and beyond "+
		"a tile),\n%d configurations, %d kinds of values in turn, each slice at an alignment of "+
		"its own,\n%d steps in a row", len(storages), len(lengths16(selection.Tile)),
		len(operands.Variants), len(kinds16), stepped)
}

// AgainstGeneric16 is AgainstGeneric of each storage of 16 and 8 bits.
func AgainstGeneric16(step, generic Step16) (Figures, error) {
	var f Figures
	r := rand.New(rand.NewPCG(1, 16))
	for _, s := range storages {
		for _, n := range lengths16(selection.Tile) {
			// One kind of values for each configuration, and the longest with every fourth, or
			// it takes long.
			for i, v := range operands.Variants {
				if v.AMSGrad && s.Moments == adam.Q8Moments || n > selection.Tile && i%4 != 0 {
					continue
				}
				k := kinds16[(i+n+f.Steps/stepped)%len(kinds16)]
				got := newTensor16(r, s, n, v.AMSGrad, k)
				want := newTensor16(r, s, n, v.AMSGrad, k)
				want.copy(got)
				for j := range stepped {
					if err := got.compare(want, step, generic, adam.Config(v.Config)); err != nil {
						return f, fmt.Errorf("%v, config %s, %s values, %d elements, step %d: %w",
							s, v.Name, k.Name, n, j+1, err)
					}
					f.Steps++
					f.Values += 3 * n
					if v.AMSGrad {
						f.Values += n
					}
				}
			}
		}
	}
	return f, nil
}

// A tensor16 is a tensor of some storage. Its slices lie at alignments of their own, between
// canaries.
type tensor16 struct {
	p adam.Param16
	s adam.State16

	floats guarded[float32]
	bf16s  guarded[adam.BF16]
	f16s   guarded[adam.F16]
	rests  guarded[int16]
	codes  guarded[int8]
	scales guarded[uint8]
}

// guarded are slices with the memory on both sides of them.
type guarded[E comparable] []memory[E]

type memory[E comparable] struct {
	name string
	all  []E
	from int // in all, where the slice begins
	use  []E // the slice
}

const (
	fence  = 80   // canaries before and behind a slice, or some more
	canary = 0x77 // what they are
)

// add makes a slice of n elements, each of value, and canaries beside it.
func add[E int8 | int16 | uint8 | ~uint16 | float32](g *guarded[E], r *rand.Rand, name string,
	n int, value func() E) []E {
	m := memory[E]{name: name, all: make([]E, n+2*fence), from: fence - r.IntN(64)}
	for i := range m.all {
		m.all[i] = canary
	}
	m.use = m.all[m.from : m.from+n : m.from+n]
	for i := range m.use {
		m.use[i] = value()
	}
	*g = append(*g, m)
	return m.use
}

// difference returns an error that names the first element in which g and want differ, or beside
// which memory was changed.
func (g guarded[E]) difference(want guarded[E], same func(a, b E) bool, canary E) error {
	for k, m := range g {
		for i, x := range m.use {
			if y := want[k].use[i]; !same(x, y) {
				return fmt.Errorf("%s[%d] of %d = %v, want %v", m.name, i, len(m.use), x, y)
			}
		}
		for i, x := range m.all {
			if (i < m.from || i >= m.from+len(m.use)) && x != canary {
				return fmt.Errorf("memory beside %s was changed", m.name)
			}
		}
	}
	return nil
}

// copy copies the slices of from.
func (g guarded[E]) copy(from guarded[E]) {
	for k, m := range from {
		copy(g[k].use, m.use)
	}
}

// newTensor16 makes a tensor with values of a kind.
func newTensor16(r *rand.Rand, s storage, n int, amsgrad bool, k operands.Kind) *tensor16 {
	t := new(tensor16)
	value := func() float32 { return k.Value(r) }
	positive := func() float32 {
		x := value()
		return max(x, -x)
	}
	floats := func(name string, value func() float32) []float32 {
		return add(&t.floats, r, name, n, value)
	}
	bf16 := func(name string, value func() float32) []adam.BF16 {
		return add(&t.bf16s, r, name, n, func() adam.BF16 { return adam.ToBF16(value()) })
	}
	f16 := func(name string) []adam.F16 {
		return add(&t.f16s, r, name, n, func() adam.F16 { return adam.ToF16(value()) })
	}
	code := func() int8 { return int8(r.Uint32()) }
	scale := func() uint8 { // mostly that of moderate values; 255 is a block with a NaN
		return [...]uint8{0, 255, uint8(r.Uint32()), 100, 110, 120, 124}[r.IntN(7)]
	}
	switch s.params {
	case alone, copyBF16, copyF16:
		t.p.Value = floats("Value", value)
	}
	switch s.params {
	case copyBF16, splitBF16, onlyBF16:
		t.p.BF16 = bf16("BF16", value)
	case copyF16:
		t.p.F16 = f16("F16")
	}
	switch s.grad {
	case single:
		t.p.Grad = floats("Grad", value)
	case half:
		t.p.GradBF16 = bf16("GradBF16", value)
	case binary16:
		t.p.GradF16 = f16("GradF16")
	}
	switch s.Moments {
	case adam.Float32Moments:
		t.s.M, t.s.V = floats("M", value), floats("V", positive)
		if amsgrad {
			t.s.VMax = floats("VMax", positive)
		}
	case adam.BF16Moments:
		t.s.M16, t.s.V16 = bf16("M16", value), bf16("V16", positive)
		if amsgrad {
			t.s.VMax16 = bf16("VMax16", positive)
		}
	case adam.Q8Moments:
		t.s.M8, t.s.V8 = add(&t.codes, r, "M8", n, code), add(&t.codes, r, "V8", n, code)
		t.s.MScale = add(&t.scales, r, "MScale", (n+63)/64, scale)
		t.s.VScale = add(&t.scales, r, "VScale", (n+63)/64, scale)
	}
	if s.params == splitBF16 {
		t.s.Rest = add(&t.rests, r, "Rest", n, func() int16 { return int16(r.Uint32()) })
	}
	t.s.T, t.s.Key = [...]uint64{0, 1, 9, 1000, 1 << 40}[r.IntN(5)], r.Uint64()
	t.s.Offset = 64 * r.IntN(300)
	return t
}

// copy makes t, which newTensor16 made in the same way, equal to from.
func (t *tensor16) copy(from *tensor16) {
	t.s.T, t.s.Key, t.s.Offset = from.s.T, from.s.Key, from.s.Offset
	t.floats.copy(from.floats)
	t.bf16s.copy(from.bf16s)
	t.f16s.copy(from.f16s)
	t.rests.copy(from.rests)
	t.codes.copy(from.codes)
	t.scales.copy(from.scales)
}

// compare makes a step on t and one by generic on want, which is equal, and returns an error if
// what they have made differs in a bit, or if the step has written beside a slice.
func (t *tensor16) compare(want *tensor16, step, generic Step16, c adam.Config) error {
	if err := step(&t.s, t.p, c); err != nil {
		return err
	}
	if err := generic(&want.s, want.p, c); err != nil {
		return err
	}
	if t.s.T != want.s.T {
		return fmt.Errorf("counter T = %d, want %d", t.s.T, want.s.T)
	}
	return cmp.Or(
		t.floats.difference(want.floats, operands.Same[float32], canary),
		t.bf16s.difference(want.bf16s, sameAs[adam.BF16], canary),
		t.f16s.difference(want.f16s, sameAs[adam.F16], canary),
		t.rests.difference(want.rests, equal[int16], canary),
		t.codes.difference(want.codes, equal[int8], canary),
		t.scales.difference(want.scales, equal[uint8], canary))
}

func equal[E comparable](a, b E) bool { return a == b }

// sameAs is operands.Same of 16 bits.
func sameAs[E interface {
	comparable
	Float32() float32
}](a, b E) bool {
	return a == b || operands.Same(a.Float32(), b.Float32())
}
