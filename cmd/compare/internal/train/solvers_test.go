package train

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/fusedadam/adam/cmd/compare/internal/result"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// leaf is a tensor of a model without a graph.
type leaf struct{ value, grad *tensor.Dense }

func (l leaf) Value() gorgonia.Value         { return l.value }
func (l leaf) Grad() (gorgonia.Value, error) { return l.grad, nil }

// scalar is the textbook's step of one parameter, in float64; t counts from 1.
type scalar func(p, g, lr float64, t int) float64

// textbook has a fresh scalar of each optimizer.
var textbook = map[string]func() scalar{
	result.Adam:     func() scalar { return adamStep(0) },
	result.AdamW:    func() scalar { return adamStep(0.01) },
	result.HostAdam: func() scalar { return adamStep(0) },
	result.SGD: func() scalar {
		return func(p, g, lr float64, _ int) float64 { return p - lr*g }
	},
	result.Momentum: func() scalar { // Sutskever et al. 2013, equations 1 and 2
		v := 0.0
		return func(p, g, lr float64, _ int) float64 {
			v = 0.9*v - lr*g
			return p + v
		}
	},
	result.AdaGrad: func() scalar { // Duchi, Hazan & Singer 2011
		s := 0.0
		return func(p, g, lr float64, _ int) float64 {
			s += g * g
			return p - lr*g/(math.Sqrt(s)+1e-10)
		}
	},
	result.RMSProp: func() scalar { // Tieleman & Hinton 2012
		v := 0.0
		return func(p, g, lr float64, _ int) float64 {
			v = 0.9*v + 0.1*g*g
			return p - lr*g/math.Sqrt(v+1e-16)
		}
	},
}

// adamStep is algorithm 1 of Kingma & Ba 2015, with the decoupled decay of Loshchilov & Hutter
// 2019.
func adamStep(decay float64) scalar {
	m, v := 0.0, 0.0
	return func(p, g, lr float64, t int) float64 {
		m, v = 0.9*m+0.1*g, 0.999*v+0.001*g*g
		mHat, vHat := m/(1-math.Pow(0.9, float64(t))), v/(1-math.Pow(0.999, float64(t)))
		return p - lr*decay*p - lr*mHat/(math.Sqrt(vHat)+1e-8)
	}
}

// Each solver makes the steps of its textbook, with gradients of many magnitudes, also rare ones,
// and a learning rate that changes. The tensors have 1, 5 and 70 elements, in two models to see
// that nothing is shared.
func TestTextbook(t *testing.T) {
	for _, o := range Optimizers {
		s := o.New()
		if c, ok := s.(ours); ok {
			defer c.Close()
		}
		rng := rand.New(rand.NewPCG(1, 2))
		var model []gorgonia.ValueGrad
		var want [][]float64
		var steps [][]scalar
		for _, n := range []int{1, 5, 70} {
			l := leaf{tensor.New(tensor.WithShape(1, n), tensor.Of(tensor.Float32)),
				tensor.New(tensor.WithShape(1, n), tensor.Of(tensor.Float32))}
			w, f := make([]float64, n), make([]scalar, n)
			for i := range n {
				x := float32(rng.NormFloat64())
				l.value.Float32s()[i], w[i], f[i] = x, float64(x), textbook[o.Name]()
			}
			model, want, steps = append(model, l), append(want, w), append(steps, f)
		}
		const base = 0.01
		for step := 1; step <= 200; step++ {
			lr := base * (1 + math.Cos(float64(step)/70))
			for i, n := range model {
				grads := n.(leaf).grad.Float32s()
				for j := range grads {
					if grads[j] != 0 {
						t.Fatalf("%s: gradient %v left before step %d", o.Name, grads[j], step)
					}
					if j%7 != 3 || step%10 == 5 { // some are 0 most of the time
						grads[j] = float32(math.Pow(10, float64(j%9-5)) * (0.5 + rng.NormFloat64()))
					}
					want[i][j] = steps[i][j](want[i][j], float64(grads[j]), lr, step)
				}
			}
			s.SetLR(lr)
			if err := s.Step(model); err != nil {
				t.Fatal(err)
			}
		}
		worst := 0.0
		for i, n := range model {
			for j, got := range n.(leaf).value.Float32s() {
				worst = max(worst, math.Abs(float64(got)-want[i][j])/max(math.Abs(want[i][j]),
					base))
			}
		}
		t.Logf("%-20s differs by up to %.1e·max(|p|, LR)", o.Name, worst)
		if !(worst < 1e-3) {
			t.Errorf("%s differs from its textbook by %g·max(|p|, LR)", o.Name, worst)
		}
	}
}

// Gorgonia's AdaGrad is left out since it has a learning rate of 0.001 and an ε of 1e-8 whatever is
// asked; otherwise it is right. When this test fails it can come in.
func TestHostAdaGrad(t *testing.T) {
	for _, options := range [][]gorgonia.SolverOpt{nil,
		{gorgonia.WithLearnRate(0.5), gorgonia.WithEps(1)}} {
		s := gorgonia.NewAdaGradSolver(options...)
		l := leaf{tensor.New(tensor.WithBacking([]float32{0, 0})),
			tensor.New(tensor.WithBacking([]float32{0, 0}))}
		p, sums := [2]float64{}, [2]float64{}
		for step, g := range [][]float32{{2, 1e-5}, {0.1, -3e-5}, {-3, 2e-5}} {
			copy(l.grad.Float32s(), g)
			if err := s.Step([]gorgonia.ValueGrad{l}); err != nil {
				t.Fatal(err)
			}
			for i := range p {
				sums[i] += float64(g[i]) * float64(g[i])
				p[i] -= 0.001 * float64(g[i]) / math.Sqrt(sums[i]+1e-8)
				if got := float64(l.value.Float32s()[i]); math.Abs(got-p[i]) > 1e-8 {
					t.Errorf("step %d: parameter %d is %v, want %v", step, i, got, p[i])
				}
			}
		}
	}
}

// Gorgonia's default ε of RMSProp lies inside of the root: the first step with a gradient of 1e-5,
// of LR/√0.1 without an ε, is thirty times as short.
func TestHostRMSProp(t *testing.T) {
	for eps, want := range map[float64]float64{1e-16: 1 / math.Sqrt(0.1),
		1e-8: 1e-5 / math.Sqrt(0.1*1e-10+1e-8)} {
		l := leaf{tensor.New(tensor.WithBacking([]float32{0})),
			tensor.New(tensor.WithBacking([]float32{1e-5}))}
		s := gorgonia.NewRMSPropSolver(gorgonia.WithLearnRate(1), gorgonia.WithRho(0.9),
			gorgonia.WithEps(eps))
		if err := s.Step([]gorgonia.ValueGrad{l}); err != nil {
			t.Fatal(err)
		}
		if got := -float64(l.value.Float32s()[0]); math.Abs(got-want) > 1e-4*want {
			t.Errorf("ε %g: a first step of %v, want %v", eps, got, want)
		}
	}
}
