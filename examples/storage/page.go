package main

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/fusedadam/adam/examples/internal/plots"
	"github.com/fusedadam/adam/examples/internal/storage"
	"github.com/fusedadam/adam/internal/report"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
)

// pageText is the page with {names} for tables.
//
//go:embed page.md
var pageText string

func init() { plot.DefaultFont.Variant = "Sans" } // as report.Fonts expects

// records are all that the page is made from.
type records struct {
	tasks []task
	hard  hardCases
}

// task has the runs of an example, all of one length.
type task struct {
	name   string
	quick  bool // the runs are short ones
	runs   []storage.Run
	timing *storage.Timing // nil if there is none
}

// load reads the records. Of an example it takes the runs at full size if there is one with each
// storage, else those of -quick.
func load(dir string) (*records, error) {
	r := new(records)
	text, err := os.ReadFile(filepath.Join(dir, hardFile))
	if err == nil {
		err = json.Unmarshal(text, &r.hard)
	}
	if err != nil {
		return nil, err
	}
	timings, err := read[storage.Timing](filepath.Join(dir, timeFile))
	if err != nil {
		return nil, err
	}
	for _, e := range examples {
		t := task{name: e}
		for _, t.quick = range []bool{false, true} {
			path := filepath.Join(dir, runsFile(e, t.quick))
			if t.runs, err = read[storage.Run](path); err != nil {
				return nil, err
			}
			if t.complete() {
				break
			}
		}
		if !t.complete() {
			return nil, fmt.Errorf("%s: want runs of %s with each storage, all of the same steps",
				dir, e)
		}
		for _, x := range timings { // the last one
			if x.Example == e {
				t.timing = &x
			}
		}
		r.tasks = append(r.tasks, t)
	}
	return r, nil
}

// read returns no records of a file that is not there.
func read[T any](path string) ([]T, error) {
	list, err := storage.Read[T](path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return list, err
}

// complete leaves out the runs with seeds that some storage lacks. It says whether there are
// others, all with the same number of steps.
func (t *task) complete() bool {
	all := t.runs
	t.runs = slices.DeleteFunc(slices.Clone(all), func(r storage.Run) bool {
		return slices.ContainsFunc(storage.Kinds, func(k storage.Kind) bool {
			return !slices.ContainsFunc(all, func(other storage.Run) bool {
				return other.Storage == k.Name && other.Seed == r.Seed
			})
		})
	})
	return len(t.runs) > 0 && !slices.ContainsFunc(t.runs,
		func(r storage.Run) bool { return r.Steps != t.runs[0].Steps })
}

// of returns the runs with a storage, by seed.
func (t *task) of(name string) []storage.Run {
	var runs []storage.Run
	for _, r := range t.runs {
		if r.Storage == name {
			runs = append(runs, r)
		}
	}
	slices.SortFunc(runs, func(a, b storage.Run) int { return int(a.Seed) - int(b.Seed) })
	return runs
}

// beside returns what f is of each run with a storage, less what it is of that with float32 and the
// same seed.
func (t *task) beside(name string, f func(storage.Run) float64) []float64 {
	var list []float64
	one := t.of(storage.Kinds[0].Name)
	for i, r := range t.of(name) {
		list = append(list, f(r)-f(one[i]))
	}
	return list
}

// A measure is a column of a table.
type measure struct {
	title, format string
	of            func(storage.Run) float64
}

var measures = map[string][]measure{
	"language": {
		{"held out, bits", "%.3f", func(r storage.Run) float64 { return r.Test }},
		{"last tenth of the training, bits", "%.3f", last},
	},
	"images": {
		{"right, %", "%.2f", func(r storage.Run) float64 { return 100 * r.Accuracy }},
		{"test loss", "%.4f", func(r storage.Run) float64 { return r.Test }},
	},
}

// last is the mean training loss of the last tenth.
func last(r storage.Run) float64 {
	return mean(r.Training[len(r.Training)-max(1, len(r.Training)/10):])
}

// table shows all runs.
func (t *task) table() report.Table {
	header := []string{"storage", "bytes of the optimizer", "with parameters, gradients"}
	for _, m := range measures[t.name] {
		header = append(header, m.title, "less that of float32")
	}
	rows := report.Table{append(header, "optimizer, µs a step")}
	for _, k := range storage.Kinds {
		runs := t.of(k.Name)
		both := 8.0
		if k.Halve {
			both = 4
		}
		row := []string{k.Name, report.Figure(runs[0].Bytes),
			report.Figure(runs[0].Bytes + both)}
		for _, m := range measures[t.name] {
			var x []float64
			for _, r := range runs {
				x = append(x, m.of(r))
			}
			difference := "–"
			if k != storage.Kinds[0] {
				difference = spread(t.beside(k.Name, m.of),
					strings.Replace(m.format, "%", "%+", 1))
			}
			row = append(row, spread(x, m.format), difference)
		}
		micros := "–"
		if t.timing != nil {
			micros = report.Figure(t.timing.Micros[k.Name])
		}
		rows = append(rows, append(row, micros))
	}
	return rows
}

// size says in words what was trained.
func (t *task) size() string {
	seeds := "1 seed"
	if n := len(t.of(storage.Kinds[0].Name)); n > 1 {
		seeds = fmt.Sprintf("%d seeds", n)
	}
	length := "the full size of the example"
	if t.quick {
		length = "the short runs of `-quick`"
	}
	return fmt.Sprintf("%d parameters, %d steps, %s: %s", t.runs[0].Parameters, t.runs[0].Steps,
		seeds, length)
}

// clock says how steps were timed.
func (t *task) clock() string {
	if t.timing == nil {
		return "Steps were not timed yet."
	}
	cpu := ""
	if t.timing.CPU != "" {
		cpu = " of " + t.timing.CPU
	}
	return fmt.Sprintf("A step of the optimizer is the least of %d, which the storages took in "+
		"turns,\non %d logical cores%s, kernel %s; %s.", t.timing.Steps, t.timing.Cores, cpu,
		t.timing.Kernel, t.timing.Date)
}

// moments is the table of the hard cases.
func (h *hardCases) moments() report.Table {
	rows := report.Table{{"moments", "mixed: 1", "1/100", "1/1000", "10⁻⁵", "largest update",
		"fall: 1000", "3000", "6000", "rare", "dead"}}
	for _, f := range h.Formats {
		row := []string{f.Format}
		for _, x := range []float64{f.Mixed[0], f.Mixed[2], f.Mixed[3], f.Mixed[5], f.Largest,
			f.Fall[0], f.Fall[1], f.Fall[2], f.Rare} {
			row = append(row, report.Figure(x))
		}
		rows = append(rows, append(row, fmt.Sprintf("%.2f", f.Drift)))
	}
	return rows
}

// parameters is that of parameters in 16 bits.
func (h *hardCases) parameters() report.Table {
	rows := report.Table{{"parameters", "mean at the end", "standard deviation"}}
	for _, a := range h.Alone {
		rows = append(rows, []string{a.Parameters, fmt.Sprintf("%.5f", a.Mean),
			fmt.Sprintf("%.5f", a.Deviation)})
	}
	return rows
}

// files returns the page and its pictures by their names in docs/.
func (r *records) files() (map[string][]byte, error) {
	replace := []string{"{moments}", r.hard.moments().Markdown(1),
		"{parameters}", r.hard.parameters().Markdown(1)}
	files := map[string][]byte{}
	for _, t := range r.tasks {
		replace = append(replace, "{"+t.name+"}", t.table().Markdown(1),
			"{"+t.name+" size}", t.size(), "{"+t.name+" clock}", t.clock())
		for name, draw := range map[string]func(path string) error{
			"storage-" + t.name + ".svg":            t.losses,
			"storage-" + t.name + "-difference.svg": t.differences,
		} {
			svg, err := picture(draw)
			if err != nil {
				return nil, err
			}
			files[name] = svg
		}
	}
	files["STORAGE.md"] = []byte(strings.NewReplacer(replace...).Replace(pageText))
	return files, nil
}

// picture returns what draw writes to a file.
func picture(draw func(path string) error) ([]byte, error) {
	dir, err := os.MkdirTemp("", "storage")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "picture.svg")
	if err := draw(path); err != nil {
		return nil, err
	}
	svg, err := os.ReadFile(path)
	return report.Fonts(svg), err
}

