package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/fusedadam/adam"
	"github.com/fusedadam/adam/cmd/adam/internal/machine"
	"github.com/fusedadam/adam/cmd/adam/internal/measure"
	"github.com/fusedadam/adam/cmd/adam/internal/result"
	"github.com/fusedadam/adam/internal/models"
	"github.com/fusedadam/adam/internal/progress"
)

func benchCommand(args []string, out io.Writer) error {
	const about = `Measure the kernels on slices of many sizes and on the tensors of real models,
each beside the loop that Go programs write today and beside what the machine can do at most:
the memory traffic of the step, or its divisions and square roots, whichever is slower. Steps of
16- and 8-bit storages are measured beside float32, each against the traffic of its own bytes.`
	flags := flag.NewFlagSet("bench [flags]", flag.ContinueOnError)
	plan := planFlags(flags)
	var f files
	flags.BoolVar(&f.json, "json", false, "print JSON instead of tables")
	flags.StringVar(&f.svg, "svg", "", "draw the sizes into `FILE`")
	flags.BoolFunc("save", "save the result in bench/ under the CPU's name; -save=DIR: in DIR",
		f.saveIn)
	if err := parse(flags, about, 0, args, out); err != nil {
		return err
	}
	orAll(plan)
	return bench(out, os.Stderr, plan, &f)
}

// orAll makes a plan that names nothing one of everything.
func orAll(p *measure.Plan) {
	if p.Sizes == nil && p.Models == nil && p.Sizes64 == nil && p.Firsts == nil &&
		p.Storages == nil {
		p.Sizes, p.Models, p.Sizes64 = measure.Sizes, models.All, measure.Sizes64
		p.Firsts, p.Storages = measure.Firsts, measure.StorageSizes
	}
}

// planFlags defines the flags that say what to measure, and returns what they set.
func planFlags(flags *flag.FlagSet) *measure.Plan {
	available := adam.Kernels()
	p := &measure.Plan{
		Time: time.Minute, Kernels: available, Memory: machine.Available(os.DirFS("/")),
	}
	list(flags, "kernels", "measure these `KERNELS` (default all that can run)", &p.Kernels,
		func(name string) (string, error) {
			if !slices.Contains(available, name) {
				return "", fmt.Errorf("this CPU runs %s", strings.Join(available, ", "))
			}
			return name, nil
		})
	list(flags, "sizes", "measure these `NUMBERS` of elements, such as 1000,16Ki,64Mi", &p.Sizes,
		measure.ParseSize)
	list(flags, "sizes64", "measure these `NUMBERS` of elements of float64", &p.Sizes64,
		measure.ParseSize)
	list(flags, "first", "measure the first step after scalar code at these `NUMBERS` of elements",
		&p.Firsts, measure.ParseSize)
	list(flags, "storages", "measure each storage of 16 and 8 bits at these `NUMBERS` of elements",
		&p.Storages, measure.ParseSize)
	keys := modelKeys()
	list(flags, "models", "measure these `MODELS`, of "+strings.Join(keys, ", ")+
		"; with -sizes, -sizes64, -first, -storages or -models, nothing but those is measured",
		&p.Models,
		func(key string) (models.Model, error) {
			i := slices.Index(keys, key)
			if i < 0 {
				return models.Model{}, fmt.Errorf("want some of %s", strings.Join(keys, ", "))
			}
			return models.All[i], nil
		})
	flags.Func("time", "measure for about this `TIME` (default 1m)", func(text string) error {
		var err error
		if p.Time, err = time.ParseDuration(text); err == nil && p.Time <= 0 {
			err = errors.New("want more than 0")
		}
		return err
	})
	return p
}

// list defines a flag for a list with commas, which replaces the one that was there.
func list[T any](flags *flag.FlagSet, name, usage string, to *[]T, read func(string) (T, error)) {
	flags.Func(name, usage, func(text string) error {
		*to = nil
		for element := range strings.SplitSeq(text, ",") {
			value, err := read(element)
			if err != nil {
				return err
			}
			*to = append(*to, value)
		}
		return nil
	})
}

func bench(out, messages io.Writer, plan *measure.Plan, f *files) error {
	bar := progress.New(1000, "")
	rows, tooLarge := plan.Run(func(done float64, next string) {
		bar.Name(next)
		bar.Set(int(done * 1000))
	})
	bar.Clear()
	for _, name := range tooLarge {
		fmt.Fprintf(messages, "adam: left out %s: not enough memory\n", name)
	}
	if len(rows) == 0 {
		return errors.New("nothing was measured")
	}
	r := &result.Result{
		Schema: result.Schema, CPU: machine.This(),
		GOOS: runtime.GOOS, GOARCH: runtime.GOARCH, Go: runtime.Version(),
		Date: time.Now().UTC().Format(time.DateOnly), Kernels: plan.Kernels, Rows: rows,
	}
	text := r.Text()
	if f.json {
		text = string(r.JSON())
	}
	if _, err := io.WriteString(out, text); err != nil {
		return err
	}
	return f.write(messages, r)
}

// files says where the result goes.
type files struct {
	json      bool
	svg, save string
}

// saveIn reads the flag -save, which may stand without a value.
func (f *files) saveIn(dir string) error {
	if f.save = dir; dir == "true" {
		f.save = "bench"
	}
	return nil
}

// write writes the files that were asked for and says where.
func (f *files) write(messages io.Writer, r *result.Result) error {
	if f.svg != "" {
		chart, err := r.Chart()
		if err != nil {
			return err
		}
		if err := os.WriteFile(f.svg, chart, 0o644); err != nil {
			return err
		}
		fmt.Fprintln(messages, "adam: drew", f.svg)
	}
	if f.save != "" {
		file, err := r.Save(f.save)
		if err != nil {
			return err
		}
		fmt.Fprintln(messages, "adam: saved", file)
	}
	return nil
}

func modelKeys() []string {
	var keys []string
	for _, m := range models.All {
		keys = append(keys, m.Key)
	}
	return keys
}
