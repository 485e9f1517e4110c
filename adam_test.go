package adam

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/fusedadam/adam/internal/operands"
	"github.com/fusedadam/adam/internal/selection"
)

// exercised counts the runs of each kernel under eachKernel.
var exercised = map[string]int{}

// TestMain fails the run if a kernel named in ADAM_TEST_REQUIRE (comma-separated) was not
// exercised, whatever the reason: a kernel that a run skips silently is untested.
func TestMain(m *testing.M) {
	flag.Parse()
	code := m.Run()
	for _, name := range strings.Split(os.Getenv("ADAM_TEST_REQUIRE"), ",") {
		if name != "" && exercised[name] == 0 && code == 0 {
			fmt.Printf("FAIL: ADAM_TEST_REQUIRE names kernel %q, which no test exercised; "+
				"this CPU runs %v\n", name, Kernels())
			code = 1
		}
	}
	os.Exit(code)
}

// eachKernel runs f once with each kernel of this machine in use, or with the one that ADAM_KERNEL
// names.
func eachKernel(t *testing.T, f func(t *testing.T)) {
	names := Kernels()
	if request == Kernel() {
		names = []string{request}
	}
	for _, name := range names {
		t.Run("kernel="+name, func(t *testing.T) {
			defer selection.Use(selection.Use(name))
			exercised[name]++
			f(t)
		})
	}
}

// makeStep is State.Step for the operands of internal/operands.
func makeStep(s *operands.State, p, g []float32, c operands.Config) error {
	return (*State)(s).Step(p, g, Config(c))
}

// makeGenericStep is makeStep on the generic kernel.
func makeGenericStep(s *operands.State, p, g []float32, c operands.Config) error {
	defer selection.Use(selection.Use(selection.Generic))
	return makeStep(s, p, g, c)
}

// steps makes k steps and fails t on an error.
func steps(t testing.TB, o *operands.Operands, c operands.Config, k int) {
	t.Helper()
	if err := o.Step(makeStep, c, k); err != nil {
		t.Fatal(err)
	}
}

// check makes k steps with the kernel in use and compares all bits with those of the generic one.
func check(t testing.TB, o *operands.Operands, c operands.Config, k int) {
	t.Helper()
	want := o.Clone([5]int{})
	for i := range k {
		if err := o.Compare(want, makeStep, makeGenericStep, c); err != nil {
			t.Fatalf("kernel %s and the generic one differ in step %d of %+v: %v", Kernel(), i+1, c,
				err)
		}
	}
}
