package adam

import (
	"fmt"
	"math"
)

// BF16 holds the bits of a bfloat16: the upper half of a float32.
type BF16 uint16

// F16 holds the bits of an IEEE 754 binary16, float16 elsewhere.
type F16 uint16

// Float32 returns the value of b, which is exact.
func (b BF16) Float32() float32 { return math.Float32frombits(uint32(b) << 16) }

// Float32 returns the value of h, which is exact.
func (h F16) Float32() float32 { return math.Float32frombits(widen(h)) }

// ToBF16 returns the bfloat16 nearest to x, of two the one whose last bit is 0: torch's
// x.bfloat16(). A NaN stays one, and values beyond the largest bfloat16 become infinite.
func ToBF16(x float32) BF16 {
	if x != x {
		return BF16(math.Float32bits(x)>>16 | 0x40)
	}
	return nearestBF16(math.Float32bits(x))
}

// ToF16 is [ToBF16] of binary16: torch's x.half(). From 65520 on values become infinite.
func ToF16(x float32) F16 { return nearestF16(math.Float32bits(x)) }

// AsBF16 returns the same memory as BF16, of a slice whose elements are bfloat16 under a name of
// their own, as frameworks have them.
func AsBF16[T ~uint16](s []T) []BF16 { return retyped[BF16](s) }

// AsF16 is [AsBF16] of binary16.
func AsF16[T ~uint16](s []T) []F16 { return retyped[F16](s) }

// Storage says how the state of a group's [Param16] and [Part16] is kept. The zero value is float32
// throughout. It may not change after [New].
type Storage struct {
	Moments Moments
	Master  Master
}

// Moments is how the moments are stored.
type Moments uint8

const (
	Float32Moments Moments = iota // 8 bytes per parameter
	// BF16Moments are bfloat16, rounded stochastically: 4 bytes per parameter.
	BF16Moments
	// Q8Moments have 8 bits and for each block of 64 a scale, a power of two, and are rounded
	// stochastically: 2.03 bytes per parameter. There is no AMSGrad with them.
	Q8Moments
)

// Master is what a step has of parameters that are given as BF16 alone, without Value.
type Master uint8

const (
	// SplitMaster keeps the other half of a float32 beside each bfloat16, 2 bytes per parameter, so
	// that parameters are float32 and nothing is lost from step to step.
	SplitMaster Master = iota
	// NoMaster rounds the parameters to bfloat16 in every step, stochastically.
	NoMaster
)

func (m Moments) String() string {
	if m <= Q8Moments {
		return [...]string{"Float32Moments", "BF16Moments", "Q8Moments"}[m]
	}
	return fmt.Sprintf("Moments(%d)", uint8(m))
}

func (m Master) String() string {
	if m <= NoMaster {
		return [...]string{"SplitMaster", "NoMaster"}[m]
	}
	return fmt.Sprintf("Master(%d)", uint8(m))
}

// SplitFloat32 splits float32 parameters into the two halves of a split master: hi gets the nearest
// bfloat16, of two the one further from zero, and lo the bits that hi lacks (State16.Rest). Nothing
// is lost but the payload of a NaN. All slices have one length, or it is an [ErrLength]; they may
// not overlap.
func SplitFloat32(hi []BF16, lo []int16, from []float32) error {
	if len(hi) != len(from) || len(lo) != len(from) {
		return fmt.Errorf("%w: hi %d, lo %d, from %d", ErrLength, len(hi), len(lo), len(from))
	}
	inTiles(len(from), func(i, j int) { encodeSplit(hi[i:j], lo[i:j], from[i:j]) })
	return nil
}

// JoinFloat32 returns what SplitFloat32 has split: the parameters of a split master in float32.
func JoinFloat32(to []float32, hi []BF16, lo []int16) error {
	if len(hi) != len(to) || len(lo) != len(to) {
		return fmt.Errorf("%w: to %d, hi %d, lo %d", ErrLength, len(to), len(hi), len(lo))
	}
	inTiles(len(to), func(i, j int) { decodeSplit(to[i:j], hi[i:j], lo[i:j]) })
	return nil
}
