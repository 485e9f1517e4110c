package verify

import (
	"errors"
	"math"
	"strings"
	"testing"
	"unsafe"

	"github.com/fusedadam/adam"
	"github.com/fusedadam/adam/internal/selection"
)

var generic = On(selection.Generic)

func TestKernelsPass(t *testing.T) {
	for _, k := range adam.Kernels() {
		f, err := AgainstGeneric(On(k), generic)
		if err != nil || f.Steps < 10000 || f.Values < 1e6 {
			t.Errorf("%s: %+v, %v", k, f, err)
		}
		n, r, err := AgainstPyTorch(On(k))
		if err != nil || n < 120 || r.Values < 20000 || r.MaxError == 0 {
			t.Errorf("%s: %d trajectories, %+v, %v", k, n, r, err)
		}
	}
}

// faulty makes the generic step and then spoils something of it.
func faulty(spoil func(s *adam.State, p, g []float32, c adam.Config)) Stepper {
	return func(s *adam.State, p, g []float32, c adam.Config) error {
		err := generic(s, p, g, c)
		spoil(s, p, g, c)
		return err
	}
}

// nudge changes the last bit of an element; a NaN becomes an infinity.
func nudge(x []float32, i int) {
	if x[i] != x[i] {
		x[i] = float32(math.Inf(1))
		return
	}
	x[i] = math.Float32frombits(math.Float32bits(x[i]) ^ 1)
}

func TestFaultsAreFound(t *testing.T) {
	for _, test := range []struct {
		name  string
		spoil func(s *adam.State, p, g []float32, c adam.Config)
		want  Difference // but for the values
	}{
		{"p", func(_ *adam.State, p, _ []float32, _ adam.Config) {
			if len(p) == 33 {
				nudge(p, 31)
			}
		}, Difference{"Adam", 33, "normal", 1, "p", 31, 0, 0}},
		{"M with decay", func(s *adam.State, p, _ []float32, c adam.Config) {
			if len(p) == 2 && c.WeightDecay != 0 && s.T%10 == 2 {
				nudge(s.M, 1)
			}
		}, Difference{Config: "AdamW", Length: 2, Slice: "M", Index: 1}},
		{"V in large slices", func(s *adam.State, p, _ []float32, _ adam.Config) {
			if len(p) > 1000 {
				nudge(s.V, 900)
			}
		}, Difference{"Adam", selection.Tile - 1, "normal", 1, "V", 900, 0, 0}},
		{"VMax", func(s *adam.State, p, _ []float32, c adam.Config) {
			if len(p) > 3 && c.AMSGrad {
				nudge(s.VMax, 3)
			}
		}, Difference{"AMSGrad", 4, "normal", 1, "VMax", 3, 0, 0}},
	} {
		_, err := AgainstGeneric(faulty(test.spoil), generic)
		var d *Difference
		if !errors.As(err, &d) {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		got, want := *d, test.want
		got.Got, got.Want = 0, 0
		if want.Step == 0 {
			want.Step, want.Values = got.Step, got.Values
		}
		if got != want || d.Got == d.Want || !strings.Contains(err.Error(), " (0x") {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}

func TestWorseFaultsAreFound(t *testing.T) {
	failure := errors.New("no step")
	for _, test := range []struct {
		want string
		step Stepper
	}{
		{"no step", func(*adam.State, []float32, []float32, adam.Config) error { return failure }},
		{"gradient g[4] was changed", faulty(func(_ *adam.State, _, g []float32, _ adam.Config) {
			if len(g) == 5 {
				nudge(g, 4)
			}
		})},
		{"beside V ", faulty(func(s *adam.State, _, _ []float32, _ adam.Config) {
			if n := len(s.V); n == 7 {
				*(*float32)(unsafe.Add(unsafe.Pointer(&s.V[0]), 4*n)) = 0
			}
		})},
		{"counter T = 2, the generic kernel has 1", faulty(func(s *adam.State, _, _ []float32, _ adam.Config) { s.T = 2 })},
	} {
		_, err := AgainstGeneric(test.step, generic)
		if err == nil || !strings.Contains(err.Error()+" ", test.want) {
			t.Errorf("%q: %v", test.want, err)
		}
	}
}

func TestPyTorchDifferences(t *testing.T) {
	wrong := faulty(func(_ *adam.State, p, _ []float32, c adam.Config) {
		if len(p) > 0 {
			p[0] += float32(1e-4 * c.LR)
		}
	})
	if _, _, err := AgainstPyTorch(wrong); err == nil || !strings.Contains(err.Error(), "p[0]") {
		t.Errorf("a step that is wrong by 1e-4·LR: %v", err)
	}
}
