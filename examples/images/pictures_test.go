package main

import (
	"image/png"
	"os"
	"path/filepath"
	"testing"

	"gonum.org/v1/plot/plotter"
)

// The wrong answers come in the order of confidence.
func TestMistakes(t *testing.T) {
	wrong := mistakes([]answer{
		{image: 0, truth: 1, guess: 1, confidence: 0.9},
		{image: 1, truth: 1, guess: 2, confidence: 0.5},
		{image: 2, truth: 0, guess: 3, confidence: 0.8},
		{image: 3, truth: 4, guess: 9, confidence: 0.5},
	})
	if len(wrong) != 3 || wrong[0].image != 2 || wrong[1].image != 1 || wrong[2].image != 3 {
		t.Errorf("%+v, want images 2, 1 and 3", wrong)
	}
}

func TestDraw(t *testing.T) {
	set, _ := load(t, 100, 1)
	for _, n := range []int{0, 3, 100} { // more than are drawn
		answers := make([]answer, n)
		for i := range answers {
			answers[i] = answer{image: i, truth: 1, guess: 2, confidence: 0.5}
		}
		path := filepath.Join(t.TempDir(), "mistakes.png")
		if err := drawMistakes(path, set, answers); err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := png.Decode(f); err != nil {
			t.Errorf("%d mistakes: %v", n, err)
		}
		f.Close()
	}
	if err := drawLosses(filepath.Join(t.TempDir(), "loss.svg"),
		plotter.XYs{{X: 0.5, Y: 2}, {X: 1, Y: 0.1}}, plotter.XYs{{X: 1, Y: 0.3}}); err != nil {
		t.Error(err)
	}
}
