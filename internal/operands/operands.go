// Package operands makes the operands of a step for tests and for `adam check`: values of every
// kind, at every alignment, between canaries, and compares what steps made of them.
package operands

import (
	"fmt"
	"math"
	"math/rand/v2"
	"unsafe"
)

// Config and StateOf have the fields of adam.Config, adam.State and adam.State64, to and from which
// they convert: the tests of package adam use this package, so that it cannot import adam.
type (
	Config struct {
		LR, Beta1, Beta2, Eps, WeightDecay float64

		Decoupled, AMSGrad, Maximize, EpsUncorrected bool
	}
	StateOf[F Float] struct {
		T          uint64
		M, V, VMax []F
	}
	State = StateOf[float32]
)

// Float is the type of an element.
type Float interface{ float32 | float64 }

// StepOf makes one step of package adam.
type (
	StepOf[F Float] func(s *StateOf[F], p, g []F, c Config) error
	Step            = StepOf[float32]
)

// Of are the slices of a step, each in a block of its own between canaries.
type (
	Of[F Float] struct {
		P, G []F
		StateOf[F]
		blocks [5][]F
	}
	Operands = Of[float32]
)

// Names of the slices, in the order of [Operands.Slices].
var Names = [5]string{"p", "g", "M", "V", "VMax"}

// canaries is their number on either side of a slice.
const canaries = 32

// canary returns a NaN of its own for each i.
func canary[F Float](i int) F {
	return FromBits[F](0x7fc0c0de+uint32(i), 0x7ff8c0dec0dec0de+uint64(i))
}

// FromBits returns the float32 or the float64 with these bits.
func FromBits[F Float](b32 uint32, b64 uint64) (x F) {
	switch p := any(&x).(type) {
	case *float32:
		*p = math.Float32frombits(b32)
	case *float64:
		*p = math.Float64frombits(b64)
	}
	return x
}

// bits returns the bits of x; a conversion to float64 would change those of a signalling NaN.
func bits[F Float](x *F) uint64 {
	switch p := any(x).(type) {
	case *float32:
		return uint64(math.Float32bits(*p))
	case *float64:
		return math.Float64bits(*p)
	}
	panic("operands: neither float32 nor float64")
}

// New makes operands of n values. Offsets are where the slices begin relative to a cache line, in
// elements from 0 to 15.
func New[F Float](r *rand.Rand, n int, offsets [5]int, value func(*rand.Rand) F) *Of[F] {
	o := room[F](n, offsets)
	for i, s := range o.Slices() {
		for j := range *s {
			x := value(r)
			if i >= 3 && r.IntN(8) > 0 { // mostly such second moments as occur
				x = max(x, -x)
			}
			(*s)[j] = x
		}
	}
	return o
}

func room[F Float](n int, offsets [5]int) *Of[F] {
	o := new(Of[F])
	for i, s := range o.Slices() {
		block := make([]F, n+2*canaries+32)
		line := int(-uintptr(unsafe.Pointer(&block[0]))%64) / int(unsafe.Sizeof(F(0)))
		block = block[line+offsets[i]:][:n+2*canaries]
		for j := range block {
			block[j] = canary[F](j)
		}
		o.blocks[i], *s = block, block[canaries:canaries+n:canaries+n]
	}
	return o
}

// Offsets returns five offsets at random.
func Offsets(r *rand.Rand) [5]int {
	return [5]int{r.IntN(16), r.IntN(16), r.IntN(16), r.IntN(16), r.IntN(16)}
}

// Slices returns the slices in the order of Names.
func (o *Of[F]) Slices() [5]*[]F {
	return [5]*[]F{&o.P, &o.G, &o.M, &o.V, &o.VMax}
}

// Blocks returns the slices with their canaries.
func (o *Of[F]) Blocks() [5][]F { return o.blocks }

// Clone copies o to other memory with the given offsets.
func (o *Of[F]) Clone(offsets [5]int) *Of[F] {
	c := room[F](len(o.P), offsets)
	c.T = o.T
	for i, s := range c.Slices() {
		copy(*s, *o.Slices()[i])
	}
	return c
}

// Sub returns the elements of o from i to j, in the same memory.
func (o *Of[F]) Sub(i, j int) *Of[F] {
	return &Of[F]{P: o.P[i:j], G: o.G[i:j], StateOf: StateOf[F]{T: o.T, M: o.M[i:j], V: o.V[i:j],
		VMax: o.VMax[i:j]}}
}

// Step makes k steps.
func (o *Of[F]) Step(step StepOf[F], c Config, k int) error {
	for range k {
		if err := step(&o.StateOf, o.P, o.G, c); err != nil {
			return err
		}
	}
	return nil
}

// Compare makes a step on o and one by generic on want, which has the same values, and returns an
// error if what they have made differs in a bit, or if the step has written to the gradient or
// beside a slice.
func (o *Of[F]) Compare(want *Of[F], step, generic StepOf[F], c Config) error {
	gradient := Bits(o.G)
	if err := o.Step(step, c, 1); err != nil {
		return err
	}
	if err := want.Step(generic, c, 1); err != nil {
		return err
	}
	if i := firstOther(o.G, gradient); i >= 0 {
		return fmt.Errorf("the gradient g[%d] was changed", i)
	}
	if err := o.Intact(); err != nil {
		return err
	}
	return o.Difference(want)
}

// Intact returns an error if a canary beside a slice was changed.
func (o *Of[F]) Intact() error {
	for i, b := range o.blocks {
		for j := range canaries {
			k := len(b) - 1 - j
			before, behind := canary[F](j), canary[F](k)
			if bits(&b[j]) != bits(&before) || bits(&b[k]) != bits(&behind) {
				return fmt.Errorf("memory beside %s was changed", Names[i])
			}
		}
	}
	return nil
}

// Difference returns an error that names the first value in which o and want differ, nil if there
// is none.
func (o *Of[F]) Difference(want *Of[F]) error {
	if o.T != want.T {
		return fmt.Errorf("counter T = %d, want %d", o.T, want.T)
	}
	for i, s := range o.Slices() {
		other := *want.Slices()[i]
		for j, a := range *s {
			if b := other[j]; !Same(a, b) {
				return fmt.Errorf("%s[%d] of %d = %v (%#08x), want %v (%#08x)", Names[i], j,
					len(o.P), a, bits(&a), b, bits(&b))
			}
		}
	}
	return nil
}

// Same reports whether a and b have the same bits or are both NaN, whose payload is the CPU's.
func Same[F Float](a, b F) bool {
	return bits(&a) == bits(&b) || a != a && b != b
}

// Bits copies the bits of a slice, to prove it unchanged with [Unchanged].
func Bits[F Float](s []F) []uint64 {
	b := make([]uint64, len(s))
	for i := range s {
		b[i] = bits(&s[i])
	}
	return b
}

// Unchanged reports whether s still has the bits.
func Unchanged[F Float](s []F, before []uint64) bool { return firstOther(s, before) < 0 }

// firstOther returns the first index at which s no longer has the bits, -1 if there is none.
func firstOther[F Float](s []F, before []uint64) int {
	for i := range s {
		if bits(&s[i]) != before[i] {
			return i
		}
	}
	return -1
}
