package adam

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/fusedadam/adam/internal/operands"
	"github.com/fusedadam/adam/internal/selection"
)

// The fuzz targets draw their operands from a seed, so that their inputs stay small and every kind
// of value is likely. Their seeds lie at the boundaries of vectors and turns of the loops.
var boundaries = []uint16{0, 1, 3, 4, 5, 7, 8, 9, 12, 15, 16, 17, 23, 24, 25, 31, 32, 33, 47, 48,
	49, 63, 64, 65, 127, 128, 129, 4095, 8191, 8192, 8193}

// drawn returns a config and operands of n elements drawn from the seed.
func drawn(n int, seed uint64) (operands.Config, *operands.Operands) {
	r := rand.New(rand.NewPCG(seed, 1))
	c := operands.Variants[r.IntN(len(operands.Variants))].Config
	if r.IntN(2) == 0 {
		c = operands.Config{LR: r.Float64(), Beta1: r.Float64(), Beta2: r.Float64(),
			Eps: math.Exp2(-60 * r.Float64()), WeightDecay: r.Float64() * float64(r.IntN(2)),
			Decoupled: r.IntN(2) == 0, AMSGrad: r.IntN(2) == 0, Maximize: r.IntN(2) == 0,
			EpsUncorrected: r.IntN(2) == 0}
	}
	o := operands.New(r, n, operands.Offsets(r), operands.Kinds[r.IntN(len(operands.Kinds))].Value)
	o.T = (math.MaxUint64 - 10) >> r.IntN(65)
	return c, o
}

// FuzzStep compares every kernel with the generic one over some steps, of float32 and of float64.
func FuzzStep(f *testing.F) {
	for i, n := range boundaries {
		f.Add(n, uint8(3), uint64(i))
	}
	f.Fuzz(func(t *testing.T, n uint16, steps uint8, seed uint64) {
		c, o := drawn(int(n)%(tile+100), seed)
		r := rand.New(rand.NewPCG(seed, 2))
		o64 := operands.New(r, int(n)%(tile64+100), operands.Offsets(r),
			operands.Kinds64[r.IntN(len(operands.Kinds64))].Value)
		o64.T = o.T
		for _, name := range Kernels() {
			exercised[name]++
			before := selection.Use(name)
			check(t, o.Clone([5]int{1, 2, 3, 4, 5}), c, 1+int(steps)%5)
			check64(t, o64.Clone([5]int{1, 2, 3, 4, 5}), c, 1+int(steps)%5)
			selection.Use(before)
		}
	})
}

// FuzzSplit compares one call with calls on the parts of the same slices.
func FuzzSplit(f *testing.F) {
	for i, n := range boundaries {
		f.Add(n, n/2, n/3, uint64(i))
	}
	f.Fuzz(func(t *testing.T, n, i, j uint16, seed uint64) {
		c, whole := drawn(int(n)%(tile+100), seed)
		length := len(whole.P)
		a, b := int(i)%(length+1), int(j)%(length+1)
		a, b = min(a, b), max(a, b)
		for _, name := range Kernels() {
			before := selection.Use(name)
			one, parts := whole.Clone([5]int{}), whole.Clone([5]int{5, 4, 3, 2, 1})
			steps(t, one, c, 1)
			for _, part := range []*operands.Operands{parts.Sub(a, b), parts.Sub(0, a),
				parts.Sub(b, length)} {
				steps(t, part, c, 1)
			}
			parts.T++
			if err := parts.Difference(one); err != nil {
				t.Fatalf("kernel %s, split at %d and %d: %v", name, a, b, err)
			}
			selection.Use(before)
		}
	})
}

// FuzzConfig shows that no config, length or overlap panics, and that an error changes nothing.
func FuzzConfig(f *testing.F) {
	nan, inf := math.NaN(), math.Inf(1)
	f.Add(1e-3, 0.9, 0.999, 1e-8, 0.01, uint8(0), uint8(0), uint8(0))
	f.Add(nan, 0.9, 0.999, 1e-8, 0.01, uint8(7), uint8(1), uint8(29))
	f.Add(1e-3, 1.0, 0.999, 1e-8, 0.01, uint8(3), uint8(1), uint8(58))
	f.Add(inf, -1.0, 0.0, 0.0, 0.0, uint8(5), uint8(0), uint8(87))
	f.Add(0.0, 0.0, 0.0, 0.0, 0.0, uint8(4), uint8(0), uint8(116))
	f.Add(1e-3, 0.9, 0.999, 1e-7, 0.0, uint8(8), uint8(0), uint8(0))
	f.Add(3e38, 0.0, math.Nextafter(1, 0), 3e38, 3e38, uint8(0), uint8(0), uint8(254))
	f.Fuzz(func(t *testing.T, lr, beta1, beta2, eps, decay float64, flags, shorter, which uint8) {
		c := Config{LR: lr, Beta1: beta1, Beta2: beta2, Eps: eps, WeightDecay: decay,
			Decoupled: flags&1 != 0, AMSGrad: flags&2 != 0, Maximize: flags&4 != 0,
			EpsUncorrected: flags&8 != 0}
		o := operands.New(rand.New(rand.NewPCG(uint64(flags), uint64(which))), 40, [5]int{},
			operands.Normal)
		s := o.Slices()[which%5]
		*s = (*s)[:max(0, 40-int(shorter)%70)]
		if which > 127 {
			*s = *o.Slices()[which/5%5]
		}
		T := o.T
		var before [5][]uint64
		for i, b := range o.Blocks() {
			before[i] = operands.Bits(b)
		}
		err := makeStep(&o.StateOf, o.P, o.G, operands.Config(c))
		if (c.Validate() != nil) != errors.Is(err, ErrConfig) {
			t.Fatalf("Validate: %v, Step: %v", c.Validate(), err)
		}
		if err == nil {
			if o.T != T+1 {
				t.Fatalf("T = %d after a step", o.T)
			}
			return
		}
		if !errors.Is(err, ErrConfig) && !errors.Is(err, ErrLength) && !errors.Is(err, ErrOverlap) {
			t.Fatalf("an error of no kind: %v", err)
		}
		if o.T != T {
			t.Fatal("T changed")
		}
		for i, b := range o.Blocks() {
			if !operands.Unchanged(b, before[i]) {
				t.Fatalf("%s changed, though Step failed: %v", operands.Names[i], err)
			}
		}
	})
}
