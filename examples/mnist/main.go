// Command mnist trains a 784-128-10 network on the handwritten digits of MNIST with one Optimizer
// of package adam: clipping by norm, warm-up and cosine, decay of the weights only. Plain Go code
// does the same to a copy of the parameters, with the same gradients; the report compares the two.
//
//	go run ./examples/mnist
//	go run ./examples/mnist -checkpoint mnist.safetensors -resume
//
// The second can be stopped at any time, by Ctrl-C or by force; the same command goes on from the
// last checkpoint, and ends with the bits of a run that was never stopped.
//
// The network reads only the parameters that adam steps, on every core, and taking them back costs
// adam time that the plain loop does not spend: the two meet on equal terms with GOMAXPROCS=1.
//
// A seed repeats a run bit by bit, as the checksum at the end shows: gonum adds up each element of
// a product in an order that neither scheduling nor the number of cores changes, and adam's kernels
// and any number of its workers give the same bits, so ADAM_KERNEL=generic ends in the same
// checksum. On another architecture gonum adds in another order.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"time"

	"github.com/fusedadam/adam"
	"github.com/fusedadam/adam/examples/internal/command"
	"github.com/fusedadam/adam/examples/internal/digits"
	"github.com/fusedadam/adam/internal/progress"
)

type options struct {
	epochs, batch, hidden, images int
	lr, clip                      float64
	seed                          uint64
	workers                       int
	data                          string

	checkpoint string
	every      int
	resume     bool
}

func main() {
	var o options
	flag.IntVar(&o.epochs, "epochs", 10, "passes over the training set")
	flag.IntVar(&o.batch, "batch", 128, "images of one step")
	flag.IntVar(&o.hidden, "hidden", 128, "hidden units")
	flag.IntVar(&o.images, "images", 0, "train on the first so many images (default: all)")
	flag.Float64Var(&o.lr, "lr", 3e-3,
		"highest learning rate: it rises for 1/20 of the steps, then falls along a cosine to 0")
	flag.Float64Var(&o.clip, "clip", 1,
		"largest norm of the gradients: larger ones are scaled down to it; 0: none are")
	flag.Uint64Var(&o.seed, "seed", 1, "seed of the initial weights and of the order of the images")
	flag.IntVar(&o.workers, "workers", 0,
		"goroutines that share a large step, as that of -hidden 4096 (default: all cores)")
	flag.StringVar(&o.data, "data", "",
		"`folder` of MNIST's four .gz files (default: in the module cache)")
	flag.StringVar(&o.checkpoint, "checkpoint", "", "`file` to save the state of the run to")
	flag.IntVar(&o.every, "every", 0, "steps between checkpoints (default: an epoch)")
	flag.BoolVar(&o.resume, "resume", false,
		"go on from the checkpoint, if there is one; without -resume it is written over")
	quick := flag.Bool("quick", false, "a run of a few seconds: -epochs 2")
	command.Run("mnist", func() error {
		if *quick {
			o.epochs = 2
		}
		return run(o)
	})
}

