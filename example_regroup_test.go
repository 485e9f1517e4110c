package adam_test

import (
	"fmt"
	"slices"

	"github.com/fusedadam/adam"
)

func tensor(name string, n int) adam.Param {
	return adam.Param{Name: name, Value: make([]float32, n), Grad: make([]float32, n)}
}

func newOptimizer(params ...adam.Param) *adam.Optimizer {
	opt, err := adam.New(adam.Options{}, adam.Group{Config: adam.Default(), Params: params})
	if err != nil {
		panic(err)
	}
	for range 10 {
		step(opt)
	}
	return opt
}

func step(opt *adam.Optimizer) {
	if _, err := opt.Step(); err != nil {
		panic(err)
	}
}

// A group is added, as with torch's add_param_group: a new head on a body that goes on.
func ExampleOptimizer_Regroup() {
	opt := newOptimizer(tensor("body", 4))
	defer opt.Close()
	head := adam.Group{Config: adam.DefaultW(), Params: []adam.Param{tensor("head", 2)}}
	if err := opt.Regroup(append(slices.Clone(opt.Groups), head)...); err != nil {
		panic(err)
	}
	step(opt)
	fmt.Println(opt.T, opt.State("body").T, opt.State("head").T)
	// Output: 11 11 1
}

// The norm is known before the step, which may be left out.
func ExampleOptimizer_Norm() {
	opt := newOptimizer(tensor("w", 4))
	defer opt.Close()
	grad := opt.Groups[0].Params[0].Grad
	grad[0] = 1e6
	norm, err := opt.Norm()
	if err != nil {
		panic(err)
	}
	if norm > 100 {
		if err := opt.ZeroGrad(); err != nil {
			panic(err)
		}
	}
	fmt.Println(norm, grad[0], opt.T)
	// Output: 1e+06 0 10
}

// Gradients of several backward passes are added up and divided by their number.
func ExampleOptimizer_gradientAccumulation() {
	opt := newOptimizer(tensor("w", 1))
	defer opt.Close()
	const passes = 4
	opt.Options.MaxNorm, opt.GradScale = 1, passes
	for range passes {
		opt.Groups[0].Params[0].Grad[0] += 0.5
	}
	stats, err := opt.Step()
	if err != nil {
		panic(err)
	}
	fmt.Println(stats.GradNorm)
	// Output: 0.5
}

// Moments lie in the runtime's own memory.
func ExampleParam() {
	m, v := make([]float32, 3), make([]float32, 3)
	p := tensor("w", 3)
	p.Grad[0] = 1
	p.State = &adam.State{T: 0, M: m, V: v}
	opt := newOptimizer(p)
	defer opt.Close()
	fmt.Printf("%d %.2f\n", p.State.T, m[0])
	// Output: 10 0.65
}
