package main

import (
	"io"
	"math"
	"strings"
	"testing"

	"github.com/fusedadam/adam"
	"github.com/fusedadam/adam/cmd/adam/internal/verify"
	"github.com/fusedadam/adam/internal/operands"
	"github.com/fusedadam/adam/internal/selection"
)

func TestCheck(t *testing.T) {
	var b strings.Builder
	kernels := []string{adam.Kernels()[0]}
	if err := check(&b, kernels, verify.On, verify.On64, verify.On16,
		verify.OptimizerOn); err != nil {
		t.Error(err)
	}
	for _, want := range []string{
		"mode: " + selection.Mode(), kernels[0] + " ", "steps of float64", "steps of 16 and 8 bits",
		"trajectories",
		"and 82 of float64", "All is well.",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
}

// A kernel that differs makes the command fail and say where.
func TestCheckFails(t *testing.T) {
	wrong := func(kernel string) operands.Step {
		return func(s *operands.State, p, g []float32, c operands.Config) error {
			err := verify.On(selection.Generic)(s, p, g, c)
			if kernel == "wrong" && len(p) == 17 {
				p[16] = math.Float32frombits(math.Float32bits(p[16]) + 1)
			}
			return err
		}
	}
	right64 := func(string) operands.StepOf[float64] { return verify.On64(selection.Generic) }
	right := func(string) verify.Run { return verify.OptimizerOn(selection.Generic) }
	right16 := func(string) verify.Step16 { return verify.On16(selection.Generic) }
	err := check(io.Discard, []string{"right", "wrong", selection.Generic}, wrong, right64, right16,
		right)
	const want = "kernel wrong differs from the generic one: " +
		"config adam, normal values, step 1: p[16] of 17 = "
	if err == nil || !strings.HasPrefix(err.Error(), want) ||
		strings.Count(err.Error(), "0x") != 2 {
		t.Errorf("error %v, want %s… and two bit patterns", err, want)
	}
}

// So does one of float64.
func TestCheckFails64(t *testing.T) {
	right := func(string) operands.Step { return verify.On(selection.Generic) }
	wrong64 := func(kernel string) operands.StepOf[float64] {
		return func(s *operands.StateOf[float64], p, g []float64, c operands.Config) error {
			err := verify.On64(selection.Generic)(s, p, g, c)
			if kernel == "wrong" && len(p) == 5 {
				s.M[4] = math.Nextafter(s.M[4], 9)
			}
			return err
		}
	}
	err := check(io.Discard, []string{"wrong", selection.Generic}, right, wrong64, nil, nil)
	const want = "kernel wrong of float64 differs from the generic one: " +
		"config adam, normal values, step 1: M[4] of 5 = "
	if err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("error %v, want %s", err, want)
	}
}

// And one of 16 and 8 bits.
func TestCheckFails16(t *testing.T) {
	right := func(string) operands.Step { return verify.On(selection.Generic) }
	right64 := func(string) operands.StepOf[float64] { return verify.On64(selection.Generic) }
	wrong16 := func(kernel string) verify.Step16 {
		return func(s *adam.State16, p adam.Param16, c adam.Config) error {
			err := verify.On16(selection.Generic)(s, p, c)
			if kernel == "wrong" && len(p.Grad) == 65 && len(s.Rest) == 65 {
				s.Rest[64] ^= 1
			}
			return err
		}
	}
	err := check(io.Discard, []string{"wrong", selection.Generic}, right, right64, wrong16, nil)
	const want = "kernel wrong of 16 and 8 bits differs from the generic one: " +
		"float32 gradients, split parameters, Float32Moments, config adam, "
	if err == nil || !strings.HasPrefix(err.Error(), want) ||
		!strings.Contains(err.Error(), "65 elements, step 1: Rest[64] of 65 = ") {
		t.Errorf("error %v, want %s…", err, want)
	}
}

// Without this a kernel that does not run would be found to agree with whichever did.
func TestCheckNeedsTheKernel(t *testing.T) {
	defer func(use func(string) string) { selection.Use = use }(selection.Use)
	selection.Use = func(string) string { return adam.Kernel() }
	err := check(io.Discard, []string{"other", selection.Generic}, verify.On, verify.On64,
		verify.On16, verify.OptimizerOn)
	want := "kernel " + adam.Kernel() + " ran in the place of other"
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("error %v, want %s", err, want)
	}
}

func TestCheckNeedsTheUsualMode(t *testing.T) {
	defer func(mode func() string) { selection.Mode = mode }(selection.Mode)
	selection.Mode = func() string { return "flush-to-zero (MXCSR 0x9f80)" }
	_, messages, code := run("check")
	want := "adam: floating point is in the mode " + selection.Mode() + ", "
	if code != 1 || !strings.HasPrefix(messages, want) {
		t.Errorf("exit code %d, %s", code, messages)
	}
}

func TestGroup(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 43948896: "43,948,896"} {
		if got := group(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}
