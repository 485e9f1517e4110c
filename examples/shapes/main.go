// Command shapes trains six tiny networks, each in a program that keeps its tensors in another
// shape, as Go programs with an Adam of their own do:
//
//	go run ./examples/shapes
//
// Each shape is a file, whose comment says what the program looked like before and what changed:
// flat.go, rows.go, lazy.go, lora.go, nnue.go and float64.go. Products that meet a sum stand in
// float32(…) or float64(…), so that a training ends in the same bits on every machine.
package main

import (
	"flag"
	"fmt"
	"time"

	"github.com/fusedadam/adam"
	"github.com/fusedadam/adam/examples/internal/command"
)

// A result is what a training has come to.
type result struct {
	losses []float64 // of each step
	sum    uint32    // checksum of all parameters
	note   string    // what else there is to see
}

func (r *result) see(loss float64) { r.losses = append(r.losses, loss) }

// ends returns the mean losses of the first and of the last ten steps.
func (r *result) ends() (first, last float64) {
	for i := range 10 {
		first += r.losses[i] / 10
		last += r.losses[len(r.losses)-1-i] / 10
	}
	return first, last
}

var shapes = []struct {
	name  string
	train func(workers int) (result, error)
	below float64 // where the loss must end
}{
	{"flat", trainFlat, 0.001},
	{"rows", func(workers int) (result, error) { return trainRows(workers, 250) }, 0.1},
	{"lazy", func(int) (result, error) { return trainLazy() }, 0.001},
	{"lora", trainLoRA, 0.001},
	{"nnue", func(workers int) (result, error) { return trainNNUE(32, 600, workers) }, 2},
	{"float64", func(int) (result, error) { return trainFloat64() }, 1e-6},
}

func main() {
	workers := flag.Int("workers", 0, "`NUMBER` of goroutines of a step; 0: all cores")
	command.Run("shapes", func() error { return run(*workers) })
}

func run(workers int) error {
	fmt.Println("kernel", adam.Kernel())
	for _, s := range shapes {
		began := time.Now()
		r, err := s.train(workers)
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		first, last := r.ends()
		fmt.Printf("%s  loss %.4f, in the end %.6f  checksum %08x  %v  %s\n", s.name, first, last,
			r.sum, time.Since(began).Round(time.Millisecond), r.note)
		if !(last < s.below) {
			return fmt.Errorf("%s: the loss ends at %v, want less than %v", s.name, last, s.below)
		}
	}
	return nil
}
