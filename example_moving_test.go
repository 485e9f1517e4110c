package adam_test

import (
	"fmt"

	"github.com/fusedadam/adam"
)

// Layers are unfrozen when their turn comes. The group that they will be in is there from the
// beginning, as it has a Config of its own.
func ExampleOptimizer_Add() {
	gently := adam.Default()
	gently.LR /= 10
	opt, err := adam.New(adam.Options{},
		adam.Group{Config: gently},
		adam.Group{Config: adam.Default(), Params: []adam.Param{tensor("head", 2)}})
	if err != nil {
		panic(err)
	}
	defer opt.Close()
	for epoch, layer := range []string{"upper", "lower"} {
		if err := opt.Add(0, tensor(layer, 4)); err != nil {
			panic(err)
		}
		step(opt)
		fmt.Println(epoch, opt.State("head").T, opt.State(layer).T)
	}
	// Output:
	// 0 1 1
	// 1 2 1
}

// New words come into a vocabulary. The rows of the others keep their moments.
func ExampleOptimizer_Grow() {
	const width = 3
	table := tensor("embedding", 2*width)
	table.Grad[0] = 1
	opt := newOptimizer(table)
	defer opt.Close()

	row := []float32{0.1, -0.1, 0.2}
	value := append(table.Value, row...)
	if err := opt.Grow("embedding", value, make([]float32, len(value))); err != nil {
		panic(err)
	}
	fmt.Printf("%.2f %d\n", opt.State("embedding").M, opt.State("embedding").T)
	// Output: [0.65 0.00 0.00 0.00 0.00 0.00 0.00 0.00 0.00] 10
}

// A layer is pruned: its bias goes, and of its weights some columns. What stays of them keeps its
// moments, in a State.
func ExampleOptimizer_Remove() {
	weights, bias := tensor("weights", 6), tensor("bias", 2)
	opt := newOptimizer(weights, bias)
	defer opt.Close()

	old, keep := opt.State("weights"), []int{0, 2, 4}
	pruned := tensor("weights", len(keep))
	pruned.State = adam.NewState(len(keep), opt.Groups[0].Config)
	pruned.State.T = old.T
	for i, k := range keep {
		pruned.Value[i] = weights.Value[k]
		pruned.State.M[i], pruned.State.V[i] = old.M[k], old.V[k]
	}
	if err := opt.Remove("weights", "bias"); err != nil {
		panic(err)
	}
	if err := opt.Add(0, pruned); err != nil {
		panic(err)
	}
	step(opt)
	fmt.Println(len(opt.Groups[0].Params), len(opt.State("weights").M), opt.State("weights").T)
	// Output: 1 3 11
}

// matrix is a parameter of a program that knows nothing of an optimizer.
type matrix struct{ data, grad []float32 }

// lazyAdam steps whatever it is given. A State is made when a matrix is first met.
type lazyAdam struct {
	config adam.Config
	states map[*matrix]*adam.State
}

func (o *lazyAdam) step(params ...*matrix) error {
	for _, p := range params {
		if o.states[p] == nil {
			o.states[p] = adam.NewState(len(p.data), o.config)
		}
		if err := o.states[p].Step(p.data, p.grad, o.config); err != nil {
			return err
		}
	}
	return nil
}

// Parameters are passed at the step, by a program that does not know them before.
func ExampleState_Step_passedAtTheStep() {
	opt := lazyAdam{adam.Default(), map[*matrix]*adam.State{}}
	a := &matrix{make([]float32, 2), []float32{1, -1}}
	b := &matrix{make([]float32, 1), []float32{1}}
	for _, params := range [][]*matrix{{a}, {a, b}, {b, a}} {
		if err := opt.step(params...); err != nil {
			panic(err)
		}
	}
	fmt.Println(opt.states[a].T, opt.states[b].T)
	fmt.Printf("%.4f %.4f\n", a.data, b.data)
	// Output:
	// 3 2
	// [-0.0030 0.0030] [-0.0020]
}
