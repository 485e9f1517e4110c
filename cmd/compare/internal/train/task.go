package train

import (
	"fmt"
	"hash/crc32"
	"math"
	"math/rand/v2"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// Task is a classifying network with its data.
type Task struct {
	Name                    string
	Title                   string // for charts
	Classes                 int
	Batch, Steps            int
	Train, Validation, Test Set
	Layers                  []Layer
	// Counts says how often each class is the label of a training example.
	Counts []int
	// Symbols are the names of the classes, where the first layer has a row for each; else nil.
	Symbols []string

	inputs  []int // the shape of an example
	forward func(x *gorgonia.Node, params gorgonia.Nodes) *gorgonia.Node
}

// Set is a number of examples. Fill writes example i to x, which is zero before, and returns its
// label.
type Set struct {
	N    int
	Fill func(i int, x []float32) (label int)
}

// Layer is a tensor of parameters.
type Layer struct {
	Name  string
	Shape []int
	// Bound is the largest absolute value that it begins with; it is uniformly distributed.
	Bound float64
}

// weights and bias are the tensors of a dense layer. Weights begin with the variance gain/inputs,
// biases with 0.
func weights(name string, inputs, outputs int, gain float64) Layer {
	return Layer{name, []int{inputs, outputs}, math.Sqrt(3 * gain / float64(inputs))}
}

func bias(name string, outputs int) Layer { return Layer{name, []int{1, outputs}, 0} }

// Parameters returns the number of parameters.
func (t *Task) Parameters() int {
	n := 0
	for _, l := range t.Layers {
		n += tensor.Shape(l.Shape).TotalSize()
	}
	return n
}

// initial returns parameters before training, the same for each seed.
func (t *Task) initial(seed uint64) []*tensor.Dense {
	rng := rand.New(rand.NewPCG(seed, 0))
	var params []*tensor.Dense
	for _, l := range t.Layers {
		p := tensor.New(tensor.WithShape(l.Shape...), tensor.Of(tensor.Float32))
		for i := range p.Float32s() {
			p.Float32s()[i] = float32(l.Bound * (2*rng.Float64() - 1))
		}
		params = append(params, p)
	}
	return params
}

// graph is the network for batches of one size. Several may have the parameters in common.
type graph struct {
	machine gorgonia.VM
	params  gorgonia.Nodes
	x, y    *tensor.Dense  // input, and -1/batch at each example's label
	logp    gorgonia.Value // logarithms of the probabilities of the classes
	loss    gorgonia.Value // mean cross entropy
	width   int            // elements of an example
	labels  []int
}

// newGraph builds the network on values; with gradients, if asked.
func (t *Task) newGraph(values []*tensor.Dense, batch int, gradients bool) (*graph, error) {
	shape := append([]int{batch * t.inputs[0]}, t.inputs[1:]...)
	n := &graph{
		x:      tensor.New(tensor.WithShape(shape...), tensor.Of(tensor.Float32)),
		y:      tensor.New(tensor.WithShape(batch, t.Classes), tensor.Of(tensor.Float32)),
		labels: make([]int, batch),
	}
	n.width = n.x.Size() / batch
	g := gorgonia.NewGraph()
	node := func(name string, v *tensor.Dense) *gorgonia.Node {
		return gorgonia.NewMatrix(g, tensor.Float32, gorgonia.WithName(name),
			gorgonia.WithShape(v.Shape()...), gorgonia.WithValue(v))
	}
	for i, v := range values {
		n.params = append(n.params, node(t.Layers[i].Name, v))
	}
	must := gorgonia.Must
	logp := must(gorgonia.LogSoftMax(t.forward(node("x", n.x), n.params), 1))
	gorgonia.Read(logp, &n.logp)
	loss := must(gorgonia.Sum(must(gorgonia.HadamardProd(logp, node("y", n.y)))))
	gorgonia.Read(loss, &n.loss)
	if !gradients {
		n.machine = gorgonia.NewTapeMachine(g)
		return n, nil
	}
	if _, err := gorgonia.Grad(loss, n.params...); err != nil {
		return nil, err
	}
	n.machine = gorgonia.NewTapeMachine(g, gorgonia.BindDualValues(n.params...))
	return n, nil
}

// dense is x·w+b.
func dense(x, w, b *gorgonia.Node) *gorgonia.Node {
	must := gorgonia.Must
	return must(gorgonia.BroadcastAdd(must(gorgonia.Mul(x, w)), b, nil, []byte{0}))
}

// run computes the network on the examples of set, one for each of the batch, and returns their
// mean loss.
func (n *graph) run(set Set, examples []int) (float64, error) {
	if len(examples) != len(n.labels) {
		return 0, fmt.Errorf("%d examples for a batch of %d", len(examples), len(n.labels))
	}
	x, y := n.x.Float32s(), n.y.Float32s()
	clear(x)
	clear(y)
	classes := len(y) / len(examples)
	for i, example := range examples {
		n.labels[i] = set.Fill(example, x[i*n.width:][:n.width])
		y[i*classes+n.labels[i]] = -1 / float32(len(examples))
	}
	n.machine.Reset()
	if err := n.machine.RunAll(); err != nil {
		return 0, err
	}
	return float64(n.loss.Data().(float32)), nil
}

// digest is a checksum of all that has been written to it.
type digest struct{ sum uint32 }

func (d *digest) add(words ...uint32) {
	var b [4]byte
	for _, w := range words {
		b = [4]byte{byte(w), byte(w >> 8), byte(w >> 16), byte(w >> 24)}
		d.sum = crc32.Update(d.sum, crc32.IEEETable, b[:])
	}
}
