package main

import (
	"fmt"

	"github.com/fusedadam/adam/examples/internal/plots"
)

const (
	pictured = 12  // scenes of a picture
	sure     = 0.5 // least score of a detection that is drawn
)

// drawScenes saves the first scenes, with what is true above and in green, and what was found in
// orange.
func drawScenes(path string, scenes []scene, found [][]detection) error {
	n := min(pictured, len(scenes))
	sheet := plots.NewSheet(n, 4, canvas, 6)
	for i, s := range scenes[:n] {
		caption := "true:"
		for _, o := range s.truth {
			caption += fmt.Sprint(" ", o.class)
		}
		sheet.Image(i, s.pixels, caption)
		for _, o := range s.truth {
			sheet.Box(i, o.x0, o.y0, o.x1, o.y1, plots.Colors[2], "")
		}
		for _, d := range found[i] {
			if d.score >= sure {
				sheet.Box(i, d.x0, d.y0, d.x1, d.y1, plots.Colors[5],
					fmt.Sprintf("%d %.2f", d.class, d.score))
			}
		}
	}
	return sheet.Save(path)
}
