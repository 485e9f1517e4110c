package main

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/fusedadam/adam/cmd/compare/internal/result"
)

// What was done before a stop is not done again, be it in the middle of a line; a new comparison
// does all.
func TestJournal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	mustOpen := func(resume bool) *journal {
		t.Helper()
		j, err := openJournal(path, resume)
		if err != nil {
			t.Fatal(err)
		}
		return j
	}
	runs := []struct {
		task string
		run  result.Run
	}{
		{"a", result.Run{Optimizer: "x", LR: 1, Part: result.Test}},
		{"b", result.Run{Optimizer: "x", LR: 1, Part: result.Test}},
		{"a", result.Run{Optimizer: "y", LR: 1, Part: result.Test}},
		{"a", result.Run{Optimizer: "x", LR: 2, Part: result.Test}},
		{"a", result.Run{Optimizer: "x", LR: 1, Part: result.Validation}},
		{"a", result.Run{Optimizer: "x", LR: 1, Seed: 1, Part: result.Test}},
	}
	trained := 0
	train := func(j *journal, from, to int) {
		t.Helper()
		for i, r := range runs[from:to] {
			got := r.run
			err := j.do(r.task, &got, func() error {
				trained++
				got.Points = []result.Point{{Step: from + i}}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			want := r.run
			want.Points = []result.Point{{Step: from + i}}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("run %d is %+v, want %+v", from+i, got, want)
			}
		}
	}
	if _, err := openJournal(path, true); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("nothing to resume: %v", err)
	}
	failed := errors.New("failed")
	if err := mustOpen(false).do("a", &result.Run{},
		func() error { return failed }); err != failed {
		t.Errorf("a run that failed: %v", err)
	}
	train(mustOpen(false), 0, 4)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text[:len(text)-5], 0o644); err != nil {
		t.Fatal(err)
	}
	trained = 0
	train(mustOpen(true), 0, len(runs))
	if trained != 3 {
		t.Errorf("%d runs after the stop, want 3", trained)
	}
	j := mustOpen(true)
	trained = 0
	train(j, 0, len(runs))
	if trained != 0 {
		t.Errorf("%d runs of a comparison that was done, want 0", trained)
	}
	if err := j.remove(); err != nil {
		t.Fatal(err)
	}
	train(mustOpen(false), 0, 2)
	trained = 0
	train(mustOpen(false), 0, 2)
	if trained != 2 {
		t.Errorf("%d runs of a new comparison, want 2", trained)
	}
}
