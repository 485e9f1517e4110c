package adam

import (
	"encoding/binary"
	"hash/crc64"
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
	"unsafe"

	"github.com/fusedadam/adam/internal/operands"
	"github.com/fusedadam/adam/internal/selection"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

type operands64 = operands.Of[float64]

// makeStep64 is State64.Step for the operands of internal/operands.
func makeStep64(s *operands.StateOf[float64], p, g []float64, c operands.Config) error {
	return (*State64)(s).Step(p, g, Config(c))
}

// makeGenericStep64 is makeStep64 on the generic kernel.
func makeGenericStep64(s *operands.StateOf[float64], p, g []float64, c operands.Config) error {
	defer selection.Use(selection.Use(selection.Generic))
	return makeStep64(s, p, g, c)
}

func steps64(t testing.TB, o *operands64, c operands.Config, k int) {
	t.Helper()
	require.NoError(t, o.Step(makeStep64, c, k))
}

// check64 makes k steps with the kernel in use and compares all bits with those of the generic one.
func check64(t testing.TB, o *operands64, c operands.Config, k int) {
	t.Helper()
	want := o.Clone([5]int{})
	for i := range k {
		if err := o.Compare(want, makeStep64, makeGenericStep64, c); err != nil {
			t.Fatalf("kernel %s and the generic one differ in step %d of %+v: %v", Kernel(), i+1, c,
				err)
		}
	}
}

func normal64(n int) *operands64 {
	return operands.New(rand.New(rand.NewPCG(1, 1)), n, [5]int{}, operands.Normal64)
}

func TestKernelsEqualGeneric64(t *testing.T) {
	eachKernel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(1, 2))
		for _, variant := range operands.Variants64 {
			for _, n := range operands.Lengths(tile64) {
				for i, kind := range operands.Kinds64 {
					if n > operands.Longest && i%3 != 0 {
						continue
					}
					o := operands.New(r, n, operands.Offsets(r), kind.Value)
					o.T = []uint64{0, 1, 9, 1000, 1 << 40}[r.IntN(5)]
					check64(t, o, variant.Config, 3)
				}
			}
		}
	})
}

func TestEveryAlignment64(t *testing.T) {
	eachKernel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(3, 4))
		for _, variant := range operands.Variants64[:5] {
			for slice := range 5 {
				for offset := range 8 {
					for _, n := range []int{1, 3, 8, 19, 67} {
						var offsets [5]int
						offsets[slice] = offset
						o := operands.New(r, n, offsets, operands.Normal64)
						check64(t, o, variant.Config, 2)
					}
				}
			}
		}
	})
}

// Any split of a buffer gives the bits of one call.
func TestIndependenceOfSlicing64(t *testing.T) {
	eachKernel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(5, 6))
		for _, n := range []int{1, 2, 63, 300, 3*tile64 + 5} {
			for trial := range 20 {
				c := operands.Variants64[trial%len(operands.Variants64)].Config
				whole := operands.New(r, n, [5]int{},
					operands.Kinds64[trial%len(operands.Kinds64)].Value)
				split := whole.Clone([5]int{1, 2, 3, 4, 5})
				steps64(t, whole, c, 2)
				for i := 0; i < n; {
					j := i + 1 + r.IntN(n-i)
					steps64(t, split.Sub(i, j), c, 2)
					i = j
				}
				split.T += 2
				require.NoError(t, split.Difference(whole), "split")
			}
		}
	})
}

// As TestSameBitsOnEveryMachine.
func TestSameBitsOnEveryMachine64(t *testing.T) {
	const want = 0xc9c67be019b2dba7
	eachKernel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(11, 12))
		value := func(r *rand.Rand) float64 {
			b := r.Uint64()
			if b&1 != 0 {
				b = b&0x800fffffffffffff | (1000+b>>12%47)<<52
			}
			return math.Float64frombits(b)
		}
		digest := crc64.New(crc64.MakeTable(crc64.ECMA))
		for _, variant := range operands.Variants64 {
			for _, n := range []int{1, 77, 500} {
				o := operands.New(r, n, [5]int{}, value)
				o.T = r.Uint64() >> (20 + r.IntN(44))
				steps64(t, o, variant.Config, 10)
				for _, s := range o.Slices() {
					for _, x := range *s {
						b := math.Float64bits(x)
						if x != x {
							b = 0x7ff8000000000000
						}
						digest.Write(binary.LittleEndian.AppendUint64(nil, b))
					}
				}
			}
		}
		if got := digest.Sum64(); got != want {
			t.Errorf("digest %#x, want %#x", got, uint64(want))
		}
	})
}