func run(o options) error {
	if o.epochs < 1 || o.batch < 1 || o.hidden < 1 {
		return errors.New("-epochs, -batch and -hidden must be at least 1")
	}
	if o.every < 0 {
		return errors.New("-every must be at least 0")
	}
	if o.resume && o.checkpoint == "" {
		return errors.New("-resume needs -checkpoint")
	}
	began := time.Now()
	train, test, err := digits.Load(o.data, o.images)
	if err != nil {
		return err
	}
	t, err := newTrainer(train, o)
	if err != nil {
		return err
	}
	defer t.opt.Close()
	fmt.Printf("%d-%d-%d network, %d images to train on, %d to test\n", digits.Pixels, o.hidden,
		digits.Classes, train.Count(), test.Count())
	fmt.Printf("AdamW, batches of %d, learning rate %g with warm-up and cosine, seed %d\n", o.batch,
		o.lr, o.seed)
	if o.resume {
		if err := resume(t); err != nil {
			return err
		}
	}
	stop := context.Background()
	if o.checkpoint != "" {
		var end context.CancelFunc
		stop, end = signal.NotifyContext(stop, os.Interrupt)
		defer end()
	}

	fmt.Println("\nepoch     loss   test accuracy   seconds")
	for t.opt.T < t.steps {
		epoch, seen := t.position()
		bar := progress.New(train.Count(), fmt.Sprintf("epoch %d/%d", epoch, o.epochs))
		bar.Add(seen)
		start, plain := time.Now(), t.plainTime
		loss, err := t.epoch(func(images int) error {
			bar.Add(images)
			return save(t, stop.Err() != nil)
		})
		if err != nil {
			bar.Clear()
			return err
		}
		seconds := (time.Since(start) - (t.plainTime - plain)).Seconds()
		fmt.Printf("%5d   %6.4f   %11.2f %%   %7.2f\n", epoch, loss, 100*t.accuracy(test), seconds)
	}
	report(t, t.accuracy(test), time.Since(began))
	return nil
}

// resume goes on from the checkpoint, if there is one, and says where.
func resume(t *trainer) error {
	err := t.resume(t.checkpoint)
	if errors.Is(err, fs.ErrNotExist) {
		fmt.Printf("no checkpoint %s: from the beginning\n", t.checkpoint)
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot resume: %w", err)
	}
	fmt.Printf("resumed after step %d of %d, without the plain loop, whose copy is not saved\n",
		t.opt.T, t.steps)
	if epoch, seen := t.position(); seen > 0 {
		fmt.Printf("the loss of epoch %d is that of its last %d images\n", epoch,
			t.set.Count()-seen)
	}
	return nil
}

// save writes a checkpoint after a step if it is time for one. If the run is to stop before its
// end, it returns an error that says so.
func save(t *trainer, stop bool) error {
	every := t.perEpoch
	if t.every > 0 {
		every = uint64(t.every)
	}
	last := t.opt.T == t.steps
	if t.checkpoint != "" && (t.opt.T%every == 0 || last || stop) {
		if err := t.opt.SaveFile(t.checkpoint); err != nil {
			return err
		}
	}
	if stop && !last {
		return fmt.Errorf(
			"interrupted after step %d of %d; the same command with -resume goes on from there",
			t.opt.T, t.steps)
	}
	return nil
}

func report(t *trainer, accuracy float64, total time.Duration) {
	parameters := 0
	for _, w := range t.params {
		parameters += len(w.Value)
	}
	optimizer := func(name string, spent time.Duration) {
		fmt.Printf("  %-21s %7.3f s %9.1f µs a step\n", name, spent.Seconds(),
			spent.Seconds()/float64(t.made)*1e6)
	}
	fmt.Printf("\ntest accuracy  %.2f %%\n", 100*accuracy)
	fmt.Printf("total time     %.1f s", total.Seconds())
	if t.copies != nil {
		fmt.Printf(", %.1f s of it in the plain loop, which the epochs' seconds leave out",
			t.plainTime.Seconds())
	}
	fmt.Println()
	if t.made > 0 {
		fmt.Printf("\noptimizer, %d steps of %d parameters in %d tensors", t.made, parameters,
			len(t.params))
		if t.clip > 0 {
			fmt.Printf(", %d of them clipped to norm %g", t.clipped, t.clip)
		}
		fmt.Println()
		optimizer("adam, kernel "+adam.Kernel(), t.adamTime)
	}
	if t.copies != nil {
		optimizer("plain Go loop", t.plainTime)
		fmt.Printf("  adam is %.1f times as fast as the plain loop\n",
			t.plainTime.Seconds()/t.adamTime.Seconds())
		fmt.Printf(
			"\nlargest difference between a parameter of adam's and the plain loop's: %.1e\n",
			t.distance())
	} else {
		fmt.Println()
	}
	fmt.Printf("checksum of adam's parameters: %08x\n", t.checksum())
}
