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

// naivePower is β^t as docs/ARITHMETIC.md defines it, without the short cut of power.
func naivePower(beta float64, t uint64) float64 {
	r := 1.0
	for ; t != 0; t >>= 1 {
		if t&1 != 0 {
			r = float64(r * beta)
		}
		beta = float64(beta * beta)
	}
	return r
}

// Of β^t the step uses 1-β^t, which must have the bits of the definition and be close to the truth.
func TestPower(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for range 200_000 {
		beta := []float64{0.9, 0.999, 0.99, 0.95, 0, 0.5, math.Nextafter(1, 0),
			1 - math.Exp2(-40*r.Float64()), r.Float64(), 1e-200}[r.IntN(10)]
		step := r.Uint64() >> r.IntN(64)
		if got, want := 1-power(beta, step), 1-naivePower(beta, step); got != want {
			t.Fatalf("1 - %v^%d = %v, by definition %v", beta, step, got, want)
		}
	}
	for _, beta := range []float64{0.9, 0.999, 0.99999} {
		for _, step := range []uint64{1, 2, 3, 10, 1000, 12345, 1 << 20} {
			exact := new(big.Float).SetPrec(500).SetFloat64(beta)
			product := new(big.Float).SetPrec(500).SetInt64(1)
			for i := step; i > 0; i >>= 1 {
				if i&1 != 0 {
					product.Mul(product, exact)
				}
				exact.Mul(exact, exact)
			}
			want, _ := product.Float64()
			assert.InDelta(t, want, power(beta, step), float64(step)*0x1p-52*want+0x1p-60, "%v^%d",
				beta, step)
		}
	}
}

func TestCoefficients(t *testing.T) {
	f32 := func(x float64) float32 { return float32(x) }
	c := Config{LR: 0.1, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, WeightDecay: 0.01}
	q := math.Sqrt(1 - c.Beta2)
	want := coeffs{s: 1, lambda: f32(0.01), b1: f32(0.9), c1: f32(1 - c.Beta1), b2: f32(0.999),
		c2:    f32(1 - c.Beta2),
		alpha: f32(c.LR * q / (1 - c.Beta1)), eps: f32(c.Eps * q), kappa: 1, live: 0x7f800000,
		l2: true}
	var k coeffs
	k.set(&c, 1, 1)
	assert.Equal(t, want, k)
	assert.NotEqual(t, float32(1)-float32(0.9), k.c1, "1-β is a float64 difference")

	c.Decoupled, c.Maximize, c.AMSGrad, c.Eps = true, true, true, math.Nextafter(0x1p-34, 0)
	k.set(&c, 1, 1)
	assert.False(t, k.l2)
	assert.True(t, k.amsgrad)
	assert.Equal(t, float32(-1), k.s)
	assert.Equal(t, f32(1-c.LR*c.WeightDecay), k.kappa)
	assert.Equal(t, uint32(0xffffffff), k.live, "below 2^-34 subnormal moments are kept")
	c.Eps, c.WeightDecay, c.Decoupled = 0x1p-34, 0, false
	k.set(&c, 1, 1)
	assert.Equal(t, uint32(0x7f800000), k.live)
	assert.False(t, k.l2, "no L2 loop without decay: 0·Inf would be NaN")

	corrected := k
	c.Eps, c.EpsUncorrected = 1e-7, true
	k.set(&c, 1, 1)
	corrected.eps = 1e-7
	assert.Equal(t, corrected, k, "Eps as it is, and nothing else")
	c.Eps = math.Nextafter(0x1p-34, 0)
	k.set(&c, 1, 1)
	assert.Equal(t, uint32(0xffffffff), k.live, "the same limit")
}

