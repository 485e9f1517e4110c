package result

import (
	"bytes"
	"cmp"
	"errors"
	"image/color"
	"math"
	"slices"
	"strconv"

	"github.com/fusedadam/adam/cmd/adam/internal/machine"
	"github.com/fusedadam/adam/internal/report"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

var (
	kernelColors = []color.Color{report.Blue, report.Vermilion, report.Green, report.Purple}
	ceilingColor = color.RGBA{0x8c, 0x8c, 0x8c, 255}
	cacheColor   = color.RGBA{0x70, 0x70, 0x70, 255}
)

func init() { plot.DefaultFont.Variant = "Sans" }

// In points.
const (
	chartWidth  = 780
	chartHeight = 430
	legendWidth = 190
	margin      = 10
)

// Chart draws the sizes as SVG: ns per parameter against elements, a line for each kernel, the
// plain loop and the two ceilings of the best kernel. The caches are marked where the slices fill
// them.
func (r *Result) Chart() ([]byte, error) {
	items := r.Items(Size)
	if len(items) < 2 {
		return nil, errors.New("a chart needs at least two sizes")
	}
	slices.SortFunc(items, func(a, b Item) int { return cmp.Compare(a.Elements, b.Elements) })
	p := plot.New()
	p.Title.Text = r.CPU.String() + ": Adam step (lower is faster)"
	p.Title.Padding = 24 // room for the names of the caches
	p.X.Label.Text, p.Y.Label.Text = "elements", "ns per parameter"
	p.X.Scale, p.Y.Scale = plot.LogScale{}, plot.LogScale{}
	legend := plot.NewLegend()
	p.Title.TextStyle.Font.Size = 13
	for _, style := range []*text.Style{&p.X.Label.TextStyle, &p.Y.Label.TextStyle, &p.X.Tick.Label,
		&p.Y.Tick.Label, &legend.TextStyle} {
		style.Font.Size = 11
	}

	grid := plotter.NewGrid()
	grid.Horizontal.Color, grid.Vertical.Color = report.Grid, report.Grid
	p.Add(grid, cacheMarks(r.CPU))
	legend.Top, legend.Left, legend.Padding = true, true, 6
	for _, s := range r.series() {
		var points plotter.XYs
		for _, it := range items {
			if ns := s.time(it); ns > 0 {
				points = append(points, plotter.XY{X: float64(it.Elements), Y: ns})
			}
		}
		if len(points) < 2 {
			continue
		}
		line, dots, err := plotter.NewLinePoints(points)
		if err != nil {
			return nil, err
		}
		line.LineStyle, dots.Color, dots.Shape, dots.Radius = s.line, s.line.Color,
			draw.CircleGlyph{}, 2
		p.Add(line) // which widens the axes
		legend.Add(s.name, line)
		if s.line.Dashes == nil {
			p.Add(dots)
		}
	}
	p.Y.Min, p.Y.Max = p.Y.Min/1.2, p.Y.Max*1.2
	p.X.Min, p.X.Max = p.X.Min/1.2, p.X.Max*1.2
	p.X.Tick.Marker, p.Y.Tick.Marker = ticks(sizeTicks), ticks(timeTicks)

	canvas := vgsvg.New(chartWidth, chartHeight)
	all := draw.New(canvas)
	all.SetColor(color.White)
	all.Fill(all.Rectangle.Path())
	p.Draw(draw.Crop(all, margin, -legendWidth, margin, -margin))
	legend.Draw(draw.Crop(all, chartWidth-legendWidth+margin, -margin, margin, -60))
	var b bytes.Buffer
	if _, err := canvas.WriteTo(&b); err != nil {
		return nil, err
	}
	return report.Fonts(b.Bytes()), nil
}

// A series is a line of the chart.
type series struct {
	name string
	line draw.LineStyle
	time func(Item) float64 // 0 if there is none
}

// series are the lines to draw.
func (r *Result) series() []series {
	measured := func(name string) func(Item) float64 {
		return func(it Item) float64 { return r.Time(it, name) }
	}
	var list []series
	for i, k := range r.Kernels {
		color := kernelColors[i%len(kernelColors)]
		list = append(list, series{k, draw.LineStyle{Color: color, Width: 1.8}, measured(k)})
	}
	best := r.Kernels[0]
	return append(list,
		series{"plain Go loop", draw.LineStyle{Color: report.Black, Width: 1.2}, measured(Plain)},
		series{"memory traffic", draw.LineStyle{Color: ceilingColor, Width: 1.2,
			Dashes: []vg.Length{5, 3}},
			func(it Item) float64 { traffic, _ := r.Ceilings(it, best); return traffic }},
		series{"√ and ÷ alone, " + best, draw.LineStyle{Color: ceilingColor, Width: 1.2,
			Dashes: []vg.Length{1.5, 2.5}},
			func(it Item) float64 { _, arithmetic := r.Ceilings(it, best); return arithmetic }})
}

// cacheMarks are lines where p, g, M and V fill a cache.
type cacheMarks machine.CPU

func (m cacheMarks) Plot(c draw.Canvas, p *plot.Plot) {
	x, _ := p.Transforms(&c)
	style := p.X.Tick.Label
	style.Color, style.XAlign, style.YAlign = cacheColor, draw.XCenter, draw.YBottom
	for _, cache := range []struct {
		name string
		size int
	}{{"L1", m.L1D}, {"L2", m.L2}, {"L3", m.L3}} {
		elements := float64(cache.size) / 16
		if elements < p.X.Min || elements > p.X.Max {
			continue
		}
		at := x(elements)
		c.StrokeLine2(draw.LineStyle{Color: cacheColor, Width: 0.8, Dashes: []vg.Length{2, 2}}, at,
			c.Min.Y, at, c.Max.Y+3)
		c.FillText(style, vg.Point{X: at, Y: c.Max.Y + 6}, cache.name+" "+machine.Bytes(cache.size))
	}
}

type ticks func(least, most float64) []plot.Tick

func (t ticks) Ticks(least, most float64) []plot.Tick { return t(least, most) }

// sizeTicks are the powers of 4, every second one with a name.
func sizeTicks(least, most float64) []plot.Tick {
	var list []plot.Tick
	for i := 0; i < 40; i += 2 {
		n := math.Ldexp(1, i)
		if n < least || n > most {
			continue
		}
		label := ""
		switch {
		case i%4 != 0:
		case i >= 20:
			label = strconv.Itoa(1<<(i-20)) + "Mi"
		case i >= 10:
			label = strconv.Itoa(1<<(i-10)) + "Ki"
		default:
			label = strconv.Itoa(1 << i)
		}
		list = append(list, plot.Tick{Value: n, Label: label})
	}
	return list
}

// timeTicks are 1, 2 and 5 times the powers of 10.
func timeTicks(least, most float64) []plot.Tick {
	var list []plot.Tick
	for e := -4; e < 6; e++ {
		for _, digit := range []float64{1, 2, 5} {
			x := digit * math.Pow10(e)
			if x >= least && x <= most {
				list = append(list, plot.Tick{Value: x, Label: strconv.FormatFloat(x, 'g', 3, 64)})
			}
		}
	}
	return list
}