// losses draws the training losses of all storages, the means of their seeds.
func (t *task) losses(path string) error {
	var curves []plots.Curve
	for _, k := range storage.Kinds {
		curves = append(curves, t.curve(k.Name, func(i int) float64 {
			var x []float64
			for _, r := range t.of(k.Name) {
				x = append(x, r.Training[i])
			}
			return mean(x)
		}))
	}
	return plots.Save(path, "examples/"+t.name+": training loss", "step", "loss", false, curves...)
}

// differences draws how far they are from those of float32 with the same seeds, in percent.
func (t *task) differences(path string) error {
	var curves []plots.Curve
	for _, k := range storage.Kinds {
		curves = append(curves, t.curve(k.Name, func(i int) float64 {
			of := func(r storage.Run) float64 { return r.Training[i] }
			var one []float64
			for _, r := range t.of(storage.Kinds[0].Name) {
				one = append(one, of(r))
			}
			return 100 * mean(t.beside(k.Name, of)) / mean(one)
		}))
	}
	return plots.Save(path, "examples/"+t.name+": training loss, less that of float32",
		"step", "% of it", false, curves...)
}

// curve has a point for the middle of each part of a run.
func (t *task) curve(name string, y func(i int) float64) plots.Curve {
	n := len(t.runs[0].Training)
	c := plots.Curve{Name: name}
	for i := range n {
		c.XY = append(c.XY, plotter.XY{
			X: (float64(i) + 0.5) / float64(n) * float64(t.runs[0].Steps), Y: y(i)})
	}
	return c
}

func mean(x []float64) float64 {
	sum := 0.0
	for _, y := range x {
		sum += y
	}
	return sum / float64(len(x))
}

// spread writes the mean of x and its range.
func spread(x []float64, format string) string {
	text := fmt.Sprintf(format, mean(x))
	if len(x) > 1 {
		text += fmt.Sprintf(" ("+format+" to "+format+")", slices.Min(x), slices.Max(x))
	}
	return strings.ReplaceAll(text, "-", "−")
}
