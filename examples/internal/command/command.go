// Package command is what the main functions of the examples have in common.
package command

import (
	"flag"
	"fmt"
	"os"
)

// Run parses the flags, beside which there must be no arguments, and calls run. It ends the program
// with status 2 if there is more, and with 1 if run returns an error, and says why on standard
// error.
func Run(name string, run func() error) {
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "%s: unexpected argument %q\n", name, flag.Arg(0))
		flag.Usage()
		os.Exit(2)
	}
	if err := run(); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		os.Exit(1)
	}
}
