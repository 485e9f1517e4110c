package adam

import (
	"math"
	"math/rand/v2"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestDefaults(t *testing.T) {
	assert.Equal(t, Config{LR: 1e-3, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8}, Default())
	assert.Equal(t, Config{LR: 1e-3, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, WeightDecay: 1e-2, Decoupled: true}, DefaultW())
	assert.NoError(t, Default().Validate())
	assert.NoError(t, Config{}.Validate(), "zero is a value of every field")
}

// refuse makes a step that must fail with want and every given part in its message, and must change nothing.
func refuse(t *testing.T, s *State, p, g []float32, c Config, want error, parts ...string) {
	t.Helper()
	all := [][]float32{p, g, s.M, s.V, s.VMax}
	var before [5][]uint32
	for i, x := range all {
		before[i] = bits(x)
	}
	T := s.T
	err := s.Step(p, g, c)
	require.ErrorIs(t, err, want)
	for _, part := range parts {
		assert.Contains(t, err.Error(), part)
	}
	assert.Equal(t, T, s.T)
	for i, x := range all {
		assert.True(t, sameBits(x, before[i]), "%s changed", operandNames[i])
	}
}

func TestBadConfig(t *testing.T) {
	fields := map[string]func(*Config) *float64{
		"LR":          func(c *Config) *float64 { return &c.LR },
		"Beta1":       func(c *Config) *float64 { return &c.Beta1 },
		"Beta2":       func(c *Config) *float64 { return &c.Beta2 },
		"Eps":         func(c *Config) *float64 { return &c.Eps },
		"WeightDecay": func(c *Config) *float64 { return &c.WeightDecay },
	}
	for name, field := range fields {
		bad := []float64{math.NaN(), math.Inf(1), math.Inf(-1), -1, -math.SmallestNonzeroFloat64, 2 * math.MaxFloat32}
		good := []float64{0, math.Copysign(0, -1), 0.5}
		if name == "Beta1" || name == "Beta2" {
			bad = append(bad, 1, 1.5)
			good = append(good, math.Nextafter(1, 0))
		} else {
			good = append(good, 1, math.MaxFloat32)
		}
		for _, x := range bad {
			c := Default()
			*field(&c) = x
			r := rand.New(rand.NewPCG(1, 1))
			o := newOperands(r, 20, [5]int{}, kinds[0].value)
			o.s.T = 7
			refuse(t, &o.s, o.p, o.g, c, ErrConfig, name+" = ")
			assert.ErrorIs(t, c.Validate(), ErrConfig)
		}
		for _, x := range good {
			c := Default()
			*field(&c) = x
			assert.NoError(t, c.Validate(), "%s = %v", name, x)
		}
	}
}

func TestBadLengths(t *testing.T) {
	amsgrad := Default()
	amsgrad.AMSGrad = true
	full := func() *operands {
		return newOperands(rand.New(rand.NewPCG(1, 1)), 20, [5]int{}, kinds[0].value)
	}
	for i, name := range operandNames {
		for _, n := range []int{0, 1, 19} {
			o := full()
			s := o.slices()[i]
			*s = (*s)[:n]
			refuse(t, &o.s, o.p, o.g, amsgrad, ErrLength, "p "+map[bool]string{true: "", false: "20"}[i == 0], name+" ")
			if name == "VMax" {
				require.NoError(t, o.s.Step(o.p, o.g, Default()), "VMax is of no concern without AMSGrad")
			}
		}
	}
	o := full()
	o.s.VMax = nil
	refuse(t, &o.s, o.p, o.g, amsgrad, ErrLength, "p 20, g 20, M 20, V 20, VMax 0 (AMSGrad)")
	o = full()
	o.g = o.g[:3]
	refuse(t, &o.s, o.p, o.g, Default(), ErrLength, "p 20, g 3, M 20, V 20")
}

func TestOverlap(t *testing.T) {
	const n = 50
	for i := range 5 {
		for j := range i {
			for _, d := range []int{-n + 1, -1, 0, 1, n - 1} {
				c := Config{AMSGrad: true}
				block := make([]float32, 3*n)
				o := newOperands(rand.New(rand.NewPCG(1, 1)), n, [5]int{}, kinds[0].value)
				*o.slices()[i] = block[n : 2*n]
				*o.slices()[j] = block[n+d : 2*n+d]
				refuse(t, &o.s, o.p, o.g, c, ErrOverlap, operandNames[j]+" at", operandNames[i]+" at")
				if i == 4 {
					assert.NoError(t, o.s.Step(o.p, o.g, Default()), "VMax is of no concern without AMSGrad")
				}
			}
			for _, d := range []int{-n, n} { // neighbours
				block := make([]float32, 3*n)
				o := newOperands(rand.New(rand.NewPCG(1, 1)), n, [5]int{}, kinds[0].value)
				*o.slices()[i] = block[n : 2*n]
				*o.slices()[j] = block[n+d : 2*n+d]
				assert.NoError(t, o.s.Step(o.p, o.g, Config{AMSGrad: true}))
			}
		}
	}
}

func TestStepCounterEnds(t *testing.T) {
	o := newOperands(rand.New(rand.NewPCG(1, 1)), 20, [5]int{}, kinds[0].value)
	o.s.T = math.MaxUint64 - 1
	require.NoError(t, o.s.Step(o.p, o.g, Default()))
	require.Equal(t, uint64(math.MaxUint64), o.s.T)
	refuse(t, &o.s, o.p, o.g, Default(), ErrSteps, "18446744073709551615")
}

func TestZeroLength(t *testing.T) {
	for _, c := range []Config{Default(), {AMSGrad: true}} {
		s := NewState(0, c)
		require.NoError(t, s.Step(nil, []float32{}, c))
		assert.Equal(t, uint64(1), s.T)
		var zero State
		require.NoError(t, zero.Step(nil, nil, c))
		assert.Equal(t, uint64(1), zero.T)
	}
}

func TestNewState(t *testing.T) {
	for _, amsgrad := range []bool{false, true} {
		for _, n := range []int{0, 1, 15, 16, 17, 511, 512, 513, 1000, 1023, 1024, 1025, 1500, 2048, 5000, 1 << 16, 1<<20 + 3} {
			s := NewState(n, Config{AMSGrad: amsgrad})
			assert.Zero(t, s.T)
			moments := [][]float32{s.M, s.V}
			if amsgrad {
				moments = append(moments, s.VMax)
			} else {
				assert.Nil(t, s.VMax)
			}
			for i, m := range moments {
				require.Len(t, m, n)
				assert.Equal(t, n, cap(m), "append must not run into the next moment")
				for _, x := range m {
					if x != 0 {
						t.Fatalf("moment %d of %d elements is not zero", i, n)
					}
				}
				if n == 0 {
					continue
				}
				at := uintptr(unsafe.Pointer(&m[0]))
				assert.Zero(t, at%64, "moment %d of %d elements begins at %#x", i, n, at)
				for j, o := range moments[:i] {
					// Equal offsets fall into different sets of a cache whose sets recur after 4 KiB.
					between := (at - uintptr(unsafe.Pointer(&o[0]))) % 4096
					assert.True(t, between >= 64 && between <= 4096-64, "n = %d: moments %d and %d are %d bytes apart modulo 4096", n, j, i, between)
				}
			}
			o := &State{M: s.M, V: s.V, VMax: s.VMax}
			assert.NoError(t, o.Step(make([]float32, n), make([]float32, n), Config{AMSGrad: amsgrad}))
		}
	}
	assert.Panics(t, func() { NewState(-1, Default()) })
}

func TestStepDoesNotAllocate(t *testing.T) {
	eachKernel(t, func(t *testing.T) {
		for _, variant := range variants {
			for _, n := range []int{1, 100, 2*tile + 1} {
				p, g, s := make([]float32, n), make([]float32, n), NewState(n, variant.Config)
				assert.Zero(t, testing.AllocsPerRun(20, func() {
					if err := s.Step(p, g, variant.Config); err != nil {
						t.Fatal(err)
					}
				}), "%s, n = %d", variant.name, n)
			}
		}
	})
}

// Learning rates change between steps; a step sees the Config it is given and the count of its State only.
func TestConfigOfEachStep(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	a := newOperands(r, 40, [5]int{}, kinds[0].value)
	b := a.clone()
	c := Default()
	for _, lr := range []float64{1e-3, 0, 1} {
		c.LR = lr
		a.steps(t, c, 1)
		fresh := State{T: b.s.T, M: b.s.M, V: b.s.V}
		require.NoError(t, fresh.Step(b.p, b.g, c))
		b.s.T = fresh.T
	}
	assert.Empty(t, a.difference(b))
}
