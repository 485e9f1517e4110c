package verify

import (
	"math"
	"math/rand/v2"
	"strings"
)

// A kind of values.
type kind struct {
	name  string
	value func(r *rand.Rand) float32
}

var kinds = []kind{
	{"normal", func(r *rand.Rand) float32 { return float32(r.NormFloat64()) }},
	{"small", func(r *rand.Rand) float32 { return float32(r.NormFloat64() * 1e-3) }},
	{"subnormal", subnormal},
	{"tiny", func(r *rand.Rand) float32 { return between(r, -149, -100) }}, // squares underflow
	{"huge", func(r *rand.Rand) float32 { return between(r, 60, 127.9) }},  // squares overflow
	{"special", func(r *rand.Rand) float32 { return specials[r.IntN(len(specials))] }},
	{"random-bit", randomBits},
	{"mixed", func(r *rand.Rand) float32 {
		switch r.IntN(4) {
		case 0:
			return subnormal(r)
		case 1:
			return specials[r.IntN(len(specials))]
		case 2:
			return randomBits(r)
		}
		return float32(r.NormFloat64())
	}},
}

func kindNames() string {
	var names []string
	for _, k := range kinds {
		names = append(names, k.name)
	}
	return strings.Join(names, ", ")
}

// specials are zeros, infinities, NaN (quiet, negative and signalling) and the ends of the ranges.
var specials = []float32{
	0, float32(math.Copysign(0, -1)), 1, -1, float32(math.Inf(1)), float32(math.Inf(-1)),
	float32(math.NaN()), math.Float32frombits(0xffffffff), math.Float32frombits(0x7f800001),
	math.MaxFloat32, -math.MaxFloat32, 0x1p-126, -0x1p-126, 0x1p-149, -0x1p-149,
}

func subnormal(r *rand.Rand) float32 {
	return math.Float32frombits(r.Uint32() & 0x807fffff)
}

func randomBits(r *rand.Rand) float32 { return math.Float32frombits(r.Uint32()) }

// between returns ±2^x for an x of the range.
func between(r *rand.Rand, low, high float64) float32 {
	x := math.Exp2(low + (high-low)*r.Float64())
	if r.IntN(2) == 0 {
		x = -x
	}
	return float32(x)
}