// One step against the same step in float64, within the bounds that docs/ARITHMETIC.md states.
func TestErrorBounds(t *testing.T) {
	const u = 0x1p-24         // half an ulp of 1: the relative error of one rounding
	const least = 0x1p-126    // least normal number: what flushing to zero can change a moment by
	const products = 0x1p-140 // roundings of products that are subnormal
	var worst [3]float64
	eachKernel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(7, 8))
		for trial := range 400 {
			c := operands.Variants[trial%len(operands.Variants)].Config
			if c.Eps == 0 {
				c.Eps = 1e-8 // with 0 the quotient has no bound
			}
			scale := math.Exp2(20 - 40*r.Float64())
			o := operands.New(r, 200, [5]int{}, func(r *rand.Rand) float32 {
				return float32(r.NormFloat64() * scale)
			})
			for i := range o.V {
				o.V[i] = float32(math.Abs(float64(o.V[i])) * scale)
				o.VMax[i] = float32(math.Abs(float64(o.VMax[i])) * scale)
				o.P[i] = float32(r.NormFloat64())
			}
			o.T = uint64(r.IntN(5000))
			before := o.Clone([5]int{})
			steps(t, o, c, 1)
			q1, q2 := 1-math.Pow(c.Beta1, float64(o.T)), 1-math.Pow(c.Beta2, float64(o.T))
			for i := range o.P {
				p, g := float64(before.P[i]), before.G[i]
				if c.Maximize {
					g = -g
				}
				if c.WeightDecay != 0 && !c.Decoupled {
					// the bounds begin at the rounded gradient
					g += float32(float32(c.WeightDecay) * before.P[i])
				}
				bm, cg := c.Beta1*float64(before.M[i]), (1-c.Beta1)*float64(g)
				m := bm + cg
				v := c.Beta2*float64(before.V[i]) + (1-c.Beta2)*float64(g)*float64(g)
				x := v
				if c.AMSGrad {
					x = max(x, float64(before.VMax[i]))
				}
				if c.Decoupled {
					p *= 1 - c.LR*c.WeightDecay
				}
				d := math.Sqrt(x/q2) + c.Eps
				if c.EpsUncorrected {
					d = (math.Sqrt(x) + c.Eps) / math.Sqrt(q2)
				}
				want := p - c.LR*(m/q1)/d
				update := c.LR / q1 / d * (math.Abs(bm) + math.Abs(cg))
				errors := [3]float64{
					math.Abs(float64(o.M[i])-m) / (4*u*(math.Abs(bm)+math.Abs(cg)) + least +
						products),
					math.Abs(float64(o.V[i])-v) / (5*u*v + least + products),
					math.Abs(float64(o.P[i])-want) / (4*u*max(math.Abs(p), math.Abs(want)) +
						14*u*update + least),
				}
				for k, e := range errors {
					worst[k] = max(worst[k], e)
					if !(e <= 1) {
						t.Fatalf("%s[%d]: error is %.2f of the bound "+
							"(config %+v, T %d, p %v, g %v, m %v, v %v)",
							[...]string{"M", "V", "p"}[k], i, e,
							c, o.T, before.P[i], before.G[i], before.M[i], before.V[i])
					}
				}
			}
		}
	})
	t.Logf("largest errors, as shares of their bounds: M %.2f, V %.2f, p %.2f", worst[0], worst[1],
		worst[2])
}

// Subnormal moments are stored as zero from Eps 2^-34 on, and kept below.
func TestSubnormalMoments(t *testing.T) {
	eachKernel(t, func(t *testing.T) {
		for _, eps := range []float64{1e-8, 0} {
			c := Default()
			c.Eps = eps
			const n = 67
			p, g, s := make([]float32, n), make([]float32, n), NewState(n, c)
			for i := range p {
				// the next value is subnormal after a few steps
				p[i], s.M[i], s.V[i] = 1, 1e-38*float32(1-2*(i%2)), 1e-38
			}
			for range 100 {
				require.NoError(t, s.Step(p, g, c))
			}
			for i := range p {
				flushed := s.M[i] == 0
				assert.Equal(t, eps > 0, flushed, "M[%d] = %v with Eps %v", i, s.M[i], eps)
				if flushed {
					assert.Zero(t, math.Float32bits(s.M[i]), "+0, not -0")
				}
			}
		}
	})
}

// AMSGrad's maximum is NaN if either side is, and takes the larger otherwise.
func TestAMSGradMaximum(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	eachKernel(t, func(t *testing.T) {
		c := Config{LR: 1e-3, Eps: 1e-8, AMSGrad: true} // Beta2 = 0: v is g²
		const n = 41
		for _, k := range []struct{ vmax, g, want float32 }{
			{1, 2, 4}, {4, 1, 4}, {nan, 1, nan}, {1, nan, nan}, {nan, nan, nan}, {inf, 1, inf},
			{1, inf, inf}, {nan, inf, nan}, {float32(math.Copysign(0, -1)), 0, 0},
		} {
			p, g, s := make([]float32, n), make([]float32, n), NewState(n, c)
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
