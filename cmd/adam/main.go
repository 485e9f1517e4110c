// Command adam tells about package adam on this machine: which kernel runs and why (info), that all
// kernels compute the same (check) and how fast they are (bench). It shows what is in a checkpoint
// (inspect), and makes checkpoints of the state of PyTorch's Adam and back (convert). It also
// writes docs/BENCHMARKS.md from the saved results (docs).
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
)

// A subcommand is one verb of the command. Its run gets the arguments behind the name.
type subcommand struct {
	name, about string
	run         func(args []string, out io.Writer) error
}

var subcommands = []subcommand{
	{"info", "say which kernel runs on this CPU and why", infoCommand},
	{"check", "check that all kernels compute the same, and what PyTorch computes", checkCommand},
	{"bench", "time the kernels beside the plain Go loop and the machine's ceilings", benchCommand},
	{"inspect", "say what is in a checkpoint or a file of torch's state", inspectCommand},
	{"convert", "make a checkpoint of a file of torch's state, or back", convertCommand},
	{"docs", "write docs/BENCHMARKS.md and the charts from the results in bench/", docsCommand},
}

func main() { os.Exit(command(os.Args[1:], os.Stdout, os.Stderr)) }

// command runs a subcommand and returns the exit code: 1 if it fails, 2 if it was called wrongly.
func command(args []string, out, messages io.Writer) int {
	err := dispatch(args, out)
	var wrong *usageError
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return 0
	case errors.As(err, &wrong):
		fmt.Fprintf(messages, "adam: %v\n\n%s", err, wrong.usage)
		return 2
	}
	// The errors of package adam have the prefix already.
	fmt.Fprintln(messages, "adam:", strings.TrimPrefix(err.Error(), "adam: "))
	return 1
}

func dispatch(args []string, out io.Writer) error {
	if len(args) == 0 {
		return &usageError{"no command", usage()}
	}
	for _, c := range subcommands {
		if c.name == args[0] {
			return c.run(args[1:], out)
		}
	}
	switch args[0] {
	case "help", "-h", "-help", "--help":
		_, err := io.WriteString(out, usage())
		return err
	}
	return &usageError{fmt.Sprintf("unknown command %q", args[0]), usage()}
}

func usage() string {
	var b strings.Builder
	b.WriteString("The Adam optimizer step on this machine.\n\nUsage: adam COMMAND [flags]\n\n")
	for _, c := range subcommands {
		fmt.Fprintf(&b, "  %-8s %s\n", c.name, c.about)
	}
	b.WriteString("\n`adam COMMAND -h` shows the flags of a command.\n")
	return b.String()
}

// A usageError is a call that cannot be understood, and the usage that helps.
type usageError struct{ text, usage string }

func (e *usageError) Error() string { return e.text }

// parse reads the arguments of a subcommand: its flags, then so many operands. The name of the flag
// set is the synopsis. For -h it prints the help and returns flag.ErrHelp.
func parse(flags *flag.FlagSet, about string, operands int, args []string, out io.Writer) error {
	var help strings.Builder
	fmt.Fprintf(&help, "Usage: adam %s\n\n%s\n\n", flags.Name(), about)
	flags.SetOutput(&help)
	flags.PrintDefaults()
	flags.SetOutput(io.Discard) // where Parse reports what it returns as well
	err := flags.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		_, _ = io.WriteString(out, help.String())
		return err
	}
	switch n := flags.NArg(); {
	case err != nil:
	case n > operands:
		err = fmt.Errorf("unexpected argument %q", flags.Arg(operands))
	case n < operands:
		err = fmt.Errorf("want %d arguments, got %d", operands, n)
	default:
		return nil
	}
	return &usageError{err.Error(), help.String()}
}
