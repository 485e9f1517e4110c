package adam

import (
	"flag"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"

	"github.com/fusedadam/adam/internal/selection"
)

// exercised counts the runs of each kernel under eachKernel.
var exercised = map[string]int{}

// TestMain fails the run if a kernel named in ADAM_TEST_REQUIRE (comma-separated) was not exercised,
// whatever the reason: a kernel that a run skips silently is untested.
func TestMain(m *testing.M) {
	flag.Parse()
	code := m.Run()
	for name := range strings.SplitSeq(os.Getenv("ADAM_TEST_REQUIRE"), ",") {
		if name != "" && exercised[name] == 0 && code == 0 {
			fmt.Printf("FAIL: ADAM_TEST_REQUIRE names kernel %q, which no test exercised (this CPU runs %v)\n", name, Kernels())
			code = 1
		}
	}
	os.Exit(code)
}

// eachKernel runs f once with each kernel of this machine in use.
func eachKernel(t *testing.T, f func(t *testing.T)) {
	for _, name := range Kernels() {
		t.Run("kernel="+name, func(t *testing.T) {
			defer selection.Use(selection.Use(name))
			exercised[name]++
			f(t)
		})
	}
}

// variants are configs that between them take every path of a kernel.
var variants = []struct {
	name string
	Config
}{
	{"adam", Config{LR: 1e-3, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8}},
	{"adamw", Config{LR: 1e-3, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, WeightDecay: 0.01, Decoupled: true}},
	{"l2", Config{LR: 1e-2, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, WeightDecay: 0.1}},
	{"amsgrad", Config{LR: 1e-3, Beta1: 0.9, Beta2: 0.99, Eps: 1e-8, AMSGrad: true}},
	{"l2-amsgrad", Config{LR: 1e-3, Beta1: 0.8, Beta2: 0.95, Eps: 1e-6, WeightDecay: 0.01, AMSGrad: true}},
	{"adamw-amsgrad-maximize", Config{LR: 1e-3, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, WeightDecay: 0.1, Decoupled: true, AMSGrad: true, Maximize: true}},
	{"l2-maximize", Config{LR: 1e-3, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, WeightDecay: 0.1, Maximize: true}},
	{"eps0", Config{LR: 1e-3, Beta1: 0.9, Beta2: 0.999}},
	{"eps0-l2-amsgrad", Config{LR: 1e-3, Beta1: 0.9, Beta2: 0.999, WeightDecay: 0.1, AMSGrad: true}},
	{"eps-below-flush", Config{LR: 1e-3, Beta1: 0.9, Beta2: 0.999, Eps: math.Nextafter(flushEps, 0)}},
	{"betas0", Config{LR: 1e-3, Eps: 1e-8}},
	{"lr0", Config{Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, WeightDecay: 0.1, Decoupled: true}},
}

// lengths covers 0 to 4·unroll+1 of the widest kernel (two vectors of 16), and lengths around tiles.
var lengths = func() []int {
	var ns []int
	for n := range 4*32 + 2 {
		ns = append(ns, n)
	}
	return append(ns, 1000, tile-1, tile, tile+1, 2*tile+17)
}()
