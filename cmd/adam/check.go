package main

import (
	"flag"
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
)

func checkCommand(args []string, out io.Writer) error {
	flags := flag.NewFlagSet("check", flag.ContinueOnError)
	const about = `Check that all kernels of this CPU compute the same bits, and what PyTorch
computes. The generic kernel is the measure of the others, so floating point must be in its usual
mode.`
	if err := parse(flags, about, 0, args, out); err != nil {
		return err
	}
	return check(out, adam.Kernels(), verify.On, verify.On64, verify.On16, verify.OptimizerOn)
}

// check compares each kernel with the generic one and with PyTorch. The error is the first
// difference. on, on64 and on16 return the step on a kernel, and optimizer the run of an Optimizer.
func check(w io.Writer, kernels []string, on func(kernel string) operands.Step,
	on64 func(kernel string) operands.StepOf[float64], on16 func(kernel string) verify.Step16,
	optimizer func(kernel string) verify.Run) error {
	mode := selection.Mode()
	fmt.Fprintf(w, "%v, %s/%s\n", machine.This(), runtime.GOOS, runtime.GOARCH)
	fmt.Fprintf(w, "Floating-point mode: %s\n\n", mode)
	if mode != "usual" && mode != "unknown" {
		return fmt.Errorf("floating point is in the mode %s, in which the generic kernel computes "+
			"other bits; look for a C library in the process that sets it (-ffast-math)", mode)
	}
	fmt.Fprintf(w, "Against the generic kernel, bit for bit: %s.\nAnd %s.\n", verify.Scope(),
		verify.Scope16())
	for _, k := range kernels {
		if k == selection.Generic {
			continue
		}
		f, err := verify.AgainstGeneric(on(k), on(selection.Generic))
		if err != nil {
			return fmt.Errorf("kernel %s differs from the generic one: %w", k, err)
		}
		wide, err := verify.AgainstGeneric64(on64(k), on64(selection.Generic))
		if err != nil {
			return fmt.Errorf("kernel %s of float64 differs from the generic one: %w", k, err)
		}
		small, err := verify.AgainstGeneric16(on16(k), on16(selection.Generic))
		if err != nil {
			return fmt.Errorf("kernel %s of 16 and 8 bits differs from the generic one: %w", k, err)
		}
		many, err := verify.OptimizerAgainstGeneric(optimizer(k), optimizer(selection.Generic))
		if err != nil {
			return fmt.Errorf("kernel %s differs from the generic one: %w", k, err)
		}
		fmt.Fprintf(w, "  %-8s the same in %s steps, %s parameters and moments,\n"+
			"           in %s steps of float64, %s parameters and moments,\n"+
			"           in %s steps of 16 and 8 bits, %s parameters and moments,\n"+
			"           and in %s steps of an Optimizer with clipping and averages\n",
			k, group(f.Steps), group(f.Values), group(wide.Steps), group(wide.Values),
			group(small.Steps), group(small.Values), group(many))
	}
	if len(kernels) == 1 {
		fmt.Fprintln(w, "  no other kernel can run here")
	}
	fmt.Fprintf(w, "\nAgainst trajectories of PyTorch's Adam and AdamW, "+
		"parameters within %g·max(|p|, LR)\n"+
		"(%g of float64), and at most %g times as far from exact arithmetic as PyTorch:\n",
		golden.Bound, golden.Bound64, golden.MaxRatio)
	for _, k := range kernels {
		n, r, err := verify.AgainstPyTorch(on(k))
		if err != nil {
			return fmt.Errorf("kernel %s differs from PyTorch: %w", k, err)
		}
		fmt.Fprintf(w, "  %-8s follows %d trajectories: "+
			"%s parameters, the farthest at %.2g; %s moments bit for bit\n",
			k, n, group(r.Values), r.MaxError, group(r.Exact))
		n, wide, err := verify.AgainstPyTorch64(on64(k))
		if err != nil {
			return fmt.Errorf("kernel %s of float64 differs from PyTorch: %w", k, err)
		}
		fmt.Fprintf(w, "           and %d of float64: "+
			"%s parameters, the farthest at %.2g; %s moments bit for bit\n",
			n, group(wide.Values), wide.MaxError, group(wide.Exact))
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
