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
	49, 63, 64, 65, 127, 128, 129, 4095, 8191, 8192, 8193, 4096, 4097}

// drawn returns a config and operands of n elements drawn from the seed.
func drawn(n int, seed uint64) (operands.Config, *operands.Operands) {
	return drawnOf(n, seed, operands.Variants, operands.Kinds)
}

// drawn64 is drawn of float64.
func drawn64(n int, seed uint64) (operands.Config, *operands64) {
	return drawnOf(n, seed, operands.Variants64, operands.Kinds64)
}

func drawnOf[F operands.Float](n int, seed uint64, variants []operands.Variant,
	kinds []operands.KindOf[F]) (operands.Config, *operands.Of[F]) {
	r := rand.New(rand.NewPCG(seed, 1))
	c := variants[r.IntN(len(variants))].Config
	if r.IntN(2) == 0 {
		c = operands.Config{LR: r.Float64(), Beta1: r.Float64(), Beta2: r.Float64(),
			Eps: math.Exp2(-60 * r.Float64()), WeightDecay: r.Float64() * float64(r.IntN(2)),
			Decoupled: r.IntN(2) == 0, AMSGrad: r.IntN(2) == 0, Maximize: r.IntN(2) == 0,
			EpsUncorrected: r.IntN(2) == 0}
	}
	o := operands.New(r, n, operands.Offsets(r), kinds[r.IntN(len(kinds))].Value)
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
		c64, o64 := drawn64(int(n)%(tile64+100), seed)
		for _, name := range Kernels() {
			exercised[name]++
			before := selection.Use(name)
			check(t, o.Clone([5]int{1, 2, 3, 4, 5}), c, 1+int(steps)%5)
			check64(t, o64.Clone([5]int{1, 2, 3, 4, 5}), c64, 1+int(steps)%5)
			selection.Use(before)
		}
	})
}

// FuzzStep16 compares every kernel with the step element by element, of one storage over some
// steps.
func FuzzStep16(f *testing.F) {
	for i := range combinations() {
		f.Add(boundaries[i%len(boundaries)], uint8(i), uint64(i))
	}
	f.Fuzz(func(t *testing.T, n uint16, storage uint8, seed uint64) {
		all := combinations()
		c := all[int(storage)%len(all)]
		for _, name := range Kernels() {
			exercised[name]++
			before := selection.Use(name)
			r := rand.New(rand.NewPCG(seed, 16))
			config := c.configs()[r.IntN(len(c.configs()))]
			value := operands.Kinds[r.IntN(len(operands.Kinds))].Value
			p := c.param(r, int(n)%(tile+100), value)
			s := c.state(r, p, config, value)
			s.Offset = block16 * r.IntN(1000)
			q, u := clone(p, s)
			for range 1 + r.IntN(3) {
				c.draw(r, &p, value)
				q.Grad, q.GradBF16, q.GradF16 = p.Grad, p.GradBF16, p.GradF16
				if err := s.Step(p, config); err != nil {
					t.Fatal(err)
				}
				plainStep(t, &q, u, config)
				if d := difference(p, q, s, u); d != "" {
					t.Fatalf("%v with %s, %+v: %s differs", c, name, config, d)
				}
			}
			selection.Use(before)
		}
	})
}

// FuzzSplit compares one call with calls on the parts of the same slices, of float32 and of
// float64.
func FuzzSplit(f *testing.F) {
	for i, n := range boundaries {
		f.Add(n, n/2, n/3, uint64(i))
	}
	f.Fuzz(func(t *testing.T, n, i, j uint16, seed uint64) {
		c, whole := drawn(int(n)%(tile+100), seed)
		c64, whole64 := drawn64(int(n)%(tile64+100), seed)
		for _, name := range Kernels() {
			before := selection.Use(name)
			split(t, whole, makeStep, c, int(i), int(j))
			split(t, whole64, makeStep64, c64, int(i), int(j))
			selection.Use(before)
		}
	})
}

// split makes a step in one call and one in calls on the parts, in an order of its own, with the
// kernel in use.
func split[F operands.Float](t *testing.T, whole *operands.Of[F], step operands.StepOf[F],
	c operands.Config, i, j int) {
	length := len(whole.P)
	a, b := i%(length+1), j%(length+1)
	a, b = min(a, b), max(a, b)
	one, parts := whole.Clone([5]int{}), whole.Clone([5]int{5, 4, 3, 2, 1})
	for _, o := range []*operands.Of[F]{one, parts.Sub(a, b), parts.Sub(0, a),
		parts.Sub(b, length)} {
		if err := o.Step(step, c, 1); err != nil {
			t.Fatal(err)
		}
	}
	parts.T++
	if err := parts.Difference(one); err != nil {
		t.Fatalf("kernel %s, %T split at %d and %d: %v", Kernel(), whole.P, a, b, err)
	}
}

// FuzzConfig shows that no config, length or overlap panics, and that an error changes nothing, of
// float32 and of float64.
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
		misused(t, c, shorter, which, makeStep, operands.Normal)
		misused(t, c, shorter, which, makeStep64, operands.Normal64)
	})
}

// misused makes a step of slices that may be of other lengths and the same memory.
func misused[F operands.Float](t *testing.T, c Config, shorter, which uint8,
	step operands.StepOf[F], value func(*rand.Rand) F) {
	o := operands.New(rand.New(rand.NewPCG(1, uint64(which))), 40, [5]int{}, value)
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
	err := step(&o.StateOf, o.P, o.G, operands.Config(c))
	if (c.Validate() != nil) != errors.Is(err, ErrConfig) {
		t.Fatalf("Validate: %v, step of %T: %v", c.Validate(), o.P, err)
	}
	if err == nil {
		if o.T != T+1 {
			t.Fatalf("T = %d after a step of %T", o.T, o.P)
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
			t.Fatalf("%s of %T changed, though the step failed: %v", operands.Names[i], o.P, err)
		}
	}
}

// FuzzCodecs compares the codecs of every kernel with the generic ones.
func FuzzCodecs(f *testing.F) {
	for i, n := range boundaries {
		f.Add(n, uint64(i))
	}
	f.Fuzz(func(t *testing.T, n uint16, seed uint64) {
		for _, name := range Kernels() {
			exercised[name]++
			before := selection.Use(name)
			for _, c := range codecTests {
				r := rand.New(rand.NewPCG(seed, 1))
				c.check(t, r, int(n)%(tile+100), func(i int) int {
					return r.IntN(64 / c.streams[i].size)
				})
			}
			selection.Use(before)
		}
	})
}
