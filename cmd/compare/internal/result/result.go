// Package result holds what a comparison has found and shows it: as JSON, as tables and charts, and
// as the page docs/COMPARISON.md.
package result

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"regexp"
	"slices"
)

// Schema is the version of the format.
const Schema = "adam-comparison/1"

// Names of optimizers of which charts and page have something to say.
const (
	Adam     = "Adam (adam)"
	AdamW    = "AdamW (adam)"
	HostAdam = "Adam (Gorgonia)"
	SGD      = "SGD (Gorgonia)"
	Momentum = "momentum (Gorgonia)"
	AdaGrad  = "AdaGrad (own)"
	RMSProp  = "RMSProp (Gorgonia)"
)

// Beta is the decay of momentum.
const Beta = 0.9

// Result is one comparison.
type Result struct {
	Schema string  `json:"schema"`
	CPU    string  `json:"cpu"`
	Cores  int     `json:"logical_cores"`
	GOOS   string  `json:"goos"`
	GOARCH string  `json:"goarch"`
	Go     string  `json:"go"`
	Kernel string  `json:"kernel"`
	Date   string  `json:"date"` // 2006-01-02
	Tasks  []*Task `json:"tasks"`
}

// Task is what was trained, and all runs of it.
type Task struct {
	Name       string `json:"name"`
	Title      string `json:"title"`
	Classes    int    `json:"classes"`
	Parameters int    `json:"parameters"`
	Batch      int    `json:"batch"`
	Steps      int    `json:"steps"`
	Examples   int    `json:"training_examples"`
	Runs       []Run  `json:"runs"`
}

// A Part of the data is what a run is scored on.
type Part string

const (
	Validation Part = "validation" // for choosing the learning rate
	Test       Part = "test"
)

// Run is a training from the beginning to the end, or until its loss was NaN or Inf.
type Run struct {
	Optimizer     string  `json:"optimizer"`
	LR            float64 `json:"lr"`
	Seed          uint64  `json:"seed"`
	Part          Part    `json:"part"`
	Diverged      bool    `json:"diverged,omitempty"`
	Digest        string  `json:"digest"` // of the initial parameters and all batches
	Seconds       float64 `json:"seconds"`
	SolverSeconds float64 `json:"solver_seconds"`
	Points        []Point `json:"points,omitempty"`
	Groups        []Group `json:"groups,omitempty"`
	// Only the first test run of our Adam has these.
	Layers  []Layer  `json:"layers,omitempty"`
	Symbols []Symbol `json:"symbols,omitempty"`
}

// Point is the state of a run after a number of steps. A run on the validation part has one, at its
// end.
type Point struct {
	Step     int     `json:"step"`
	Seconds  float64 `json:"seconds"`  // of training
	Training float64 `json:"training"` // mean loss of the batches since the last point
	Loss     float64 `json:"loss"`     // of the part
	Accuracy float64 `json:"accuracy"`
}

// Group is the loss at the end on the examples whose labels have the given shares of the training
// examples.
type Group struct {
	From     float64 `json:"from"`
	To       float64 `json:"to"`
	Classes  int     `json:"classes"`
	Examples int     `json:"examples"`
	Loss     float64 `json:"loss"`
}

// Probabilities of the quantiles in Layer.
var Probabilities = []float64{0.01, 0.25, 0.5, 0.75, 0.99}

// Layer is how Adam treats the parameters of a layer at some step, in quantiles over those that
// have ever had a gradient.
type Layer struct {
	Name  string    `json:"name"`
	Step  int       `json:"step"`
	Still float64   `json:"still"` // share of the others
	Rate  []float64 `json:"rate"`  // LR/(√v̂+ε)
	Moved []float64 `json:"moved"` // |m̂|/(√v̂+ε)
}

// Symbol is a class that has a row of its own in the first layer.
type Symbol struct {
	Text  string  `json:"text"`
	Count int     `json:"count"` // as label of a training example
	Rate  float64 `json:"rate"`  // median of LR/(√v̂+ε) in the row, at the end
}

// Final is the loss at the end, +Inf if the run diverged.
func (r *Run) Final() float64 {
	if r.Diverged {
		return math.Inf(1)
	}
	return r.Points[len(r.Points)-1].Loss
}

// Optimizers returns the names of all, in the order of the runs.
func (t *Task) Optimizers() []string {
	var names []string
	for _, r := range t.Runs {
		if !slices.Contains(names, r.Optimizer) {
			names = append(names, r.Optimizer)
		}
	}
	return names
}

// Of returns the runs of an optimizer on a part: of Validation by learning rate, of Test by seed.
func (t *Task) Of(optimizer string, part Part) []Run {
	var runs []Run
	for _, r := range t.Runs {
		if r.Optimizer == optimizer && r.Part == part {
			runs = append(runs, r)
		}
	}
	slices.SortFunc(runs,
		func(a, b Run) int { return cmp.Or(cmp.Compare(a.LR, b.LR), cmp.Compare(a.Seed, b.Seed)) })
	return runs
}

// Layers returns those of the run that has them.
func (t *Task) Layers() []Layer { return t.observed().Layers }

// Symbols returns those of the run that has them.
func (t *Task) Symbols() []Symbol { return t.observed().Symbols }

func (t *Task) observed() *Run {
	i := slices.IndexFunc(t.Runs, func(r Run) bool { return r.Layers != nil })
	if i < 0 {
		return new(Run)
	}
	return &t.Runs[i]
}

// fields stands before what is inside of a run.
var fields = regexp.MustCompile("\n\t{5,}")

// JSON is the text of the file, with each run on a line.
func (r *Result) JSON() []byte {
	text, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		panic(err) // only numbers that are not finite could fail, and none is kept
	}
	text = fields.ReplaceAll(text, []byte(" "))
	text = bytes.ReplaceAll(text, []byte("\n\t\t\t\t}"), []byte(" }"))
	return append(text, '\n')
}

// Load reads a file.
func Load(file string) (*Result, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	r := new(Result)
	if err := json.Unmarshal(text, r); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if r.Schema != Schema {
		return nil, fmt.Errorf("%s: schema %q, want %q", file, r.Schema, Schema)
	}
	return r, nil
}

// Round keeps six digits of x, enough for tables and charts.
func Round(x float64) float64 {
	if x == 0 || math.IsInf(x, 0) || math.IsNaN(x) {
		return x
	}
	scale := math.Pow(10, 5-math.Floor(math.Log10(math.Abs(x))))
	return math.Round(x*scale) / scale
}
