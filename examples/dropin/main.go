// Command dropin shows how package adam takes the place of the AdamW loops of Go programs that have
// slices of their own, and measures what that gains:
//
//	go run ./examples/dropin
//
// flat.go, layers.go and gradients.go have a shape of such programs each, the loop before and the
// step after. The old loop and the new steps take turns in one run, on the same slices.
package main

import (
	"flag"
	"fmt"
	"runtime"
	"time"

	"github.com/fusedadam/adam"
	"github.com/fusedadam/adam/examples/internal/command"
	"github.com/fusedadam/adam/internal/models"
	"github.com/fusedadam/adam/internal/progress"
)

func main() {
	quick := flag.Bool("quick", false,
		"a run of a few seconds: without GPT-2, which takes 3.2 GB of memory")
	command.Run("dropin", func() error {
		networks, each := models.All, 3*time.Second
		if *quick {
			networks, each = networks[:2], time.Second/4
		}
		return run(networks, each)
	})
}

// run measures all shapes of the networks, each for about the given time.
func run(networks []models.Model, each time.Duration) error {
	began := time.Now()
	fmt.Printf("kernel %s; time of a step and how many times as fast it is as the loop before;\n"+
		"medians of rounds in which loop and steps took turns on the same slices\n\n"+
		"| | before | after, 1 worker | | after, %d workers | |\n|---|---|---|---|---|---|\n",
		adam.Kernel(), runtime.GOMAXPROCS(0))
	for _, m := range networks {
		fmt.Printf("| **%s**, %d parameters in %d tensors | | | | | |\n", m.Name, m.Parameters(),
			len(m.Tensors))
		for _, shape := range shapes {
			bar := progress.New(int(each.Milliseconds()), m.Name+", "+shape.name)
			r, err := measure(shape.make(m.Tensors), each, func(took time.Duration) {
				bar.Set(int(min(took, each).Milliseconds()))
			})
			if err != nil {
				bar.Clear()
				return err
			}
			fmt.Printf("| %-31s | %7v | %7v | %5.1f | %7v | %5.1f |\n", shape.name,
				short(r[0].step), short(r[1].step), r[1].ratio, short(r[2].step), r[2].ratio)
			runtime.GC() // frees the slices of this shape
		}
	}
	fmt.Printf("\n%.0f s\n", time.Since(began).Seconds())
	return nil
}

// short rounds d to three digits.
func short(d time.Duration) time.Duration {
	unit := time.Duration(1)
	for d/unit >= 1000 {
		unit *= 10
	}
	return d.Round(unit)
}
