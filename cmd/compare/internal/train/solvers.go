// Package train trains the same networks on the same batches with one optimizer after the other.
package train

import (
	"math"

	"github.com/fusedadam/adam"
	adamgorgonia "github.com/fusedadam/adam/adapters/gorgonia"
	"github.com/fusedadam/adam/cmd/compare/internal/result"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// Solver is a gorgonia.Solver whose learning rate may change between steps.
type Solver interface {
	gorgonia.Solver
	SetLR(lr float64)
}

// Optimizer is a way to make Solvers, and where its sweep begins.
type Optimizer struct {
	Name string
	// Usual is its usual learning rate, 10^(Usual/2), the middle of the grid.
	Usual int
	New   func() Solver
}

// Optimizers are all that are compared. Only learning rates are tuned. What else they have is the
// default of the literature: Adam's betas 0.9 and 0.999 and ε 1e-8, AdamW's decay 0.01, momentum
// 0.9, RMSProp's decay 0.9.
//
// RMSProp of Gorgonia adds its ε inside of the root. 1e-16 is there what 1e-8 is outside of it; its
// default of 1e-8 would damp all parameters with gradients below 1e-4, and be another optimizer.
// Its default decay is 0.999.
var Optimizers = []Optimizer{
	{result.Adam, -6,
		func() Solver { return ours{adamgorgonia.New(adam.Default(), adam.Options{})} }},
	{result.AdamW, -6,
		func() Solver { return ours{adamgorgonia.New(adam.DefaultW(), adam.Options{})} }},
	{result.HostAdam, -6, func() Solver { return host{gorgonia.NewAdamSolver()} }},
	{result.SGD, -2, func() Solver { return host{gorgonia.NewVanillaSolver()} }},
	{result.Momentum, -4,
		func() Solver { return host{gorgonia.NewMomentum(gorgonia.WithMomentum(result.Beta))} }},
	{result.AdaGrad, -4, func() Solver { return new(adaGrad) }},
	{result.RMSProp, -6, func() Solver {
		return host{gorgonia.NewRMSPropSolver(gorgonia.WithRho(0.9), gorgonia.WithEps(1e-16))}
	}},
}

// ours is a solver of this project.
type ours struct{ *adamgorgonia.Solver }

func (s ours) SetLR(lr float64) { s.Config.LR = lr }

// host is a solver of Gorgonia, whose options can be applied at any time.
type host struct{ gorgonia.Solver }

func (s host) SetLR(lr float64) { gorgonia.WithLearnRate(lr)(s.Solver) }

// adaGrad is AdaGrad (Duchi, Hazan & Singer 2011): s += g², p -= LR·g/(√s+ε). It stands in for that
// of Gorgonia v0.9.18, whose learning rate no option changes.
type adaGrad struct {
	lr   float32
	sums [][]float32 // of the squares, for each tensor
}

func (s *adaGrad) SetLR(lr float64) { s.lr = float32(lr) }

func (s *adaGrad) Step(model []gorgonia.ValueGrad) error {
	const eps = 1e-10
	for i, n := range model {
		grad, err := n.Grad()
		if err != nil {
			return err
		}
		p, g := n.Value().(*tensor.Dense).Float32s(), grad.(*tensor.Dense).Float32s()
		if i == len(s.sums) {
			s.sums = append(s.sums, make([]float32, len(p)))
		}
		for j, sums := range s.sums[i] {
			sums += g[j] * g[j]
			s.sums[i][j] = sums
			p[j] -= s.lr * g[j] / (float32(math.Sqrt(float64(sums))) + eps)
			g[j] = 0
		}
	}
	return nil
}
