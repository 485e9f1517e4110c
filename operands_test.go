package adam

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"unsafe"
)

// operands are the slices of a step, each in a block of its own between canaries.
type operands struct {
	p, g   []float32
	s      State
	blocks [5][]float32
}

var operandNames = [5]string{"p", "g", "M", "V", "VMax"}

// guard is the number of canaries on either side of a slice.
const guard = 32

func canary(i int) float32 { return math.Float32frombits(0x7fc0c0de + uint32(i)) }

// newOperands makes operands of n elements; offsets[i] (elements, 0 to 15) is where the i-th of
// operandNames begins relative to a cache line.
func newOperands(r *rand.Rand, n int, offsets [5]int, value func(*rand.Rand) float32) *operands {
	o := new(operands)
	for i, s := range o.slices() {
		block := make([]float32, n+2*guard+32)
		line := int(-uintptr(unsafe.Pointer(&block[0]))%64) / 4
		block = block[line+offsets[i]:][:n+2*guard]
		for j := range block {
			block[j] = canary(j)
		}
		o.blocks[i], *s = block, block[guard:guard+n:guard+n]
		for j := range *s {
			x := value(r)
			if i >= 3 && r.IntN(8) > 0 { // second moments of a sane state
				x = float32(math.Abs(float64(x)))
			}
			(*s)[j] = x
		}
	}
	return o
}

func (o *operands) slices() [5]*[]float32 {
	return [5]*[]float32{&o.p, &o.g, &o.s.M, &o.s.V, &o.s.VMax}
}

// clone copies o to the same offsets.
func (o *operands) clone() *operands {
	var offsets [5]int
	for i, b := range o.blocks {
		offsets[i] = int(uintptr(unsafe.Pointer(&b[0])) % 64 / 4)
	}
	return o.cloneTo(offsets)
}

func (o *operands) cloneTo(offsets [5]int) *operands {
	c := newOperands(rand.New(rand.NewPCG(0, 0)), len(o.p), offsets, func(*rand.Rand) float32 { return 0 })
	c.s.T = o.s.T
	for i, s := range c.slices() {
		copy(*s, *o.slices()[i])
	}
	return c
}

// sub returns the operands' elements from i to j, in the same memory.
func (o *operands) sub(i, j int) *operands {
	return &operands{p: o.p[i:j], g: o.g[i:j],
		s: State{T: o.s.T, M: o.s.M[i:j], V: o.s.V[i:j], VMax: o.s.VMax[i:j]}}
}

// difference says where o and other first differ, canaries included; "" if they do not.
func (o *operands) difference(other *operands) string {
	if o.s.T != other.s.T {
		return fmt.Sprintf("T: %d and %d", o.s.T, other.s.T)
	}
	for i := range o.blocks {
		if j := firstDifference(o.blocks[i], other.blocks[i]); j >= 0 {
			a, b := o.blocks[i][j], other.blocks[i][j]
			return fmt.Sprintf("%s[%d] of %d: %v (%#08x) and %v (%#08x)", operandNames[i], j-guard, len(o.p),
				a, math.Float32bits(a), b, math.Float32bits(b))
		}
	}
	return ""
}

// firstDifference returns the first index at which the bits of a and b differ, NaN being equal to NaN;
// -1 if there is none.
func firstDifference(a, b []float32) int {
	for i := range a {
		if math.Float32bits(a[i]) != math.Float32bits(b[i]) && (a[i] == a[i] || b[i] == b[i]) {
			return i
		}
	}
	return -1
}

// intact reports whether no canary has changed, to the bit.
func (o *operands) intact() bool {
	for _, b := range o.blocks {
		for j := range guard {
			k := len(b) - 1 - j
			if math.Float32bits(b[j]) != math.Float32bits(canary(j)) || math.Float32bits(b[k]) != math.Float32bits(canary(k)) {
				return false
			}
		}
	}
	return true
}

// bits copies the bits of a slice, to prove it unchanged.
func bits(s []float32) []uint32 {
	b := make([]uint32, len(s))
	for i, x := range s {
		b[i] = math.Float32bits(x)
	}
	return b
}

func sameBits(s []float32, b []uint32) bool { return slices.Equal(bits(s), b) }

// A kind makes values of one kind.
type kind struct {
	name  string
	value func(r *rand.Rand) float32
}

var pure = []kind{
	{"normal", func(r *rand.Rand) float32 { return float32(r.NormFloat64()) }},
	{"small", func(r *rand.Rand) float32 { return float32(r.NormFloat64() * 1e-3) }},
	{"subnormal", func(r *rand.Rand) float32 { return sign(r) * math.Float32frombits(r.Uint32N(1<<23)) }},
	{"tiny", func(r *rand.Rand) float32 { return sign(r) * float32(math.Exp2(-100-49*r.Float64())) }},
	{"huge", func(r *rand.Rand) float32 { return sign(r) * float32(math.Exp2(60+67.9*r.Float64())) }},
	{"special", func(r *rand.Rand) float32 { return specials[r.IntN(len(specials))] }},
	{"bits", func(r *rand.Rand) float32 { return math.Float32frombits(r.Uint32()) }},
}

var kinds = append(pure, kind{"mixed", func(r *rand.Rand) float32 { return pure[r.IntN(len(pure))].value(r) }})

var specials = []float32{
	0, float32(math.Copysign(0, -1)), 1, -1, float32(math.Inf(1)), float32(math.Inf(-1)), float32(math.NaN()),
	math.Float32frombits(0xffffffff), math.Float32frombits(0x7f800001), // NaN: negative, signalling
	math.MaxFloat32, -math.MaxFloat32, 0x1p-126, -0x1p-126, math.Float32frombits(0x7fffff), // least normal, largest subnormal
	math.SmallestNonzeroFloat32, -math.SmallestNonzeroFloat32,
}

func sign(r *rand.Rand) float32 { return float32(1 - 2*r.IntN(2)) }
