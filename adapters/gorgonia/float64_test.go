package adamgorgonia_test

import (
	"errors"
	"path/filepath"
	"slices"
	"testing"

	"github.com/fusedadam/adam"
	adamgorgonia "github.com/fusedadam/adam/adapters/gorgonia"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// newMixed returns every other tensor of newModel in float64.
func newMixed(seed uint64) []gorgonia.ValueGrad {
	model, double := newModel(seed), newModel64(seed)
	for i := 1; i < len(model); i += 2 {
		model[i] = double[i]
	}
	return model
}

// In a model of both types each tensor has the bits that it has in a model of its own type, also
// when the run goes on from a checkpoint.
func TestMixedModel(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run.safetensors")
	newSolver := func() *adamgorgonia.Solver {
		s := adamgorgonia.New(adam.DefaultW(), adam.Options{SaveParams: true, EMADecay: 0.9})
		s.NoDecay = func(name string) bool { return name == "bias" || name == "kernel" }
		t.Cleanup(func() { s.Close() })
		return s
	}
	run := func(s *adamgorgonia.Solver, model []gorgonia.ValueGrad, steps [][][]float32) {
		for _, step := range steps {
			setGrads(model, step)
			if err := s.Step(model); err != nil {
				t.Fatal(err)
			}
		}
	}
	single, double, mixed, resumed := newModel(1), newModel64(1), newMixed(1), newMixed(2)
	ofSingle, ofDouble, ofMixed, again := newSolver(), newSolver(), newSolver(), newSolver()
	run(ofSingle, single, recorded()[:40])
	run(ofDouble, double, recorded()[:40])
	run(ofMixed, mixed, recorded()[:20])
	if err := ofMixed.Optimizer().SaveFile(path); err != nil {
		t.Fatal(err)
	}
	if err := again.Bind(newMixed(3)); err != nil {
		t.Fatal(err)
	}
	if err := again.Bind(resumed); err != nil {
		t.Fatal(err)
	}
	if err := again.Optimizer().LoadFile(path); err != nil {
		t.Fatal(err)
	}
	run(ofMixed, mixed, recorded()[20:40])
	run(again, resumed, recorded()[20:40])
	for i := range mixed {
		name := mixed[i].(*leaf).name
		for _, s := range []*adamgorgonia.Solver{ofMixed, again} {
			o := s.Optimizer()
			if i%2 == 0 {
				a, b := o.State(name), ofSingle.Optimizer().State(name)
				if a.T != 40 || !slices.Equal(a.M, b.M) || !slices.Equal(a.V, b.V) {
					t.Errorf("%s has not the State of a model of float32", name)
				}
				continue
			}
			a, b := o.State64(name), ofDouble.Optimizer().State64(name)
			if a.T != 40 || !slices.Equal(a.M, b.M) || !slices.Equal(a.V, b.V) ||
				!slices.Equal(o.EMA64(name), ofDouble.Optimizer().EMA64(name)) {
				t.Errorf("%s has not the State64 or the average of a model of float64", name)
			}
		}
		want := single
		if i%2 == 1 {
			want = double
		}
		for _, model := range [][]gorgonia.ValueGrad{mixed, resumed} {
			if model[i].Value().Dtype() != want[i].Value().Dtype() ||
				!slices.Equal(doubles(model[i].Value()), doubles(want[i].Value())) {
				t.Errorf("%s has not the values of a model of its type", name)
			}
		}
	}

	// After a Bind with another type a tensor begins anew, and the others go on.
	mixed[0] = double[0]
	if err := ofMixed.Step(mixed); !errors.Is(err, adam.ErrParams) {
		t.Errorf("Step with another type: error %v, want ErrParams", err)
	}
	if err := ofMixed.Bind(mixed); err != nil {
		t.Fatal(err)
	}
	run(ofMixed, mixed, recorded()[40:41])
	o := ofMixed.Optimizer()
	if o.State("matrix") != nil || o.State64("matrix").T != 1 || o.State64("bias").T != 41 {
		t.Error("the steps of the tensors are not those since their types have changed")
	}
}

// Scalars of float64 have the bits of a vector of one.
func TestScalars64(t *testing.T) {
	f64 := func() gorgonia.Value { return gorgonia.NewF64(1) }
	without := func() gorgonia.Value { return tensor.New(tensor.FromScalar(1.0)) }
	one := func() gorgonia.Value { return wide(vector(1)) }
	model := []gorgonia.ValueGrad{
		&leaf{"vector", one(), one()}, &leaf{"F64", f64(), f64()},
		&leaf{"Dense", without(), without()}, &leaf{"F64 with Dense", f64(), without()},
		&leaf{"Dense with F64", without(), f64()},
	}
	solver := adamgorgonia.New(adam.DefaultW(), adam.Options{})
	defer solver.Close()
	for range 5 {
		setGrads(model, slices.Repeat([][]float32{{0.3}}, len(model)))
		if err := solver.Step(model); err != nil {
			t.Fatal(err)
		}
	}
	want := doubles(model[0].Value())[0]
	for _, n := range model {
		if got := doubles(n.Value())[0]; got != want || got == 1 {
			t.Errorf("%s: %v, want %v", n.(*leaf).name, got, want)
		}
	}
}
