package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/fusedadam/adam/cmd/compare/internal/result"
	"github.com/fusedadam/adam/internal/report"
)

// dataFile is where the data of docs/COMPARISON.md lie. It is not in bench/ itself, all of whose
// JSON files are results of `adam bench`.
const dataFile = "bench/comparison/comparison.json"

// spoken is the date of the data that the sentences of the page speak of. Whoever measures anew
// reads them again.
const spoken = "2026-11-25"

// docs writes the page and its charts, or checks that they are as it would write them.
func docs(dir string, check bool) error {
	r, err := result.Load(filepath.Join(dir, dataFile))
	if err != nil {
		return err
	}
	files, err := r.Files()
	if err != nil {
		return err
	}
	err = report.Write(os.Stdout, filepath.Join(dir, "docs"), files, check,
		"go run ./cmd/compare docs")
	if err == nil && r.Date != spoken {
		err = fmt.Errorf(
			"the data are of %s, the sentences of the page of %s: read those again in "+
				"internal/result/page.md, then set `spoken` in docs.go", r.Date, spoken)
	}
	return err
}
