package main

// Four flat slices, as in llm.c and its ports to Go: the parameters of all tensors lie in one
// memory, their gradients and moments in three more of the same length.
//
// Before, loops went over them one after the other: for the norm, to scale the gradients by it, for
// AdamW (with math.Pow for each element), to zero the gradients. Nothing looked for NaN, and biases
// decayed like weights.
//
// Now one call does it all. The memories stay, and with them what saves and loads them: each tensor
// is a Param whose State is its part of m and v.

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"

	"github.com/fusedadam/adam"
	"github.com/fusedadam/adam/examples/internal/checksum"
)

type flat struct {
	params, grads, m, v []float32
	taken               int
}

// tensor cuts the next n elements from the four memories.
func (f *flat) tensor(name string, n int) adam.Param {
	a, b := f.taken, f.taken+n
	f.taken = b
	return adam.Param{Name: name, Value: f.params[a:b], Grad: f.grads[a:b],
		State: &adam.State{M: f.m[a:b], V: f.v[a:b]}}
}

// trainFlat trains a network to say which letter follows three others.
func trainFlat(workers int) (r result, err error) {
	const text = "pack my box with five dozen liquor jugs. "
	const alphabet = "abcdefghijklmnopqrstuvwxyz. "
	const in, hidden, out, steps = 3 * len(alphabet), 48, len(alphabet), 150
	const n = hidden*in + hidden + out*hidden + out
	f := &flat{make([]float32, n), make([]float32, n), make([]float32, n), make([]float32, n), 0}
	w1, b1 := f.tensor("w1", hidden*in), f.tensor("b1", hidden)
	w2, b2 := f.tensor("w2", out*hidden), f.tensor("b2", out)
	rng := rand.New(rand.NewPCG(1, 0))
	uniform(rng, w1.Value, 0.3)
	uniform(rng, w2.Value, 0.3)
	net := network{{w1.Value, b1.Value, w1.Grad, b1.Grad}, {w2.Value, b2.Value, w2.Grad, b2.Grad}}

	weights := adam.Group{Config: adam.DefaultW(), Params: []adam.Param{w1, w2}}
	biases := adam.Group{Config: adam.Default(), Params: []adam.Param{b1, b2}}
	weights.Config.LR, biases.Config.LR = 0.01, 0.01
	opt, err := adam.New(adam.Options{MaxNorm: 1, SkipNonFinite: true, ZeroGrad: true,
		Workers: workers}, weights, biases)
	if err != nil {
		return r, err
	}
	defer opt.Close()
	opt.GradScale = float64(len(text)) // the gradients are added up over the text
	for step := range steps {
		loss := 0.0
		for i := range text {
			x, want := make([]float32, in), make([]float32, out)
			for k := range 3 {
				x[k*out+strings.IndexByte(alphabet, text[(i+k)%len(text)])] = 1
			}
			want[strings.IndexByte(alphabet, text[(i+3)%len(text)])] = 1
			loss += net.learn(x, want)
		}
		if step == 20 {
			f.grads[n-1] = float32(math.Inf(1)) // as if the loss had overflowed
		}
		stats, err := opt.Step()
		if err != nil {
			return r, err
		}
		if stats.Skipped {
			r.note = fmt.Sprintf("skipped step %d: %s is not finite", step, stats.NonFinite)
		}
		r.see(loss / float64(len(text)))
	}
	r.sum = checksum.Of(f.params)
	return r, nil
}
