package adamgomlx_test

import (
	"fmt"
	"strings"

	"github.com/fusedadam/adam"
	adamgomlx "github.com/fusedadam/adam/adapters/gomlx"
	"github.com/fusedadam/adam/schedule"
	"github.com/gomlx/gomlx/backends"
	_ "github.com/gomlx/gomlx/backends/simplego"
	"github.com/gomlx/gomlx/pkg/core/graph"
	"github.com/gomlx/gomlx/pkg/core/tensors"
	"github.com/gomlx/gomlx/pkg/ml/context"
	"github.com/gomlx/gomlx/pkg/ml/datasets"
	"github.com/gomlx/gomlx/pkg/ml/layers"
	"github.com/gomlx/gomlx/pkg/ml/layers/activations"
	"github.com/gomlx/gomlx/pkg/ml/train"
	"github.com/gomlx/gomlx/pkg/ml/train/losses"
)

// newBackend returns the pure-Go backend, without operations in parallel, which have data races in
// v0.26.0.
func newBackend() backends.Backend {
	backend, err := backends.NewWithConfig("go:ops_sequential")
	if err != nil {
		panic(err)
	}
	return backend
}

// model is a perceptron that can learn the exclusive or of two numbers.
func model(ctx *context.Context, _ any, inputs []*graph.Node) []*graph.Node {
	x := activations.Apply(activations.TypeTanh, layers.Dense(ctx.In("hidden"), inputs[0], true, 8))
	return []*graph.Node{layers.Dense(ctx.In("out"), x, true, 1)}
}

// exclusiveOr returns all examples of it.
func exclusiveOr() (inputs, labels *tensors.Tensor) {
	inputs = tensors.FromValue([][]float32{{0, 0}, {0, 1}, {1, 0}, {1, 1}})
	labels = tensors.FromValue([][]float32{{0}, {1}, {1}, {0}})
	return inputs, labels
}

// A Trainer, with warm-up and cosine decay of the learning rate, clipping by norm, and no weight
// decay of biases.
func Example() {
	ctx := context.New()
	if err := ctx.SetRNGStateFromSeed(1); err != nil {
		panic(err)
	}
	opt := adamgomlx.New(adam.DefaultW(), adam.Options{MaxNorm: 1})
	defer opt.Close()
	opt.NoDecay = func(name string) bool { return strings.HasSuffix(name, "/biases") }
	trainer := train.NewTrainer(newBackend(), ctx, model, losses.MeanSquaredError, opt, nil, nil)

	inputs, labels := exclusiveOr()
	lr := schedule.Linear(0.1, 1, 10).Then(10, schedule.Cosine(1, 0, 290))
	for step := range uint64(300) {
		metrics, err := trainer.TrainStep(nil, []*tensors.Tensor{inputs}, []*tensors.Tensor{labels})
		if err != nil {
			panic(err)
		}
		opt.Config.LR = 0.05 * lr(step)
		stats, err := opt.Step()
		if err != nil {
			panic(err)
		}
		if stats.T == 300 {
			fmt.Printf("loss %.2f after %d steps", tensors.ToScalar[float32](metrics[0]), stats.T)
		}
	}
	// Output: loss 0.00 after 300 steps
}

// In a Loop the step is a hook, before all that look at the parameters.
func Example_loop() {
	backend, ctx := newBackend(), context.New()
	if err := ctx.SetRNGStateFromSeed(1); err != nil {
		panic(err)
	}
	inputs, labels := exclusiveOr()
	data, err := datasets.InMemoryFromData(backend, "exclusive or", []any{inputs}, []any{labels})
	if err != nil {
		panic(err)
	}
	config := adam.Default()
	config.LR = 0.05
	opt := adamgomlx.New(config, adam.Options{})
	defer opt.Close()
	trainer := train.NewTrainer(backend, ctx, model, losses.MeanSquaredError, opt, nil, nil)
	loop := train.NewLoop(trainer)
	loop.OnStep("adam", -1, func(*train.Loop, []*tensors.Tensor) error {
		_, err := opt.Step()
		return err
	})
	metrics, err := loop.RunSteps(data.BatchSize(4, false).Infinite(true), 300)
	if err != nil {
		panic(err)
	}
	fmt.Printf("loss %.2f after %d steps", tensors.ToScalar[float32](metrics[0]), opt.Optimizer().T)
	// Output: loss 0.00 after 300 steps
}

// A graph of one's own has the optimizer's UpdateGraph in it.
func ExampleOptimizer_UpdateGraph() {
	config := adam.Default()
	config.LR = 0.1
	opt := adamgomlx.New(config, adam.Options{})
	defer opt.Close()
	ctx := context.New()
	build := func(ctx *context.Context, target *graph.Node) *graph.Node {
		w := ctx.VariableWithValue("w", []float32{0, 0}).ValueGraph(target.Graph())
		loss := graph.ReduceAllSum(graph.Square(graph.Sub(w, target)))
		opt.UpdateGraph(ctx, target.Graph(), loss)
		return loss
	}
	exec, err := context.NewExec(newBackend(), ctx, build)
	if err != nil {
		panic(err)
	}
	for range 200 {
		if _, err := exec.Exec([]float32{2, -3}); err != nil {
			panic(err)
		}
		if _, err := opt.Step(); err != nil {
			panic(err)
		}
	}
	fmt.Printf("%.2f", ctx.GetVariable("w").MustValue().Value())
	// Output: [2.00 -3.00]
}
