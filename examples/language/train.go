package main

import (
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/fusedadam/adam"
	"github.com/fusedadam/adam/examples/internal/layers"
	"github.com/fusedadam/adam/examples/internal/storage"
	"github.com/fusedadam/adam/examples/internal/transformer"
	"github.com/fusedadam/adam/internal/stats"
	"github.com/fusedadam/adam/schedule"
)

// trainer trains a network with one [adam.Optimizer].
type trainer struct {
	options
	text            transformer.Text
	net             *transformer.Network
	m, v            []float32 // moments of all parameters, which opt steps, if they are float32
	opt             *adam.Optimizer
	tensors         *storage.Tensors // of opt, nil if they are those of net
	rate            schedule.Schedule
	inputs, targets []int // the sequences of a step, one after the other

	trainTime, adamTime time.Duration // of all steps, and of the optimizer in them
}

func newTrainer(t transformer.Text, o options) (*trainer, error) {
	net := transformer.New(transformer.Size{Alphabet: len(t.Alphabet), Context: o.context,
		Width: o.width, Heads: o.heads, Layers: o.layers}, o.seed, o.batch)
	tr := &trainer{
		options: o,
		text:    t,
		net:     net,
		rate:    transformer.Rate(o.steps),
		inputs:  make([]int, o.batch*o.context),
		targets: make([]int, o.batch*o.context),
	}
	groups := net.Groups()
	if !o.storage.Float32() {
		groups, tr.tensors = o.storage.Groups(groups, o.seed)
	}
	var err error
	tr.opt, err = adam.New(adam.Options{MaxNorm: transformer.MaxNorm}, groups...)
	if err != nil {
		return nil, err
	}
	if tr.tensors == nil {
		tr.m, tr.v = flattenMoments(tr.opt, net.Memory)
	}
	return tr, nil
}

// flattenMoments lays the moments of all tensors into two slices, in the order of the parameters,
// as llm.c has them.
func flattenMoments(opt *adam.Optimizer, memory *layers.Memory) (m, v []float32) {
	m, v = make([]float32, len(memory.Values)), make([]float32, len(memory.Values))
	at := 0
	for _, p := range memory.Params() {
		end := at + len(p.Value)
		state := opt.State(p.Name)
		state.M, state.V = m[at:end:end], v[at:end:end]
		at = end
	}
	return m, v
}

// step makes the next step, on sequences from random places of the training part, and returns their
// loss before it, in bits per character.
func (t *trainer) step() (bits float64, err error) {
	start := time.Now()
	defer func() { t.trainTime += time.Since(start) }()
	bits = t.gradients()
	t.setRate()
	return bits, t.update()
}

// gradients sets the gradients of the next step and returns the loss in bits per character.
func (t *trainer) gradients() float64 {
	rng := rand.New(rand.NewPCG(t.seed, 1+t.opt.T))
	t.text.Draw(rng, t.context, t.inputs, t.targets)
	return t.net.Gradients(t.inputs, t.targets) / math.Ln2
}

// setRate sets the learning rate of the next step.
func (t *trainer) setRate() {
	for i := range t.opt.Groups {
		t.opt.Groups[i].Config.LR = t.lr * t.rate(t.opt.T)
	}
}

// update makes one optimizer step from the gradients in the network.
func (t *trainer) update() error {
	if t.tensors != nil {
		t.tensors.Grads()
		defer t.tensors.Values()
	}
	start := time.Now()
	_, err := t.opt.Step()
	t.adamTime += time.Since(start)
	return err
}

// window is a sequence of inputs from begin on, of whose predictions those from row first on count.
type window struct{ begin, first int }

// windows covers a text of n characters so that each from held on is predicted once, from a window
// of context characters of which at least half come before it. So windows begin half a window
// apart, the first of them in the training part, as the context of an n-gram does; the last is
// moved back to end where the text does.
func windows(held, n, context int) []window {
	var all []window
	for next := held; next < n; {
		begin := min(next-1-context/2, n-1-context)
		all = append(all, window{begin, next - 1 - begin})
		next = begin + context + 1
	}
	return all
}

// heldOut returns the mean bits per character of the part held out.
func (t *trainer) heldOut() float64 {
	all := windows(t.text.Held, len(t.text.IDs), t.context)
	sums := make([]float64, len(all))
	t.net.Each(func(i int, r *transformer.Replica) {
		for ; i < len(all); i += t.batch {
			begin, first := all[i].begin, all[i].first
			loss := r.Loss(t.text.IDs[begin:][:t.context], t.text.IDs[begin+1:][:t.context], first)
			sums[i] = loss * float64(t.context-first)
		}
	})
	sum := 0.0
	for _, s := range sums {
		sum += s
	}
	return sum / math.Ln2 / float64(len(t.text.IDs)-t.text.Held)
}

// sample goes on from the end of the training part for n characters, each drawn from the
// probabilities of the network to the power of 1/temperature. With temperature 0 it takes the most
// probable one.
func (t *trainer) sample(n int, temperature float64) string {
	rng := rand.New(rand.NewPCG(t.seed, math.MaxUint64))
	ids := slices.Clone(t.text.IDs[t.text.Held-t.context : t.text.Held])
	for range n {
		z := t.net.Replicas[0].Forward(ids[len(ids)-t.context:])
		ids = append(ids, draw(rng, layers.Row(z, t.context-1), temperature))
	}
	return t.text.Decode(ids[t.context:])
}

// draw returns an index of z, with the probabilities of its softmax to the power of 1/temperature.
func draw(rng *rand.Rand, z []float32, temperature float64) int {
	best := stats.Argmax(z)
	if temperature == 0 {
		return best
	}
	weights, sum := make([]float64, len(z)), 0.0
	for i, a := range z {
		weights[i] = math.Exp((float64(a) - float64(z[best])) / temperature)
		sum += weights[i]
	}
	r := sum * rng.Float64()
	for i, w := range weights {
		if r -= w; r < 0 {
			return i
		}
	}
	return best // what rounding has left of r
}
