package operands

import (
	"math"
	"math/rand/v2"
)

var pure64 = []Kind64{
	{"normal", func(r *rand.Rand) float64 { return r.NormFloat64() }},
	{"small", func(r *rand.Rand) float64 { return r.NormFloat64() * 1e-3 }},
	{"subnormal", func(r *rand.Rand) float64 {
		return math.Float64frombits(r.Uint64() & 0x800fffffffffffff)
	}},
	// squares underflow
	{"tiny", func(r *rand.Rand) float64 {
		return float64(sign(r)) * math.Exp2(-500-574*r.Float64())
	}},
	// squares overflow
	{"huge", func(r *rand.Rand) float64 {
		return float64(sign(r)) * math.Exp2(500+523.9*r.Float64())
	}},
	{"special", func(r *rand.Rand) float64 { return specials64[r.IntN(len(specials64))] }},
	{"random-bit", func(r *rand.Rand) float64 { return math.Float64frombits(r.Uint64()) }},
}

// Kinds64 are the kinds of values of float64, as Kinds are those of float32.
var Kinds64 = append(pure64, Kind64{"mixed", func(r *rand.Rand) float64 {
	return pure64[r.IntN(len(pure64))].Value(r)
}})

// Normal64 is the first of Kinds64.
var Normal64 = pure64[0].Value

// specials64 are specials of float64.
var specials64 = []float64{
	0, math.Copysign(0, -1), 1, -1, math.Inf(1), math.Inf(-1),
	math.NaN(), math.Float64frombits(math.MaxUint64), math.Float64frombits(0x7ff0000000000001),
	math.MaxFloat64, -math.MaxFloat64, 0x1p-1022, -0x1p-1022, 0x1p-1022 - 0x1p-1074,
	0x1p-1074, -0x1p-1074,
}

// Variants64 are Variants and one more, whose Eps is just too small for subnormal moments of
// float64 to be stored as zero.
var Variants64 = append(Variants[:len(Variants):len(Variants)], Variant{"eps-below-flush64",
	Config{LR: 1e-3, Beta1: 0.9, Beta2: 0.999, Eps: math.Nextafter(0x1p-453, 0)}})
