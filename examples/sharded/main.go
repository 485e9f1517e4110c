// Command sharded trains the transformer of examples/language over MPI: each rank computes the
// gradients of its share of the batch and has its share of the moments. It needs cgo and Open MPI,
// and is no part of the workspace, which does not.
//
//	cd examples/sharded
//	GOWORK=off go build
//	mpirun -n 2 ./sharded
//
// The last line is a checksum of the parameters. It is the same for any number of ranks from 1 to
// -leaves, and with -single, which is one process without MPI and without package zero: there an
// adam.Optimizer steps the sum of the leaves. The data of a leaf depend on -seed, the step and the
// leaf alone.
//
//	mpirun -n 4 ./sharded -save model.safetensors
//	mpirun -n 3 ./sharded -save model.safetensors -resume
//
// A job that was stopped, by force too, goes on from its last checkpoint with as many ranks as
// there are, and ends in the same bits.
package main

import (
	"errors"
	"flag"
	"fmt"

	"github.com/fusedadam/adam/examples/internal/command"
	"github.com/fusedadam/adam/examples/internal/transformer"
	"github.com/fusedadam/adam/zero"
	"github.com/fusedadam/adam/zero/mpi"
)

type options struct {
	steps, leaves, width int
	lr                   float64
	seed                 uint64
	data, save           string
	every                int
	resume               bool
}

func main() {
	var o options
	flag.IntVar(&o.steps, "steps", 2000, "optimizer steps")
	flag.IntVar(&o.leaves, "leaves", 8,
		"parts of a batch, each a sequence: a power of two, at least the number of ranks")
	flag.IntVar(&o.width, "width", 128, "width of the residual stream, an even number")
	flag.Float64Var(&o.lr, "lr", 4e-3, "highest learning rate")
	flag.Uint64Var(&o.seed, "seed", 1, "seed of the initial weights and of the data")
	flag.StringVar(&o.data, "data", "",
		"text `file` in UTF-8 (default: the Opticks in the folder that go env GOROOT names)")
	flag.StringVar(&o.save, "save", "", "`file` to save the state of the run to")
	flag.IntVar(&o.every, "every", 0,
		"steps between two lines, and two checkpoints (default: a tenth of all)")
	flag.BoolVar(&o.resume, "resume", false, "go on from the checkpoint, if there is one")
	single := flag.Bool("single", false, "one process, without MPI")
	quick := flag.Bool("quick", false, "a run of some seconds: -steps 150 -width 64")
	command.Run("sharded", func() error {
		if *quick {
			o.steps, o.width = 150, 64
		}
		if *single {
			return run(o, nil)
		}
		mpi.Run(func(w *mpi.World) error { return run(o, w) })
		return nil
	})
}

func (o *options) validate() error {
	switch {
	case o.steps < 1 || o.width < 2 || o.width%2 != 0 || o.every < 0:
		return errors.New("-steps must be at least 1, -width even, -every at least 0")
	case o.leaves < 1:
		return errors.New("-leaves must be at least 1")
	case o.resume && o.save == "":
		return errors.New("-resume needs -save")
	}
	return nil
}

// run trains on one rank; without ranks, alone. Rank 0 tells how it goes.
func run(o options, ranks zero.Comm) error {
	if err := o.validate(); err != nil {
		return err
	}
	text, err := transformer.Load(o.data)
	if err != nil {
		return err
	}
	if text.Held <= length {
		return fmt.Errorf("%d characters to train on are too few", text.Held)
	}
	t, err := newTrainer(text, o, ranks)
	if err != nil {
		return err
	}
	defer t.opt.Close()
	t.print("transformer %d wide, %d parameters; a step is %d leaves of %d characters, on %s\n",
		o.width, len(t.net.Memory.Values), o.leaves, length, t.where())
	if o.resume {
		if err := t.load(); err != nil {
			return fmt.Errorf("cannot resume: %w", err)
		}
	}
	if err := t.train(); err != nil {
		return err
	}
	return t.report()
}
