package adamspago_test

import (
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/nlpodyssey/spago/mat"
	"github.com/nlpodyssey/spago/nn"
	"github.com/nlpodyssey/spago/optimizers"
	spagoadam "github.com/nlpodyssey/spago/optimizers/adam"

	"github.com/fusedadam/adam"
	adamspago "github.com/fusedadam/adam/adapters/spago"
	"github.com/fusedadam/adam/internal/models"
	"github.com/fusedadam/adam/internal/versus"
)

// kept is a matrix that keeps its gradient, so that the next step finds one without an allocation
// and a copy that are no part of a step.
type kept[F float] struct{ *mat.Dense[F] }

func (kept[F]) ZeroGrad() {}

// BenchmarkOptimizeParams has spago's own Adam and AdamW beside this, each stepping all tensors of
// a network one after the other.
func BenchmarkOptimizeParams(b *testing.B) {
	inARow := func(strategy optimizers.OptimizationStrategy, params []*nn.Param) func() error {
		return func() error {
			for _, p := range params {
				if err := strategy.OptimizeParams(p); err != nil {
					return err
				}
			}
			return nil
		}
	}
	bench(b, inARow, func(strategy *adamspago.Adam, params []*nn.Param) func() error {
		return inARow(strategy, params)
	})
}

// BenchmarkOptimize has spago's Optimizer, followed by a wait for its goroutines, beside the method
// Optimize.
func BenchmarkOptimize(b *testing.B) {
	bench(b, func(strategy optimizers.OptimizationStrategy, params []*nn.Param) func() error {
		var atWork sync.WaitGroup
		optimizer := optimizers.New(nn.StreamParams(params), strategyFunc(func(p *nn.Param) error {
			defer atWork.Done()
			return strategy.OptimizeParams(p)
		}))
		return func() error {
			atWork.Add(len(params))
			defer atWork.Wait()
			return optimizer.Optimize()
		}
	}, func(strategy *adamspago.Adam, params []*nn.Param) func() error {
		return func() error { return strategy.Optimize(nn.StreamParams(params)) }
	})
}

// bench runs the steps that the two functions return, of the tensors of each network.
func bench(b *testing.B, host func(optimizers.OptimizationStrategy, []*nn.Param) func() error,
	ours func(*adamspago.Adam, []*nn.Param) func() error) {
	config, configW := adam.Default(), adam.DefaultW()
	for _, c := range []struct {
		name  string
		spago spagoadam.Config
		adam  adam.Config
	}{
		{"Adam", spagoadam.NewConfig(config.LR, config.Beta1, config.Beta2, config.Eps), config},
		{"AdamW", spagoadam.NewAdamWConfig(
			configW.LR, configW.Beta1, configW.Beta2, configW.Eps, configW.WeightDecay), configW},
	} {
		for _, m := range models.All {
			b.Run(c.name+"/"+m.Key, func(b *testing.B) {
				if testing.Short() && m.Key == "gpt2" {
					b.Skip("needs some 10 GB of memory")
				}
				theirs := spagoadam.New(c.spago)
				hostStep := host(theirs, keptParams(m.Tensors))
				ourStep := ours(&adamspago.Adam{Config: c.adam}, keptParams(m.Tensors))
				must := func(err error) {
					if err != nil {
						b.Fatal(err)
					}
				}
				versus.Run(
					b, m.Parameters(), func() { must(hostStep()); theirs.IncExample() },
					func() { must(ourStep()) })
			})
		}
	}
}

// keptParams returns parameters of the given sizes with gradients that stay.
func keptParams(sizes []int) []*nn.Param {
	rng := rand.New(rand.NewPCG(8, 0))
	var params []*nn.Param
	for _, n := range sizes {
		p := &nn.Param{Matrix: kept[float32]{matrix(rng, 1, n)}}
		p.SetRequiresGrad(true)
		p.AccGrad(matrix(rng, 1e-3, n))
		params = append(params, p)
	}
	return params
}
