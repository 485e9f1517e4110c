package adamgorgonia_test

import (
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"github.com/fusedadam/adam"
	adamgorgonia "github.com/fusedadam/adam/adapters/gorgonia"
)

// With a Storage, tensors of float32 have the bits of a State16 each, also when the run goes on
// from a checkpoint; those of float64 have a State64.
func TestStorage(t *testing.T) {
	for _, storage := range []adam.Storage{
		{Moments: adam.BF16Moments}, {Moments: adam.Q8Moments, Master: adam.NoMaster},
	} {
		path := filepath.Join(t.TempDir(), "run.safetensors")
		newSolver := func() *adamgorgonia.Solver {
			s := adamgorgonia.New(adam.DefaultW(), adam.Options{SaveParams: true, Seed: 5})
			s.NoDecay = func(name string) bool { return name == "bias" }
			s.Storage = storage
			t.Cleanup(func() { s.Close() })
			return s
		}
		model, resumed := newMixed(1), newMixed(2)
		states, values := map[string]*adam.State16{}, map[string][]float32{}
		for j, n := range model {
			if j%2 == 0 { // the others are float64
				values[n.(*leaf).name] = floats(n.Value())
			}
		}
		s := newSolver()
		for i, step := range recorded()[:20] {
			setGrads(model, step)
			if err := s.Step(model); err != nil {
				t.Fatal(err)
			}
			for j, n := range model {
				name := n.(*leaf).name
				value, ok := values[name]
				if !ok {
					continue
				}
				p := adam.Param16{Name: name, Value: value, Grad: step[j]}
				c := adam.DefaultW()
				if name == "bias" {
					c.WeightDecay = 0
				}
				if states[name] == nil {
					stored := adam.Storage{Moments: storage.Moments}
					states[name] = adam.NewState16(p, stored, 5, c)
				}
				if err := states[name].Step(p, c); err != nil {
					t.Fatal(err)
				}
			}
			if i == 9 {
				if err := s.Optimizer().SaveFile(path); err != nil {
					t.Fatal(err)
				}
				model, s = resumed, newSolver()
				if err := s.Bind(model); err != nil {
					t.Fatal(err)
				}
				if err := s.Optimizer().LoadFile(path); err != nil {
					t.Fatal(err)
				}
			}
		}
		for _, n := range model {
			name := n.(*leaf).name
			want, ok := values[name]
			switch {
			case !ok && s.Optimizer().State64(name) == nil:
				t.Errorf("%v: %s has no State64", storage, name)
			case ok && (!reflect.DeepEqual(s.Optimizer().State16(name), states[name]) ||
				!slices.Equal(floats(n.Value()), want)):
				t.Errorf("%v: %s has not the steps of a State16", storage, name)
			}
		}
	}
}
