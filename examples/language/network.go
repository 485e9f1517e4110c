package main

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"

	"github.com/fusedadam/adam"
	"github.com/fusedadam/adam/examples/internal/layers"
	"gonum.org/v1/gonum/blas/blas32"
)

// size is the size of a network.
type size struct {
	alphabet, context, width, heads, layers int
}

// parameters returns their number.
func (s size) parameters() int {
	block := 2*layers.LayerNormSize(s.width) + layers.DenseSize(s.width, 3*s.width) +
		layers.DenseSize(s.width, s.width) +
		layers.DenseSize(s.width, 4*s.width) + layers.DenseSize(4*s.width, s.width)
	return layers.EmbeddingSize(s.alphabet+s.context, s.width) + s.layers*block +
		layers.LayerNormSize(s.width) + layers.DenseSize(s.width, s.alphabet)
}

// network is a transformer that predicts each next character of a sequence from those before it:
// that of GPT-2, small, and with a matrix of its own for the output.
//
// Each sequence of a batch has a replica, and they work at the same time. Their gradients are added
// in their order, so the result has the same bits with any number of cores.
type network struct {
	size
	memory   *layers.Memory // of all parameters, and of their gradients by the mean loss of a batch
	replicas []*replica
}

// newNetwork returns a network for batches of so many sequences.
func newNetwork(s size, seed uint64, batch int) *network {
	values := make([]float32, s.parameters())
	n := &network{size: s}
	for range batch {
		// All write the same initial parameters.
		n.replicas = append(n.replicas, newReplica(s, values, rand.New(rand.NewPCG(seed, 0))))
	}
	n.memory = n.replicas[0].memory
	return n
}

// params returns all tensors. Those that decay are the weights of the dense layers; as usual with
// GPT-2, biases, gains and embeddings do not.
func (n *network) params() (decaying, others []adam.Param) {
	for _, p := range n.memory.Params() {
		layer, tensor, _ := strings.Cut(p.Name, ".")
		if tensor == "weight" && layer != tokens && layer != positions {
			decaying = append(decaying, p)
		} else {
			others = append(others, p)
		}
	}
	return decaying, others
}

// gradients sets the gradients of all parameters and returns the loss: both are means over the
// characters of the batch, whose sequences lie one after the other in inputs and in targets.
func (n *network) gradients(inputs, targets []int) float64 {
	losses := make([]float64, len(n.replicas))
	n.each(func(i int, r *replica) {
		losses[i] = r.gradients(inputs[i*n.context:][:n.context], targets[i*n.context:][:n.context])
	})
	loss := 0.0
	for i, r := range n.replicas {
		loss += losses[i]
		if i > 0 {
			add(r.memory.Grads, n.memory.Grads)
		}
	}
	batch := float64(len(n.replicas))
	blas32.Scal(float32(1/batch), vector(n.memory.Grads))
	return loss / batch
}

// each calls f for all replicas at once, and waits.
func (n *network) each(f func(i int, r *replica)) {
	var wg sync.WaitGroup
	for i, r := range n.replicas {
		wg.Go(func() { f(i, r) })
	}
	wg.Wait()
}

func vector(x []float32) blas32.Vector { return blas32.Vector{N: len(x), Inc: 1, Data: x} }

// add adds x to y.
func add(x, y []float32) { blas32.Axpy(1, vector(x), vector(y)) }

// Names of layers.
const (
	tokens    = "tokens"
	positions = "positions"
)

// replica has the layers of a network, over the parameters that all replicas share, with its own
// gradients, and the activations of one sequence.
type replica struct {
	memory            *layers.Memory
	tokens, positions *layers.Embedding
	blocks            []*block
	norm              *layers.LayerNorm
	output            *layers.Dense

	order  []int            // 0, 1, 2, …
	stream []blas32.General // the residual stream, before each block and after the last
	last   blas32.General   // the same, normalized
	z, dz  blas32.General   // logits
	work   derivatives
}

// derivatives are those by the residual stream, by what a normalization or attention gives, by the
// projections, and by the hidden units. All blocks use the same matrices.
type derivatives struct {
	dx, dinput, dprojections, dhidden blas32.General
}

func newReplica(s size, values []float32, rng *rand.Rand) *replica {
	m := &layers.Memory{Values: values, Grads: make([]float32, len(values))}
	matrix := func(cols int) blas32.General { return layers.NewMatrix(s.context, cols) }
	const deviation = 0.3 // a network as small as this learns more slowly with the 0.02 of GPT-2
	r := &replica{
		memory:    m,
		tokens:    layers.NewEmbedding(m, rng, tokens, s.alphabet, s.width, deviation),
		positions: layers.NewEmbedding(m, rng, positions, s.context, s.width, deviation),
		stream:    []blas32.General{matrix(s.width)},
		last:      matrix(s.width),
		z:         matrix(s.alphabet),
		dz:        matrix(s.alphabet),
		work: derivatives{matrix(s.width), matrix(s.width), matrix(3 * s.width),
			matrix(4 * s.width)},
	}
	for i := range s.layers {
		r.blocks = append(r.blocks, newBlock(m, rng, fmt.Sprintf("block%d", i), s))
		r.stream = append(r.stream, matrix(s.width))
	}
	r.norm = layers.NewLayerNorm(m, "norm", s.width)
	r.output = layers.NewDense(m, rng, "output", s.width, s.alphabet)
	// at first, all characters are almost equally probable
	layers.Normal(rng, r.output.W.Data, 0.02)
	for i := range s.context {
		r.order = append(r.order, i)
	}
	return r
}

