// Package verify shows that a kernel of package adam computes what it should: the bits of the generic
// kernel, and the trajectories of PyTorch.
package verify

import (
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/fusedadam/adam"
	"github.com/fusedadam/adam/internal/golden"
	"github.com/fusedadam/adam/internal/selection"
)

// A Stepper makes one step of package adam, on one kernel.
type Stepper func(s *adam.State, p, g []float32, c adam.Config) error

// On returns the Stepper of a kernel that this machine can run.
func On(kernel string) Stepper {
	return func(s *adam.State, p, g []float32, c adam.Config) error {
		defer selection.Use(selection.Use(kernel))
		return s.Step(p, g, c)
	}
}

// Figures says how much was compared.
type Figures struct {
	Steps  int // each on the kernel and on the generic one
	Values int // of parameters and moments after a step
}

// stepped is the number of steps in a row from the same start.
const stepped = 3

// configs take every path of a kernel between them.
var configs = []struct {
	name string
	adam.Config
}{
	{"Adam", adam.Default()},
	{"AdamW", adam.DefaultW()},
	{"L2", adam.Config{LR: 1e-2, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, WeightDecay: 0.1}},
	{"AMSGrad", adam.Config{LR: 1e-3, Beta1: 0.9, Beta2: 0.99, Eps: 1e-8, AMSGrad: true}},
	{"L2, AMSGrad", adam.Config{LR: 1e-3, Beta1: 0.8, Beta2: 0.95, Eps: 1e-6, WeightDecay: 0.01, AMSGrad: true}},
	{"AdamW, AMSGrad, Maximize", adam.Config{LR: 1e-3, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, WeightDecay: 0.1, Decoupled: true, AMSGrad: true, Maximize: true}},
	{"L2, Maximize", adam.Config{LR: 1e-3, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, WeightDecay: 0.1, Maximize: true}},
	{"Eps 0", adam.Config{LR: 1e-3, Beta1: 0.9, Beta2: 0.999}},
	{"Eps 0, L2, AMSGrad", adam.Config{LR: 1e-3, Beta1: 0.9, Beta2: 0.999, WeightDecay: 0.1, AMSGrad: true}},
	{"Eps 1e-12", adam.Config{LR: 1e-3, Beta1: 0.9, Beta2: 0.999, Eps: 1e-12}}, // keeps subnormal moments
	{"betas 0", adam.Config{LR: 1e-3, Eps: 1e-8}},
}

// longest is the largest length of which every smaller one is checked: beyond any unrolled loop.
const longest = 130

// lengths are the lengths up to longest and some around the tile.
func lengths() []int {
	var ns []int
	for n := range longest + 1 {
		ns = append(ns, n)
	}
	t := selection.Tile
	return append(ns, t-1, t, t+1, 2*t+17)
}

// Scope says in words what AgainstGeneric covers.
func Scope() string {
	return fmt.Sprintf("%d lengths (0 to %d, and around the tile of %d elements), %d configurations,\n"+
		"%d kinds of values (%s), each slice at an alignment of its own, %d steps in a row;\n"+
		"all slices compared after each step, NaN as NaN",
		len(lengths()), longest, selection.Tile, len(configs), len(kinds), kindNames(), stepped)
}

// A Difference is where a kernel first differs from the generic one.
type Difference struct {
	Config    string // in words
	Length    int
	Values    string // their kind
	Step      int    // from 1
	Slice     string // p, M, V or VMax
	Index     int
	Got, Want float32
}

func (d *Difference) Error() string {
	return fmt.Sprintf("config %s, %d elements of %s values, step %d: %s[%d] = %v (%#08x), the generic kernel has %v (%#08x)",
		d.Config, d.Length, d.Values, d.Step, d.Slice, d.Index,
		d.Got, math.Float32bits(d.Got), d.Want, math.Float32bits(d.Want))
}

// AgainstGeneric compares the bits of all that step writes with those of generic, in every combination
// of length, configuration and kind of value, and sees that it writes to nothing else. The error is a
// *Difference unless step did something worse.
func AgainstGeneric(step, generic Stepper) (Figures, error) {
	var f Figures
	r := rand.New(rand.NewPCG(1, 2))
	for _, n := range lengths() {
		for _, c := range configs {
			for _, k := range kinds {
				got := newOperands(r, n, k)
				want := got.clone(r)
				for i := range stepped {
					if err := step(&got.s, got.p, got.g, c.Config); err != nil {
						return f, err
					}
					if err := generic(&want.s, want.p, want.g, c.Config); err != nil {
						return f, err
					}
					if err := got.compare(want); err != nil {
						if d, ok := err.(*Difference); ok {
							d.Config, d.Values, d.Step = c.name, k.name, i+1
							return f, d
						}
						return f, fmt.Errorf("config %s, %d elements of %s values, step %d: %w", c.name, n, k.name, i+1, err)
					}
					f.Steps++
					f.Values += 3 * n
					if c.AMSGrad {
						f.Values += n
					}
				}
			}
		}
	}
	return f, nil
}

// AgainstPyTorch replays every stored trajectory and returns their number. The error names the first
// that step does not follow.
func AgainstPyTorch(step Stepper) (int, golden.Result, error) {
	var total golden.Result
	cases, err := golden.Cases()
	if err != nil {
		return 0, total, err
	}
	for _, c := range cases {
		r, err := c.Check(func(s *golden.State, p, g []float32, c golden.Config) error {
			return step((*adam.State)(s), p, g, adam.Config(c))
		})
		if err != nil {
			return 0, total, err
		}
		total.Values += r.Values
		total.Exact += r.Exact
		total.MaxError = max(total.MaxError, r.MaxError)
	}
	return len(cases), total, nil
}
