// Command language trains a character-level transformer, in the shape of the ports of llm.c:
// parameters, gradients and both moments lie in one slice each, the layers are written over blas32,
// and the tensors that the Optimizer of package adam knows are named parts of these slices. It
// clips by norm, has a warm-up and a cosine, and lets only the weights of dense layers decay. The
// text is Newton's Opticks, which comes with Go's sources.
//
//	go run ./examples/language -plot loss.svg
//
// The measure is bits per character on the last tenth of the text, which is held out. It is
// compared with a 5-gram model with the interpolation of Witten and Bell, which is counted from the
// same nine tenths and predicts the same characters. The network gets to 2.06 bits in 320 seconds
// of CPU time, which the cores share; the 5-gram model needs 2.19. At the end, the network writes a
// sample.
//
// A seed repeats a run bit by bit with any number of cores, as the checksum at the end shows. On
// another architecture gonum adds in another order.
package main

import (
	"errors"
	"flag"
	"fmt"
	"time"

	"github.com/fusedadam/adam"
	"github.com/fusedadam/adam/examples/internal/checksum"
	"github.com/fusedadam/adam/examples/internal/command"
	"github.com/fusedadam/adam/examples/internal/plots"
	"github.com/fusedadam/adam/examples/internal/storage"
	"github.com/fusedadam/adam/examples/internal/transformer"
	"github.com/fusedadam/adam/internal/progress"
	"gonum.org/v1/plot/plotter"
)

type options struct {
	steps, batch, context, width, heads, layers int
	lr                                          float64
	seed                                        uint64
	sample                                      int
	temperature                                 float64
	data, plot                                  string
	storage                                     storage.Kind
	record, time                                string
}

func main() {
	var o options
	flag.IntVar(&o.steps, "steps", 24000, "optimizer steps")
	flag.IntVar(&o.batch, "batch", 4, "sequences of one step, which goroutines share")
	flag.IntVar(&o.context, "context", 64,
		"characters of a sequence: the network sees no more of them")
	flag.IntVar(&o.width, "width", 64, "width of the residual stream")
	flag.IntVar(&o.heads, "heads", 2, "attention heads, which divide the width")
	flag.IntVar(&o.layers, "layers", 2, "transformer blocks")
	flag.Float64Var(&o.lr, "lr", 4e-3,
		"highest learning rate: it rises for 1/20 of the steps, then falls along a cosine to 0")
	flag.Uint64Var(&o.seed, "seed", 1,
		"seed of the initial weights, of the places in the text to train on, and of the sample")
	flag.IntVar(&o.sample, "sample", 600, "characters to write at the end")
	flag.Float64Var(&o.temperature, "temperature", 0.8,
		"of the sample: 1 draws from the network's probabilities, 0 takes the likeliest character")
	flag.StringVar(&o.data, "data", "",
		"text `file` in UTF-8 (default: the Opticks in the folder that go env GOROOT names)")
	flag.StringVar(&o.plot, "plot", "", "`file` to draw the losses to: .png or .svg")
	flag.TextVar(&o.storage, "storage", storage.Kinds[0], storage.Usage)
	flag.StringVar(&o.record, "record", "", "`file` to add a record of the run to: a line of JSON")
	flag.StringVar(&o.time, "time", "",
		"do not train: time steps of the optimizer with each storage, and add a record to `file`")
	quick := flag.Bool("quick", false, "a run of less than a minute: -steps 2000")
	command.Run("language", func() error {
		if *quick {
			o.steps = 2000
		}
		return run(o)
	})
}

// A run looks at the part held out after each twelfth of its steps, but after no fewer than these:
// one look takes as long as about 200 steps.
const fewest = 500

