package main

import (
	"fmt"
	"io"
	"runtime"
	"strconv"

	"github.com/fusedadam/adam"
	"github.com/fusedadam/adam/cmd/adam/internal/machine"
	"github.com/fusedadam/adam/cmd/adam/internal/verify"
	"github.com/fusedadam/adam/internal/golden"
	"github.com/fusedadam/adam/internal/operands"
	"github.com/fusedadam/adam/internal/selection"
	"github.com/spf13/cobra"
)

func checkCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "check",
		Short: "Check that every kernel of this CPU computes the same bits, and what PyTorch computes",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return check(c.OutOrStdout(), adam.Kernels(), verify.On, verify.OptimizerOn)
		},
	}
}

// check compares each kernel with the generic one and with PyTorch; on returns the step on a kernel, and
// optimizer the run of an Optimizer.
// The error is the first difference.
func check(w io.Writer, kernels []string, on func(kernel string) operands.Step, optimizer func(kernel string) verify.Run) error {
	fmt.Fprintf(w, "%v, %s/%s\n\n", machine.This(), runtime.GOOS, runtime.GOARCH)
	fmt.Fprintf(w, "Against the generic kernel, bit for bit: %s.\n", verify.Scope())
	for _, k := range kernels {
		if k == selection.Generic {
			continue
		}
		f, err := verify.AgainstGeneric(on(k), on(selection.Generic))
		if err != nil {
			return fmt.Errorf("kernel %s differs from the generic one: %w", k, err)
		}
		many, err := verify.OptimizerAgainstGeneric(optimizer(k), optimizer(selection.Generic))
		if err != nil {
			return fmt.Errorf("kernel %s differs from the generic one: %w", k, err)
		}
		fmt.Fprintf(w, "  %-8s the same in %s steps, %s parameters and moments; and in %s steps of an Optimizer with clipping and averages\n",
			k, group(f.Steps), group(f.Values), group(many))
	}
	if len(kernels) == 1 {
		fmt.Fprintln(w, "  no other kernel can run here")
	}
	fmt.Fprintf(w, "\nAgainst trajectories of PyTorch's Adam and AdamW, parameters within %g·max(|p|, LR):\n", golden.Bound)
	for _, k := range kernels {
		n, r, err := verify.AgainstPyTorch(on(k))
		if err != nil {
			return fmt.Errorf("kernel %s differs from PyTorch: %w", k, err)
		}
		fmt.Fprintf(w, "  %-8s follows %d trajectories: %s parameters, the farthest at %.2g; %s moments bit for bit\n",
			k, n, group(r.Values), r.MaxError, group(r.Exact))
	}
	fmt.Fprintln(w, "\nAll is well.")
	return nil
}

// group writes a number with commas between the thousands.
func group(n int) string {
	if n < 1000 {
		return strconv.Itoa(n)
	}
	return fmt.Sprintf("%s,%03d", group(n/1000), n%1000)
}
