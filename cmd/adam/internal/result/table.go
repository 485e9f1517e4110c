package result

import (
	"fmt"
	"slices"
	"strings"

	"github.com/fusedadam/adam/internal/report"
)

// bytesPerParam is what a step moves: it reads p, g, M and V and writes p, M and V.
const bytesPerParam = 28

// table is the result for one kind, a line for each kernel and each loop of programs.
func (r *Result) table(kind Kind) report.Table {
	t := report.Table{{"elements", "kernel", "ns/param", "GB/s", "ceiling", "% of ceiling",
		"speed-up"}}
	bytes := float64(bytesPerParam)
	switch kind {
	case Model:
		t[0][0] = "model"
	case Size64:
		t[0][0] = "float64"
		bytes *= 2
	}
	for _, it := range r.Items(kind) {
		name := it.Name
		if kind == Model {
			name = fmt.Sprintf("%s, %d tensors", it.Name, it.Tensors)
		}
		plain := r.Time(it, Plain)
		for _, series := range append(slices.Clone(r.Kernels), SIMD512, SIMD256, Plain) {
			ns := r.Time(it, series)
			if ns == 0 {
				continue
			}
			row := []string{name, series, report.Figure(ns), report.Figure(bytes / ns), "",
				"", ""}
			if traffic, arithmetic := r.Ceilings(it, series); traffic > 0 {
				ceiling, which := traffic, " traffic"
				if arithmetic > traffic {
					ceiling, which = arithmetic, " arithmetic"
				}
				row[4], row[5] = report.Figure(ceiling)+which, fmt.Sprintf("%.0f", 100*ceiling/ns)
			}
			if series != Plain && plain > 0 {
				row[6] = report.Figure(plain/ns) + "×"
			}
			t = append(t, row)
			name = "" // the lines below belong to it
		}
	}
	return t
}

// Text is the result for a terminal.
func (r *Result) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n%s\n", r.Where(), r.CPU.Caches())
	for _, kind := range Kinds {
		if t := r.table(kind); len(t) > 1 {
			b.WriteString("\n" + t.Text(2))
		}
	}
	return b.String()
}

// Where says on what the result was measured.
func (r *Result) Where() string {
	return fmt.Sprintf("%v, %d logical cores, %s/%s, %s, one thread", r.CPU, r.CPU.Cores, r.GOOS,
		r.GOARCH, r.Go)
}
