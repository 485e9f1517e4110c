// Package verify shows that a kernel of package adam computes what it should: the bits of the
// generic kernel, and the trajectories of PyTorch.
package verify

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/fusedadam/adam"
	"github.com/fusedadam/adam/internal/golden"
	"github.com/fusedadam/adam/internal/operands"
	"github.com/fusedadam/adam/internal/selection"
)

// On returns the step of a kernel that this machine can run. It is an error if another one ran.
func On(kernel string) operands.Step {
	return func(s *operands.State, p, g []float32, c operands.Config) error {
		return using(kernel, func() error { return (*adam.State)(s).Step(p, g, adam.Config(c)) })
	}
}

// On64 is On of float64.
func On64(kernel string) operands.StepOf[float64] {
	return func(s *operands.StateOf[float64], p, g []float64, c operands.Config) error {
		return using(kernel, func() error { return (*adam.State64)(s).Step(p, g, adam.Config(c)) })
	}
}

// using calls f while the kernel is in use, and sees that it is.
func using(kernel string, f func() error) error {
	defer selection.Use(selection.Use(kernel))
	err := f()
	if k := adam.Kernel(); k != kernel {
		return fmt.Errorf("kernel %s ran in the place of %s", k, kernel)
	}
	return err
}

// Figures says how much was compared.
type Figures struct {
	Steps  int // each on the kernel and on the generic one
	Values int // of parameters and moments after a step
}

// stepped is the number of steps in a row from the same start.
const stepped = 3

// Scope says in words what AgainstGeneric covers.
func Scope() string {
	var kinds []string
	for _, k := range operands.Kinds {
		kinds = append(kinds, k.Name)
	}
	return fmt.Sprintf("%d lengths\n(0 to %d, and around the tile of %d elements), "+
		"%d configurations, %d kinds of values\n(%s),\n"+
		"each slice at an alignment of its own, %d steps in a row; all slices compared\n"+
		"after each step, NaN as NaN",
		len(operands.Lengths(selection.Tile)), operands.Longest, selection.Tile,
		len(operands.Variants), len(kinds), strings.Join(kinds, ", "), stepped)
}

// AgainstGeneric compares the bits of all that step writes with those of generic, in every
// combination of length, configuration and kind of value, and sees that it writes to nothing else.
// The error says where.
func AgainstGeneric(step, generic operands.Step) (Figures, error) {
	return against(step, generic, selection.Tile, operands.Variants, operands.Kinds)
}

// AgainstGeneric64 is AgainstGeneric of float64, whose tile has half as many elements.
func AgainstGeneric64(step, generic operands.StepOf[float64]) (Figures, error) {
	return against(step, generic, selection.Tile/2, operands.Variants64, operands.Kinds64)
}

func against[F operands.Float](step, generic operands.StepOf[F], tile int,
	variants []operands.Variant, kinds []operands.KindOf[F]) (Figures, error) {
	var f Figures
	r := rand.New(rand.NewPCG(1, 2))
	for _, n := range operands.Lengths(tile) {
		for _, v := range variants {
			for _, k := range kinds {
				got := operands.New(r, n, operands.Offsets(r), k.Value)
				got.T = [...]uint64{0, 1, 9, 1000, 1 << 40}[r.IntN(5)]
				want := got.Clone(operands.Offsets(r))
				for i := range stepped {
					if err := got.Compare(want, step, generic, v.Config); err != nil {
						return f, fmt.Errorf("config %s, %s values, step %d: %w",
							v.Name, k.Name, i+1, err)
					}
					f.Steps++
					f.Values += 3 * n
					if v.AMSGrad {
						f.Values += n
					}
				}
			}
		}
	}
	return f, nil
}

// AgainstPyTorch replays every stored trajectory and returns their number. The error names the
// first that step does not follow.
func AgainstPyTorch(step operands.Step) (int, golden.Result[float32], error) {
	return follow(golden.Cases, step)
}

// AgainstPyTorch64 is AgainstPyTorch of float64.
func AgainstPyTorch64(step operands.StepOf[float64]) (int, golden.Result[float64], error) {
	return follow(golden.Cases64, step)
}

func follow[F operands.Float](from func() ([]golden.Case[F], error), step operands.StepOf[F]) (
	int, golden.Result[F], error) {
	var total golden.Result[F]
	cases, err := from()
	if err != nil {
		return 0, total, err
	}
	for _, c := range cases {
		r, err := c.Check(step)
		if err != nil {
			return 0, total, err
		}
		total.Values += r.Values
		total.Exact += r.Exact
		total.MaxError = max(total.MaxError, r.MaxError)
	}
	return len(cases), total, nil
}

// A Run makes steps of an Optimizer of tensors of n elements, and returns all values that it can
// see after each, and the norms.
type Run func(o adam.Options, n int, c adam.Config) (
	values []float32, norms [stepped]float64, err error)

// OptimizerAgainstGeneric compares the bits of a run with those of generic, with every option that
// has a kernel of its own. It returns the number of steps; the error says where.
func OptimizerAgainstGeneric(run, generic Run) (int, error) {
	count := 0
	for _, o := range []adam.Options{
		{MaxNorm: 1, EMADecay: 0.9}, {MaxValue: 0.01, EMADecay: 0.999, ZeroGrad: true},
	} {
		for _, n := range []int{0, 1, 31, 33, operands.Longest, 1000, selection.Tile + 33} {
			for _, v := range operands.Variants {
				got, gotNorms, err := run(o, n, adam.Config(v.Config))
				if err != nil {
					return count, err
				}
				want, wantNorms, err := generic(o, n, adam.Config(v.Config))
				if err != nil {
					return count, err
				}
				where := fmt.Sprintf("optimizer %+v, config %s, %d elements", o, v.Name, n)
				if gotNorms != wantNorms {
					return count, fmt.Errorf("%s: norms %v, want %v", where, gotNorms, wantNorms)
				}
				for i := range want {
					if !operands.Same(got[i], want[i]) {
						return count, fmt.Errorf("%s: value %d is %v, want %v",
							where, i, got[i], want[i])
					}
				}
				count += stepped
			}
		}
	}
	return count, nil
}

// OptimizerOn returns the run on a kernel that this machine can run, and an error if another ran.
func OptimizerOn(kernel string) Run {
	return func(o adam.Options, n int, c adam.Config) (
		values []float32, norms [stepped]float64, err error) {
		err = using(kernel, func() error {
			values, err = run(o, n, c, &norms)
			return err
		})
		return values, norms, err
	}
}

// run makes the steps of a Run on the kernel in use.
func run(o adam.Options, n int, c adam.Config, norms *[stepped]float64) ([]float32, error) {
	r := rand.New(rand.NewPCG(uint64(n), 5))
	group := adam.Group{Config: c}
	for _, name := range []string{"a", "b"} {
		x := operands.New(r, n, operands.Offsets(r), operands.Normal)
		group.Params = append(group.Params, adam.Param{Name: name, Value: x.P, Grad: x.G})
	}
	opt, err := adam.New(o, group)
	if err != nil {
		return nil, err
	}
	defer opt.Close()
	var values []float32
	for i := range norms {
		stats, err := opt.Step()
		if err != nil {
			return nil, err
		}
		norms[i] = stats.GradNorm
		for _, p := range group.Params {
			values = append(append(append(values, p.Value...), p.Grad...), opt.EMA(p.Name)...)
		}
	}
	return values, nil
}
