// Command recommend trains a small recommender twice from the same start: once its tables are
// stepped by the rows that a batch uses, as adam.Tables, once whole, as dense Adam does. The data
// are Go's own sources: which of 42 thousand names does each of 4.8 thousand files use?
//
//	go run ./examples/recommend
//
// A model that only knows how often a name is used has a loss of 0.5004. On the tenth of the uses
// that is held out, both come to less than half of that after as many steps: 0.2356 by rows and
// 0.2312 dense. A step by rows reads and writes 2.8 MB, and one of the whole tables 54 MB. rows.go
// gathers the rows of a batch with the sums of their gradients.
//
// The two are not the same algorithm: dense Adam moves a row on by its momentum after the batch
// that used it. At low learning rates it gains more by that: at 0.01 it ends at 0.2327, and rows at
// 0.2526.
//
// A seed repeats a run bit by bit with any kernel and any number of cores, as the checksum at the
// end shows. On another architecture gonum adds in another order, and another version of Go has
// other files.
package main

import (
	"errors"
	"flag"
	"fmt"
	"math"
	"slices"

	"github.com/fusedadam/adam"
	"github.com/fusedadam/adam/examples/internal/checksum"
	"github.com/fusedadam/adam/examples/internal/command"
)

type options struct {
	epochs, batch, negatives, width int
	lr                              float64
	seed                            uint64
	data                            string
}

func main() {
	var o options
	flag.IntVar(&o.epochs, "epochs", 4, "times that each pair of a file and a name is used")
	flag.IntVar(&o.batch, "batch", 512, "pairs of one step")
	flag.IntVar(&o.negatives, "negatives", 4, "names drawn for each pair")
	flag.IntVar(&o.width, "width", 32, "width of the vectors")
	flag.Float64Var(&o.lr, "lr", 0.02, "learning rate at first: it falls linearly to 0")
	flag.Uint64Var(&o.seed, "seed", 1, "seed of the vectors, of what is held out, and of the order")
	flag.StringVar(&o.data, "data", "",
		"`folder` with Go files (default: src in the folder that go env GOROOT names)")
	quick := flag.Bool("quick", false, "a run of some seconds: -epochs 1")
	command.Run("recommend", func() error {
		if *quick {
			o.epochs = 1
		}
		return run(o)
	})
}

// bytesPerElement is what a step reads and writes for an element of the gradient: the gradient for
// its norm, parameter, gradient and both moments, and all four written, the gradient with zeros.
const bytesPerElement = 4 * (1 + 4 + 4)

func run(o options) error {
	if o.epochs < 1 || o.batch < 1 || o.negatives < 1 || o.width < 1 {
		return errors.New("-epochs, -batch, -negatives and -width must be at least 1")
	}
	if !(o.lr >= 0) || math.IsInf(o.lr, 0) {
		return fmt.Errorf("-lr %v must be a finite number of at least 0", o.lr)
	}
	u, err := load(o.data, o.seed)
	if err != nil {
		return err
	}
	fmt.Printf("%d files, %d names, vectors of %d; %d pairs to train on, %d held out\n",
		len(u.files), len(u.names), o.width, len(u.train), len(u.held))
	fmt.Printf("Adam, %d steps of %d pairs with %d negatives each, seed %d, kernel %s\n",
		o.epochs*o.batches(u), o.batch, o.negatives, o.seed, adam.Kernel())
	sides := []string{"rows", "dense"}
	var trainers []*trainer
	for _, name := range sides {
		t, err := newTrainer(u, o, name == "dense")
		if err != nil {
			return err
		}
		defer t.opt.Close()
		trainers = append(trainers, t)
	}
	fmt.Printf("\nknowing only how often names are used: loss %.4f\n", baseline(o.negatives))
	fmt.Println("\nepoch  tables   loss   held out   ranked right   µs a step   MB a step")
	for epoch := range o.epochs {
		for i, t := range trainers {
			t.steps, t.elements, t.time = 0, 0, 0
			loss, err := t.epoch(epoch)
			if err != nil {
				return err
			}
			held, right := t.heldOut()
			n := float64(t.steps)
			fmt.Printf("%5d  %-6s %6.4f %10.4f %12.2f %% %11.0f %11.2f\n", epoch+1, sides[i], loss,
				held, 100*right, float64(t.time.Microseconds())/n,
				float64(t.elements)*bytesPerElement/n/1e6)
		}
	}
	rows := trainers[0]
	fmt.Println()
	for _, file := range []string{"net/http/server.go", "encoding/json/decode.go", "sort/sort.go"} {
		if i := slices.Index(u.files, file); i >= 0 {
			fmt.Printf("%s might also use %v\n", file, rows.recommend(int32(i), 8))
		}
	}
	m, d := rows.model, trainers[1].model
	fmt.Printf("checksum %08x\n", checksum.Of(m.files, m.names, d.files, d.names))
	return nil
}
