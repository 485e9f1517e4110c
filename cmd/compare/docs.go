package main

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/fusedadam/adam/cmd/compare/internal/result"
)

// dataFile is where the data of docs/COMPARISON.md lie. It is not in bench/ itself, all of whose JSON files are results
// of `adam bench`.
const dataFile = "bench/comparison/comparison.json"

// docs writes the page and its charts and names them, or checks that they are as it would write them.
func docs(dir string, check bool) error {
	r, err := result.Load(filepath.Join(dir, dataFile))
	if err != nil {
		return err
	}
	files, err := r.Files()
	if err != nil {
		return err
	}
	var stale []string
	for _, name := range slices.Sorted(maps.Keys(files)) {
		path := filepath.Join(dir, "docs", name)
		if check {
			if have, err := os.ReadFile(path); err != nil || !bytes.Equal(have, files[name]) {
				stale = append(stale, name)
			}
			continue
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, files[name], 0o644); err != nil {
			return err
		}
		fmt.Println(path)
	}
	if stale != nil {
		return fmt.Errorf("not up to date in docs/: %s; write them with `go run ./cmd/compare docs`", strings.Join(stale, ", "))
	}
	return nil
}
