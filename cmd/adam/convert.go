package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/fusedadam/adam"
	"github.com/fusedadam/adam/internal/atomicfile"
	"github.com/fusedadam/adam/torchstate"
)

func convertCommand(args []string, out io.Writer) error {
	flags := flag.NewFlagSet("convert -from torch [-names FILE] IN OUT, or -to torch IN OUT",
		flag.ContinueOnError)
	from := flags.String("from", "", "`layout` of IN: torch")
	to := flags.String("to", "", "`layout` of OUT: torch")
	names := flags.String("names", "",
		"`file` of the parameters' names in torch's order, one a line;\n"+
			"without it they are torch's param_names, or else its numbers")
	const about = `Make a checkpoint of a file of the state of PyTorch's Adam or AdamW, or such a
file of a checkpoint. docs/TORCH.md has the lines of Python for the other side.`
	if err := parse(flags, about, 2, args, out); err != nil {
		return err
	}
	switch {
	case *from+*to != "torch", *from != "" && *to != "":
		return &usageError{"want either -from torch or -to torch", "See adam convert -h.\n"}
	case *names != "" && *to != "":
		return &usageError{"-names goes with -from: a checkpoint has names",
			"See adam convert -h.\n"}
	}
	return convert(out, flags.Arg(0), flags.Arg(1), *from != "", *names)
}

// convert makes the file at outPath from the one at inPath, and says what became of it.
func convert(out io.Writer, inPath, outPath string, fromTorch bool, namesPath string) error {
	var names []string
	if namesPath != "" {
		text, err := os.ReadFile(namesPath)
		if err != nil {
			return err
		}
		names = strings.Split(strings.TrimSuffix(strings.ReplaceAll(string(text), "\r\n", "\n"),
			"\n"), "\n")
	}
	in, err := atomicfile.Open(inPath)
	if err != nil {
		return err
	}
	defer in.Close()
	var report torchstate.Report
	left := "moving averages, which torch's optimizers do not have"
	err = atomicfile.Write(outPath, func(w io.Writer) (err error) {
		if fromTorch {
			left = "parameters that torch has not stepped, and whose size is not in the file"
			report, err = torchstate.FromTorch(w, in, names)
		} else {
			report, err = torchstate.ToTorch(w, in)
		}
		return err
	})
	if errors.Is(err, torchstate.ErrState) || errors.Is(err, adam.ErrCheckpoint) {
		return fmt.Errorf("%w (%s)", err, inPath)
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s: %d parameters\n", plain(outPath), len(report.Names))
	printNames(out, "Left out, "+left, report.Left)
	printNames(out, "Options that neither torch's Adam nor package adam has, kept for the way back",
		report.Options)
	return nil
}

func printNames(out io.Writer, title string, names []string) {
	if len(names) == 0 {
		return
	}
	fmt.Fprintf(out, "%s:\n", title)
	for _, name := range names {
		fmt.Fprintf(out, "  %s\n", plain(name))
	}
}
