package main

import (
	"errors"
	"flag"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/fusedadam/adam/cmd/adam/internal/result"
	"github.com/fusedadam/adam/internal/report"
)

func docsCommand(args []string, out io.Writer) error {
	flags := flag.NewFlagSet("docs [flags]", flag.ContinueOnError)
	dir := flags.String("dir", ".", "`DIR` of the repository")
	check := flags.Bool("check", false, "write nothing; fail if a file is not up to date")
	const about = "Write docs/BENCHMARKS.md and the charts from the results in bench/."
	if err := parse(flags, about, 0, args, out); err != nil {
		return err
	}
	return docs(out, *dir, *check)
}

// docs writes the generated files of the repository in dir and names them, or checks that they are
// as it would write them.
func docs(out io.Writer, dir string, check bool) error {
	files, err := generate(dir)
	if err != nil {
		return err
	}
	return report.Write(out, dir, files, check, "go run ./cmd/adam docs")
}

// generate returns the files by their names below dir.
func generate(dir string) (map[string][]byte, error) {
	const bench = "bench"
	results, err := result.Load(filepath.Join(dir, bench))
	if err != nil {
		return nil, err
	}
	var appendix []byte
	for _, name := range []string{"others.md", "predictions.md"} {
		text, err := os.ReadFile(filepath.Join(dir, bench, name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		if len(appendix) > 0 && len(text) > 0 {
			appendix = append(appendix, '\n')
		}
		appendix = append(appendix, text...)
	}
	files := map[string][]byte{}
	charts := map[*result.Result]string{}
	for _, r := range results {
		if len(r.Items(result.Size)) < 2 {
			continue
		}
		svg, err := r.Chart()
		if err != nil {
			return nil, err
		}
		name := strings.TrimSuffix(filepath.Base(r.File), ".json") + ".svg"
		files[filepath.Join(bench, name)] = svg
		charts[r] = "../" + bench + "/" + name
	}
	page, err := result.Page(results, func(r *result.Result) string { return charts[r] },
		string(appendix))
	files[filepath.Join("docs", "BENCHMARKS.md")] = []byte(page)
	return files, err
}