// A step that must fail with want, and must change nothing.
func refuse64(t *testing.T, o *operands64, c Config, want error, part string) {
	t.Helper()
	var before [5][]uint64
	for i, s := range o.Slices() {
		before[i] = operands.Bits(*s)
	}
	T := o.T
	err := makeStep64(&o.StateOf, o.P, o.G, operands.Config(c))
	require.ErrorIs(t, err, want)
	assert.ErrorContains(t, err, part)
	assert.Equal(t, T, o.T)
	for i, s := range o.Slices() {
		assert.True(t, operands.Unchanged(*s, before[i]), "%s changed", operands.Names[i])
	}
}

func TestErrors64(t *testing.T) {
	amsgrad := Default()
	amsgrad.AMSGrad = true
	bad := Default()
	bad.Beta2 = 1
	refuse64(t, normal64(20), bad, ErrConfig, "Beta2 = 1")
	for i := range 5 {
		o := normal64(20)
		s := o.Slices()[i]
		*s = (*s)[:19]
		refuse64(t, o, amsgrad, ErrLength, operands.Names[i]+" ")
	}
	o := normal64(20)
	o.VMax = nil
	refuse64(t, o, amsgrad, ErrLength, "(AMSGrad needs VMax = make([]float64, 20))")
	o = normal64(20)
	o.T = math.MaxUint64 - 1
	steps64(t, o, operands.Config(Default()), 1)
	refuse64(t, o, Default(), ErrSteps, "18446744073709551615")

	const n = 50
	for i := range 5 {
		for j := range i {
			for _, d := range []int{-n, -n + 1, -1, 0, 1, n - 1, n} {
				block := make([]float64, 3*n)
				o := normal64(n)
				*o.Slices()[i] = block[n : 2*n]
				*o.Slices()[j] = block[n+d : 2*n+d]
				if d == n || d == -n {
					steps64(t, o, operands.Config(amsgrad), 1)
					continue
				}
				refuse64(t, o, amsgrad, ErrOverlap, operands.Names[j]+" at")
				if i == 4 { // VMax is of no concern without AMSGrad
					steps64(t, o, operands.Config(Default()), 1)
				}
			}
		}
	}
}

func TestNewState64(t *testing.T) {
	for _, c := range []Config{Default(), {AMSGrad: true}} {
		for _, n := range []int{0, 1, 7, 8, 9, 255, 256, 257, 1000, 1024, 5000, 1 << 16} {
			s := NewState64(n, c)
			moments := [][]float64{s.M, s.V}
			if c.AMSGrad {
				moments = append(moments, s.VMax)
			} else {
				assert.Nil(t, s.VMax)
			}
			for i, m := range moments {
				require.Len(t, m, n)
				assert.Equal(t, n, cap(m), "append must not run into the next moment")
				if n == 0 {
					continue
				}
				at := uintptr(unsafe.Pointer(&m[0]))
				assert.Zero(t, at%64, "moment %d of %d elements begins at %#x", i, n, at)
				for j, o := range moments[:i] {
					between := (at - uintptr(unsafe.Pointer(&o[0]))) % 4096
					assert.True(t, between >= 64 && between <= 4096-64,
						"n = %d: moments %d and %d are %d bytes apart modulo 4096", n, j, i,
						between)
				}
			}
			require.NoError(t, s.Step(make([]float64, n), make([]float64, n), c))
			assert.EqualValues(t, 1, s.T)
			assert.Equal(t, make([]float64, n), append([]float64{}, s.M...))
		}
	}
	assert.Panics(t, func() { NewState64(-1, Default()) })
	var zero State64
	assert.NoError(t, zero.Step(nil, nil, Default()))
}

func TestStep64DoesNotAllocate(t *testing.T) {
	eachKernel(t, func(t *testing.T) {
		for _, variant := range operands.Variants64 {
			c := Config(variant.Config)
			for _, n := range []int{1, 100, 2*tile64 + 1} {
				p, g, s := make([]float64, n), make([]float64, n), NewState64(n, c)
				assert.Zero(t, testing.AllocsPerRun(20, func() {
					if err := s.Step(p, g, c); err != nil {
						t.Fatal(err)
					}
				}), "%s, n = %d", variant.Name, n)
			}
		}
	})
}

