package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"

	"github.com/fusedadam/adam"
	"github.com/fusedadam/adam/cmd/adam/internal/machine"
	"github.com/fusedadam/adam/internal/selection"
)

func infoCommand(args []string, out io.Writer) error {
	flags := flag.NewFlagSet("info", flag.ContinueOnError)
	if err := parse(flags, "Say which kernel runs on this CPU and why.", 0, args, out); err != nil {
		return err
	}
	selected{
		cpu:     machine.This(),
		kernels: selection.Kernels,
		active:  adam.Kernel(),
		chosen:  selection.Chosen,
		request: selection.Request,
		godebug: os.Getenv("GODEBUG"),
		mode:    selection.Mode(),
		tile:    selection.Tile,
		fused:   selection.Fused(),
		extra:   selection.Optional,
		goos:    runtime.GOOS,
		goarch:  runtime.GOARCH,
	}.print(out)
	return nil
}

// selected is everything that the choice of the kernel rests on.
type selected struct {
	cpu              machine.CPU
	kernels          []selection.Kernel
	active           string
	chosen           selection.Choice
	request, godebug string // environment variables ADAM_KERNEL and GODEBUG
	mode             string // of floating point, in words
	tile             int
	fused            []string         // storages that the kernel in use steps in one loop, in words
	extra            []selection.Flag // that no kernel needs
	goos, goarch     string
}

func (s selected) print(w io.Writer) {
	fmt.Fprintf(w, "CPU       %v, %d logical cores, %s/%s\n", s.cpu, s.cpu.Cores, s.goos, s.goarch)
	fmt.Fprintf(w, "Caches    %s\n", s.cpu.Caches())
	fmt.Fprintf(w, "Features  %s\n", s.features())
	for i, k := range s.kernels {
		heading := ""
		if i == 0 {
			heading = "Kernels"
		}
		fmt.Fprintf(w, "%-9s %-8s %s\n", heading, k.Name, s.availability(k))
	}
	if s.chosen.CPUs != "" {
		fmt.Fprintf(w, "Order     %s\n", s.order())
	}
	fmt.Fprintf(w, "In use    %s: %s\n", s.active, s.reason())
	fmt.Fprintf(w, "FP mode   %s\n", s.floatingPoint())
	fmt.Fprintf(w, "Tile      %d elements in one call of the kernel, "+
		"%s of parameters, gradients and moments\n", s.tile, machine.Bytes(4*4*s.tile))
	for i, storage := range s.fusedLoops() {
		heading := ""
		if i == 0 {
			heading = "Fused"
		}
		fmt.Fprintf(w, "%-9s %s\n", heading, storage)
	}
}

// fusedLoops lists the storages of 16 and 8 bits that have a loop of their own.
func (s selected) fusedLoops() []string {
	const codecs = "through float32 in L1, piece by piece"
	if len(s.fused) == 0 {
		return []string{"no storage of 16 or 8 bits: " + s.active + " steps all of them " + codecs}
	}
	return append(slices.Clone(s.fused),
		"all other storages of 16 and 8 bits, and these with L2 or AMSGrad, "+codecs)
}

// order says what the order of the kernels and the prefetching rest on.
func (s selected) order() string {
	measured := "measured on one"
	if s.chosen.Kin != "" {
		measured = "measured on none of them but on " + s.chosen.Kin
	}
	return fmt.Sprintf("that of %s, %s; steps prefetch %d bytes ahead", s.chosen.CPUs, measured,
		s.chosen.Ahead)
}

// floatingPoint says which mode floating point is in, and whom it harms. The kernels in assembly
// compute in the usual one whatever it is.
func (s selected) floatingPoint() string {
	switch {
	case s.mode == "usual":
		return s.mode
	case s.mode == "unknown":
		return "unknown, as it is not seen without assembly; the generic kernel needs the usual one"
	case s.active == selection.Generic:
		return s.mode + ": the generic kernel computes other bits in it"
	}
	return s.mode + ": no matter to " + s.active + ", which computes in the usual one"
}

// features lists the flags that any of the kernels needs, and those that other code uses.
func (s selected) features() string {
	var list []string
	seen := map[string]bool{}
	var flags []selection.Flag
	for _, k := range s.kernels {
		flags = append(flags, k.Needs...)
	}
	for _, f := range append(flags, s.extra...) {
		if seen[f.Name] {
			continue
		}
		seen[f.Name] = true
		yes := "no"
		if f.Have {
			yes = "yes"
		}
		list = append(list, f.Name+" "+yes)
	}
	if list == nil {
		return "no kernel looks at any"
	}
	return strings.Join(list, ", ")
}

// availability says whether a kernel can run, and if not, what is missing.
func (s selected) availability(k selection.Kernel) string {
	missing := k.Missing()
	if len(missing) > 0 {
		text := "not available: CPU or operating system without " + strings.Join(missing, ", ")
		if settings := s.switchedOff(missing); len(settings) > 0 {
			text += " (GODEBUG has " + strings.Join(settings, ", ") + ")"
		}
		return text
	}
	switch {
	case k.Name != selection.Generic:
		return "available"
	case len(s.kernels) == 1 && (s.goarch == "amd64" || s.goarch == "arm64"):
		return "available, the only one: built without assembly (tag purego or noasm)"
	case len(s.kernels) == 1:
		return "available, the only one for " + s.goarch
	}
	return "available, on every CPU"
}

// switchedOff returns the settings of GODEBUG that take some of the features away.
func (s selected) switchedOff(features []string) []string {
	var settings []string
	for setting := range strings.SplitSeq(s.godebug, ",") {
		name, cpu := strings.CutPrefix(setting, "cpu.")
		name, off := strings.CutSuffix(name, "=off")
		if cpu && off && (name == "all" || slices.Contains(features, name)) {
			settings = append(settings, setting)
		}
	}
	return settings
}

// reason says why the kernel in use was chosen, and why not the one that ADAM_KERNEL names.
func (s selected) reason() string {
	const best = "the best that can run here"
	if s.request == "" {
		return best
	}
	if strings.EqualFold(s.request, s.active) {
		return "ADAM_KERNEL=" + s.request
	}
	for _, k := range s.kernels {
		if strings.EqualFold(s.request, k.Name) {
			return fmt.Sprintf("%s; ADAM_KERNEL=%s was not followed, as %s is not available",
				best, s.request, k.Name)
		}
	}
	return fmt.Sprintf("%s; ADAM_KERNEL=%s was not followed, as %s has no kernel of that name",
		best, s.request, s.goarch)
}
