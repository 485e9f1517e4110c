package main

import (
	"errors"
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
	"github.com/spf13/cobra"
)

// benchFlags are the flags of adam bench.
type benchFlags struct {
	kernels, sizes, models []string
	time                   time.Duration
	json                   bool
	svg, save              string
}

func benchCommand() *cobra.Command {
	var f benchFlags
	c := &cobra.Command{
		Use:   "bench",
		Short: "Measure the kernels beside the plain Go loop and the ceilings of this machine",
		Long: `Measure the kernels on slices of many sizes and on the tensors of real models, each beside the loop
that Go programs write today and beside what the machine can do at most: the memory traffic of the
step, and its divisions and square roots, whichever is slower.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return bench(c.OutOrStdout(), c.ErrOrStderr(), &f) },
	}
	flags := c.Flags()
	flags.StringSliceVar(&f.kernels, "kernels", nil, "kernels to measure (default all that can run)")
	flags.StringSliceVar(&f.sizes, "sizes", nil, "numbers of elements, such as 1000,16Ki,64Mi")
	flags.StringSliceVar(&f.models, "models", nil, "models, of "+strings.Join(modelKeys(), ", ")+"; with sizes or models given, only those are measured")
	flags.DurationVar(&f.time, "time", 40*time.Second, "about how long to measure")
	flags.BoolVar(&f.json, "json", false, "print JSON instead of tables")
	flags.StringVar(&f.svg, "svg", "", "draw the sizes into `FILE`")
	flags.StringVar(&f.save, "save", "", "save the result as `DIR`/CPU-NAME.json; -save alone means -save=bench")
	flags.Lookup("save").NoOptDefVal = "bench"
	return c
}

func bench(out, messages io.Writer, f *benchFlags) error {
	plan, err := f.plan()
	if err != nil {
		return err
	}
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
		Schema: result.Schema, CPU: machine.This(), GOOS: runtime.GOOS, GOARCH: runtime.GOARCH, Go: runtime.Version(),
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

// write writes the files that were asked for and says where.
func (f *benchFlags) write(messages io.Writer, r *result.Result) error {
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

// plan reads the flags.
func (f *benchFlags) plan() (*measure.Plan, error) {
	available := adam.Kernels()
	p := &measure.Plan{Time: f.time, Kernels: available, Memory: machine.Available(os.DirFS("/"))}
	if f.time <= 0 {
		return nil, fmt.Errorf("time %v: want more", f.time)
	}
	if f.kernels != nil {
		p.Kernels = f.kernels
	}
	for _, k := range p.Kernels {
		if !slices.Contains(available, k) {
			return nil, fmt.Errorf("kernel %q: this CPU runs %s", k, strings.Join(available, ", "))
		}
	}
	for _, text := range f.sizes {
		n, err := measure.ParseSize(text)
		if err != nil {
			return nil, err
		}
		p.Sizes = append(p.Sizes, n)
	}
	for _, key := range f.models {
		i := slices.Index(modelKeys(), key)
		if i < 0 {
			return nil, fmt.Errorf("model %q: want one of %s", key, strings.Join(modelKeys(), ", "))
		}
		p.Models = append(p.Models, models.All[i])
	}
	if f.sizes == nil && f.models == nil {
		p.Sizes, p.Models = measure.Sizes, models.All
	}
	return p, nil
}

func modelKeys() []string {
	var keys []string
	for _, m := range models.All {
		keys = append(keys, m.Key)
	}
	return keys
}
