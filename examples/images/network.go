package main

import (
	"math"
	"math/rand/v2"
	"strings"

	"github.com/fusedadam/adam/examples/internal/digits"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// kernel is the side of the square of pixels that a convolution looks at.
const kernel = 5

// sizes of a network: the side of its images, the channels of its two convolutions and its hidden
// units.
type sizes struct{ side, conv1, conv2, hidden int }

// standard has 215 370 parameters, most of them in the hidden layer.
var standard = sizes{side: digits.Side, conv1: 16, conv2: 32, hidden: 128}

// features returns how many numbers the convolutions make of an image: each halves the sides.
func (s sizes) features() int {
	side := (s.side + 1) / 2
	side = (side + 1) / 2
	return s.conv2 * side * side
}

// parameter is a tensor that is trained. Networks share it: each reads value in place.
type parameter struct {
	name  string
	value *tensor.Dense
}

func isBias(name string) bool { return strings.HasSuffix(name, ".bias") }

// newParameters returns the parameters in the order in which the layers take them: normal random
// weights with the variance 2/inputs, by which rectified linear units keep that of the signal (He
// et al., 2015), and biases of 0.
func newParameters(rng *rand.Rand, s sizes) []parameter {
	var params []parameter
	add := func(name string, shape ...int) {
		params = append(params,
			parameter{name, tensor.New(tensor.WithShape(shape...), tensor.Of(tensor.Float32))})
	}
	weight := func(name string, inputs int, shape ...int) {
		add(name, shape...)
		values := params[len(params)-1].value.Float32s()
		for i := range values {
			values[i] = float32(rng.NormFloat64() * math.Sqrt(2/float64(inputs)))
		}
	}
	weight("conv1.weight", kernel*kernel, s.conv1, 1, kernel, kernel)
	add("conv1.bias", 1, s.conv1, 1, 1)
	weight("conv2.weight", s.conv1*kernel*kernel, s.conv2, s.conv1, kernel, kernel)
	add("conv2.bias", 1, s.conv2, 1, 1)
	weight("hidden.weight", s.features(), s.features(), s.hidden)
	add("hidden.bias", 1, s.hidden)
	weight("output.weight", s.hidden, s.hidden, digits.Classes)
	add("output.bias", 1, digits.Classes)
	return params
}

// network is the graph of two convolutions, a hidden layer and the output for a batch of images,
// and the machine that runs it. The size of the batch is part of a graph.
type network struct {
	images *tensor.Dense // read by run: batch × 1 × side × side
	// as well, where there is a loss: batch × Classes × 1, -1/batch for the label of an image, else
	// 0
	targets *tensor.Dense
	params  gorgonia.Nodes // their gradients, where there is a loss, are added to by run
	logits  *gorgonia.Node // set by run: batch × Classes
	loss    *gorgonia.Node // set by run: mean of the batch; nil in a network without it
	machine gorgonia.VM
}

// newNetwork returns a network with the given parameters, with a loss and gradients only if they
// are asked for.
func newNetwork(params []parameter, s sizes, batch int, withLoss bool) (*network, error) {
	g := gorgonia.NewGraph()
	must := gorgonia.Must
	node := func(name string, v *tensor.Dense) *gorgonia.Node {
		return gorgonia.NewTensor(g, tensor.Float32, v.Dims(), gorgonia.WithShape(v.Shape()...),
			gorgonia.WithName(name), gorgonia.WithValue(v))
	}
	n := &network{images: tensor.New(tensor.WithShape(batch, 1, s.side, s.side),
		tensor.Of(tensor.Float32))}
	for _, p := range params {
		n.params = append(n.params, node(p.name, p.value))
	}
	p := n.params

	// Strides take the place of pooling, before which a convolution would have four times the work.
	conv := func(x, weight, bias *gorgonia.Node) *gorgonia.Node {
		y := must(gorgonia.Conv2d(x, weight, tensor.Shape{kernel, kernel},
			[]int{kernel / 2, kernel / 2}, []int{2, 2}, []int{1, 1}))
		return must(gorgonia.Rectify(must(gorgonia.BroadcastAdd(y, bias, nil, []byte{0, 2, 3}))))
	}
	dense := func(x, weight, bias *gorgonia.Node) *gorgonia.Node {
		return must(gorgonia.BroadcastAdd(must(gorgonia.Mul(x, weight)), bias, nil, []byte{0}))
	}
	x := conv(node("images", n.images), p[0], p[1])
	x = conv(x, p[2], p[3])
	x = must(gorgonia.Reshape(x, tensor.Shape{batch, s.features()}))
	x = must(gorgonia.Rectify(dense(x, p[4], p[5])))
	n.logits = dense(x, p[6], p[7])
	if !withLoss {
		n.machine = gorgonia.NewTapeMachine(g)
		return n, nil
	}

	// Along the last axis, LogSoftMax of gorgonia.org/tensor v0.9.24 takes the first logit of the
	// batch for the first of each row when it looks for the largest, and ends in NaN where they lie
	// far apart. So the classes are not the last.
	shape := tensor.Shape{batch, digits.Classes, 1}
	n.targets = tensor.New(tensor.WithShape(shape...), tensor.Of(tensor.Float32))
	logs := must(gorgonia.LogSoftMax(must(gorgonia.Reshape(n.logits, shape)), 1))
	n.loss = must(gorgonia.Sum(must(gorgonia.HadamardProd(logs, node("targets", n.targets)))))
	if _, err := gorgonia.Grad(n.loss, n.params...); err != nil {
		return nil, err
	}
	n.machine = gorgonia.NewTapeMachine(g, gorgonia.BindDualValues(n.params...))
	return n, nil
}

// run computes what the network is for from the images and the targets.
func (n *network) run() error {
	n.machine.Reset()
	return n.machine.RunAll()
}