// Of 1-β^t, a rounded power would leave few bits of an early step.
func TestComplement(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	one := big.NewFloat(1).SetPrec(500)
	worst := 0.0
	for range 20_000 {
		beta := []float64{0.9, 0.999, 0.99, 0.95, 0.5, math.Nextafter(1, 0),
			1 - math.Exp2(-40*r.Float64()), 0.5 + r.Float64()/2, r.Float64(), 0}[r.IntN(10)]
		step := 1 + r.Uint64()>>(1+r.IntN(63))
		got := complement(beta, step)
		if float64(step)*(1-beta) > 42 {
			assert.Equal(t, 1.0, got)
			continue
		}
		exact, product := new(big.Float).SetPrec(500).SetFloat64(beta), new(big.Float).Set(one)
		for i := step; i > 0; i >>= 1 {
			if i&1 != 0 {
				product.Mul(product, exact)
			}
			exact.Mul(exact, exact)
		}
		want := new(big.Float).Sub(one, product)
		e := relative(got, want)
		worst = max(worst, e)
		require.LessOrEqual(t, e, 0x1p-50, "1-%v^%d = %v", beta, step, got)
	}
	t.Logf("largest relative error: %.2g", worst)
}

// relative returns |got-want|/|want|.
func relative(got float64, want *big.Float) float64 {
	d := new(big.Float).SetPrec(500).SetFloat64(got)
	d.Sub(d, want)
	if d.Sign() == 0 {
		return 0
	}
	e, _ := d.Quo(d, want).Float64()
	return math.Abs(e)
}

func TestCoefficients64(t *testing.T) {
	c := Config{LR: 0.1, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, WeightDecay: 0.01}
	q := math.Sqrt(1 - c.Beta2)
	want := coeffs64{s: 1, lambda: 0.01, b1: 0.9, c1: 1 - c.Beta1, b2: 0.999, c2: 1 - c.Beta2,
		alpha: c.LR * q / (1 - c.Beta1), eps: c.Eps * q, kappa: 1, live: 0x7ff0000000000000,
		l2: true}
	var k coeffs64
	k.set(&c, 1, 1)
	assert.Equal(t, want, k)
	assert.NotEqual(t, 0.1, k.c1, "1-β is a float64 difference")
	c.Decoupled, c.Maximize, c.AMSGrad, c.Eps = true, true, true, math.Nextafter(0x1p-453, 0)
	k.set(&c, 1, 1)
	assert.False(t, k.l2)
	assert.True(t, k.amsgrad)
	assert.Equal(t, -1.0, k.s)
	assert.Equal(t, 1-c.LR*c.WeightDecay, k.kappa)
	assert.Equal(t, uint64(math.MaxUint64), k.live, "below 2^-453 subnormal moments are kept")
	c.Eps, c.WeightDecay, c.Decoupled = 0x1p-453, 0, false
	k.set(&c, 1, 1)
	assert.Equal(t, uint64(0x7ff0000000000000), k.live)
	assert.False(t, k.l2, "no L2 loop without decay: 0·Inf would be NaN")
}

// Subnormal moments are stored as zero from Eps 2^-453 on, and kept below.
func TestSubnormalMoments64(t *testing.T) {
	eachKernel(t, func(t *testing.T) {
		for _, eps := range []float64{1e-8, 1e-100, 1e-137, 0} {
			c := Default()
			c.Eps = eps
			const n = 37
			p, g, s := make([]float64, n), make([]float64, n), NewState64(n, c)
			for i := range p {
				p[i], s.M[i], s.V[i] = 1, 3e-308*float64(1-2*(i%2)), 2.3e-308
			}
			for range 100 {
				require.NoError(t, s.Step(p, g, c))
			}
			for i := range p {
				for _, x := range []float64{s.M[i], s.V[i]} {
					assert.Equal(t, eps > 1e-136, x == 0, "%v with Eps %v", x, eps)
					if x == 0 {
						assert.Zero(t, math.Float64bits(x), "+0, not -0")
					}
				}
			}
		}
	})
}

// AMSGrad's maximum is NaN if either side is, and takes the larger otherwise.
func TestAMSGradMaximum64(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	eachKernel(t, func(t *testing.T) {
		c := Config{LR: 1e-3, Eps: 1e-8, AMSGrad: true} // Beta2 = 0: v is g²
		const n = 21
		for _, k := range []struct{ vmax, g, want float64 }{
			{1, 2, 4}, {4, 1, 4}, {nan, 1, nan}, {1, nan, nan}, {nan, nan, nan}, {inf, 1, inf},
			{1, inf, inf}, {nan, inf, nan}, {math.Copysign(0, -1), 0, 0}, {1, 1e200, inf},
		} {
			p, g, s := make([]float64, n), make([]float64, n), NewState64(n, c)
			for i := range g {
				g[i], s.VMax[i] = k.g, k.vmax
			}
			require.NoError(t, s.Step(p, g, c))
			for i, x := range s.VMax {
				require.True(t, operands.Same(x, k.want), "max(%v, %v²) = %v at %d", k.vmax, k.g, x,
					i)
			}
		}
	})
}
