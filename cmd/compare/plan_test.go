package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fusedadam/adam/cmd/compare/internal/result"
	"github.com/fusedadam/adam/cmd/compare/internal/train"
)

// A small comparison has the runs that its plan says, fair to all, and its page and charts can be
// drawn from the file and checked against it.
func TestPlan(t *testing.T) {
	digits, err := train.Digits("")
	if err != nil {
		t.Fatal(err)
	}
	characters, err := train.Characters("")
	if err != nil {
		t.Fatal(err)
	}
	p := plan{share: 200, rates: 2, more: 1, seeds: 2, points: 3, validated: 500, tested: 500}
	tasks, err := p.run(new(journal), digits, characters)
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range tasks {
		digests := map[uint64]string{}
		if names := task.Optimizers(); len(names) != len(train.Optimizers) {
			t.Errorf("%s: optimizers %v", task.Name, names)
		}
		for _, name := range task.Optimizers() {
			sweep, tests := task.Of(name, result.Validation), task.Of(name, result.Test)
			if n := len(sweep); n < p.rates || n > p.rates+p.more || len(tests) != p.seeds {
				t.Errorf("%s, %s: %d runs in the sweep, %d tests", task.Name, name, n, len(tests))
			}
			least := slices.MinFunc(sweep,
				func(a, b result.Run) int { return int(math.Copysign(1, a.Final()-b.Final())) })
			for i, r := range tests {
				last := r.Points[len(r.Points)-1]
				if r.LR != least.LR || r.Seed != uint64(i+1) || len(r.Points) != p.points ||
					last.Step != task.Steps {
					t.Errorf("%s, %s, test %d: LR %v, seed %d, %d points to step %d", task.Name,
						name, i, r.LR, r.Seed, len(r.Points), last.Step)
				}
				if r.SolverSeconds <= 0 || r.Seconds <= r.SolverSeconds ||
					last.Seconds != r.Seconds {
					t.Errorf("%s, %s, test %d: %v s, %v of them in the solver", task.Name, name, i,
						r.Seconds, r.SolverSeconds)
				}
			}
			for _, r := range append(sweep, tests...) {
				if d, ok := digests[r.Seed]; ok && d != r.Digest {
					t.Errorf("%s, %s, seed %d: other parameters or batches", task.Name, name,
						r.Seed)
				}
				digests[r.Seed] = r.Digest
			}
		}
		if len(digests) != p.seeds+1 {
			t.Errorf("%s: digests %v", task.Name, digests)
		}
	}
	if n := len(tasks[1].Layers()); n != 2*len(characters.Layers) || len(tasks[1].Symbols()) == 0 {
		t.Errorf("%d distributions, %d symbols", n, len(tasks[1].Symbols()))
	}
	for _, r := range tasks[1].Of(result.SGD, result.Test) {
		sum, n := 0.0, 0
		for _, g := range r.Groups {
			sum, n = sum+g.Loss*float64(g.Examples), n+g.Examples
		}
		if n != p.tested || math.Abs(sum/float64(n)-r.Final()) > 1e-4 {
			t.Errorf("the groups have %d examples and a loss of %v, want %d and %v", n,
				sum/float64(n), p.tested, r.Final())
		}
	}

	dir := t.TempDir()
	file := filepath.Join(dir, dataFile)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	r := &result.Result{Schema: result.Schema, Date: spoken, Tasks: tasks}
	if err := os.WriteFile(file, r.JSON(), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := docs(dir, true); err == nil {
		t.Error("missing files are up to date")
	}
	if err := docs(dir, false); err != nil {
		t.Fatal(err)
	}
	if err := docs(dir, true); err != nil {
		t.Error(err)
	}
	charts, err := filepath.Glob(filepath.Join(dir, "docs", "*.svg"))
	if err != nil || len(charts) != 5 {
		t.Errorf("charts %v, error %v", charts, err)
	}
	for _, chart := range charts {
		text, err := os.ReadFile(chart)
		if err != nil {
			t.Fatal(err)
		}
		for d := xml.NewDecoder(bytes.NewReader(text)); ; {
			if _, err := d.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%s: %v", chart, err)
			}
		}
		if err := os.WriteFile(chart, append(text, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := docs(dir, true); err == nil ||
			!strings.Contains(err.Error(), filepath.Base(chart)) {
			t.Errorf("%s changed: check says %v", chart, err)
		}
		if err := os.WriteFile(chart, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	r.Date = "2001-02-03"
	if err := os.WriteFile(file, r.JSON(), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := docs(dir, false); err == nil ||
		!strings.Contains(err.Error(), "the data are of "+r.Date) {
		t.Errorf("sentences of another day: %v", err)
	}
}

// The page and the charts of the repository are those that its data give.
func TestDocs(t *testing.T) {
	if err := docs(filepath.Join("..", ".."), true); err != nil {
		t.Error(err)
	}
}

func TestGroups(t *testing.T) {
	counts := []int{9000, 950, 45, 5} // of 10 000
	score := &train.Score{ByClass: []float64{1, 2, 3, math.NaN()}, Examples: []int{10, 30, 5, 0}}
	got := groups(counts, score)
	want := []result.Group{{From: 0.01, To: 1, Classes: 2, Examples: 40, Loss: 1.75},
		{From: 0.001, To: 0.01, Classes: 1, Examples: 5, Loss: 3}, {To: 0.001}}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestLayers(t *testing.T) {
	inf := math.Inf(1)
	m := train.Moments{Layer: train.Layer{Name: "w"}, Rate: []float64{inf, 5, 1, 2, 3, 4},
		Moved: []float64{0, 1, 0, 0.5, 1, 0.25}}
	l := layers([]train.Moments{m}, 7)[0]
	if l.Name != "w" || l.Step != 7 || math.Abs(l.Still-1.0/6) > 1e-6 ||
		!slices.Equal(l.Rate, []float64{1.04, 2, 3, 4, 4.96}) ||
		!slices.Equal(l.Moved, []float64{0.01, 0.25, 0.5, 1, 1}) {
		t.Errorf("%+v", l)
	}
}
