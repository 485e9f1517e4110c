package result

import (
	_ "embed"
	"strings"
	"text/template"
)

//go:embed page.md.tmpl
var pageText string

var pageTemplate = template.Must(template.New("page").Funcs(template.FuncMap{
	"figure": figure, "percent": percent, "about": about,
}).Parse(pageText))

// Files returns the page and its charts by their names in docs/.
func (r *Result) Files() (map[string][]byte, error) {
	files := map[string][]byte{}
	for name, chart := range r.charts() {
		svg, err := chart()
		if err != nil {
			return nil, err
		}
		files["comparison-"+name+".svg"] = svg
	}
	var b strings.Builder
	if err := pageTemplate.Execute(&b, r); err != nil {
		return nil, err
	}
	files["COMPARISON.md"] = []byte(b.String())
	return files, nil
}

func (r *Result) charts() map[string]func() ([]byte, error) {
	charts := map[string]func() ([]byte, error){"rates": r.Sweeps, "steps": r.Steps}
	for _, t := range r.Tasks {
		charts[t.Name] = t.Curves
		if t.Symbols() != nil {
			charts["rare"] = t.Rare
		}
	}
	return charts
}
