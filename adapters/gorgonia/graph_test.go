package adamgorgonia_test

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/fusedadam/adam"
	adamgorgonia "github.com/fusedadam/adam/adapters/gorgonia"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// network is a perceptron 8-16-1 that learns a smooth function of 64 points.
type network struct {
	graph  *gorgonia.ExprGraph
	loss   *gorgonia.Node
	params gorgonia.Nodes
}

// values are the parameters of a network before training, the same at each call.
func values(of tensor.Dtype) []gorgonia.Value {
	r := rand.New(rand.NewPCG(1, 2))
	all := []gorgonia.Value{dense(r, 8, 16), dense(r, 1, 16), dense(r, 16, 1), dense(r)}
	for i := range all {
		if of == tensor.Float64 {
			all[i] = wide(all[i])
		}
	}
	return all
}

func newNetwork(params []gorgonia.Value) network {
	r := rand.New(rand.NewPCG(3, 4))
	points := dense(r, 64, 8)
	var targets gorgonia.Value = tensor.New(tensor.WithShape(64, 1), tensor.Of(tensor.Float32))
	for i := range 64 {
		p := points.(*tensor.Dense).Float32s()[8*i:]
		targets.(*tensor.Dense).Float32s()[i] = p[0]*p[1] + float32(math.Sin(float64(p[2])))
	}
	of := params[0].Dtype()
	if of == tensor.Float64 {
		points, targets = wide(points), wide(targets)
	}
	g := gorgonia.NewGraph()
	matrix := func(name string, v gorgonia.Value) *gorgonia.Node {
		return gorgonia.NewMatrix(
			g, of, gorgonia.WithShape(v.Shape()...), gorgonia.WithName(name),
			gorgonia.WithValue(v))
	}
	x, y := matrix("x", points), matrix("y", targets)
	w1, b1, w2 := matrix("w1", params[0]), matrix("b1", params[1]), matrix("w2", params[2])
	b2 := gorgonia.NewScalar(
		g, of, gorgonia.WithName("b2"), gorgonia.WithValue(params[3]))
	must := gorgonia.Must
	sum := must(gorgonia.BroadcastAdd(must(gorgonia.Mul(x, w1)), b1, nil, []byte{0}))
	hidden := must(gorgonia.Tanh(sum))
	output := must(gorgonia.Add(must(gorgonia.Mul(hidden, w2)), b2))
	loss := must(gorgonia.Mean(must(gorgonia.Square(must(gorgonia.Sub(output, y))))))
	return network{g, loss, gorgonia.Nodes{w1, b1, w2, b2}}
}

// onTape trains on a TapeMachine and returns the losses.
func onTape(
	t *testing.T, solver gorgonia.Solver, of tensor.Dtype, steps int,
) (losses []float64) {
	n := newNetwork(values(of))
	if _, err := gorgonia.Grad(n.loss, n.params...); err != nil {
		t.Fatal(err)
	}
	vm := gorgonia.NewTapeMachine(n.graph, gorgonia.BindDualValues(n.params...))
	defer vm.Close()
	model := gorgonia.NodesToValueGrads(n.params)
	for range steps {
		if err := vm.RunAll(); err != nil {
			t.Fatal(err)
		}
		losses = append(losses, doubles(n.loss.Value())...)
		if err := solver.Step(model); err != nil {
			t.Fatal(err)
		}
		vm.Reset()
	}
	return losses
}

// onLisp trains on LispMachines, of which each needs a new graph, and returns the losses.
func onLisp(
	t *testing.T, solver gorgonia.Solver, of tensor.Dtype, steps int,
) (losses []float64) {
	params := values(of)
	for range steps {
		n := newNetwork(params)
		vm := gorgonia.NewLispMachine(n.graph)
		if err := vm.RunAll(); err != nil {
			t.Fatal(err)
		}
		losses = append(losses, doubles(n.loss.Value())...)
		if err := solver.Step(gorgonia.NodesToValueGrads(n.params)); err != nil {
			t.Fatal(err)
		}
		if err := vm.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return losses
}

// A network learns on both machines as with Gorgonia's solver.
func TestNetwork(t *testing.T) {
	const lr = 0.02
	for _, test := range []struct {
		name  string
		train func(t *testing.T, solver gorgonia.Solver, of tensor.Dtype, steps int) []float64
		of    tensor.Dtype
		steps int
		k     float64 // bound of the relative difference of the losses
	}{
		{"TapeMachine", onTape, tensor.Float32, 400, 1e-2},
		{"LispMachine", onLisp, tensor.Float32, 100, 1e-2},
		{"TapeMachine, float64", onTape, tensor.Float64, 400, 1e-11},
		{"LispMachine, float64", onLisp, tensor.Float64, 100, 1e-11},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := adam.Default()
			c.LR = lr
			solver := adamgorgonia.New(c, adam.Options{})
			defer solver.Close()
			host := gorgonia.NewAdamSolver(gorgonia.WithLearnRate(lr))
			theirs := test.train(t, host, test.of, test.steps)
			ours := test.train(t, solver, test.of, test.steps)
			largest := 0.0
			for i := range ours {
				largest = max(largest, math.Abs(ours[i]-theirs[i])/theirs[i])
				if !(math.Abs(ours[i]-theirs[i]) <= test.k*theirs[i]) {
					t.Fatalf(
						"loss before step %d: %v, with Gorgonia's solver %v", i, ours[i], theirs[i])
				}
			}
			first, last := ours[0], ours[len(ours)-1]
			t.Logf("loss %v to %v, with Gorgonia's solver %v, largest difference %.2g", first, last,
				theirs[len(ours)-1], largest)
			if last > first/10 {
				t.Errorf("loss %v to %v: not learnt", first, last)
			}
		})
	}
}

// Tensors with one gradient in common get memory of their own by BindDualValues. Without it they
// are an error, not a wrong step.
func TestBindDualValues(t *testing.T) {
	for _, bind := range []bool{true, false} {
		g := gorgonia.NewGraph()
		node := func(name string) *gorgonia.Node {
			return gorgonia.NewVector(
				g, tensor.Float32, gorgonia.WithShape(3), gorgonia.WithName(name),
				gorgonia.WithValue(vector(1, 2, 3)))
		}
		params := gorgonia.Nodes{node("a"), node("b")}
		must := gorgonia.Must
		loss := must(gorgonia.Sum(must(gorgonia.Square(must(gorgonia.Add(params[0], params[1]))))))
		if _, err := gorgonia.Grad(loss, params...); err != nil {
			t.Fatal(err)
		}
		var options []gorgonia.VMOpt
		if bind {
			options = append(options, gorgonia.BindDualValues(params...))
		}
		vm := gorgonia.NewTapeMachine(g, options...)
		if err := vm.RunAll(); err != nil {
			t.Fatal(err)
		}
		solver := adamgorgonia.New(adam.Default(), adam.Options{})
		err := solver.Step(gorgonia.NodesToValueGrads(params))
		if bind && err != nil || !bind && !errors.Is(err, adam.ErrOverlap) {
			t.Errorf("BindDualValues %v: error %v", bind, err)
		}
		if err := vm.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
