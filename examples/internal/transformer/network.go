// Package transformer is what examples/language and examples/sharded have in common: a
// character-level transformer over blas32, its text, and how it is trained.
package transformer

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

// Size is the size of a network: characters in the alphabet and in a sequence, width of the
// residual stream, attention heads, blocks.
type Size struct {
	Alphabet, Context, Width, Heads, Layers int
}

// parameters returns their number.
func (s Size) parameters() int {
	block := 2*layers.LayerNormSize(s.Width) + layers.DenseSize(s.Width, 3*s.Width) +
		layers.DenseSize(s.Width, s.Width) +
		layers.DenseSize(s.Width, 4*s.Width) + layers.DenseSize(4*s.Width, s.Width)
	return layers.EmbeddingSize(s.Alphabet+s.Context, s.Width) + s.Layers*block +
		layers.LayerNormSize(s.Width) + layers.DenseSize(s.Width, s.Alphabet)
}

// Network is a transformer that predicts each next character of a sequence from those before it:
// that of GPT-2, small, and with a matrix of its own for the output.
//
// Each sequence of a batch has a replica, and they work at the same time. Their gradients are added
// in their order, so the result has the same bits with any number of cores.
type Network struct {
	Size
	Memory   *layers.Memory // of all parameters, and of their gradients by the mean loss of a batch
	Replicas []*Replica
}

// New returns a network for batches of so many sequences.
func New(s Size, seed uint64, batch int) *Network {
	values := make([]float32, s.parameters())
	n := &Network{Size: s}
	for range batch {
		// All write the same initial parameters.
		n.Replicas = append(n.Replicas, newReplica(s, values, rand.New(rand.NewPCG(seed, 0))))
	}
	n.Memory = n.Replicas[0].memory
	return n
}

// Params returns all tensors. Those that decay are the weights of the dense layers; as usual with
// GPT-2, biases, gains and embeddings do not.
func (n *Network) Params() (decaying, others []adam.Param) {
	for _, p := range n.Memory.Params() {
		layer, tensor, _ := strings.Cut(p.Name, ".")
		if tensor == "weight" && layer != tokens && layer != positions {
			decaying = append(decaying, p)
		} else {
			others = append(others, p)
		}
	}
	return decaying, others
}

// Gradients sets the gradients of all parameters and returns the loss: both are means over the
// characters of the batch, whose sequences lie one after the other in inputs and in targets.
func (n *Network) Gradients(inputs, targets []int) float64 {
	losses := make([]float64, len(n.Replicas))
	n.Each(func(i int, r *Replica) {
		losses[i] = r.gradients(inputs[i*n.Context:][:n.Context], targets[i*n.Context:][:n.Context])
	})
	loss := 0.0
	for i, r := range n.Replicas {
		loss += losses[i]
		if i > 0 {
			add(r.memory.Grads, n.Memory.Grads)
		}
	}
	batch := float64(len(n.Replicas))
	blas32.Scal(float32(1/batch), vector(n.Memory.Grads))
	return loss / batch
}

// Each calls f for all replicas at once, and waits.
func (n *Network) Each(f func(i int, r *Replica)) {
	var wg sync.WaitGroup
	for i, r := range n.Replicas {
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

// Replica has the layers of a network, over the parameters that all replicas share, with its own
// gradients, and the activations of one sequence.
type Replica struct {
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

func newReplica(s Size, values []float32, rng *rand.Rand) *Replica {
	m := &layers.Memory{Values: values, Grads: make([]float32, len(values))}
	matrix := func(cols int) blas32.General { return layers.NewMatrix(s.Context, cols) }
	const deviation = 0.3 // a network as small as this learns more slowly with the 0.02 of GPT-2
	r := &Replica{
		memory:    m,
		tokens:    layers.NewEmbedding(m, rng, tokens, s.Alphabet, s.Width, deviation),
		positions: layers.NewEmbedding(m, rng, positions, s.Context, s.Width, deviation),
		stream:    []blas32.General{matrix(s.Width)},
		last:      matrix(s.Width),
		z:         matrix(s.Alphabet),
		dz:        matrix(s.Alphabet),
		work: derivatives{matrix(s.Width), matrix(s.Width), matrix(3 * s.Width),
			matrix(4 * s.Width)},
	}
	for i := range s.Layers {
		r.blocks = append(r.blocks, newBlock(m, rng, fmt.Sprintf("block%d", i), s))
		r.stream = append(r.stream, matrix(s.Width))
	}
	r.norm = layers.NewLayerNorm(m, "norm", s.Width)
	r.output = layers.NewDense(m, rng, "output", s.Width, s.Alphabet)
	// at first, all characters are almost equally probable
	layers.Normal(rng, r.output.W.Data, 0.02)
	for i := range s.Context {
		r.order = append(r.order, i)
	}
	return r
}

// Forward returns the logits of the character after each of a sequence, valid until the next call.
func (r *Replica) Forward(ids []int) blas32.General {
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

// Loss returns the mean loss over the characters of a sequence from the one at first on.
func (r *Replica) Loss(inputs, targets []int, first int) float64 {
	z := r.Forward(inputs)
	z.Rows, z.Data = z.Rows-first, z.Data[first*z.Stride:]
	return layers.CrossEntropy(z, targets[first:], layers.Head(r.dz, z.Rows))
}

// gradients sets the gradients of the replica and returns the loss: both are means over the
// characters of a sequence.
func (r *Replica) gradients(inputs, targets []int) float64 {
	loss := layers.CrossEntropy(r.Forward(inputs), targets, r.dz)
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

func newBlock(m *layers.Memory, rng *rand.Rand, name string, s Size) *block {
	matrix := func(cols int) blas32.General { return layers.NewMatrix(s.Context, cols) }
	b := &block{
		norm1:       layers.NewLayerNorm(m, name+"/norm1", s.Width),
		qkv:         layers.NewDense(m, rng, name+"/qkv", s.Width, 3*s.Width),
		attention:   layers.NewAttention(s.Context, s.Heads),
		project:     layers.NewDense(m, rng, name+"/project", s.Width, s.Width),
		norm2:       layers.NewLayerNorm(m, name+"/norm2", s.Width),
		expand:      layers.NewDense(m, rng, name+"/expand", s.Width, 4*s.Width),
		contract:    layers.NewDense(m, rng, name+"/contract", 4*s.Width, s.Width),
		input1:      matrix(s.Width),
		projections: matrix(3 * s.Width),
		heads:       matrix(s.Width),
		middle:      matrix(s.Width),
		input2:      matrix(s.Width),
		slopes:      matrix(4 * s.Width),
		hidden:      matrix(4 * s.Width),
	}
	// The variance is 1/inputs, and smaller for what is added to the stream, the more often that is
	// done, as with GPT-2.
	deviation := 1 / math.Sqrt(float64(s.Width))
	share := 1 / math.Sqrt(float64(2*s.Layers))
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
