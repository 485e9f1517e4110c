package operands

import (
	"math"
	"math/rand/v2"
)

// A KindOf makes values of one kind.
type KindOf[F Float] struct {
	Name  string
	Value func(r *rand.Rand) F
}

// The kinds of values of either type.
type (
	Kind   = KindOf[float32]
	Kind64 = KindOf[float64]
)

var pure = []Kind{
	{"normal", func(r *rand.Rand) float32 { return float32(r.NormFloat64()) }},
	{"small", func(r *rand.Rand) float32 { return float32(r.NormFloat64() * 1e-3) }},
	{"subnormal", func(r *rand.Rand) float32 {
		return math.Float32frombits(r.Uint32() & 0x807fffff)
	}},
	// squares underflow
	{"tiny", func(r *rand.Rand) float32 {
		return sign(r) * float32(math.Exp2(-100-49*r.Float64()))
	}},
	// squares overflow
	{"huge", func(r *rand.Rand) float32 {
		return sign(r) * float32(math.Exp2(60+67.9*r.Float64()))
	}},
	{"special", func(r *rand.Rand) float32 { return specials[r.IntN(len(specials))] }},
	{"random-bit", func(r *rand.Rand) float32 { return math.Float32frombits(r.Uint32()) }},
}

// Kinds are all kinds of values, the last a mixture of the others.
var Kinds = append(pure, Kind{"mixed", func(r *rand.Rand) float32 {
	return pure[r.IntN(len(pure))].Value(r)
}})

// Normal is the first of Kinds.
var Normal = pure[0].Value

// specials are zeros, infinities, NaN (quiet, negative and signalling) and the ends of the ranges.
var specials = []float32{
	0, float32(math.Copysign(0, -1)), 1, -1, float32(math.Inf(1)), float32(math.Inf(-1)),
	float32(math.NaN()), math.Float32frombits(0xffffffff), math.Float32frombits(0x7f800001),
	math.MaxFloat32, -math.MaxFloat32, 0x1p-126, -0x1p-126, math.Float32frombits(0x7fffff),
	0x1p-149, -0x1p-149,
}

func sign(r *rand.Rand) float32 { return float32(1 - 2*r.IntN(2)) }

// A Variant is a config with a name.
type Variant struct {
	Name string
	Config
}

// Variants take every path of a kernel between them.
var Variants = []Variant{
	{"adam", Config{LR: 1e-3, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8}},
	{"adamw", Config{LR: 1e-3, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, WeightDecay: 0.01,
		Decoupled: true}},
	{"l2", Config{LR: 1e-2, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, WeightDecay: 0.1}},
	{"amsgrad", Config{LR: 1e-3, Beta1: 0.9, Beta2: 0.99, Eps: 1e-8, AMSGrad: true}},
	{"l2-amsgrad", Config{LR: 1e-3, Beta1: 0.8, Beta2: 0.95, Eps: 1e-6, WeightDecay: 0.01,
		AMSGrad: true}},
	{"adamw-amsgrad-maximize", Config{LR: 1e-3, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8,
		WeightDecay: 0.1, Decoupled: true, AMSGrad: true, Maximize: true}},
	{"l2-maximize", Config{LR: 1e-3, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, WeightDecay: 0.1,
		Maximize: true}},
	{"eps0", Config{LR: 1e-3, Beta1: 0.9, Beta2: 0.999}},
	{"eps0-l2-amsgrad", Config{LR: 1e-3, Beta1: 0.9, Beta2: 0.999, WeightDecay: 0.1,
		AMSGrad: true}},
	// keeps subnormal moments
	{"eps-below-flush", Config{LR: 1e-3, Beta1: 0.9, Beta2: 0.999,
		Eps: math.Nextafter(0x1p-34, 0)}},
	{"betas0", Config{LR: 1e-3, Eps: 1e-8}},
	{"lr0", Config{Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, WeightDecay: 0.1, Decoupled: true}},
	{"keras", Config{LR: 1e-3, Beta1: 0.9, Beta2: 0.999, Eps: 1e-7, EpsUncorrected: true}},
	{"eps-uncorrected-adamw-amsgrad", Config{LR: 1e-2, Beta1: 0.8, Beta2: 0.99, Eps: 1e-6,
		WeightDecay: 0.01, Decoupled: true, AMSGrad: true, EpsUncorrected: true}},
}

// Longest is the length up to which Lengths has every one: 4·unroll+1 of the widest kernel, which
// makes two vectors of 16 elements a turn.
const Longest = 4*32 + 1

// Lengths are all up to Longest, and some around the tile.
func Lengths(tile int) []int {
	var ns []int
	for n := range Longest + 1 {
		ns = append(ns, n)
	}
	return append(ns, 1000, tile-1, tile, tile+1, 2*tile+17)
}
