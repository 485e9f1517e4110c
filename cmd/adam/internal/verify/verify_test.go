package verify

import (
	"errors"
	"math"
	"strings"
	"testing"
	"unsafe"

	"github.com/fusedadam/adam"
	"github.com/fusedadam/adam/internal/operands"
	"github.com/fusedadam/adam/internal/selection"
)

var generic = On(selection.Generic)

func TestKernelsPass(t *testing.T) {
	for _, k := range adam.Kernels() {
		f, err := AgainstGeneric(On(k), generic)
		if err != nil || f.Steps < 10000 || f.Values < 1e6 {
			t.Errorf("%s: %+v, %v", k, f, err)
		}
		f, err = AgainstGeneric64(On64(k), On64(selection.Generic))
		if err != nil || f.Steps < 10000 || f.Values < 1e6 {
			t.Errorf("%s of float64: %+v, %v", k, f, err)
		}
		n, r, err := AgainstPyTorch(On(k))
		if err != nil || n < 120 || r.Values < 20000 || r.MaxError == 0 {
			t.Errorf("%s: %d trajectories, %+v, %v", k, n, r, err)
		}
		n, wide, err := AgainstPyTorch64(On64(k))
		if err != nil || n < 80 || wide.Values < 9000 || wide.MaxError == 0 {
			t.Errorf("%s of float64: %d trajectories, %+v, %v", k, n, wide, err)
		}
	}
}

func TestOptimizer(t *testing.T) {
	generic := OptimizerOn(selection.Generic)
	for _, k := range adam.Kernels() {
		if n, err := OptimizerAgainstGeneric(OptimizerOn(k), generic); err != nil || n < 400 {
			t.Errorf("%s: %d steps, %v", k, n, err)
		}
	}
	for want, spoil := range map[string]func(values []float32, norms []float64){
		"1000 elements: value 7 is": func(values []float32, _ []float64) { nudge(values, 7) },
		"1000 elements: norms": func(_ []float32, norms []float64) {
			norms[2] = math.Nextafter(norms[2], 0)
		},
	} {
		wrong := func(o adam.Options, n int, c adam.Config) (
			values []float32, norms [stepped]float64, err error) {
			if values, norms, err = generic(o, n, c); n == 1000 {
				spoil(values, norms[:])
			}
			return values, norms, err
		}
		_, err := OptimizerAgainstGeneric(wrong, generic)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
}

// A kernel that was not chosen is found out.
func TestKernelInUse(t *testing.T) {
	defer func(use func(string) string) { selection.Use = use }(selection.Use)
	selection.Use = func(string) string { return adam.Kernel() }
	want := "kernel " + adam.Kernel() + " ran in the place of other"
	c := adam.Default()
	err := On("other")(new(operands.State), nil, nil, operands.Config(c))
	if err == nil || err.Error() != want {
		t.Errorf("step: %v, want %s", err, want)
	}
	_, _, err = OptimizerOn("other")(adam.Options{}, 1, c)
	if err == nil || err.Error() != want {
		t.Errorf("optimizer: %v, want %s", err, want)
	}
}

// faulty makes the generic step and then spoils something of it.
func faulty(spoil func(s *operands.State, p, g []float32, c operands.Config)) operands.Step {
	return func(s *operands.State, p, g []float32, c operands.Config) error {
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
	failure := errors.New("no step")
	fails := func(*operands.State, []float32, []float32, operands.Config) error { return failure }
	if _, err := AgainstGeneric(fails, generic); !errors.Is(err, failure) {
		t.Errorf("a step that fails: %v", err)
	}
	for want, spoil := range map[string]func(s *operands.State, p, g []float32, c operands.Config){
		"config adam, normal values, step 1: p[31] of 33 = ": func(
			s *operands.State, p, _ []float32, _ operands.Config) {
			if len(p) == 33 {
				nudge(p, 31)
			}
		},
		"config adamw, ": func(s *operands.State, p, _ []float32, c operands.Config) {
			if len(p) == 2 && c.WeightDecay != 0 && s.T%10 == 2 {
				nudge(s.M, 1)
			}
		},
		"config adam, normal values, step 1: V[900] of 1000 = ": func(
			s *operands.State, p, _ []float32, _ operands.Config) {
			if len(p) > 900 {
				nudge(s.V, 900)
			}
		},
		"config amsgrad, normal values, step 1: VMax[3] of 4 = ": func(
			s *operands.State, p, _ []float32, c operands.Config) {
			if len(p) > 3 && c.AMSGrad {
				nudge(s.VMax, 3)
			}
		},
		"gradient g[4] was changed": func(_ *operands.State, _, g []float32, _ operands.Config) {
			if len(g) == 5 {
				nudge(g, 4)
			}
		},
		"memory beside V was changed": func(s *operands.State, _, _ []float32, _ operands.Config) {
			if n := len(s.V); n == 7 {
				*(*float32)(unsafe.Add(unsafe.Pointer(&s.V[0]), 4*n)) = 0
			}
		},
		"T = 2, want ": func(s *operands.State, _, _ []float32, _ operands.Config) { s.T = 2 },
	} {
		_, err := AgainstGeneric(faulty(spoil), generic)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", want, err)
		}
	}
}

func TestPyTorchDifferences(t *testing.T) {
	wrong := faulty(func(_ *operands.State, p, _ []float32, c operands.Config) {
		if len(p) > 0 {
			p[0] += float32(1e-4 * c.LR)
		}
	})
	if _, _, err := AgainstPyTorch(wrong); err == nil || !strings.Contains(err.Error(), "p[0]") {
		t.Errorf("a step that is wrong by 1e-4·LR: %v", err)
	}
	wrong64 := func(s *operands.StateOf[float64], p, g []float64, c operands.Config) error {
		err := On64(selection.Generic)(s, p, g, c)
		p[0] += 1e-12 * c.LR
		return err
	}
	_, _, err := AgainstPyTorch64(wrong64)
	if err == nil || !strings.Contains(err.Error(), "p[0]") {
		t.Errorf("a step of float64 that is wrong by 1e-12·LR: %v", err)
	}
}
