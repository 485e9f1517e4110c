// Package operands makes the operands of a step for tests and for `adam check`: values of every
// kind, at every alignment, between canaries, and compares what steps made of them.
package operands

import (
	"fmt"
	"math"
	"math/rand/v2"
	"unsafe"
)

// Config and State have the fields of adam.Config and adam.State, to and from which they convert:
// the tests of package adam use this package, so that it cannot import adam.
type (
	Config struct {
		LR, Beta1, Beta2, Eps, WeightDecay float64

		Decoupled, AMSGrad, Maximize, EpsUncorrected bool
	}
	State struct {
		T          uint64
		M, V, VMax []float32
	}
)

// Step makes one step of package adam.
type Step func(s *State, p, g []float32, c Config) error

// Operands are the slices of a step, each in a block of its own between canaries.
type Operands struct {
	P, G []float32
	State
	blocks [5][]float32
}

// Names of the slices, in the order of [Operands.Slices].
var Names = [5]string{"p", "g", "M", "V", "VMax"}

// canaries is their number on either side of a slice.
const canaries = 32

func canary(i int) float32 { return math.Float32frombits(0x7fc0c0de + uint32(i)) }

// New makes operands of n values. Offsets are where the slices begin relative to a cache line, in
// elements from 0 to 15.
func New(r *rand.Rand, n int, offsets [5]int, value func(*rand.Rand) float32) *Operands {
	o := room(n, offsets)
	for i, s := range o.Slices() {
		for j := range *s {
			x := value(r)
			if i >= 3 && r.IntN(8) > 0 { // mostly such second moments as occur
				x = float32(math.Abs(float64(x)))
			}
			(*s)[j] = x
		}
	}
	return o
}

func room(n int, offsets [5]int) *Operands {
	o := new(Operands)
	for i, s := range o.Slices() {
		block := make([]float32, n+2*canaries+32)
		line := int(-uintptr(unsafe.Pointer(&block[0]))%64) / 4
		block = block[line+offsets[i]:][:n+2*canaries]
		for j := range block {
			block[j] = canary(j)
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
func (o *Operands) Slices() [5]*[]float32 {
	return [5]*[]float32{&o.P, &o.G, &o.M, &o.V, &o.VMax}
}

// Blocks returns the slices with their canaries.
func (o *Operands) Blocks() [5][]float32 { return o.blocks }

// Clone copies o to other memory with the given offsets.
func (o *Operands) Clone(offsets [5]int) *Operands {
	c := room(len(o.P), offsets)
	c.T = o.T
	for i, s := range c.Slices() {
		copy(*s, *o.Slices()[i])
	}
	return c
}

// Sub returns the elements of o from i to j, in the same memory.
func (o *Operands) Sub(i, j int) *Operands {
	return &Operands{P: o.P[i:j], G: o.G[i:j], State: State{T: o.T, M: o.M[i:j], V: o.V[i:j],
		VMax: o.VMax[i:j]}}
}

// Step makes k steps.
func (o *Operands) Step(step Step, c Config, k int) error {
	for range k {
		if err := step(&o.State, o.P, o.G, c); err != nil {
			return err
		}
	}
	return nil
}

// Compare makes a step on o and one by generic on want, which has the same values, and returns an
// error if what they have made differs in a bit, or if the step has written to the gradient or
// beside a slice.
func (o *Operands) Compare(want *Operands, step, generic Step, c Config) error {
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
func (o *Operands) Intact() error {
	for i, b := range o.blocks {
		for j := range canaries {
			k := len(b) - 1 - j
			if math.Float32bits(b[j]) != math.Float32bits(canary(j)) ||
				math.Float32bits(b[k]) != math.Float32bits(canary(k)) {
				return fmt.Errorf("memory beside %s was changed", Names[i])
			}
		}
	}
	return nil
}

// Difference returns an error that names the first value in which o and want differ, nil if there
// is none.
func (o *Operands) Difference(want *Operands) error {
	if o.T != want.T {
		return fmt.Errorf("counter T = %d, want %d", o.T, want.T)
	}
	for i, s := range o.Slices() {
		other := *want.Slices()[i]
		for j, a := range *s {
			if b := other[j]; !Same(a, b) {
				return fmt.Errorf("%s[%d] of %d = %v (%#08x), want %v (%#08x)", Names[i], j,
					len(o.P),
					a, math.Float32bits(a), b, math.Float32bits(b))
			}
		}
	}
	return nil
}

// Same reports whether a and b have the same bits or are both NaN, whose payload is the CPU's.
func Same(a, b float32) bool {
	return math.Float32bits(a) == math.Float32bits(b) || a != a && b != b
}

// Bits copies the bits of a slice, to prove it unchanged with [Unchanged].
func Bits(s []float32) []uint32 {
	b := make([]uint32, len(s))
	for i, x := range s {
		b[i] = math.Float32bits(x)
	}
	return b
}

// Unchanged reports whether s still has the bits.
func Unchanged(s []float32, bits []uint32) bool { return firstOther(s, bits) < 0 }

// firstOther returns the first index at which s no longer has the bits, -1 if there is none.
func firstOther(s []float32, bits []uint32) int {
	for i, x := range s {
		if math.Float32bits(x) != bits[i] {
			return i
		}
	}
	return -1
}
