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
	switch kind {
	case First:
		return r.firstTable()
	case Storages:
		return r.storageTable()
	}
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
			// A loop of programs has no ceiling of its own.
			traffic, arithmetic := r.Ceilings(it, series)
			row[4], row[5] = ceiling(traffic, arithmetic, ns)
			if series != Plain && plain > 0 {
				row[6] = report.Figure(plain/ns) + "×"
			}
			t = append(t, row)
			name = "" // the lines below belong to it
		}
	}
	return t
}

// ceiling says which of the two is the ceiling of a step, and how close it comes.
func ceiling(traffic, arithmetic, ns float64) (text, share string) {
	if traffic == 0 || arithmetic == 0 {
		return "", ""
	}
	most, which := traffic, " traffic"
	if arithmetic > traffic {
		most, which = arithmetic, " arithmetic"
	}
	return report.Figure(most) + which, fmt.Sprintf("%.0f", 100*most/ns)
}

// storageTable is the table of storages: for each size and kernel a line of each storage, the first
// of which is float32.
func (r *Result) storageTable() report.Table {
	t := report.Table{{"storages", "storage", "ns/param", "speed-up", "bytes", "ceiling",
		"% of ceiling", "state bytes", "fused"}}
	items := r.Items(Storages)
	for i, first := range items {
		if first.Name == items[max(i-1, 0)].Name && i > 0 {
			continue
		}
		for _, k := range r.Kernels {
			name := first.Name + ", " + k
			_, arithmetic := r.Ceilings(first, k) // the same of all storages
			for _, it := range items {
				row := r.row(it, k)
				if it.Name != first.Name || row.Median == 0 {
					continue
				}
				traffic, _ := r.Ceilings(it, k)
				most, share := ceiling(traffic, arithmetic, row.Median)
				fused := "–"
				if it.Label != first.Label {
					fused = map[bool]string{true: "yes", false: "no"}[row.Fused]
				}
				t = append(t, []string{name, it.Label, report.Figure(row.Median),
					report.Figure(r.Time(first, k)/row.Median) + "×", report.Figure(it.Bytes),
					most, share, report.Figure(it.State), fused})
				name = ""
			}
		}
	}
	return t
}

// firstTable is the table of the first steps after scalar code.
func (r *Result) firstTable() report.Table {
	t := report.Table{{"first step", "kernel", "warm", "after scalar code", "ratio"}}
	for _, it := range r.Items(First) {
		name := it.Name
		for _, k := range r.Kernels {
			warm, first := r.Time(it, k), r.Time(it, AfterCode+k)
			t = append(t, []string{name, k, report.Figure(warm), report.Figure(first),
				report.Figure(first / warm)})
			name = ""
		}
	}
	return t
}

// summary is a line for each machine, of the kernel that runs there: ns per parameter, with the
// share of the ceiling.
func summary(results []*Result) report.Table {
	t := report.Table{{"machine", "kernel", "16 Ki", "1 Mi", "64 Mi", "float64, 16 Ki",
		"128 Ki after scalar code", "plain loop, 16 Ki"}}
	for _, r := range results {
		best := r.Kernels[0]
		cell := func(kind Kind, name, series string) string {
			for _, it := range r.Items(kind) {
				ns := r.Time(it, series)
				if it.Name != name || ns == 0 {
					continue
				}
				text := report.Figure(ns)
				if traffic, arithmetic := r.Ceilings(it, series); traffic > 0 && arithmetic > 0 {
					text += fmt.Sprintf(" (%.0f %%)", 100*max(traffic, arithmetic)/ns)
				}
				return text
			}
			return "–"
		}
		t = append(t, []string{r.CPU.Short(), best, cell(Size, "16Ki", best),
			cell(Size, "1Mi", best), cell(Size, "64Mi", best), cell(Size64, "16Ki", best),
			cell(First, "128Ki", AfterCode+best), cell(Size, "16Ki", Plain)})
	}
	return t
}

// Text is the result for a terminal.
func (r *Result) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v, %d logical cores, %s/%s, %s, one thread\n%s\n", r.CPU, r.CPU.Cores, r.GOOS,
		r.GOARCH, r.Go, r.CPU.Caches())
	for _, kind := range Kinds {
		if t := r.table(kind); len(t) > 1 {
			b.WriteString("\n" + t.Text(2))
		}
	}
	return b.String()
}