// forward returns the logits of the character after each of a sequence, valid until the next call.
func (r *replica) forward(ids []int) blas32.General {
	x := r.stream[0]
	clear(x.Data)
	r.tokens.Forward(ids, x)
	r.positions.Forward(r.order, x)
	for i, b := range r.blocks {
		b.forward(r.stream[i], r.stream[i+1])
	}
	r.norm.Forward(r.stream[len(r.blocks)], r.last)
	r.output.Forward(r.last, r.z)
	return r.z
}

// gradients sets the gradients of the replica and returns the loss: both are means over the
// characters of a sequence.
func (r *replica) gradients(inputs, targets []int) float64 {
	loss := layers.CrossEntropy(r.forward(inputs), targets, r.dz)
	r.output.Backward(r.last, r.dz)
	r.output.BackwardInput(r.dz, r.work.dinput)
	clear(r.work.dx.Data)
	r.norm.Backward(r.stream[len(r.blocks)], r.work.dinput, r.work.dx)
	for i, b := range slices.Backward(r.blocks) {
		b.backward(r.stream[i], r.work)
	}
	r.tokens.Backward(inputs, r.work.dx)
	r.positions.Backward(r.order, r.work.dx)
	return loss
}

// block adds to the residual stream what attention gives, and then what a network with one hidden
// layer does, each of which sees the stream normalized.
type block struct {
	norm1     *layers.LayerNorm
	qkv       *layers.Dense
	attention *layers.Attention
	project   *layers.Dense
	norm2     *layers.LayerNorm
	expand    *layers.Dense
	contract  *layers.Dense

	input1, projections, heads blas32.General // what norm1, qkv and attention give
	middle                     blas32.General // the stream between the two
	// what norm2 gives; of the hidden units, derivatives and values
	input2, slopes, hidden blas32.General
}

func newBlock(m *layers.Memory, rng *rand.Rand, name string, s size) *block {
	matrix := func(cols int) blas32.General { return layers.NewMatrix(s.context, cols) }
	b := &block{
		norm1:       layers.NewLayerNorm(m, name+"/norm1", s.width),
		qkv:         layers.NewDense(m, rng, name+"/qkv", s.width, 3*s.width),
		attention:   layers.NewAttention(s.context, s.heads),
		project:     layers.NewDense(m, rng, name+"/project", s.width, s.width),
		norm2:       layers.NewLayerNorm(m, name+"/norm2", s.width),
		expand:      layers.NewDense(m, rng, name+"/expand", s.width, 4*s.width),
		contract:    layers.NewDense(m, rng, name+"/contract", 4*s.width, s.width),
		input1:      matrix(s.width),
		projections: matrix(3 * s.width),
		heads:       matrix(s.width),
		middle:      matrix(s.width),
		input2:      matrix(s.width),
		slopes:      matrix(4 * s.width),
		hidden:      matrix(4 * s.width),
	}
	// The variance is 1/inputs, and smaller for what is added to the stream, the more often that is
	// done, as with GPT-2.
	deviation := 1 / math.Sqrt(float64(s.width))
	share := 1 / math.Sqrt(float64(2*s.layers))
	layers.Normal(rng, b.qkv.W.Data, deviation)
	layers.Normal(rng, b.project.W.Data, deviation*share)
	layers.Normal(rng, b.expand.W.Data, deviation)
	layers.Normal(rng, b.contract.W.Data, deviation/2*share)
	return b
}

// forward sets y, the stream after the block, from x, that before it.
func (b *block) forward(x, y blas32.General) {
	b.norm1.Forward(x, b.input1)
	b.qkv.Forward(b.input1, b.projections)
	b.attention.Forward(b.projections, b.heads)
	b.project.Forward(b.heads, b.middle)
	add(x.Data, b.middle.Data)

	b.norm2.Forward(b.middle, b.input2)
	b.expand.Forward(b.input2, b.slopes)
	layers.GELU(b.slopes.Data, b.hidden.Data)
	b.contract.Forward(b.hidden, y)
	add(b.middle.Data, y.Data)
}

// backward turns d.dx, the derivative by the stream after the block, into that by x, the stream
// before it.
func (b *block) backward(x blas32.General, d derivatives) {
	b.contract.Backward(b.hidden, d.dx)
	b.contract.BackwardInput(d.dx, d.dhidden)
	layers.GELUBackward(b.slopes.Data, d.dhidden.Data)
	b.expand.Backward(b.input2, d.dhidden)
	b.expand.BackwardInput(d.dhidden, d.dinput)
	b.norm2.Backward(b.middle, d.dinput, d.dx)

	b.project.Backward(b.heads, d.dx)
	b.project.BackwardInput(d.dx, d.dinput)
	b.attention.Backward(b.projections, d.dinput, d.dprojections)
	b.qkv.Backward(b.input1, d.dprojections)
	b.qkv.BackwardInput(d.dprojections, d.dinput)
	b.norm1.Backward(x, d.dinput, d.dx)
}
