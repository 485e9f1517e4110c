package adam

import (
	"math"
	"math/rand/v2"
	"testing"

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
