package adamgomlx

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/fusedadam/adam"
	"github.com/fusedadam/adam/internal/models"
	"github.com/fusedadam/adam/internal/versus"
	"github.com/gomlx/gomlx/backends"
	"github.com/gomlx/gomlx/backends/simplego"
	"github.com/gomlx/gomlx/pkg/core/dtypes"
	"github.com/gomlx/gomlx/pkg/core/graph"
	"github.com/gomlx/gomlx/pkg/core/tensors"
	"github.com/gomlx/gomlx/pkg/ml/context"
	"github.com/gomlx/gomlx/pkg/ml/layers"
	"github.com/gomlx/gomlx/pkg/ml/layers/activations"
	"github.com/gomlx/gomlx/pkg/ml/train"
	"github.com/gomlx/gomlx/pkg/ml/train/losses"
	"github.com/gomlx/gomlx/pkg/ml/train/optimizers"
)

// cores are the two ways to run both sides. Without parallel operations a graph that has no product
// of matrices, as that of an optimizer, stays on one core.
var cores = []struct {
	name    string
	backend func() backends.Backend
	workers int
}{
	{"1", func() backends.Backend { return must(simplego.New("ops_sequential")) }, 1},
	{"all", func() backends.Backend { return must(simplego.New("")) }, 0},
}

// BenchmarkStep compares the execution of a graph that is nothing but the host's Adam, of given
// gradients, with Step on the same gradients. All tensors are vectors.
func BenchmarkStep(b *testing.B) {
	for _, model := range models.All {
		for _, c := range cores {
			b.Run(fmt.Sprintf("model=%s/cores=%s", model.Key, c.name), func(b *testing.B) {
				if testing.Short() && model.Key == "gpt2" {
					b.Skip("needs 6 GB of memory")
				}
				backend := c.backend()
				defer backend.Finalize()
				rng := rand.New(rand.NewPCG(1, 2))
				gradients := make([]*tensors.Tensor, len(model.Tensors))
				for i, n := range model.Tensors {
					gradients[i] = random(rng, 1e-3, n)
				}
				side := func(opt optimizers.Interface) *context.Exec {
					ctx := context.New()
					for i, n := range model.Tensors {
						ctx.VariableWithValue(fmt.Sprint(i), random(rng, 1, n))
					}
					build := func(ctx *context.Context, gradients []*graph.Node) {
						for v := range ctx.IterVariables() {
							v.ValueGraph(gradients[0].Graph()) // uses it
						}
						opt := opt.(train.OptimizeWithGradients)
						opt.UpdateGraphWithGradients(ctx, gradients, dtypes.Float32)
					}
					return context.MustNewExec(backend, ctx, build)
				}
				host := side(optimizers.Adam().Done())
				opt := New(adam.Default(), adam.Options{Workers: c.workers})
				defer opt.Close()
				must(side(opt).Exec(gradients))
				versus.Run(b, model.Parameters(),
					func() { must(host.Exec(gradients)) },
					func() {
						for _, v := range opt.variables {
							v.stepped = nil // the same gradients once more
						}
						must(opt.Step())
					})
			})
		}
	}
}

// BenchmarkTrainStep compares whole steps of train.Trainer, forward and backward included, of an
// MLP 784-128-10.
func BenchmarkTrainStep(b *testing.B) {
	network := func(ctx *context.Context, _ any, inputs []*graph.Node) []*graph.Node {
		x := layers.Dense(ctx.In("hidden"), inputs[0], true, 128)
		return []*graph.Node{
			layers.Dense(ctx.In("out"), activations.Apply(activations.TypeRelu, x), true, 10),
		}
	}
	for _, size := range []int{1, 32} {
		for _, c := range cores {
			b.Run(fmt.Sprintf("batch=%d/cores=%s", size, c.name), func(b *testing.B) {
				backend := c.backend()
				defer backend.Finalize()
				rng := rand.New(rand.NewPCG(1, 2))
				inputs := []*tensors.Tensor{random(rng, 1, size, 784)}
				labels := []*tensors.Tensor{random(rng, 1, size, 10)}
				side := func(opt optimizers.Interface) func() {
					trainer := train.NewTrainer(
						backend, newContext(b), network, losses.MeanSquaredError, opt, nil, nil)
					return func() { must(trainer.TrainStep(nil, inputs, labels)) }
				}
				host := side(optimizers.Adam().Done())
				opt := New(adam.Default(), adam.Options{Workers: c.workers})
				defer opt.Close()
				execute := side(opt)
				versus.Run(b, models.All[0].Parameters(), host, func() {
					execute()
					must(opt.Step())
				})
			})
		}
	}
}

// random returns a tensor of normal deviates times scale.
func random(rng *rand.Rand, scale float64, dimensions ...int) *tensors.Tensor {
	t := tensors.FromScalarAndDimensions(float32(0), dimensions...)
	tensors.MustMutableFlatData(t, func(flat []float32) {
		for i := range flat {
			flat[i] = float32(scale * rng.NormFloat64())
		}
	})
	return t
}
