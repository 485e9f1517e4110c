package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/fusedadam/adam"
	"github.com/fusedadam/adam/cmd/adam/internal/storage"
	"github.com/fusedadam/adam/internal/atomicfile"
	"github.com/fusedadam/adam/torchstate"
)

func convertCommand(args []string, out io.Writer) error {
	flags := flag.NewFlagSet("convert -from torch [-names FILE] IN OUT, or -to torch IN OUT,\n"+
		"  or [-moments HOW] [-params HOW] [-names FILE] [-seed N] IN OUT", flag.ContinueOnError)
	from := flags.String("from", "", "`layout` of IN: torch")
	to := flags.String("to", "", "`layout` of OUT: torch")
	names := flags.String("names", "",
		"`file` of names, one a line: with -from those of the parameters in torch's order,\n"+
			"without it they are torch's param_names, or else its numbers; with -moments and\n"+
			"-params those of the tensors to change, without it all that are not float64")
	var change storage.Options
	flags.StringVar(&change.Moments, "moments", "", "`how` OUT stores moments: float32, bf16 or q8")
	flags.StringVar(&change.Params, "params", "",
		"`how` OUT stores parameters, which must be in IN: float32, split or bf16")
	flags.Uint64Var(&change.Seed, "seed", 0,
		"Options.Seed of the rounding of tensors that have no key in IN")
	const about = `Make a checkpoint of a file of the state of PyTorch's Adam or AdamW, or such a
file of a checkpoint; docs/TORCH.md has the lines of Python for the other side.
Or store a checkpoint otherwise, as docs/CHECKPOINTS.md says.`
	if err := parse(flags, about, 2, args, out); err != nil {
		return err
	}
	if change.Moments+change.Params != "" && *from+*to == "" {
		return store(out, flags.Arg(0), flags.Arg(1), change, *names)
	}
	switch {
	case *from+*to != "torch", *from != "" && *to != "", change.Moments+change.Params != "":
		return &usageError{"want either -from torch or -to torch, or else -moments or -params",
			"See adam convert -h.\n"}
	case *names != "" && *to != "":
		return &usageError{"-names goes with -from: a checkpoint has names",
			"See adam convert -h.\n"}
	}
	return convert(out, flags.Arg(0), flags.Arg(1), *from != "", *names)
}

// convert makes the file at outPath from the one at inPath, and says what became of it.
func convert(out io.Writer, inPath, outPath string, fromTorch bool, namesPath string) error {
	names, err := readNames(namesPath)
	if err != nil {
		return err
	}
	in, err := atomicfile.Open(inPath)
	if err != nil {
		return err
	}
	defer in.Close()
	var report torchstate.Report
	left := "moving averages and the rest of split masters, which torch's optimizers do not have"
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

// readNames reads the lines of a file, nil if there is no path.
func readNames(path string) ([]string, error) {
	if path == "" {
		return nil, nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return strings.Split(strings.TrimSuffix(strings.ReplaceAll(string(text), "\r\n", "\n"), "\n"),
		"\n"), nil
}

// store makes a checkpoint of another storage, and says what became of it.
func store(out io.Writer, inPath, outPath string, change storage.Options, namesPath string) error {
	for flag, valid := range map[string]bool{
		"-moments is float32, bf16 or q8": slices.Contains([]string{"", storage.Float32,
			storage.BF16, storage.Q8}, change.Moments),
		"-params is float32, split or bf16": slices.Contains([]string{"", storage.Float32,
			storage.Split, storage.BF16}, change.Params),
	} {
		if !valid {
			return &usageError{flag, "See adam convert -h.\n"}
		}
	}
	var err error
	if change.Names, err = readNames(namesPath); err != nil {
		return err
	}
	in, err := atomicfile.Open(inPath)
	if err != nil {
		return err
	}
	defer in.Close()
	var report storage.Report
	err = atomicfile.Write(outPath, func(w io.Writer) (err error) {
		report, err = storage.Convert(w, in, change)
		return err
	})
	if errors.Is(err, storage.ErrStorage) || errors.Is(err, adam.ErrCheckpoint) {
		return fmt.Errorf("%w (%s)", err, inPath)
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s: %d tensors, %d of them changed\n", plain(outPath), report.Tensors,
		len(report.Changed))
	printNames(out, "Left out, maxima of AMSGrad, which nothing uses", report.Left)
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
