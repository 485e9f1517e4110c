package verify

import (
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/fusedadam/adam"
)

// operands are the slices of a step, each at an alignment of its own between guards.
type operands struct {
	p, g   []float32
	s      adam.State
	blocks [5][]float32 // guard, slice, guard
	before []uint32     // bits of the gradients
}

var names = [5]string{"p", "g", "M", "V", "VMax"}

// guard is the number of elements on either side of a slice that a step must leave alone.
const guard = 16

// guardBits is a NaN that no operation makes.
const guardBits = 0x7fc0c0de

// room makes the slices, with the guards set.
func room(r *rand.Rand, n int) *operands {
	o := new(operands)
	for i, s := range o.slices() {
		block := make([]float32, n+3*guard)[r.IntN(guard):][:n+2*guard]
		for j := range guard {
			block[j] = math.Float32frombits(guardBits)
			block[guard+n+j] = math.Float32frombits(guardBits)
		}
		o.blocks[i], *s = block, block[guard:guard+n:guard+n]
	}
	return o
}

// newOperands makes operands of n values of a kind.
func newOperands(r *rand.Rand, n int, k kind) *operands {
	o := room(r, n)
	for i, s := range o.slices() {
		for j := range *s {
			x := k.value(r)
			if i >= 3 && r.IntN(8) > 0 { // mostly such second moments as occur
				x = float32(math.Abs(float64(x)))
			}
			(*s)[j] = x
		}
	}
	o.s.T = [...]uint64{0, 1, 9, 1000, 1 << 40}[r.IntN(5)]
	o.before = bits(o.g)
	return o
}

// clone copies o to other alignments.
func (o *operands) clone(r *rand.Rand) *operands {
	c := room(r, len(o.p))
	for i, s := range c.slices() {
		copy(*s, *o.slices()[i])
	}
	c.s.T, c.before = o.s.T, o.before
	return c
}

func (o *operands) slices() [5]*[]float32 {
	return [5]*[]float32{&o.p, &o.g, &o.s.M, &o.s.V, &o.s.VMax}
}

// compare returns an error if the gradients are not as they were, something beside a slice was
// written, or (a *Difference) a slice differs from that of want. NaN equals NaN: which bits of it an
// operation makes depends on the CPU.
func (o *operands) compare(want *operands) error {
	for j, b := range o.before {
		if math.Float32bits(o.g[j]) != b {
			return fmt.Errorf("the gradient g[%d] was changed", j)
		}
	}
	for i, block := range o.blocks {
		n := len(o.p)
		for j := range guard {
			if math.Float32bits(block[j]) != guardBits || math.Float32bits(block[guard+n+j]) != guardBits {
				return fmt.Errorf("memory beside %s was changed", names[i])
			}
		}
	}
	if o.s.T != want.s.T {
		return fmt.Errorf("counter T = %d, the generic kernel has %d", o.s.T, want.s.T)
	}
	for i, s := range o.slices() {
		for j, a := range *s {
			b := (*want.slices()[i])[j]
			if math.Float32bits(a) != math.Float32bits(b) && (a == a || b == b) {
				return &Difference{Length: len(o.p), Slice: names[i], Index: j, Got: a, Want: b}
			}
		}
	}
	return nil
}

func bits(s []float32) []uint32 {
	b := make([]uint32, len(s))
	for i, x := range s {
		b[i] = math.Float32bits(x)
	}
	return b
}
