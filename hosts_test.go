package adam

import (
	_ "embed"
	"encoding/json"
	"math"
	"math/big"
	"math/rand/v2"
	"testing"

	"github.com/fusedadam/adam/internal/plain"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// kerasStep is step t of Keras' Adam in float64, as it is written there: the learning rate has both
// bias corrections, ε none, and weight decay comes first.
func kerasStep(t int, p, m, v, x []float64, g []float32, c Config) {
	alpha := c.LR * math.Sqrt(1-math.Pow(c.Beta2, float64(t))) / (1 - math.Pow(c.Beta1, float64(t)))
	for i := range p {
		g := float64(g[i])
		p[i] -= p[i] * c.WeightDecay * c.LR
		m[i] += (g - m[i]) * (1 - c.Beta1)
		v[i] += (g*g - v[i]) * (1 - c.Beta2)
		s := v[i]
		if c.AMSGrad {
			x[i] = max(x[i], s)
			s = x[i]
		}
		p[i] -= m[i] * alpha / (math.Sqrt(s) + c.Eps)
	}
}

// EpsUncorrected is the formula of Keras and TensorFlow, however small the gradients are. The ε of
// PyTorch is not.
func TestEpsUncorrected(t *testing.T) {
	other := Config{LR: 1e-2, Beta1: 0.8, Beta2: 0.99, Eps: 1e-3, EpsUncorrected: true}
	amsgrad, decay := DefaultKeras(), DefaultKeras()
	amsgrad.AMSGrad = true
	decay.WeightDecay, decay.Decoupled = 0.1, true
	eachKernel(t, func(t *testing.T) {
		for _, c := range []Config{DefaultKeras(), other, amsgrad, decay} {
			const n, steps = 300, 300
			r := rand.New(rand.NewPCG(3, 4))
			state, corrected := NewState(n, c), NewState(n, c)
			p, q, g := make([]float32, n), make([]float32, n), make([]float32, n)
			var exact [4][]float64
			for i := range exact {
				exact[i] = make([]float64, n)
			}
			for i := range p {
				p[i] = float32(r.NormFloat64())
				q[i], exact[0][i] = p[i], float64(p[i])
			}
			// in units of the largest |p| so far, or of LR if that is larger
			unit := make([]float64, n)
			worst, without := 0.0, 0.0
			for k := range steps {
				for i := range g {
					unit[i] = max(unit[i], math.Abs(exact[0][i]), c.LR)
					scale := math.Pow(10, -10*float64(i)/n)
					if k > steps/2 {
						scale /= 10 // the maximum of AMSGrad stays
					}
					g[i] = float32(scale * math.Copysign(0.5+r.Float64(), r.Float64()-0.3))
				}
				require.NoError(t, state.Step(p, g, c))
				plain := c
				plain.EpsUncorrected = false
				require.NoError(t, corrected.Step(q, g, plain))
				kerasStep(k+1, exact[0], exact[1], exact[2], exact[3], g, c)
				for i, x := range exact[0] {
					worst = max(worst, math.Abs(float64(p[i])-x)/unit[i])
					without = max(without, math.Abs(float64(q[i])-x)/unit[i])
				}
			}
			t.Logf("%+v: %.2g from the formula, %.2g with Eps corrected", c, worst, without)
			assert.LessOrEqual(t, worst, 1e-5, "%+v", c)
			assert.GreaterOrEqual(t, without, 1e-2, "%+v", c)
		}
	})
}

//go:embed testdata/hosts.json
var hostsJSON []byte

// A recording is what testdata/hosts.py writes.
type recording struct {
	Versions map[string]string
	Elements int
	Steps    []int
	Cases    map[string][][]float64
}

// hostValues makes the values of testdata/hosts.py.
type hostValues uint32

func (x *hostValues) next(exponent int) float32 {
	*x = *x*1664525 + 1013904223
	return float32(math.Ldexp(float64(128+*x>>25)/256*float64(1-2*int(*x>>23&1)), -exponent))
}

// distance makes the steps of a recording and returns the largest difference of a parameter, in
// units of the largest |p| so far, or of LR if that is larger.
func (r *recording) distance(t *testing.T, want [][]float64, c Config) (worst float64) {
	n, values := r.Elements, hostValues(1)
	p, g, unit, state := make([]float32, n), make([]float32, n), make([]float64, n), NewState(n, c)
	for i := range p {
		p[i] = values.next(9 * (i % 2))
	}
	last, stored := r.Steps[len(r.Steps)-1], 0
	for step := range last {
		less := 0
		if step >= last/2 {
			less = 4
		}
		for i := range g {
			unit[i] = max(unit[i], math.Abs(float64(p[i])), c.LR)
			g[i] = values.next(i + less)
		}
		require.NoError(t, state.Step(p, g, c))
		if step+1 != r.Steps[stored] {
			continue
		}
		require.Len(t, want[stored], n)
		for i, x := range want[stored] {
			worst = max(worst, math.Abs(float64(p[i])-x)/unit[i])
		}
		stored++
	}
	return worst
}

// The recorded steps of Keras, TensorFlow and optax, with the Configs of docs/COMING-FROM.md. With
// the other ε they are far apart.
func TestRecordedHosts(t *testing.T) {
	var recorded recording
	require.NoError(t, json.Unmarshal(hostsJSON, &recorded))

	other, kerasW, tensorflow, optaxW := DefaultKeras(), DefaultKeras(), DefaultKeras(), DefaultW()
	other.LR, other.Beta1, other.Beta2, other.Eps, other.AMSGrad = 0.01, 0.8, 0.99, 1e-3, true
	kerasW.WeightDecay, kerasW.Decoupled = 0.1, true
	tensorflow.Eps, optaxW.WeightDecay = 1e-8, 0.1
	cases := map[string]struct {
		c      Config
		within float64
	}{
		"keras Adam":                 {DefaultKeras(), 2e-5},
		"keras Adam of other values": {other, 1e-6},
		"keras AdamW":                {kerasW, 2e-5},
		"tensorflow AdamOptimizer":   {tensorflow, 1e-5},
		"optax adam":                 {Default(), 2e-5},
		"optax adamw":                {optaxW, 2e-5},
	}
	require.Len(t, recorded.Cases, len(cases))
	eachKernel(t, func(t *testing.T) {
		for name, k := range cases {
			steps := recorded.Cases[name]
			require.Len(t, steps, len(recorded.Steps))
			got := recorded.distance(t, steps, k.c)
			k.c.EpsUncorrected = !k.c.EpsUncorrected
			without := recorded.distance(t, steps, k.c)
			t.Logf("%s: %.2g, with the other ε %.2g", name, got, without)
			assert.LessOrEqual(t, got, k.within, name)
			assert.GreaterOrEqual(t, without, 0.1, name)
		}
	})
}

// fuses reports whether the compiler turns x*y+z into one operation, as it may in plain.Step.
//
//go:noinline
func fuses(x, y, z float32) bool { return x*y+z != float32(x*y)+z }

// The loops of ports of llm.c and of gorse, in float32, with the Configs of docs/COMING-FROM.md.
// The moments of the former keep their bits.
func TestFloat32Loops(t *testing.T) {
	const lr, beta1, beta2, eps, decay = float32(1e-3), float32(0.9), float32(0.999), float32(1e-8),
		float32(0.1)
	c := Config{LR: float64(lr), Beta1: float64(beta1), Beta2: float64(beta2), Eps: float64(eps)}
	llm, gorse, gorseL2 := c, c, c
	llm.WeightDecay, llm.Decoupled = float64(decay), true
	gorse.EpsUncorrected, gorseL2.EpsUncorrected = true, true
	gorseL2.WeightDecay = float64(decay)
	gorseStep := func(decay float32) func(p, g, m, v []float32, t int) {
		return func(p, g, m, v []float32, t int) {
			fix1 := 1 - float32(math.Pow(float64(beta1), float64(t)))
			fix2 := 1 - float32(math.Pow(float64(beta2), float64(t)))
			rate := lr * float32(math.Sqrt(float64(fix2))) / fix1
			for i := range p {
				g := float32(decay*p[i]) + g[i]
				m[i] += float32((1 - beta1) * (g - m[i]))
				v[i] += float32((1 - beta2) * (float32(g*g) - v[i]))
				p[i] -= float32(rate * (m[i] / (float32(math.Sqrt(float64(v[i]))) + eps)))
			}
		}
	}
	eachKernel(t, func(t *testing.T) {
		for _, k := range []struct {
			name   string
			loop   func(p, g, m, v []float32, t int)
			c      Config
			within float64
			same   bool // the moments
		}{
			{"llm.c", func(p, g, m, v []float32, t int) {
				plain.Step(p, g, m, v, t, lr, beta1, beta2, eps, decay)
			}, llm, 1e-5, !fuses(1+0x1p-12, 1+0x1p-12, -1-0x1p-11)},
			{"gorse", gorseStep(0), gorse, 1e-5, false},
			{"gorse, with decay", gorseStep(decay), gorseL2, 1e-5, false},
		} {
			const n = 300
			r := rand.New(rand.NewPCG(5, 6))
			p, m, v := make([]float32, n), make([]float32, n), make([]float32, n)
			q, g, unit, state := make([]float32, n), make([]float32, n), make([]float64, n),
				NewState(n, k.c)
			for i := range p {
				p[i] = float32(r.NormFloat64() * math.Pow(10, -4*r.Float64()))
				q[i] = p[i]
			}
			worst := 0.0
			for step := range 300 {
				for i := range g {
					unit[i] = max(unit[i], math.Abs(float64(p[i])), k.c.LR)
					g[i] = float32(math.Pow(10, -10*float64(i)/n) *
						math.Copysign(0.5+r.Float64(), r.Float64()-0.3))
				}
				k.loop(p, g, m, v, step+1)
				require.NoError(t, state.Step(q, g, k.c))
				for i := range p {
					worst = max(worst, math.Abs(float64(p[i]-q[i]))/unit[i])
				}
				if k.same {
					require.Equal(t, m, state.M, "%s, step %d", k.name, step+1)
					require.Equal(t, v, state.V, "%s, step %d", k.name, step+1)
				}
			}
			t.Logf("%s: %.2g", k.name, worst)
			assert.LessOrEqual(t, worst, k.within, k.name)
		}
	})
}

// A beta that was rounded to float32 gives the step the same two numbers as the program's own loop:
// 1-β in float32 is that in float64, rounded. So does a beta of up to four digits that is a
// constant of a program, whose 1-β Go computes exactly.
func TestFloat32Betas(t *testing.T) {
	var k coeffs
	r := rand.New(rand.NewPCG(12, 13))
	for range 100_000 {
		beta := math.Float32frombits(r.Uint32N(math.Float32bits(1)))
		if r.IntN(2) == 0 {
			beta = 1 - float32(math.Exp2(-24*r.Float64()))
		}
		if beta == 1 {
			continue
		}
		c := Config{LR: 1, Beta1: float64(beta), Beta2: float64(beta)}
		k.set(&c, 1, 1)
		if k.b1 != beta || k.b2 != beta || k.c1 != 1-beta || k.c2 != 1-beta {
			t.Fatalf("beta %v: %v and %v, %v and %v", beta, k.b1, k.c1, k.b2, k.c2)
		}
	}
	for i := range int64(10_000) {
		f32 := func(i int64) float32 {
			x, _ := big.NewRat(i, 10_000).Float32()
			return x
		}
		beta, _ := big.NewRat(i, 10_000).Float64()
		c := Config{LR: 1, Beta1: beta, Beta2: beta}
		k.set(&c, 1, 1)
		if k.b1 != f32(i) || k.c2 != f32(10_000-i) {
			t.Fatalf("beta %v: %v and %v", beta, k.b1, k.c2)
		}
	}
}
