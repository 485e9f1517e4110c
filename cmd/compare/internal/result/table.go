package result

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
)

// A table in cells of text, the first row being the header; the first column is words, the others figures.
type table [][]string

// Rates is the table of the sweeps.
func (t *Task) Rates() string { return t.rates().markdown() }

func (t *Task) rates() table {
	rows := table{{"optimizer", "learning rates tried", "best", "loss at it", "at a third", "at 3 times", "within 10 %"}}
	for _, name := range t.Optimizers() {
		runs := t.Of(name, Validation)
		best := t.best(name)
		loss := func(i int) string {
			if i < 0 || i >= len(runs) {
				return "–"
			}
			return figure(runs[i].Final())
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

// Finals is the table of the runs with the best learning rates.
func (t *Task) Finals() string { return t.finals().markdown() }

func (t *Task) finals() table {
	target := t.Target()
	rows := table{{"optimizer", "learning rate", "test loss", "test accuracy, %", "training loss",
		"steps to " + figure(target), "seconds to it", "solver, µs per step", "whole step, µs"}}
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
			steps, seconds = strconv.Itoa(p.Step), figure(p.Seconds)
		}
		rows = append(rows, []string{
			name, lr(runs[0].LR), spread(last(func(p Point) float64 { return p.Loss }), figure),
			spread(last(func(p Point) float64 { return 100 * p.Accuracy }), percent),
			figure(mean(last(func(p Point) float64 { return p.Training }))), steps, seconds,
			figure(t.SolverTime(name)), figure(t.StepTime(name)),
		})
	}
	return rows
}

// SolverTime returns the microseconds of a step that an optimizer takes, the median of its test runs.
func (t *Task) SolverTime(optimizer string) float64 {
	return median(each(t.Of(optimizer, Test), func(r Run) float64 { return 1e6 * r.SolverSeconds / float64(t.Steps) }))
}

// StepTime returns the microseconds of a whole step, the median of the optimizer's test runs.
func (t *Task) StepTime(optimizer string) float64 {
	return median(each(t.Of(optimizer, Test), func(r Run) float64 { return 1e6 * r.Seconds / float64(t.Steps) }))
}

// SolverRatio returns how many times as long a step of one optimizer takes as one of another, the median of the seeds.
func (t *Task) SolverRatio(slow, fast string) float64 {
	return t.ratio(slow, fast, func(r Run) float64 { return r.SolverSeconds })
}

// StepRatio returns the same of whole steps.
func (t *Task) StepRatio(slow, fast string) float64 {
	return t.ratio(slow, fast, func(r Run) float64 { return r.Seconds })
}

func (t *Task) ratio(a, b string, f func(Run) float64) float64 {
	x, y := each(t.Of(a, Test), f), each(t.Of(b, Test), f)
	for i := range x {
		x[i] /= y[i]
	}
	return median(x)
}

// Lead returns by how many per cent an optimizer's mean test loss at the end is below that of another.
func (t *Task) Lead(a, b string) float64 { return 100 * (1 - t.TestLoss(a)/t.TestLoss(b)) }

// Gap is the largest difference between the test losses of two optimizers at one step of one seed, in per cent.
func (t *Task) Gap(a, b string) float64 {
	gap := 0.0
	y := t.Of(b, Test)
	for i, r := range t.Of(a, Test) {
		for j, p := range r.Points[:min(len(r.Points), len(y[i].Points))] {
			gap = max(gap, math.Abs(p.Loss/y[i].Points[j].Loss-1))
		}
	}
	return 100 * gap
}

// Target is the mean test loss with which SGD ends.
func (t *Task) Target() float64 { return t.TestLoss(SGD) }

// TestLoss is the mean test loss at the end.
func (t *Task) TestLoss(optimizer string) float64 {
	return mean(each(t.Of(optimizer, Test), func(r Run) float64 { return r.Final() }))
}

// TestAccuracy is the mean test accuracy at the end in per cent.
func (t *Task) TestAccuracy(optimizer string) float64 {
	return mean(each(t.Of(optimizer, Test), func(r Run) float64 { return 100 * r.Points[len(r.Points)-1].Accuracy }))
}

// TestGroup is the mean test loss at the end of a group.
func (t *Task) TestGroup(optimizer string, group int) float64 {
	return mean(each(t.Of(optimizer, Test), func(r Run) float64 { return r.Groups[group].Loss }))
}

// StepsTo returns after how many steps the mean curve of an optimizer has reached a loss, 0 if it has not.
func (t *Task) StepsTo(optimizer string, loss float64) int {
	if p := reached(t.Curve(optimizer), loss); p != nil {
		return p.Step
	}
	return 0
}

// Excess returns by how many per cent the validation loss of the sweep is above the best at the given learning rate.
func (t *Task) Excess(optimizer string, lr float64) float64 {
	runs := t.Of(optimizer, Validation)
	i := slices.IndexFunc(runs, func(r Run) bool { return r.LR == lr })
	return 100 * (runs[i].Final()/runs[t.best(optimizer)].Final() - 1)
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
			Step:    runs[0].Points[i].Step,
			Seconds: at(func(p Point) float64 { return p.Seconds }), Training: at(func(p Point) float64 { return p.Training }),
			Loss: at(func(p Point) float64 { return p.Loss }), Accuracy: at(func(p Point) float64 { return p.Accuracy }),
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

// Frequencies is the table of the losses by the frequency of the label.
func (t *Task) Frequencies() string {
	rows := table{{"optimizer"}}
	for _, name := range t.Optimizers() {
		runs := t.Of(name, Test)
		if diverged(runs) {
			rows = append(rows, []string{name, "diverged"})
			continue
		}
		row := []string{name}
		for i, g := range runs[0].Groups {
			if len(rows[0]) <= i+1 {
				rows[0] = append(rows[0], fmt.Sprintf("%s: %d characters, %d examples", share(g), g.Classes, g.Examples))
			}
			row = append(row, spread(each(runs, func(r Run) float64 { return r.Groups[i].Loss }), figure))
		}
		rows = append(rows, row)
	}
	return rows.markdown()
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

// Moments is the table of Adam's step sizes.
func (t *Task) Moments() string {
	rows := table{{"layer", "after step", "never a gradient, %"}}
	for _, p := range Probabilities {
		rows[0] = append(rows[0], fmt.Sprintf("%g %%", 100*p))
	}
	rows[0] = append(rows[0], "99 % / 1 %", "moved: 50, 99 %")
	for _, l := range t.Layers() {
		row := []string{l.Name, strconv.Itoa(l.Step), percent(100 * l.Still)}
		for _, r := range l.Rate {
			row = append(row, figure(r))
		}
		last := len(l.Rate) - 1
		row = append(row, figure(l.Rate[last]/l.Rate[0]), figure(l.Moved[last/2])+", "+figure(l.Moved[last]))
		rows = append(rows, row)
	}
	return rows.markdown()
}

// Within returns how many times as large a layer's 99 % quantile of Adam's learning rates is as that of 1 %, at the end.
func (t *Task) Within(layer string) float64 {
	ratio := 0.0
	for _, l := range t.Layers() {
		if l.Name == layer {
			ratio = l.Rate[len(l.Rate)-1] / l.Rate[0]
		}
	}
	return ratio
}

// Between returns how many times as large the largest median of a layer's rates is as the smallest, at the end.
func (t *Task) Between() float64 {
	var medians []float64
	for _, l := range t.Layers() {
		if l.Step == t.Steps {
			medians = append(medians, l.Rate[len(l.Rate)/2])
		}
	}
	return slices.Max(medians) / slices.Min(medians)
}

// rare returns the symbols below a share of 0.001 of the training examples.
func (t *Task) rare() []Symbol {
	var list []Symbol
	for _, s := range t.Symbols() {
		if float64(s.Count) < 0.001*float64(t.Examples) {
			list = append(list, s)
		}
	}
	return list
}

// RareSymbols returns the number of symbols that are rarer than one in a thousand.
func (t *Task) RareSymbols() int { return len(t.rare()) }

// RareRate returns how many times as large the median rate of those is as that of the most frequent symbol.
func (t *Task) RareRate() float64 {
	var rates []float64
	for _, s := range t.rare() {
		rates = append(rates, s.Rate)
	}
	most := slices.MaxFunc(t.Symbols(), func(a, b Symbol) int { return a.Count - b.Count })
	return median(rates) / most.Rate
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

func median(x []float64) float64 {
	x = slices.Sorted(slices.Values(x))
	return (x[(len(x)-1)/2] + x[len(x)/2]) / 2
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

// figure writes three digits of x.
func figure(x float64) string {
	switch {
	case math.IsInf(x, 0):
		return "diverged"
	case x == 0:
		return "0"
	case x >= 99.95:
		return fmt.Sprintf("%.0f", x)
	case x < 0.001:
		return fmt.Sprintf("%.1e", x)
	}
	return fmt.Sprintf("%.*f", 2-int(math.Floor(math.Log10(x))), x)
}

// about writes two digits of x, without an exponent.
func about(x float64) string {
	x, _ = strconv.ParseFloat(strconv.FormatFloat(x, 'e', 1, 64), 64)
	return strconv.FormatFloat(x, 'f', -1, 64)
}

// Text shows the tables on a terminal.
func (t *Task) Text() string { return t.rates().text() + "\n" + t.finals().text() }

func (t table) text() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, row := range t {
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	_ = w.Flush() // into memory
	return b.String()
}

func (t table) markdown() string {
	var lines []string
	for i, row := range t {
		lines = append(lines, "| "+strings.Join(row, " | ")+" |")
		if i == 0 {
			lines = append(lines, "|---|"+strings.Repeat("---:|", len(row)-1))
		}
	}
	return strings.Join(lines, "\n")
}
