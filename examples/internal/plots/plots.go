// Package plots draws what the examples show: curves, and sheets of images.
package plots

import (
	"fmt"
	"image/color"

	"github.com/fusedadam/adam/internal/report"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
)

// Curve is a line of a chart.
type Curve struct {
	Name string
	XY   plotter.XYs
}

// Colors that people of any colour vision tell apart (Okabe and Ito).
var Colors = []color.RGBA{
	report.Blue, report.Vermilion, report.Green, report.Purple, report.Sky, report.Orange,
	report.Black,
}

// Save draws curves to a file whose name ends with .png or .svg. logY asks for a logarithmic axis
// of y, for which all values must be positive.
func Save(path, title, x, y string, logY bool, curves ...Curve) error {
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = title, x, y
	p.Legend.Top, p.Legend.XOffs = true, -vg.Points(8)
	if logY {
		p.Y.Scale, p.Y.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1}
	}
	p.Add(plotter.NewGrid())
	for i, c := range curves {
		line, err := plotter.NewLine(c.XY)
		if err != nil {
			return fmt.Errorf("curve %q: %w", c.Name, err)
		}
		line.Color, line.Width = Colors[i%len(Colors)], vg.Points(1.5)
		p.Add(line)
		if c.Name != "" {
			p.Legend.Add(c.Name, line)
		}
	}
	return p.Save(18*vg.Centimeter, 11*vg.Centimeter, path)
}

// Smooth returns the exponential moving averages of xy, each with the given share of the value
// before it and corrected for the beginning.
func Smooth(xy plotter.XYs, share float64) plotter.XYs {
	smooth := make(plotter.XYs, len(xy))
	sum, weight := 0.0, 0.0
	for i, p := range xy {
		sum, weight = share*sum+(1-share)*p.Y, share*weight+1-share
		smooth[i] = plotter.XY{X: p.X, Y: sum / weight}
	}
	return smooth
}
