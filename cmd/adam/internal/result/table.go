package result

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// bytesPerParam is what a step moves: it reads p, g, M and V and writes p, M and V.
const bytesPerParam = 28

// A table in cells of text, the first row being the header; the first two columns are words, the
// others figures.
type table [][]string

// table is the result for one kind, a line for each kernel and the plain loop.
func (r *Result) table(kind Kind) table {
	t := table{{"elements", "kernel", "ns/param", "GB/s", "ceiling", "% of ceiling", "speed-up"}}
	if kind == Model {
		t[0][0] = "model"
	}
	for _, it := range r.Items(kind) {
		name := it.Name
		if kind == Model {
			name = fmt.Sprintf("%s, %d tensors", it.Name, it.Tensors)
		}
		plain := r.Time(it, Plain)
		for _, series := range append(slices.Clone(r.Kernels), Plain) {
			ns := r.Time(it, series)
			if ns == 0 {
				continue
			}
			row := []string{name, series, figure(ns), figure(bytesPerParam / ns), "", "", ""}
			if traffic, arithmetic := r.Ceilings(it, series); traffic > 0 {
				ceiling, which := traffic, " traffic"
				if arithmetic > traffic {
					ceiling, which = arithmetic, " arithmetic"
				}
				row[4], row[5] = figure(ceiling)+which, fmt.Sprintf("%.0f", 100*ceiling/ns)
			}
			if series != Plain && plain > 0 {
				row[6] = figure(plain/ns) + "×"
			}
			t = append(t, row)
			name = "" // the lines below belong to it
		}
	}
	return t
}

// figure writes three digits of x.
func figure(x float64) string {
	switch {
	case x >= 99.95:
		return fmt.Sprintf("%.0f", x)
	case x >= 9.995:
		return fmt.Sprintf("%.1f", x)
	case x >= 0.9995:
		return fmt.Sprintf("%.2f", x)
	}
	return fmt.Sprintf("%.3f", x)
}

// text aligns the table for a terminal.
func (t table) text() string {
	width := make([]int, len(t[0]))
	for _, row := range t {
		for j, cell := range row {
			width[j] = max(width[j], utf8.RuneCountInString(cell))
		}
	}
	var b strings.Builder
	for i, row := range t {
		if i > 0 && row[0] != "" {
			b.WriteByte('\n') // each item apart
		}
		var line strings.Builder
		for j, cell := range row {
			pad := strings.Repeat(" ", width[j]-utf8.RuneCountInString(cell))
			if j < 2 {
				line.WriteString(cell + pad + "  ")
			} else {
				line.WriteString(pad + cell + "  ")
			}
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	return b.String()
}

// markdown writes the table for a page.
func (t table) markdown() string {
	var b strings.Builder
	for i, row := range t {
		b.WriteString("| " + strings.Join(row, " | ") + " |\n")
		if i == 0 {
			b.WriteString("|---|---" + strings.Repeat("|---:", len(row)-2) + "|\n")
		}
	}
	return b.String()
}

// Text is the result for a terminal.
func (r *Result) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n%s\n", r.Where(), r.CPU.Caches())
	for _, kind := range []Kind{Size, Model} {
		if t := r.table(kind); len(t) > 1 {
			b.WriteString("\n" + t.text())
		}
	}
	return b.String()
}

// Where says on what the result was measured.
func (r *Result) Where() string {
	return fmt.Sprintf("%v, %d logical cores, %s/%s, %s, one thread", r.CPU, r.CPU.Cores, r.GOOS, r.GOARCH, r.Go)
}
