// Command adam tells about package adam on this machine: which kernel runs and why (info), that every
// kernel computes the same (check) and how fast it is (bench). It also writes docs/BENCHMARKS.md from
// the saved results (docs).
package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"
)

func main() {
	root := command()
	root.SetArgs(double(os.Args[1:]))
	if err := root.Execute(); err != nil {
		fmt.Fprintln(os.Stderr, "adam:", err)
		os.Exit(1)
	}
}

func command() *cobra.Command {
	root := &cobra.Command{
		Use:               "adam",
		Short:             "The Adam optimizer step on this machine",
		SilenceUsage:      true,
		SilenceErrors:     true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
	}
	root.AddCommand(infoCommand(), checkCommand(), benchCommand(), docsCommand())
	return root
}

// double gives flags in the style of Go's tools (-json) the second dash that cobra wants, which would
// read the shorthands j, s, o and n. This command has no shorthand but -h.
func double(args []string) []string {
	doubled := make([]string, len(args))
	for i, a := range args {
		if len(a) > 2 && a[0] == '-' && a[1] >= 'a' && a[1] <= 'z' {
			a = "-" + a
		}
		doubled[i] = a
	}
	return doubled
}
