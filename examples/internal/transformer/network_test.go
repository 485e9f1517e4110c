package transformer

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/fusedadam/adam/examples/internal/gradcheck"
	"github.com/fusedadam/adam/examples/internal/layers"
)

var tiny = Size{Alphabet: 5, Context: 6, Width: 8, Heads: 2, Layers: 2}

// random returns n indices of the alphabet.
func random(rng *rand.Rand, s Size, n int) []int {
	ids := make([]int, n)
	for i := range ids {
		ids[i] = rng.IntN(s.Alphabet)
	}
	return ids
}

// The gradients of the whole network, of three sequences, agree with central differences of the
// loss.
func TestGradients(t *testing.T) {
	const batch = 3
	n := New(tiny, 1, batch)
	rng := rand.New(rand.NewPCG(2, 0))
	for i := range n.Memory.Values {
		n.Memory.Values[i] += float32(0.3 * rng.NormFloat64()) // biases and gains of their own
	}
	inputs, targets := random(rng, tiny, batch*tiny.Context), random(rng, tiny, batch*tiny.Context)
	loss := func() float64 { return n.Gradients(inputs, targets) }
	loss() // whose gradients the next call must set, not add to
	decaying, others := n.Params()
	for _, p := range append(decaying, others...) {
		gradcheck.Check(t, p.Name, p.Value, p.Grad, 1.0/128, 1e-4, loss, func() { loss() })
	}
}

// A character changes the prediction at its place and those after it, and leaves those before it
// the same to the bit.
func TestCausality(t *testing.T) {
	r := New(tiny, 1, 1).Replicas[0]
	ids := random(rand.New(rand.NewPCG(3, 0)), tiny, tiny.Context)
	for changed := range ids {
		before := slices.Clone(r.Forward(ids).Data)
		ids[changed] = (ids[changed] + 1) % tiny.Alphabet
		after := r.Forward(ids)
		for i := range after.Rows {
			same := slices.Equal(layers.Row(after, i), before[i*tiny.Alphabet:][:tiny.Alphabet])
			if want := i < changed; same != want {
				t.Errorf("character %d changed, position %d: the same logits: %v, want %v", changed,
					i, same, want)
			}
		}
	}
}

// The tensors cover the two slices, and those that decay are the weights of the dense layers.
func TestParams(t *testing.T) {
	n := New(tiny, 1, 2)
	decaying, others := n.Params()
	count := 0
	for _, p := range decaying {
		count += len(p.Value)
	}
	if want := tiny.Layers*12*tiny.Width*tiny.Width + tiny.Width*tiny.Alphabet; count != want {
		t.Errorf("%d parameters decay, want %d", count, want)
	}
	for _, p := range append(decaying, others...) {
		for i := range p.Value {
			p.Value[i], p.Grad[i] = 7, 7
		}
	}
	for i := range n.Memory.Values {
		if n.Memory.Values[i] != 7 || n.Memory.Grads[i] != 7 ||
			n.Replicas[1].memory.Values[i] != 7 {
			t.Fatalf("parameter %d belongs to no tensor, or not to all replicas", i)
		}
	}
}
