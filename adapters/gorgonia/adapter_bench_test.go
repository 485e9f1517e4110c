package adamgorgonia_test

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/fusedadam/adam"
	adamgorgonia "github.com/fusedadam/adam/adapters/gorgonia"
	"github.com/fusedadam/adam/internal/models"
	"github.com/fusedadam/adam/internal/versus"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// BenchmarkSolver compares gorgonia.AdamSolver with Solver, both with the defaults of Adam. Both
// zero the gradients, so after the first step they are zeros; no time here depends on their values.
func BenchmarkSolver(b *testing.B) {
	for _, m := range models.All {
		workers := []int{1}
		if n := runtime.GOMAXPROCS(0); n > 1 {
			workers = append(workers, n)
		}
		for _, w := range workers {
			b.Run(fmt.Sprintf("%s/workers=%d", m.Key, w), func(b *testing.B) {
				if testing.Short() && m.Parameters() > 100e6 {
					b.Skip("needs 11 GB")
				}
				host := gorgonia.NewAdamSolver()
				solver := adamgorgonia.New(adam.Default(), adam.Options{Workers: w})
				b.Cleanup(func() { solver.Close() })
				theirs, ours := benchModel(m), benchModel(m)
				versus.Run(b, m.Parameters(), stepper(b, host, theirs), stepper(b, solver, ours))
			})
		}
	}
}

// BenchmarkTraining compares whole training steps of the perceptron 784-128-10 on a TapeMachine:
// forward, backward and solver.
func BenchmarkTraining(b *testing.B) {
	for _, batch := range []int{16, 64} {
		b.Run(fmt.Sprintf("batch=%d", batch), func(b *testing.B) {
			solver := adamgorgonia.New(adam.Default(), adam.Options{})
			b.Cleanup(func() { solver.Close() })
			versus.Run(
				b, models.All[0].Parameters(), trainer(b, gorgonia.NewAdamSolver(), batch),
				trainer(b, solver, batch))
		})
	}
}

// trainer returns a function that makes one training step.
func trainer(b *testing.B, solver gorgonia.Solver, batch int) func() {
	r := rand.New(rand.NewPCG(1, 2))
	g := gorgonia.NewGraph()
	matrix := func(name string, shape ...int) *gorgonia.Node {
		return gorgonia.NewMatrix(
			g, tensor.Float32, gorgonia.WithShape(shape...), gorgonia.WithName(name),
			gorgonia.WithValue(dense(r, shape...)))
	}
	must, rows := gorgonia.Must, []byte{0}
	x := matrix("x", batch, 784)
	w1, b1 := matrix("w1", 784, 128), matrix("b1", 1, 128)
	w2, b2 := matrix("w2", 128, 10), matrix("b2", 1, 10)
	sum := must(gorgonia.BroadcastAdd(must(gorgonia.Mul(x, w1)), b1, nil, rows))
	hidden := must(gorgonia.Rectify(sum))
	output := must(gorgonia.BroadcastAdd(must(gorgonia.Mul(hidden, w2)), b2, nil, rows))
	loss := must(gorgonia.Mean(must(gorgonia.Square(output))))
	params := gorgonia.Nodes{w1, b1, w2, b2}
	if _, err := gorgonia.Grad(loss, params...); err != nil {
		b.Fatal(err)
	}
	vm := gorgonia.NewTapeMachine(g, gorgonia.BindDualValues(params...))
	b.Cleanup(func() { _ = vm.Close() })
	step := stepper(b, solver, gorgonia.NodesToValueGrads(params))
	return func() {
		if err := vm.RunAll(); err != nil {
			b.Fatal(err)
		}
		step()
		vm.Reset()
	}
}

func benchModel(m models.Model) []gorgonia.ValueGrad {
	r := rand.New(rand.NewPCG(1, 2))
	var model []gorgonia.ValueGrad
	for i, n := range m.Tensors {
		model = append(model, &leaf{fmt.Sprint(i), dense(r, n), dense(r, n)})
	}
	return model
}

func stepper(b *testing.B, solver gorgonia.Solver, model []gorgonia.ValueGrad) func() {
	return func() {
		if err := solver.Step(model); err != nil {
			b.Fatal(err)
		}
	}
}
