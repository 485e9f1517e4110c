package result

import (
	_ "embed"
	"strings"
	"text/template"
)

//go:embed page.md.tmpl
var pageText string

var pageTemplate = template.Must(template.New("page").Parse(pageText))

// section is what the page says of one machine.
type section struct {
	*Result
	Chart  string // address, relative to the page; empty without a chart
	Tables []string
	Fewest int // samples of the first kernel
}

// Page is the text of docs/BENCHMARKS.md. Charts are linked where chart gives an address. appendix
// is put at the end as it is.
func Page(results []*Result, chart func(*Result) string, appendix string) (string, error) {
	data := struct {
		Bytes    int
		ARM64    bool // a machine of that architecture was measured
		Summary  string
		Results  []section
		Appendix string
	}{Bytes: bytesPerParam, Appendix: appendix}
	for _, r := range results {
		data.ARM64 = data.ARM64 || r.GOARCH == "arm64"
		s := section{Result: r, Chart: chart(r), Fewest: r.fewest()}
		for _, kind := range Kinds {
			if t := r.table(kind).Markdown(2); t != "" {
				s.Tables = append(s.Tables, t)
			}
		}
		data.Results = append(data.Results, s)
	}
	if len(results) > 0 {
		data.Summary = summary(results).Markdown(2)
	}
	var b strings.Builder
	err := pageTemplate.Execute(&b, data)
	return b.String(), err
}

// fewest is the smallest number of samples that the first kernel has.
func (r *Result) fewest() int {
	fewest := 0
	for _, row := range r.Rows {
		if row.Series == r.Kernels[0] && (fewest == 0 || row.Samples < fewest) {
			fewest = row.Samples
		}
	}
	return fewest
}
