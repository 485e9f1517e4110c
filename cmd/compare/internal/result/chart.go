package result

import (
	"bytes"
	"fmt"
	"image/color"
	"math"
	"slices"
	"strconv"

	"github.com/fusedadam/adam/internal/report"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

var colors = []color.RGBA{
	report.Blue, report.Sky, report.Black, report.Vermilion, report.Green, report.Purple,
	report.Orange,
}

// Adam, AdamW and Adam of the host often lie upon each other.
var dashes = [][]vg.Length{nil, {6, 3}, {2, 3}, nil, nil, nil, nil}

func init() { plot.DefaultFont.Variant = "Sans" }

// In points.
const (
	chartWidth   = 860
	panelHeight  = 300
	legendHeight = 46
)

func lineStyle(i int) draw.LineStyle {
	return draw.LineStyle{Color: colors[i%len(colors)], Width: 1.6, Dashes: dashes[i%len(dashes)]}
}

func newPlot(title, x, y string) *plot.Plot {
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = title, x, y
	p.X.Label.TextStyle.Font.Size, p.Y.Label.TextStyle.Font.Size = 10, 10
	grid := plotter.NewGrid()
	grid.Horizontal.Color, grid.Vertical.Color = report.Grid, report.Grid
	p.Add(grid)
	return p
}

// logTicks marks 1, 2 and 5 of each decade, or the decades alone if there are many. Less than a
// decade is marked as if it were linear.
func logTicks(lo, hi float64) []plot.Tick {
	if hi/lo < 8 {
		return plot.DefaultTicks{}.Ticks(lo, hi)
	}
	var ticks []plot.Tick
	digits := []float64{1, 2, 5}
	if hi/lo > 300 {
		digits = digits[:1]
	}
	for e := math.Floor(math.Log10(lo)); e <= math.Log10(hi); e++ {
		for _, d := range digits {
			v := d * math.Pow(10, e)
			if v >= lo*(1-1e-9) && v <= hi*(1+1e-9) {
				ticks = append(ticks,
					plot.Tick{Value: v, Label: strconv.FormatFloat(v, 'g', 6, 64)})
			}
		}
	}
	return ticks
}

func logAxis(a *plot.Axis) {
	a.Scale, a.Tick.Marker = plot.LogScale{}, plot.TickerFunc(logTicks)
}

// Curves draws the test runs: loss and accuracy against steps and seconds, the mean and the range
// of the seeds.
func (t *Task) Curves() ([]byte, error) {
	loss, accuracy := func(p Point) float64 { return p.Loss },
		func(p Point) float64 { return 100 * p.Accuracy }
	step, seconds := func(p Point) float64 { return float64(p.Step) },
		func(p Point) float64 { return p.Seconds }
	var panels [][]*plot.Plot
	for _, row := range []struct {
		name string
		y    func(Point) float64
	}{{"test loss", loss}, {"test accuracy, %", accuracy}} {
		var plots []*plot.Plot
		for _, column := range []struct {
			name string
			x    func(Point) float64
		}{{"steps", step}, {"seconds of training", seconds}} {
			p := newPlot("", column.name, row.name)
			for i, name := range t.Optimizers() {
				if err := t.addCurve(p, name, i, column.x, row.y); err != nil {
					return nil, err
				}
			}
			if row.name == "test loss" {
				logAxis(&p.Y)
			}
			t.limit(p, row.y)
			p.X.Min = 0
			plots = append(plots, p)
		}
		panels = append(panels, plots)
	}
	panels[0][0].Title.Text = t.Title + ", against steps"
	panels[0][1].Title.Text = t.Title + ", against time"
	return drawPanels(panels, t.legend())
}

// limit sets the ends of the axis of y to what all curves have after a tenth of the steps, since
// the beginning would press all that follows together.
func (t *Task) limit(p *plot.Plot, y func(Point) float64) {
	p.Y.Min, p.Y.Max = math.Inf(1), math.Inf(-1)
	for _, name := range t.Optimizers() {
		for _, r := range t.Of(name, Test) {
			for _, point := range r.Points {
				if point.Step >= t.Steps/10 {
					p.Y.Min, p.Y.Max = min(p.Y.Min, y(point)), max(p.Y.Max, y(point))
				}
			}
		}
	}
}

func (t *Task) addCurve(p *plot.Plot, optimizer string, i int, x, y func(Point) float64) error {
	var line, upper, lower plotter.XYs
	runs := t.Of(optimizer, Test)
	for j, mean := range t.Curve(optimizer) {
		if mean.Step < t.Steps/10 {
			continue
		}
		var values []float64
		for _, r := range runs {
			values = append(values, y(r.Points[j]))
		}
		line = append(line, plotter.XY{X: x(mean), Y: y(mean)})
		upper = append(upper, plotter.XY{X: x(mean), Y: slices.Max(values)})
		lower = append(lower, plotter.XY{X: x(mean), Y: slices.Min(values)})
	}
	if len(line) < 2 {
		return nil
	}
	slices.Reverse(lower)
	band, err := plotter.NewPolygon(append(upper, lower...))
	if err != nil {
		return err
	}
	c := colors[i%len(colors)]
	band.Color, band.LineStyle.Width = color.NRGBA{c.R, c.G, c.B, 40}, 0
	l, err := plotter.NewLine(line)
	if err != nil {
		return err
	}
	l.LineStyle = lineStyle(i)
	p.Add(band, l)
	return nil
}

// Sweeps draws the validation losses against the learning rates of all tasks.
func (r *Result) Sweeps() ([]byte, error) {
	var plots []*plot.Plot
	for _, t := range r.Tasks {
		p := newPlot(t.Title+", one run for each point", "learning rate",
			"validation loss at the end")
		logAxis(&p.X)
		logAxis(&p.Y)
		least := math.Inf(1)
		for i, name := range t.Optimizers() {
			var points plotter.XYs
			for _, run := range t.Of(name, Validation) {
				if l := run.Final(); !math.IsInf(l, 1) {
					points = append(points, plotter.XY{X: run.LR, Y: l})
					least = min(least, l)
				}
			}
			if len(points) < 2 {
				continue
			}
			line, dots, err := plotter.NewLinePoints(points)
			if err != nil {
				return nil, err
			}
			line.LineStyle, dots.Color, dots.Shape, dots.Radius = lineStyle(i),
				colors[i%len(colors)], draw.CircleGlyph{}, 2.5
			p.Add(line, dots)
		}
		p.Y.Min = least / 1.05
		p.Y.Max = min(p.Y.Max, 5*least)
		plots = append(plots, p)
	}
	return drawPanels([][]*plot.Plot{plots}, r.Tasks[0].legend())
}

// Steps draws the distribution of Adam's learning rates in each layer, and those of SGD.
func (r *Result) Steps() ([]byte, error) {
	var plots []*plot.Plot
	for _, t := range r.Tasks {
		p := newPlot(t.Title, "learning rate of a parameter, LR/(√v̂+ε)", "")
		logAxis(&p.X)
		layers := t.Layers()
		if len(layers) == 0 {
			return nil, fmt.Errorf("%s: no run of %s to its end", t.Name, Adam)
		}
		steps := []int{layers[0].Step, layers[len(layers)-1].Step}
		var names []plot.Tick
		n := len(layers) / 2
		for i, l := range layers {
			y := float64(n - i%n)
			c := colors[1]
			if l.Step == steps[1] {
				y -= 0.3
				c = colors[0]
			} else {
				names = append(names, plot.Tick{Value: y - 0.15, Label: l.Name})
			}
			q := l.Rate
			for _, part := range []struct {
				from, to, height float64
				width            vg.Length
				color            color.Color
			}{
				{q[0], q[4], 0, 1, c}, {q[1], q[3], 0, 9, c}, {q[2], q[2], 0.11, 1.5, color.White},
			} {
				line, err := plotter.NewLine(plotter.XYs{{X: part.from, Y: y - part.height},
					{X: part.to, Y: y + part.height}})
				if err != nil {
					return nil, err
				}
				line.Width, line.Color = part.width, part.color
				p.Add(line)
			}
		}
		p.Y.Min, p.Y.Max = 0.4, float64(n)+0.4
		p.Y.Tick.Marker = plot.ConstantTicks(names)
		p.Y.Tick.Length = 0
		if err := t.addSGD(p, true); err != nil {
			return nil, err
		}
		p.Title.Text += fmt.Sprintf(": after %d steps (light) and %d", steps[0], steps[1])
		plots = append(plots, p)
	}
	return drawPanels([][]*plot.Plot{plots}, r.Tasks[0].legend(SGD, Momentum))
}

// constant is the style of a learning rate that all parameters have. Those of SGD and momentum may
// lie upon each other: one is drawn in the gaps of the other.
func constant(i int, name string) draw.LineStyle {
	style := lineStyle(i)
	style.Dashes = []vg.Length{6, 6}
	if name == Momentum {
		style.DashOffs = 6
	}
	return style
}

// addSGD adds lines at the learning rates of SGD and of momentum, whose steps add up to 1/(1-β) of
// its gradients.
func (t *Task) addSGD(p *plot.Plot, upright bool) error {
	for i, name := range t.Optimizers() {
		lr := t.Of(name, Test)[0].LR
		switch name {
		case SGD:
		case Momentum:
			lr /= 1 - Beta
		default:
			continue
		}
		ends := plotter.XYs{{X: p.X.Min, Y: lr}, {X: p.X.Max, Y: lr}}
		if upright {
			ends = plotter.XYs{{X: lr, Y: p.Y.Min}, {X: lr, Y: p.Y.Max}}
		}
		l, err := plotter.NewLine(ends)
		if err != nil {
			return err
		}
		l.LineStyle = constant(i, name)
		p.Add(l)
	}
	return nil
}

// Rare draws the learning rate that Adam gives each symbol's row of the first layer against how
// often the symbol occurs.
func (t *Task) Rare() ([]byte, error) {
	p := newPlot(t.Title+": learning rate of each, the median of its row of the embeddings",
		"occurrences in the training part", "LR/(√v̂+ε)")
	logAxis(&p.X)
	logAxis(&p.Y)
	var at plotter.XYLabels
	for _, s := range t.Symbols() {
		if s.Count == 0 {
			continue
		}
		text := s.Text
		switch text {
		case " ":
			text = "space"
		case "\n":
			text = "newline"
		}
		at.XYs = append(at.XYs, plotter.XY{X: float64(s.Count), Y: s.Rate})
		at.Labels = append(at.Labels, text)
	}
	labels, err := plotter.NewLabels(at)
	if err != nil {
		return nil, err
	}
	for i := range labels.TextStyle {
		style := &labels.TextStyle[i]
		style.Font = p.X.Label.TextStyle.Font
		style.XAlign, style.YAlign, style.Color = draw.XCenter, draw.YCenter, colors[0]
	}
	p.Add(labels)
	p.X.Min, p.X.Max = p.X.Min/1.5, p.X.Max*1.5
	if err := t.addSGD(p, false); err != nil {
		return nil, err
	}
	p.Y.Min, p.Y.Max = p.Y.Min/1.5, p.Y.Max*1.5
	return drawPanels([][]*plot.Plot{{p}}, t.legend(SGD, Momentum))
}

// An entry of a legend.
type entry struct {
	name  string
	style draw.LineStyle
}

// legend has the lines of all optimizers, or those that a chart of one optimizer compares it with.
func (t *Task) legend(others ...string) []entry {
	var list []entry
	for i, name := range t.Optimizers() {
		switch {
		case others == nil:
			list = append(list, entry{name, lineStyle(i)})
		case slices.Contains(others, name):
			label := "learning rate of " + name
			if name == Momentum {
				label += fmt.Sprintf(", divided by 1-β = %.1f", 1-Beta)
			}
			list = append(list, entry{label, constant(i, name)})
		}
	}
	return list
}

// drawPanels draws rows of plots as SVG, the legend below.
func drawPanels(panels [][]*plot.Plot, legend []entry) ([]byte, error) {
	height := vg.Length(panelHeight*len(panels) + legendHeight)
	canvas := vgsvg.New(chartWidth, height)
	all := draw.New(canvas)
	all.SetColor(color.White)
	all.Fill(all.Rectangle.Path())
	tiles := draw.Tiles{Rows: len(panels), Cols: len(panels[0]), PadX: 12, PadY: 8, PadTop: 8,
		PadLeft: 8, PadRight: 16}
	for i, row := range plot.Align(panels, tiles, draw.Crop(all, 0, 0, legendHeight, 0)) {
		for j, c := range row {
			panels[i][j].Draw(c)
		}
	}
	style := text.Style{Color: color.Black, Font: panels[0][0].X.Label.TextStyle.Font,
		Handler: plot.DefaultTextHandler}
	style.YAlign = draw.YCenter
	x, y := vg.Length(16), vg.Length(legendHeight-12)
	for _, e := range legend {
		width := 40 + style.Width(e.name)
		if x+width > chartWidth-8 {
			x, y = 16, y-17
		}
		all.StrokeLine2(e.style, x, y, x+24, y)
		all.FillText(style, vg.Point{X: x + 29, Y: y}, e.name)
		x += width + 8
	}
	var b bytes.Buffer
	if _, err := canvas.WriteTo(&b); err != nil {
		return nil, err
	}
	return report.Fonts(b.Bytes()), nil
}
