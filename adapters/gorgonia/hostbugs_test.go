//go:build hostbugs

package adamgorgonia_test

import (
	"slices"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// What README.md says of the solvers of Gorgonia v0.9.18. If a test fails, Gorgonia has been
// mended, and README.md is to be.
func TestHostbugs(t *testing.T) {
	t.Run("AdamW does not step", func(t *testing.T) {
		w := gorgonia.NewVector(gorgonia.NewGraph(), tensor.Float32,
			gorgonia.WithShape(2), gorgonia.WithName("w"), gorgonia.WithValue(vector(1, 2)))
		loss := gorgonia.Must(gorgonia.Sum(gorgonia.Must(gorgonia.Square(w))))
		if _, err := gorgonia.Grad(loss, w); err != nil {
			t.Fatal(err)
		}
		vm := gorgonia.NewTapeMachine(w.Graph(), gorgonia.BindDualValues(w))
		defer vm.Close()
		solver := gorgonia.NewAdamW(gorgonia.WithLearnRate(0.1))
		for range 3 {
			if err := vm.RunAll(); err != nil {
				t.Fatal(err)
			}
			if err := solver.Step(gorgonia.NodesToValueGrads(gorgonia.Nodes{w})); err != nil {
				t.Fatal(err)
			}
			vm.Reset()
		}
		if got := floats(w.Value()); !slices.Equal(got, []float32{1, 2}) {
			t.Errorf("values are %v", got)
		}
	})
	t.Run(
		"AdamSolver panics at the second step of a tensor without dimensions",
		func(t *testing.T) {
			one := func() *tensor.Dense { return tensor.New(tensor.FromScalar(float32(1))) }
			model := []gorgonia.ValueGrad{&leaf{"s", one(), one()}}
			solver := gorgonia.NewAdamSolver()
			if err := solver.Step(model); err != nil {
				t.Fatal(err)
			}
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			_ = solver.Step(model)
		},
	)
	t.Run("an error leaves a half step", func(t *testing.T) {
		model := []gorgonia.ValueGrad{
			&leaf{"a", vector(1), vector(1)}, withoutGrad{&leaf{"b", vector(1), nil}},
		}
		if err := gorgonia.NewAdamSolver().Step(model); err == nil {
			t.Error("no error")
		}
		if got := floats(model[0].Value()); got[0] == 1 {
			t.Error("the first tensor has not been stepped")
		}
	})
}
