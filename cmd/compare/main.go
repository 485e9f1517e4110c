// Command compare trains the same networks on the same batches with Adam and AdamW of package adam
// and with the optimizers of Gorgonia, each with its own best learning rate, and writes
// docs/COMPARISON.md.
//
//	go run ./cmd/compare                # ten minutes on two cores; writes data, page, charts
//	go run ./cmd/compare -resume        # goes on where that was stopped
//	go run ./cmd/compare -quick         # a minute at most; writes nothing
//	go run ./cmd/compare docs           # writes page and charts anew from the data
//	go run ./cmd/compare docs -check    # fails if they are not what the data give
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/fusedadam/adam"
	"github.com/fusedadam/adam/cmd/compare/internal/result"
	"github.com/fusedadam/adam/cmd/compare/internal/train"
	"github.com/klauspost/cpuid/v2"
)

func main() {
	if err := command(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "compare:", err)
		os.Exit(1)
	}
}

func command(args []string) error {
	name := "compare"
	if len(args) > 0 && args[0] == "docs" {
		name, args = "compare docs", args[1:]
	}
	flags := flag.NewFlagSet(name, flag.ExitOnError)
	dir := flags.String("dir", ".", "`folder` of the repository")
	if name == "compare docs" {
		check := flags.Bool("check", false, "write nothing; fail if a file is not up to date")
		_ = flags.Parse(args) // which exits on errors
		if flags.NArg() > 0 {
			return fmt.Errorf("unexpected argument %q", flags.Arg(0))
		}
		return docs(*dir, *check)
	}
	quick := flags.Bool("quick", false, "train for some steps only, and write nothing")
	resume := flags.Bool("resume", false,
		"go on with a comparison that was stopped; its seconds are then of several processes")
	data := flags.String("data", "",
		"`folder` of MNIST's four .gz files (default: in the module cache)")
	text := flags.String("text", "", "`file` of the text (default: Newton's Opticks, in GOROOT)")
	_ = flags.Parse(args)
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	digits, err := train.Digits(*data)
	if err != nil {
		return err
	}
	characters, err := train.Characters(*text)
	if err != nil {
		return err
	}
	p, j := brief, new(journal)
	file := filepath.Join(*dir, dataFile)
	if !*quick {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
		p = full
		if j, err = openJournal(file+".partial", *resume); err != nil {
			return err
		}
	}
	r := &result.Result{
		Schema: result.Schema, CPU: cpu(), Cores: runtime.GOMAXPROCS(0), GOOS: runtime.GOOS,
		GOARCH: runtime.GOARCH, Go: runtime.Version(), Kernel: adam.Kernel(),
		Date: time.Now().UTC().Format(time.DateOnly),
	}
	if r.Tasks, err = p.run(j, digits, characters); err != nil {
		return err
	}
	for _, t := range r.Tasks {
		fmt.Printf("\n%s\n%s", t.Title, t.Text())
	}
	if *quick {
		return nil
	}
	if err := os.WriteFile(file, r.JSON(), 0o644); err != nil {
		return err
	}
	if err := j.remove(); err != nil {
		return err
	}
	fmt.Println("\n" + file)
	return docs(*dir, false)
}

func cpu() string {
	c := cpuid.CPU
	if c.BrandName == "" {
		return "unknown CPU"
	}
	if c.Family == 0 {
		return c.BrandName
	}
	return fmt.Sprintf("%s (family %d, model %d)", c.BrandName, c.Family, c.Model)
}
