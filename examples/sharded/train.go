package main

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"math/rand/v2"
	"time"

	"github.com/fusedadam/adam/examples/internal/checksum"
	"github.com/fusedadam/adam/examples/internal/transformer"
	"github.com/fusedadam/adam/schedule"
	"github.com/fusedadam/adam/zero"
)

const length = 64 // characters of a sequence

// A trainer is one rank of a training. What a step does depends on the number of completed steps
// and the leaf alone, so that a checkpoint of opt is all that a run needs to go on.
type trainer struct {
	options
	ranks           *counting // nil: one process without ranks
	text            transformer.Text
	net             *transformer.Network
	opt             optimizer
	rate            schedule.Schedule
	inputs, targets []int

	losses []float64 // of each leaf, summed up since the last line; 0 for other ranks' leaves
	began  time.Time
}

func newTrainer(text transformer.Text, o options, ranks zero.Comm) (*trainer, error) {
	const heads, layers, sequences = 2, 2, 1
	if o.every == 0 {
		o.every = max(1, o.steps/10)
	}
	t := &trainer{
		options: o,
		text:    text,
		net: transformer.New(transformer.Size{Alphabet: len(text.Alphabet), Context: length,
			Width: o.width, Heads: heads, Layers: layers}, o.seed, sequences),
		rate:    transformer.Rate(o.steps),
		inputs:  make([]int, sequences*length),
		targets: make([]int, sequences*length),
		losses:  make([]float64, o.leaves),
		began:   time.Now(),
	}
	var err error
	if ranks == nil {
		t.opt, err = newSingle(t.net, o.leaves)
	} else {
		t.ranks = &counting{Comm: ranks}
		t.opt, err = newSharded(t.net, o.leaves, t.ranks)
	}
	if err != nil {
		return nil, err
	}
	*t.opt.metadata() = map[string]string{"settings": fmt.Sprintf(
		"steps %d, leaves %d, width %d, learning rate %g, seed %d, %d characters", o.steps,
		o.leaves, o.width, o.lr, o.seed, len(text.IDs))}
	return t, nil
}

// train makes all steps that are left, and saves checkpoints.
func (t *trainer) train() error {
	t.print("\n  step   bits per character   seconds\n")
	for since := 0; t.opt.completed() < uint64(t.steps); {
		if err := t.step(); err != nil {
			return err
		}
		since++
		step := int(t.opt.completed())
		if step%t.every != 0 && step != t.steps {
			continue
		}
		loss, err := t.loss()
		if err != nil {
			return err
		}
		t.print("%6d   %18.3f   %7.1f\n", step, loss/float64(since),
			time.Since(t.began).Seconds())
		since = 0
		if t.save != "" {
			if err := t.opt.SaveFile(t.save); err != nil {
				return err
			}
		}
	}
	return nil
}

// loss returns the sum of the losses since the last line, in bits per character. It has the same
// bits for any number of ranks: all but one of the values that meet here are 0.
func (t *trainer) loss() (sum float64, err error) {
	all, err := t.gather(t.losses)
	for leaf := range t.leaves {
		of := 0.0
		for i := leaf; i < len(all); i += t.leaves {
			of += all[i]
		}
		sum += of
	}
	clear(t.losses)
	return sum / math.Ln2 / float64(t.leaves), err
}

// step makes the next step from all leaves of this rank.
func (t *trainer) step() error {
	done := t.opt.completed()
	from, to := t.opt.Leaves()
	for leaf := from; leaf < to; leaf++ {
		rng := rand.New(rand.NewPCG(t.seed, 1+done*uint64(t.leaves)+uint64(leaf)))
		t.text.Draw(rng, length, t.inputs, t.targets)
		t.losses[leaf] += t.net.Gradients(t.inputs, t.targets)
		if err := t.opt.Add(); err != nil {
			return err
		}
	}
	for i := range t.opt.groups() {
		t.opt.groups()[i].Config.LR = t.lr * t.rate(done)
	}
	_, err := t.opt.Step()
	return err
}

// load goes on from the checkpoint, if there is one.
func (t *trainer) load() error {
	settings := (*t.opt.metadata())["settings"]
	err := t.opt.LoadFile(t.save)
	if errors.Is(err, fs.ErrNotExist) {
		t.print("no checkpoint %s: from the beginning\n", t.save)
		return nil
	}
	if err != nil {
		return err
	}
	if saved := (*t.opt.metadata())["settings"]; saved != settings {
		return fmt.Errorf("%s is of a run with %q, not %q", t.save, saved, settings)
	}
	t.print("resumed after step %d\n", t.opt.completed())
	return nil
}

// report ends a run: all ranks must have the same parameters.
func (t *trainer) report() error {
	p, n, sent := float64(len(t.net.Memory.Values)), 1.0, 0.0
	if t.ranks != nil {
		n, sent = float64(t.ranks.Size()), float64(t.ranks.sent)
	}
	sum := checksum.Of(t.net.Memory.Values)
	all, err := t.gather([]float64{float64(sum), resident(), sent})
	if err != nil {
		return err
	}
	var memory, most float64
	for r := 0; r < len(all); r += 3 {
		if all[r] != float64(sum) {
			return fmt.Errorf("rank %d has other parameters", r/3)
		}
		memory, most = max(memory, all[r+1]), max(most, all[r+2])
	}
	t.print("\nmemory of a rank   %.1f MB, %.2f MB of it parameters, gradients and moments\n",
		memory/1e6, (8*p+8*p/n)/1e6)
	t.print("sent by a rank     %.1f MB in %.1f s\n", most/1e6, time.Since(t.began).Seconds())
	t.print("checksum %08x\n", sum)
	return nil
}

// gather returns the values of all ranks, which have as many.
func (t *trainer) gather(own []float64) ([]float64, error) {
	if t.ranks == nil {
		return own, nil
	}
	words, counts := make([]uint64, len(own)), make([]int, t.ranks.Size())
	for i, x := range own {
		words[i] = math.Float64bits(x)
	}
	for r := range counts {
		counts[r] = len(own)
	}
	words, err := t.ranks.Gather(words, counts)
	all := make([]float64, len(words))
	for i, x := range words {
		all[i] = math.Float64frombits(x)
	}
	return all, err
}

func (t *trainer) where() string {
	if t.ranks == nil {
		return "one process"
	}
	return fmt.Sprintf("%d ranks", t.ranks.Size())
}

func (t *trainer) print(format string, a ...any) {
	if t.ranks == nil || t.ranks.Rank() == 0 {
		fmt.Printf(format, a...)
	}
}
