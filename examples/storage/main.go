// Command storage shows what parameters, gradients and moments of 16 and 8 bits are worth: it
// trains examples/language and examples/images with each storage, runs cases built to be hard for
// the moments, also of other formats, and writes docs/STORAGE.md. It runs at the root of the
// repository:
//
//	go run ./examples/storage train          # hours: what bench/storage does not have yet
//	go run ./examples/storage train -quick   # half an hour: short runs, in files of their own
//	go run ./examples/storage time           # minutes on an idle machine: seconds in the optimizer
//	go run ./examples/storage hard           # seconds: the hard cases
//	go run ./examples/storage docs           # writes the page and its pictures from all of that
//	go run ./examples/storage docs -check    # fails if they are not what the records give
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"

	"github.com/fusedadam/adam/examples/internal/storage"
	"github.com/fusedadam/adam/internal/report"
)

// folder has the records. It is not bench/ itself, all of whose JSON files are results of
// `adam bench`.
const folder = "bench/storage"

// examples are those that are trained.
var examples = []string{"language", "images"}

func main() {
	if err := command(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "storage:", err)
		os.Exit(1)
	}
}

func command(args []string) error {
	if len(args) == 0 {
		return errors.New("want train, time, hard or docs")
	}
	flags := flag.NewFlagSet("storage "+args[0], flag.ExitOnError)
	var quick, check bool
	var seeds uint64
	switch args[0] {
	case "train":
		flags.BoolVar(&quick, "quick", false, "train with -quick of the examples")
		flags.Uint64Var(&seeds, "seeds", 3, "runs of each storage")
	case "docs":
		flags.BoolVar(&check, "check", false, "write nothing; fail if a file is not up to date")
	}
	_ = flags.Parse(args[1:]) // which exits on errors
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if _, err := os.Stat(folder); err != nil {
		return fmt.Errorf("run it at the root of the repository: %w", err)
	}
	switch args[0] {
	case "train":
		return trainAll(seeds, quick)
	case "time":
		for _, e := range examples {
			if err := goRun(e, "-time", filepath.Join(folder, timeFile)); err != nil {
				return err
			}
		}
		return nil
	case "hard":
		r, err := runHard(1)
		if err != nil {
			return err
		}
		fmt.Printf("%s\n%s", r.moments().Text(1), r.parameters().Text(1))
		text, err := json.MarshalIndent(r, "", "\t")
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(folder, hardFile), append(text, '\n'), 0o644)
	case "docs":
		r, err := load(folder)
		if err != nil {
			return err
		}
		files, err := r.files()
		if err != nil {
			return err
		}
		return report.Write(os.Stdout, "docs", files, check, "go run ./examples/storage docs")
	}
	return fmt.Errorf("unknown command %q: want train, time, hard or docs", args[0])
}

// Files of the folder.
const (
	timeFile = "time.jsonl"
	hardFile = "hard.json"
)

// runsFile returns the name of that of an example's runs.
func runsFile(example string, quick bool) string {
	if quick {
		return example + "-quick.jsonl"
	}
	return example + ".jsonl"
}

// trainAll makes the runs that are not in the records: all storages with one seed, then with the
// next.
func trainAll(seeds uint64, quick bool) error {
	for seed := uint64(1); seed <= seeds; seed++ {
		for _, k := range storage.Kinds {
			for _, e := range examples {
				path := filepath.Join(folder, runsFile(e, quick))
				runs, err := storage.Read[storage.Run](path)
				if err != nil && !errors.Is(err, fs.ErrNotExist) {
					return err
				}
				if slices.ContainsFunc(runs, func(r storage.Run) bool {
					return r.Storage == k.Name && r.Seed == seed
				}) {
					continue
				}
				args := []string{"-storage", k.Name, "-seed", fmt.Sprint(seed), "-record", path}
				if quick {
					args = append(args, "-quick")
				}
				if err := goRun(e, args...); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// goRun runs an example.
func goRun(example string, args ...string) error {
	c := exec.Command("go", append([]string{"run", "./examples/" + example}, args...)...)
	c.Stdout, c.Stderr = os.Stdout, os.Stderr
	if err := c.Run(); err != nil {
		return fmt.Errorf("examples/%s: %w", example, err)
	}
	return nil
}
