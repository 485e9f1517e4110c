package result

import (
	_ "embed"
	"fmt"
	"strings"

	"github.com/fusedadam/adam/internal/report"
)

// pageText is the page with {names} for tables.
//
//go:embed page.md
var pageText string

// Files returns the page and its charts by their names in docs/.
func (r *Result) Files() (map[string][]byte, error) {
	charts := map[string]func() ([]byte, error){"rates": r.Sweeps, "steps": r.Steps}
	where := fmt.Sprintf("%s, %d logical cores, %s/%s, %s, kernel %s; %s",
		r.CPU, r.Cores, r.GOOS, r.GOARCH, r.Go, r.Kernel, r.Date)
	replace := []string{"{where}", where}
	for _, t := range r.Tasks {
		charts[t.Name] = t.Curves
		if t.Symbols() != nil {
			charts["rare"] = t.Rare
		}
		for name, table := range map[string]report.Table{
			"test": t.finals(), "frequencies": t.frequencies(), "rates": t.rates(),
			"moments": t.moments(),
		} {
			replace = append(replace, "{"+t.Name+" "+name+"}", table.Markdown(1))
		}
	}
	files := map[string][]byte{"COMPARISON.md": []byte(
		strings.NewReplacer(replace...).Replace(pageText))}
	for name, chart := range charts {
		svg, err := chart()
		if err != nil {
			return nil, err
		}
		files["comparison-"+name+".svg"] = svg
	}
	return files, nil
}
