package adam

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"

	"github.com/fusedadam/adam/internal/operands"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A smallKernel works on slices a and b with a scalar each time; what it returns and what it leaves
// in a is its result. Each is compared with its definition, written out in reference.
type smallKernel[F operands.Float] struct {
	name           string
	run, reference func(a, b []F, c F) float64
}

var (
	smallKernels   = small("", sumSquares, clampTile, averageTile, addTile)
	smallKernels64 = small("64", sumSquares64, clampTile64, averageTile64, addTile64)
)

func small[F operands.Float](suffix string, squares func([]F) float64,
	clamp func(d, g []F, s, limit F), average func(e, p []F, c F),
	add func(to, from []F)) []smallKernel[F] {
	return []smallKernel[F]{
		{"sumSquares" + suffix, func(_, b []F, _ F) float64 { return squares(b) },
			func(_, b []F, _ F) float64 {
				var sums [32]float64
				for i, x := range b {
					square := float64(float64(x) * float64(x))
					sums[i%32] += square
				}
				for _, half := range []int{16, 8, 4, 2, 1} {
					for i := range half {
						sums[i] += sums[i+half]
					}
				}
				return sums[0]
			}},
		{"clamp" + suffix, func(a, b []F, c F) float64 { clamp(a, b, c, 1.5); return 0 },
			func(a, b []F, c F) float64 {
				for i, x := range b {
					switch y := F(c * x); {
					case y > 1.5:
						a[i] = 1.5
					case y < -1.5:
						a[i] = -1.5
					default:
						a[i] = y // NaN too
					}
				}
				return 0
			}},
		{"average" + suffix, func(a, b []F, c F) float64 { average(a, b, c); return 0 },
			func(a, b []F, c F) float64 {
				for i, x := range a {
					d := F(b[i] - x)
					d = F(c * d)
					a[i] = flush(F(x+d), true)
				}
				return 0
			}},
		{"add" + suffix, func(a, b []F, _ F) float64 { add(a, b); return 0 },
			func(a, b []F, _ F) float64 {
				for i := range a {
					a[i] += b[i]
				}
				return 0
			}},
	}
}

func compareSmall[F operands.Float](t *testing.T, o, want *operands.Of[F], k smallKernel[F], c F) {
	t.Helper()
	b := operands.Bits(o.G)
	got, expected := k.run(o.P, o.G, c), k.reference(want.P, want.G, c)
	nan := got != got && expected != expected
	if math.Float64bits(got) != math.Float64bits(expected) && !nan {
		t.Fatalf("%s of %d elements: %v, by definition %v", k.name, len(o.P), got, expected)
	}
	require.NoError(t, o.Difference(want), "%s of %d elements, scalar %v", k.name, len(o.P), c)
	require.True(t, operands.Unchanged(o.G, b), "%s: its second slice has changed", k.name)
	require.NoError(t, o.Intact(), k.name)
}

func TestSmallKernels(t *testing.T) {
	eachKernel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(1, 2))
		for _, k := range smallKernels {
			t.Run(k.name, func(t *testing.T) {
				for _, n := range operands.Lengths(tile) {
					for _, kind := range operands.Kinds {
						if n > tile {
							continue
						}
						o := operands.New(r, n, operands.Offsets(r), kind.Value)
						nan := float32(math.NaN())
						c := []float32{1, 0.001, 0.5, -3, 1e-30, 1e30, nan, 0}[r.IntN(8)]
						compareSmall(t, o, o.Clone([5]int{}), k, c)
					}
				}
			})
		}
	})
}

// One element that is not finite, at any place, makes the sum so; the largest finite ones do not.
func TestSumSquaresSeesNonFinite(t *testing.T) {
	eachKernel(t, func(t *testing.T) {
		for _, n := range []int{1, 31, 32, 33, 100, 163} {
			g := make([]float32, n)
			for i := range g {
				g[i] = math.MaxFloat32
			}
			assert.LessOrEqual(t, sumSquares(g), math.MaxFloat64)
			for i := range g {
				// A NaN, both infinities and a signalling NaN.
				for _, bits := range []uint32{0x7fc00000, 0x7f800000, 0xff800000, 0x7f800001} {
					bad := math.Float32frombits(bits)
					g[i] = bad
					if s := sumSquares(g); s <= math.MaxFloat64 {
						t.Fatalf("%v at %d of %d: sum %v", bad, i, n, s)
					}
				}
				g[i] = math.MaxFloat32
			}
		}
	})
}

// The sum of a tile is as good as 256 additions in float64 are, also of values of very different
// sizes.
func TestSumSquaresAccuracy(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	for range 50 {
		g := make([]float32, tile)
		exact := new(big.Float).SetPrec(1000)
		for i := range g {
			g[i] = float32(r.NormFloat64() * math.Exp2(40*r.Float64()-20))
			x := new(big.Float).SetPrec(1000).SetFloat64(float64(g[i]))
			exact.Add(exact, x.Mul(x, x))
		}
		want, _ := exact.Float64()
		assert.InEpsilon(t, want, sumSquares(g), (tile/32+5)*0x1p-53)
	}
}
