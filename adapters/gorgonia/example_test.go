package adamgorgonia_test

import (
	"fmt"
	"log"
	"strings"

	"github.com/fusedadam/adam"
	adamgorgonia "github.com/fusedadam/adam/adapters/gorgonia"
	"github.com/fusedadam/adam/schedule"
	. "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// A line is fitted to points, with AdamW, clipping by norm and a cosine schedule.
func Example() {
	g := NewGraph()
	xs := tensor.New(tensor.WithBacking([]float32{-2, -1, 0, 1, 2}))
	ys := tensor.New(tensor.WithBacking([]float32{-5, -3, -1, 1, 3}))
	x := NewVector(g, tensor.Float32, WithName("x"), WithShape(5), WithValue(xs))
	y := NewVector(g, tensor.Float32, WithName("y"), WithShape(5), WithValue(ys))
	slope := NewScalar(g, tensor.Float32, WithName("slope"), WithValue(float32(0)))
	bias := NewScalar(g, tensor.Float32, WithName("bias"), WithValue(float32(0)))
	loss := Must(Mean(Must(Square(Must(Sub(Must(Add(Must(Mul(x, slope)), bias)), y))))))
	params := Nodes{slope, bias}
	if _, err := Grad(loss, params...); err != nil {
		log.Fatal(err)
	}
	vm := NewTapeMachine(g, BindDualValues(params...))
	defer vm.Close()

	const steps = 500
	config := adam.DefaultW()
	config.WeightDecay = 1e-4
	solver := adamgorgonia.New(config, adam.Options{MaxNorm: 1})
	defer solver.Close()
	solver.NoDecay = func(name string) bool { return strings.HasPrefix(name, "bias") }
	lr := schedule.Linear(0, 1, 20).Then(20, schedule.Cosine(1, 0, steps-20))
	for step := range uint64(steps) {
		if err := vm.RunAll(); err != nil {
			log.Fatal(err)
		}
		solver.Config.LR = 0.1 * lr(step)
		if err := solver.Step(NodesToValueGrads(params)); err != nil {
			log.Fatal(err)
		}
		vm.Reset()
	}
	fmt.Printf("y = %.2f x %+.2f\n", slope.Value().Data(), bias.Value().Data())
	// Output: y = 2.00 x -1.00
}

// Training goes on from a checkpoint, before whose loading the solver must know the tensors.
func ExampleSolver_Bind() {
	g := NewGraph()
	w := NewMatrix(g, tensor.Float32, WithName("w"), WithShape(4, 3), WithInit(GlorotU(1)))
	model := NodesToValueGrads(Nodes{w})

	solver := adamgorgonia.New(adam.DefaultW(), adam.Options{SaveParams: true})
	defer solver.Close()
	if err := solver.Bind(model); err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(solver.Optimizer().State("w").M))
	if err := solver.Optimizer().LoadFile("no such file"); err != nil {
		fmt.Println("from the start")
	}
	// Output:
	// 12
	// from the start
}
