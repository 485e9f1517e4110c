// Command mnist trains a 784-128-10 network on the handwritten digits of MNIST. Package adam steps
// the parameters, one State per tensor. A loop in plain Go steps a copy of them with the same
// gradients; the report compares the two.
//
//	go run ./examples/mnist
//
// The network reads only the parameters that adam steps, on every core, and taking them back costs
// adam time that the plain loop does not spend: the two meet on equal terms with GOMAXPROCS=1.
//
// A seed repeats a run bit by bit, as the checksum at the end shows: gonum adds up each element of a
// product in an order that neither scheduling nor the number of cores changes, and adam's kernels
// all give the same bits, so ADAM_KERNEL=generic ends in the same checksum. On another architecture
// gonum adds in another order.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/fusedadam/adam"
	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

type options struct {
	epochs, batch int
	lr            float64
	seed          uint64
	data          string
}

func main() {
	var o options
	flag.IntVar(&o.epochs, "epochs", 10, "passes over the training set")
	flag.IntVar(&o.batch, "batch", 128, "images of one step")
	flag.Float64Var(&o.lr, "lr", 3e-3, "learning rate of the first step; it falls linearly to 0")
	flag.Uint64Var(&o.seed, "seed", 1, "seed of the initial weights and of the order of the images")
	flag.StringVar(&o.data, "data", "", "`folder` of MNIST's four .gz files (default: in the module cache)")
	quick := flag.Bool("quick", false, "a run of a few seconds: -epochs 2")
	flag.Parse()
	if *quick {
		o.epochs = 2
	}
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "mnist: unexpected argument %q\n", flag.Arg(0))
		flag.Usage()
		os.Exit(2)
	}
	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, "mnist:", err)
		os.Exit(1)
	}
}

func run(o options) error {
	if o.epochs < 1 || o.batch < 1 {
		return errors.New("-epochs and -batch must be at least 1")
	}
	began := time.Now()
	train, test, err := load(o.data)
	if err != nil {
		return err
	}
	t := newTrainer(train.Count(), o.epochs, o.batch, o.lr, o.seed)
	fmt.Printf("%d-%d-%d network, %d images to train on, %d to test\n", pixels, hiddenUnits, classes, train.Count(), test.Count())
	fmt.Printf("AdamW, batches of %d, learning rate from %g linearly to 0, seed %d\n\n", o.batch, o.lr, o.seed)
	fmt.Println("epoch     loss   test accuracy   seconds")
	accuracy := 0.0
	for epoch := 1; epoch <= o.epochs; epoch++ {
		bar := progressbar.NewOptions(train.Count(),
			progressbar.OptionSetWriter(os.Stderr),
			progressbar.OptionSetVisibility(term.IsTerminal(int(os.Stderr.Fd()))),
			progressbar.OptionSetDescription(fmt.Sprintf("epoch %d/%d", epoch, o.epochs)),
			progressbar.OptionThrottle(100*time.Millisecond),
			progressbar.OptionClearOnFinish())
		start, plain := time.Now(), t.plainTime
		loss, err := t.epoch(train, func(images int) { bar.Add(images) })
		if err != nil {
			return err
		}
		seconds := (time.Since(start) - (t.plainTime - plain)).Seconds()
		accuracy = t.accuracy(test)
		fmt.Printf("%5d   %6.4f   %11.2f %%   %7.2f\n", epoch, loss, 100*accuracy, seconds)
	}
	report(t, accuracy, time.Since(began))
	return nil
}

func report(t *trainer, accuracy float64, total time.Duration) {
	parameters := 0
	for _, w := range t.tensors {
		parameters += len(w.p)
	}
	optimizer := func(name string, spent time.Duration) {
		fmt.Printf("  %-21s %7.3f s %9.1f µs a step\n", name, spent.Seconds(), spent.Seconds()/float64(t.step)*1e6)
	}
	fmt.Printf("\ntest accuracy  %.2f %%\n", 100*accuracy)
	fmt.Printf("total time     %.1f s, %.1f s of it in the plain loop, which the epochs' seconds leave out\n", total.Seconds(), t.plainTime.Seconds())
	fmt.Printf("\noptimizer, %d steps of %d parameters in %d tensors\n", t.step, parameters, len(t.tensors))
	optimizer("adam, kernel "+adam.Kernel(), t.adamTime)
	optimizer("plain Go loop", t.plainTime)
	fmt.Printf("  adam is %.1f times as fast as the plain loop\n", t.plainTime.Seconds()/t.adamTime.Seconds())
	fmt.Printf("\nlargest difference between a parameter of adam's and the plain loop's: %.1e\n", t.distance())
	fmt.Printf("checksum of adam's parameters: %08x\n", t.checksum())
}