func run(o options) error {
	began := time.Now()
	if err := o.validate(); err != nil {
		return err
	}
	text, err := transformer.Load(o.data)
	if err != nil {
		return err
	}
	if text.Held <= o.context {
		return fmt.Errorf("%d characters to train on are too few for -context %d", text.Held,
			o.context)
	}
	if o.time != "" {
		return timeSteps(text, o)
	}
	t, err := newTrainer(text, o)
	if err != nil {
		return err
	}
	defer t.opt.Close()
	fmt.Printf("transformer of %d blocks, %d wide, %d parameters; "+
		"%d characters to train on, %d held out, an alphabet of %d\n",
		o.layers, o.width, len(t.net.Memory.Values), text.Held, len(text.IDs)-text.Held,
		len(text.Alphabet))
	fmt.Printf(
		"AdamW, batches of %d sequences of %d, learning rate %g with warm-up and cosine, seed %d\n",
		o.batch, o.context, o.lr, o.seed)
	count := func(n int) float64 {
		return newNgram(n, len(text.Alphabet), text.IDs[:text.Held]).bits(text.IDs, text.Held)
	}
	unigram, fivegram := count(1), count(5)

	fmt.Println("\n  step   bits per character   held out   seconds")
	var losses, held plotter.XYs
	bar := progress.New(o.steps, "training")
	every := max(fewest, o.steps/12)
	sum, steps := 0.0, 0 // since the last line
	for step := 1; step <= o.steps; step++ {
		bits, err := t.step()
		if err != nil {
			bar.Clear()
			return err
		}
		bar.Add(1)
		losses = append(losses, plotter.XY{X: float64(step), Y: bits})
		sum, steps = sum+bits, steps+1
		if step%every == 0 || step == o.steps {
			held = append(held, plotter.XY{X: float64(step), Y: t.heldOut()})
			bar.Clear()
			fmt.Printf("%6d   %18.3f   %8.3f   %7.1f\n", step, sum/float64(steps),
				held[len(held)-1].Y, t.trainTime.Seconds())
			sum, steps = 0, 0
		}
	}
	report(t, held[len(held)-1].Y, unigram, fivegram, time.Since(began))
	if o.sample > 0 {
		fmt.Printf("\nsample, temperature %g:\n\n%s\n", o.temperature,
			t.sample(o.sample, o.temperature))
	}
	if o.record != "" {
		if err := t.writeRecord(o.record, losses, held[len(held)-1].Y); err != nil {
			return err
		}
	}
	if o.plot != "" {
		return drawLosses(o.plot, losses, held, fivegram)
	}
	return nil
}

func (o *options) validate() error {
	switch {
	case o.steps < 1 || o.batch < 1 || o.context < 1 || o.width < 1 || o.heads < 1 || o.layers < 1:
		return errors.New("-steps, -batch, -context, -width, -heads and -layers must be at least 1")
	case o.width%o.heads != 0:
		return fmt.Errorf("-heads %d must divide -width %d", o.heads, o.width)
	case o.sample < 0 || !(o.temperature >= 0):
		return errors.New("-sample and -temperature must be at least 0")
	}
	return nil
}

func report(t *trainer, bits, unigram, fivegram float64, total time.Duration) {
	train, optimizer := t.trainTime.Seconds(), t.adamTime.Seconds()
	steps := float64(t.opt.T)
	fmt.Printf("\nbits per character, held out   %.3f; 5-gram %.3f, 1-gram %.3f\n", bits, fivegram,
		unigram)
	fmt.Printf(
		"total time                     %.1f s, %.1f s of it training: %.0f characters a second\n",
		total.Seconds(), train, steps*float64(len(t.inputs))/train)
	fmt.Printf(
		"optimizer                      %.2f s, %.0f µs a step, %.2f %% of it, kernel %s\n",
		optimizer, optimizer/steps*1e6, 100*optimizer/train, adam.Kernel())
	fmt.Printf("checksum of the parameters     %08x\n", checksum.Of(t.net.Memory.Values))
}

// drawLosses draws the losses of all steps, smoothed, and those of the part held out.
func drawLosses(path string, losses, held plotter.XYs, fivegram float64) error {
	last := losses[len(losses)-1].X
	var train plotter.XYs
	for i, p := range plots.Smooth(losses, 0.99) {
		if i%(1+len(losses)/500) == 0 {
			train = append(train, p)
		}
	}
	return plots.Save(path, "Character-level transformer", "step", "bits per character", false,
		plots.Curve{Name: "training", XY: train},
		plots.Curve{Name: "held out", XY: held},
		plots.Curve{Name: "5-gram, held out",
			XY: plotter.XYs{{X: 0, Y: fivegram}, {X: last, Y: fivegram}}})
}

// timeSteps adds the record of the times of steps with each storage to a file.
func timeSteps(text transformer.Text, o options) error {
	return storage.Time("language", o.time, func(k storage.Kind) (storage.Clock, error) {
		o.storage = k
		t, err := newTrainer(text, o)
		if err != nil {
			return storage.Clock{}, err
		}
		return storage.Clock{
			Step: func() (time.Duration, error) {
				before := t.adamTime
				_, err := t.step()
				return t.adamTime - before, err
			},
			Close: t.opt.Close,
		}, nil
	})
}

// writeRecord adds the record of a run to a file.
func (t *trainer) writeRecord(path string, losses plotter.XYs, held float64) error {
	r := storage.Run{
		Example: "language", Storage: t.storage.Name, Seed: t.seed, Steps: t.steps,
		Parameters: len(t.net.Memory.Values), Bytes: t.tensors.Bytes(), Test: held,
		Checksum: fmt.Sprintf("%08x", checksum.Of(t.net.Memory.Values)),
	}
	bits := make([]float64, len(losses))
	for i, p := range losses {
		bits[i] = p.Y
	}
	r.Training = storage.Means(bits, storage.Parts)
	return storage.Append(path, r)
}
