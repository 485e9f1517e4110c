package result

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/fusedadam/adam/internal/report"
	"github.com/fusedadam/adam/internal/stats"
)

// rates is the table of the sweeps.
func (t *Task) rates() report.Table {
	rows := report.Table{{"optimizer", "learning rates tried", "best", "loss at it", "at a third",
		"at 3 times", "within 10 %"}}
	for _, name := range t.Optimizers() {
		runs := t.Of(name, Validation)
		best := t.best(name)
		loss := func(i int) string {
			if i < 0 || i >= len(runs) {
				return "–"
			}
			if runs[i].Diverged {
				return "diverged"
			}
			return report.Figure(runs[i].Final())
		}
		within := 0
		for _, r := range runs {
			if r.Final() <= 1.1*runs[best].Final() {
				within++
			}
		}
		rows = append(rows, []string{
			name, fmt.Sprintf("%g to %g", runs[0].LR, runs[len(runs)-1].LR), lr(runs[best].LR),
			loss(best), loss(best - 1), loss(best + 1), fmt.Sprintf("%d of %d", within, len(runs)),
		})
	}
	return rows
}

// best returns the index of the best run of a sweep.
func (t *Task) best(optimizer string) int {
	best := 0
	runs := t.Of(optimizer, Validation)
	for i, r := range runs {
		if r.Final() < runs[best].Final() {
			best = i
		}
	}
	return best
}

// finals is the table of the runs with the best learning rates.
func (t *Task) finals() report.Table {
	target := mean(each(t.Of(SGD, Test), func(r Run) float64 { return r.Final() }))
	rows := report.Table{{"optimizer", "learning rate", "test loss", "test accuracy, %",
		"training loss", "steps to " + report.Figure(target), "seconds to it",
		"solver, µs per step", "whole step, µs"}}
	for _, name := range t.Optimizers() {
		runs := t.Of(name, Test)
		if diverged(runs) {
			rows = append(rows, []string{name, lr(runs[0].LR), "diverged", "", "", "", "", "", ""})
			continue
		}
		last := func(f func(Point) float64) []float64 {
			return each(runs, func(r Run) float64 { return f(r.Points[len(r.Points)-1]) })
		}
		steps, seconds := "–", "–"
		if p := reached(t.Curve(name), target); p != nil {
			steps, seconds = strconv.Itoa(p.Step), report.Figure(p.Seconds)
		}
		rows = append(rows, []string{
			name, lr(runs[0].LR), spread(last(func(p Point) float64 { return p.Loss }),
				report.Figure),
			spread(last(func(p Point) float64 { return 100 * p.Accuracy }), percent),
			report.Figure(mean(last(func(p Point) float64 { return p.Training }))), steps, seconds,
			report.Figure(t.time(runs, func(r Run) float64 { return r.SolverSeconds })),
			report.Figure(t.time(runs, func(r Run) float64 { return r.Seconds })),
		})
	}
	return rows
}

// time returns the microseconds of a step, the median of the runs.
func (t *Task) time(runs []Run, seconds func(Run) float64) float64 {
	return 1e6 * stats.Median(each(runs, seconds)) / float64(t.Steps)
}

func diverged(runs []Run) bool {
	return slices.ContainsFunc(runs, func(r Run) bool { return r.Diverged })
}

// Curve is the mean of the optimizer's test runs, nil if one of them diverged.
func (t *Task) Curve(optimizer string) []Point {
	runs := t.Of(optimizer, Test)
	if diverged(runs) {
		return nil
	}
	var curve []Point
	for i := range runs[0].Points {
		at := func(f func(Point) float64) float64 {
			return mean(each(runs, func(r Run) float64 { return f(r.Points[i]) }))
		}
		curve = append(curve, Point{
			Step:     runs[0].Points[i].Step,
			Seconds:  at(func(p Point) float64 { return p.Seconds }),
			Training: at(func(p Point) float64 { return p.Training }),
			Loss:     at(func(p Point) float64 { return p.Loss }),
			Accuracy: at(func(p Point) float64 { return p.Accuracy }),
		})
	}
	return curve
}

// reached returns the first point with at most the loss, nil if there is none.
func reached(curve []Point, loss float64) *Point {
	i := slices.IndexFunc(curve, func(p Point) bool { return p.Loss <= loss*(1+1e-9) })
	if i < 0 {
		return nil
	}
	return &curve[i]
}

// frequencies is the table of the losses by the frequency of the label.
func (t *Task) frequencies() report.Table {
	rows := report.Table{{"optimizer"}}
	for _, name := range t.Optimizers() {
		runs := t.Of(name, Test)
		if diverged(runs) {
			rows = append(rows, []string{name, "diverged"})
			continue
		}
		row := []string{name}
		for i, g := range runs[0].Groups {
			if len(rows[0]) <= i+1 {
				rows[0] = append(rows[0],
					fmt.Sprintf("%s: %d characters, %d examples", share(g), g.Classes, g.Examples))
			}
			row = append(row, spread(each(runs, func(r Run) float64 { return r.Groups[i].Loss }),
				report.Figure))
		}
		rows = append(rows, row)
	}
	return rows
}

func share(g Group) string {
	switch {
	case g.From == 0:
		return fmt.Sprintf("below %g %%", 100*g.To)
	case g.To == 1:
		return fmt.Sprintf("from %g %%", 100*g.From)
	}
	return fmt.Sprintf("%g to %g %%", 100*g.From, 100*g.To)
}

// moments is the table of Adam's learning rates and steps in each layer.
func (t *Task) moments() report.Table {
	rows := report.Table{{"layer", "after step", "never a gradient, %"}}
	for _, p := range Probabilities {
		rows[0] = append(rows[0], fmt.Sprintf("%g %%", 100*p))
	}
	rows[0] = append(rows[0], "99 % / 1 %", "moved: 50, 99 %")
	for _, l := range t.Layers() {
		row := []string{l.Name, strconv.Itoa(l.Step), percent(100 * l.Still)}
		for _, r := range l.Rate {
			row = append(row, report.Figure(r))
		}
		last := len(l.Rate) - 1
		row = append(row, report.Figure(l.Rate[last]/l.Rate[0]),
			report.Figure(l.Moved[last/2])+", "+report.Figure(l.Moved[last]))
		rows = append(rows, row)
	}
	return rows
}

func each(runs []Run, f func(Run) float64) []float64 {
	var x []float64
	for _, r := range runs {
		x = append(x, f(r))
	}
	return x
}

func mean(x []float64) float64 {
	sum := 0.0
	for _, v := range x {
		sum += v
	}
	return sum / float64(len(x))
}

// spread writes the mean of x and its range.
func spread(x []float64, format func(float64) string) string {
	if len(x) == 1 {
		return format(x[0])
	}
	return fmt.Sprintf("%s (%s–%s)", format(mean(x)), format(slices.Min(x)), format(slices.Max(x)))
}

func percent(x float64) string { return fmt.Sprintf("%.2f", x) }

func lr(x float64) string { return fmt.Sprintf("%g", x) }

// Text shows the tables on a terminal.
func (t *Task) Text() string { return t.rates().Text(1) + "\n" + t.finals().Text(1) }
