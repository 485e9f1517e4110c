package adam

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"

	"github.com/fusedadam/adam/internal/operands"
	"github.com/stretchr/testify/assert"
)

func TestSmallKernels64(t *testing.T) {
	sizes := []int{1000, tile64 - 1, tile64, tile64 + 1}
	for n := range 201 {
		sizes = append(sizes, n)
	}
	eachKernel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(1, 2))
		for _, k := range smallKernels64 {
			t.Run(k.name, func(t *testing.T) {
				for _, n := range sizes {
					for _, kind := range operands.Kinds64 {
						o := operands.New(r, n, operands.Offsets(r), kind.Value)
						nan := math.NaN()
						c := []float64{1, 0.001, 0.5, -3, 1e-300, 1e300, nan, 0}[r.IntN(8)]
						compareSmall(t, o, o.Clone([5]int{}), k, c)
					}
				}
			})
		}
	})
}

// In place, as an Optimizer clamps with ZeroGrad.
func TestClamp64InPlace(t *testing.T) {
	eachKernel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(2, 2))
		for n := range operands.Longest + 1 {
			g := operands.New(r, n, operands.Offsets(r), operands.Normal64).G
			want := make([]float64, n)
			smallKernels64[1].reference(want, g, 3)
			clampTile64(g, g, 3, 1.5)
			assert.Equal(t, want, append([]float64{}, g...))
		}
	})
}

// One element that is not finite, at any place, makes the sum so and is seen in the bits. Squares
// of finite ones may overflow; no bits say so then.
func TestNonFinite64(t *testing.T) {
	eachKernel(t, func(t *testing.T) {
		for _, n := range []int{1, 31, 32, 33, 100, 163} {
			g := make([]float64, n)
			for i := range g {
				g[i] = 0x1p500
			}
			assert.LessOrEqual(t, sumSquares64(g), math.MaxFloat64)
			for i := range g {
				for _, finite := range []float64{math.MaxFloat64, -math.MaxFloat64, 0x1p512} {
					g[i] = finite
					if s := sumSquares64(g); !math.IsInf(s, 1) || !allFinite64(g) {
						t.Fatalf("%v at %d of %d: sum %v", finite, i, n, s)
					}
				}
				// A NaN, both infinities and a signalling NaN.
				for _, bits := range []uint64{0x7ff8000000000000, 0x7ff0000000000000,
					0xfff0000000000000, 0x7ff0000000000001} {
					bad := math.Float64frombits(bits)
					g[i] = bad
					if s := sumSquares64(g); s <= math.MaxFloat64 || allFinite64(g) {
						t.Fatalf("%v at %d of %d: sum %v", bad, i, n, s)
					}
				}
				g[i] = 0x1p500
			}
		}
	})
	assert.True(t, allFinite64([]float64{0, math.Copysign(0, -1), 0x1p-1074, -math.MaxFloat64}))
}

// A square and 128 additions to a partial sum are 129 roundings; the halves are 5 more.
func TestSumSquaresAccuracy64(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	for range 50 {
		g := make([]float64, tile64)
		exact := new(big.Float).SetPrec(1000)
		for i := range g {
			g[i] = r.NormFloat64() * math.Exp2(40*r.Float64()-20)
			x := new(big.Float).SetPrec(1000).SetFloat64(g[i])
			exact.Add(exact, x.Mul(x, x))
		}
		want, _ := exact.Float64()
		assert.InEpsilon(t, want, sumSquares64(g), (tile64/32+6)*0x1p-53)
	}
}

func TestSmallKernels64DoNotAllocate(t *testing.T) {
	eachKernel(t, func(t *testing.T) {
		a, b := make([]float64, 101), make([]float64, 101)
		for _, k := range smallKernels64 {
			assert.Zero(t, testing.AllocsPerRun(20, func() { k.run(a, b, 0.5) }), k.name)
		}
	})
}
