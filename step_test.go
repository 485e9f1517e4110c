package adam

import (
	"math"
	"math/rand/v2"
	"testing"
	"unsafe"

	"github.com/fusedadam/adam/internal/operands"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestDefaults(t *testing.T) {
	assert.Equal(t, Config{LR: 1e-3, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8}, Default())
	assert.Equal(t, Config{LR: 1e-3, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, WeightDecay: 1e-2,
		Decoupled: true}, DefaultW())
	assert.NoError(t, Default().Validate())
	assert.NoError(t, Config{Eps: 1e-8}.Validate(), "zero is a value of every field")
	err := Config{}.Validate()
	assert.ErrorIs(t, err, ErrConfig)
	assert.ErrorContains(t, err, "begin with Default")
}

// refuse makes a step that must fail with want and every given part in its message, and must change
// nothing.
func refuse(t *testing.T, o *operands.Operands, c Config, want error, parts ...string) {
	t.Helper()
	var before [5][]uint64
	for i, s := range o.Slices() {
		before[i] = operands.Bits(*s)
	}
	T := o.T
	err := makeStep(&o.StateOf, o.P, o.G, operands.Config(c))
	require.ErrorIs(t, err, want)
	for _, part := range parts {
		assert.Contains(t, err.Error(), part)
	}
	assert.Equal(t, T, o.T)
	for i, s := range o.Slices() {
		assert.True(t, operands.Unchanged(*s, before[i]), "%s changed", operands.Names[i])
	}
}

// normal returns operands of n normal values.
func normal(n int) *operands.Operands {
	return operands.New(rand.New(rand.NewPCG(1, 1)), n, [5]int{}, operands.Normal)
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
		bad := []float64{math.NaN(), math.Inf(1), math.Inf(-1), -1, -math.SmallestNonzeroFloat64,
			2 * math.MaxFloat32}
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
			o := normal(20)
			o.T = 7
			refuse(t, o, c, ErrConfig, name+" = ")
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
	for i, name := range operands.Names {
		for _, n := range []int{0, 1, 19} {
			o := normal(20)
			s := o.Slices()[i]
			*s = (*s)[:n]
			refuse(t, o, amsgrad, ErrLength, "p "+map[bool]string{true: "", false: "20"}[i == 0],
				name+" ")
			if name == "VMax" {
				require.NoError(t, makeStep(&o.StateOf, o.P, o.G, operands.Config(Default())),
					"VMax is of no concern without AMSGrad")
			}
		}
	}
	o := normal(20)
	o.VMax = nil
	refuse(t, o, amsgrad, ErrLength,
		"p 20, g 20, M 20, V 20, VMax 0 (AMSGrad needs VMax = make([]float32, 20))")
	o = normal(20)
	o.G = o.G[:3]
	refuse(t, o, Default(), ErrLength, "p 20, g 3, M 20, V 20")
}

func TestOverlap(t *testing.T) {
	const n = 50
	for i := range 5 {
		for j := range i {
			for _, d := range []int{-n + 1, -1, 0, 1, n - 1} {
				c := Config{AMSGrad: true}
				block := make([]float32, 3*n)
				o := normal(n)
				*o.Slices()[i] = block[n : 2*n]
				*o.Slices()[j] = block[n+d : 2*n+d]
				refuse(t, o, c, ErrOverlap, operands.Names[j]+" at", operands.Names[i]+" at")
				if i == 4 {
					assert.NoError(t, makeStep(&o.StateOf, o.P, o.G, operands.Config(Default())),
						"VMax is of no concern without AMSGrad")
				}
			}
			for _, d := range []int{-n, n} { // neighbours
				block := make([]float32, 3*n)
				o := normal(n)
				*o.Slices()[i] = block[n : 2*n]
				*o.Slices()[j] = block[n+d : 2*n+d]
				assert.NoError(t, makeStep(&o.StateOf, o.P, o.G,
					operands.Config(Config{AMSGrad: true})))
			}
		}
	}
}

func TestStepCounterEnds(t *testing.T) {
	o := normal(20)
	o.T = math.MaxUint64 - 1
	require.NoError(t, makeStep(&o.StateOf, o.P, o.G, operands.Config(Default())))
	require.Equal(t, uint64(math.MaxUint64), o.T)
	refuse(t, o, Default(), ErrSteps, "18446744073709551615")
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
		for _, n := range []int{0, 1, 15, 16, 17, 511, 512, 513, 1000, 1023, 1024, 1025, 1500, 2048,
			5000, 1 << 16, 1<<20 + 3} {
			c := Default()
			c.AMSGrad = amsgrad
			s := NewState(n, c)
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
					// Equal offsets fall into different sets of a cache whose sets recur after 4
					// KiB.
					between := (at - uintptr(unsafe.Pointer(&o[0]))) % 4096
					assert.True(t, between >= 64 && between <= 4096-64,
						"n = %d: moments %d and %d are %d bytes apart modulo 4096", n, j, i,
						between)
				}
			}
			o := &State{M: s.M, V: s.V, VMax: s.VMax}
			assert.NoError(t, o.Step(make([]float32, n), make([]float32, n), c))
		}
	}
	assert.Panics(t, func() { NewState(-1, Default()) })
}

func TestStepDoesNotAllocate(t *testing.T) {
	eachKernel(t, func(t *testing.T) {
		for _, variant := range operands.Variants {
			for _, n := range []int{1, 100, 2*tile + 1} {
				p, g, s := make([]float32, n), make([]float32, n),
					NewState(n, Config(variant.Config))
				assert.Zero(t, testing.AllocsPerRun(20, func() {
					if err := s.Step(p, g, Config(variant.Config)); err != nil {
						t.Fatal(err)
					}
				}), "%s, n = %d", variant.Name, n)
			}
		}
	})
}

// Learning rates change between steps; a step sees the Config it is given and the count of its
// State only.
func TestConfigOfEachStep(t *testing.T) {
	a := normal(40)
	b := a.Clone([5]int{})
	c := operands.Config(Default())
	for _, lr := range []float64{1e-3, 0, 1} {
		c.LR = lr
		steps(t, a, c, 1)
		fresh := State{T: b.T, M: b.M, V: b.V}
		require.NoError(t, fresh.Step(b.P, b.G, Config(c)))
		b.T = fresh.T
	}
	assert.NoError(t, a.Difference(b))
}
