// Command detection trains a convolutional network to find handwritten digits on a canvas and to
// tell which they are: a detector of the kind of YOLO (Redmon et al., 2016), which sees each
// picture once, as a grid whose cells predict boxes.
//
//	go run ./examples/detection -picture found.png -plot loss.png
//
// The scenes are composed, not photographed: 1 to 4 digits of MNIST on 64×64 pixels, at random
// places and with images of 14 to 32 pixels, where a box covers at most a tenth of another. Each
// scene to train on is new and made from MNIST's training images; those held out are made from its
// test images, which the training never sees. The measure is the mean average precision at an IoU
// of 0.5, mAP@0.5: a digit is found if the class is right and the intersection of its box with the
// true one is at least half of their union.
//
// It is trained by AdamW, with clipping by norm, warm-up and cosine, and decay of the weights only.
// A seed repeats a run bit by bit, with any number of cores and any of adam's kernels, as the
// checksum at the end shows; on another architecture gonum adds in another order.
package main

import (
	"errors"
	"flag"
	"fmt"
	"time"

	"github.com/fusedadam/adam"
	"github.com/fusedadam/adam/examples/internal/command"
	"github.com/fusedadam/adam/examples/internal/digits"
	"github.com/fusedadam/adam/examples/internal/plots"
	"github.com/fusedadam/adam/internal/progress"
	"gonum.org/v1/plot/plotter"
)

type options struct {
	steps, batch, scenes int
	lr                   float64
	seed                 uint64
	data                 string
	picture, plot        string
}

func main() {
	var o options
	flag.IntVar(&o.steps, "steps", 8000, "optimizer steps")
	flag.IntVar(&o.batch, "batch", 16, "scenes of one step")
	flag.IntVar(&o.scenes, "scenes", 1000, "held-out scenes")
	flag.Float64Var(&o.lr, "lr", 3e-3,
		"highest learning rate: it rises for 1/20 of the steps, then falls along a cosine to 0")
	flag.Uint64Var(&o.seed, "seed", 1, "seed of the initial weights and of the scenes to train on")
	flag.StringVar(&o.data, "data", "",
		"`folder` of MNIST's four .gz files (default: in the module cache)")
	flag.StringVar(&o.picture, "picture", "", "PNG `file` for held-out scenes with the boxes found")
	flag.StringVar(&o.plot, "plot", "", "PNG or SVG `file` for the curve of the loss")
	quick := flag.Bool("quick", false, "a run of less than a minute: -steps 500 -scenes 200")
	command.Run("detection", func() error {
		if *quick {
			o.steps, o.scenes = 500, 200
		}
		return run(o)
	})
}

func run(o options) error {
	if o.steps < 1 || o.batch < 1 || o.scenes < 1 {
		return errors.New("-steps, -batch and -scenes must be at least 1")
	}
	train, test, err := digits.Load(o.data, 0)
	if err != nil {
		return err
	}
	t, err := newTrainer(train, test, widths, o)
	if err != nil {
		return err
	}
	defer t.opt.Close()
	fmt.Printf("scenes of 1 to %d MNIST digits on %d×%d pixels; held out: %d of test images only\n",
		most, canvas, canvas, o.scenes)
	fmt.Printf("%d parameters; AdamW, kernel %s, batches of %d, learning rate %g, seed %d\n",
		networkSize(widths), adam.Kernel(), o.batch, o.lr, o.seed)

	began := time.Now()
	curve, err := fit(t)
	if err != nil {
		return err
	}
	seconds := time.Since(began).Seconds()
	fmt.Printf("\n%d steps in %.1f s, %.0f scenes a second; %d steps clipped to norm %g\n",
		o.steps, seconds, float64(o.steps*o.batch)/seconds, t.clipped, trainOptions.MaxNorm)

	found := t.detect()
	each, mean := precisions(t.heldOut, found)
	fmt.Print("\ndigit ")
	for label := range each {
		fmt.Printf("%7d", label)
	}
	fmt.Print("\nAP@0.5")
	for _, p := range each {
		fmt.Printf("%7.3f", p)
	}
	fmt.Printf("\nmAP@0.5 on held-out scenes: %.3f\n", mean)
	fmt.Printf("checksum of the parameters: %08x\n", t.checksum())
	if o.picture != "" {
		if err := drawScenes(o.picture, t.heldOut, found); err != nil {
			return err
		}
	}
	if o.plot != "" {
		return plots.Save(o.plot, "Detection of digits: loss of the scenes to train on", "step",
			"loss", true,
			plots.Curve{Name: "loss", XY: curve},
			plots.Curve{Name: "moving average", XY: plots.Smooth(curve, 0.98)})
	}
	return nil
}

// fit makes all steps, prints the mean losses of each tenth, and returns the loss of each step.
func fit(t *trainer) (plotter.XYs, error) {
	fmt.Println("\n step     loss   presence      box    class   seconds")
	began := time.Now()
	bar := progress.New(t.steps, "training")
	var curve plotter.XYs
	var sum loss
	last := 0
	for step := 1; step <= t.steps; step++ {
		l, err := t.step()
		if err != nil {
			bar.Clear()
			return nil, err
		}
		curve = append(curve, plotter.XY{X: float64(step), Y: l.sum()})
		sum.add(l)
		bar.Add(1)
		if step == t.steps*(10*step/t.steps)/10 {
			bar.Clear()
			n := float64(step - last)
			fmt.Printf("%5d   %6.3f   %8.3f   %6.3f   %6.3f   %7.1f\n",
				step, sum.sum()/n, sum.presence/n, sum.box/n, sum.class/n,
				time.Since(began).Seconds())
			sum, last = loss{}, step
		}
	}
	return curve, nil
}
