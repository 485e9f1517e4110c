package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestDocs(t *testing.T) {
	dir := t.TempDir()
	page := filepath.Join(dir, "docs", "BENCHMARKS.md")
	predictions := filepath.Join(dir, "bench", "predictions.md")
	docs := func(args ...string) error {
		return docsCommand(append([]string{"-dir", dir}, args...), io.Discard)
	}
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	stale := func(when string, names ...string) {
		t.Helper()
		err := docs("-check")
		want := "not up to date: " + strings.Join(names, ", ") + ";"
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: check says %v", when, err)
		}
	}
	fresh := func(when string) string {
		t.Helper()
		if err := docs(); err != nil {
			t.Errorf("%s: %v", when, err)
		}
		if err := docs("-check"); err != nil {
			t.Errorf("%s: %v", when, err)
		}
		text, err := os.ReadFile(page)
		if err != nil {
			t.Error(err)
		}
		return string(text)
	}

	stale("without a page", "docs/BENCHMARKS.md")
	fresh("without a result")
	mustRun(t, "bench", "-kernels", "generic", "-sizes", "16,32", "-time", "1ms",
		"-save="+filepath.Join(dir, "bench"))
	saved, _ := filepath.Glob(filepath.Join(dir, "bench", "*.json"))
	if len(saved) != 1 {
		t.Fatalf("saved %v", saved)
	}
	chart := strings.TrimSuffix(saved[0], ".json") + ".svg"
	stale("with a new result", "bench/"+filepath.Base(chart), "docs/BENCHMARKS.md")
	text := fresh("with a result")
	if !strings.Contains(text, "(../bench/"+filepath.Base(chart)+")") {
		t.Errorf("the page does not show %s:\n%s", chart, text)
	}
	write(chart, "changed")
	stale("with another chart", "bench/"+filepath.Base(chart))
	write(predictions, "Predictions.\n")
	stale("with predictions", "bench/"+filepath.Base(chart), "docs/BENCHMARKS.md")
	if text = fresh("with predictions"); !strings.HasSuffix(text, "\n\nPredictions.\n") {
		t.Errorf("the page does not end in the predictions:\n%s", text)
	}
	write(filepath.Join(dir, "bench", "others.md"), "Others.\n")
	stale("with others", "docs/BENCHMARKS.md")
	if text = fresh("with others"); !strings.HasSuffix(text, "\n\nOthers.\n\nPredictions.\n") {
		t.Errorf("the page does not end in the others and the predictions:\n%s", text)
	}
	write(saved[0], "{")
	err := docs("-check")
	if err == nil || !strings.Contains(err.Error(), filepath.Base(saved[0])) {
		t.Errorf("with a broken result: %v", err)
	}
}
