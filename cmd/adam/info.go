package main

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"

	"github.com/fusedadam/adam"
	"github.com/fusedadam/adam/cmd/adam/internal/machine"
	"github.com/fusedadam/adam/internal/selection"
	"github.com/spf13/cobra"
)

func infoCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "info",
		Short: "Say which kernel runs on this CPU and why",
		Args:  cobra.NoArgs,
		Run: func(c *cobra.Command, _ []string) {
			selected{
				cpu:     machine.This(),
				kernels: selection.Kernels,
				active:  adam.Kernel(),
				request: selection.Request,
				godebug: os.Getenv("GODEBUG"),
				tile:    selection.Tile,
				goos:    runtime.GOOS,
				goarch:  runtime.GOARCH,
			}.print(c.OutOrStdout())
		},
	}
}

// selected is everything that the choice of the kernel rests on.
type selected struct {
	cpu              machine.CPU
	kernels          []selection.Kernel
	active           string
	request, godebug string // environment variables ADAM_KERNEL and GODEBUG
	tile             int
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
	fmt.Fprintf(w, "In use    %s: %s\n", s.active, s.reason())
	fmt.Fprintf(w, "Tile      %d elements in one call of the kernel, %s of parameters, gradients and moments\n",
		s.tile, machine.Bytes(4*4*s.tile))
}

// features lists the flags that any of the kernels needs.
func (s selected) features() string {
	var list []string
	seen := map[string]bool{}
	for _, k := range s.kernels {
		for _, f := range k.Needs {
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
		name, off := strings.CutSuffix(strings.TrimPrefix(setting, "cpu."), "=off")
		if off && strings.HasPrefix(setting, "cpu.") && (name == "all" || slices.Contains(features, name)) {
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
			return fmt.Sprintf("%s; ADAM_KERNEL=%s was not followed, as %s is not available", best, s.request, k.Name)
		}
	}
	return fmt.Sprintf("%s; ADAM_KERNEL=%s was not followed, as %s has no kernel of that name", best, s.request, s.goarch)
}
