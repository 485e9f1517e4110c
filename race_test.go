//go:build race

package adam

import (
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/fusedadam/adam/internal/operands"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Two goroutines that step slices of one array are reported by the race detector on every kernel,
// though it cannot see into assembly: whoever writes what the other reads or writes.
func TestRaceIsReported(t *testing.T) {
	if shared := os.Getenv("ADAM_TEST_RACE"); shared != "" {
		if step, shared, _ := strings.Cut(shared, " "); step == "State).Step" {
			race(shared, func(s *operands.State, p, g []float32, c Config) error {
				return (*State)(s).Step(p, g, c)
			})
		} else {
			race(shared, func(s *operands.StateOf[float64], p, g []float64, c Config) error {
				return (*State64)(s).Step(p, g, c)
			})
		}
		return
	}
	for _, kernel := range Kernels() {
		for i, shared := range []string{"p", "M", "V", "VMax", "p=g", "g", "none",
			"p", "M", "V", "VMax", "p=g", "g", "none"} {
			step := "State).Step"
			if i >= 7 {
				step = "State64).Step"
			}
			t.Run(kernel+"/"+step+"/"+shared, func(t *testing.T) {
				reported := shared != "g" && shared != "none" // which both only read
				raceIn(t, reported, "adam.(*"+step, "ADAM_TEST_RACE="+step+" "+shared,
					"ADAM_KERNEL="+kernel)
			})
		}
	}
}

// raceIn runs the test that calls it in a process of its own, with more environment. The race
// detector must report a race in the named function there, or none.
func raceIn(t *testing.T, reported bool, in string, environment ...string) {
	t.Helper()
	test, _, _ := strings.Cut(t.Name(), "/")
	child := exec.Command(os.Args[0], "-test.run=^"+test+"$")
	child.Env = append(append(os.Environ(), environment...), "ADAM_TEST_REQUIRE=")
	out, err := child.CombinedOutput()
	if !reported {
		require.NoError(t, err, "%s", out)
		return
	}
	require.Error(t, err)
	assert.Contains(t, string(out), "DATA RACE")
	assert.Contains(t, string(out), in)
}

// The same of two optimizers, whose workers do the work: the report names the Step that shares it
// out.
func TestOptimizerRaceIsReported(t *testing.T) {
	if shared := os.Getenv("ADAM_TEST_OPTIMIZER_RACE"); shared != "" {
		raceOptimizers(t, shared)
		return
	}
	for shared, reported := range map[string]bool{"none": false, "Value": true, "Grad": false,
		"Grad and ZeroGrad": true, "Value and Grad": true, "Value of float64": true,
		"BF16": true, "GradBF16": false, "a copy": true, "V8": true, "Rest": true,
		"Grad of float64": false, "Value of a part": true, "Value of a table": true,
		"Value of other rows": false,
		"Rows":                false, "average over other rows": true} {
		t.Run(shared, func(t *testing.T) {
			raceIn(t, reported, "adam.(*Optimizer).Step", "ADAM_TEST_OPTIMIZER_RACE="+shared)
		})
	}
}

// raceOptimizers steps two optimizers beside each other that share what the name says.
func raceOptimizers(t *testing.T, shared string) {
	sharedOut(t)
	const n = 3 * tile
	var groups, halves [2]Group
	for i := range groups {
		groups[i] = Group{
			Config:   Default(),
			Params:   []Param{{Name: "a", Value: make([]float32, n), Grad: make([]float32, n)}},
			Params64: []Param64{{Name: "b", Value: make([]float64, n), Grad: make([]float64, n)}},
			Tables: []Table{{Name: "c", Width: tile, Value: make([]float32, n), Rows: []int32{1},
				Grad: make([]float32, tile)}},
			Parts: []Part{{Param{Name: "d", Value: make([]float32, tile),
				Grad: make([]float32, tile)}, tile, n}},
		}
		half := Param16{Name: "e", BF16: make([]BF16, n), GradBF16: make([]BF16, n)}
		half.State = NewState16(half, Storage{Moments: Q8Moments}, 0, Default())
		halves[i] = Group{Config: Default(), Storage: Storage{Moments: Q8Moments},
			Params16: []Param16{half, {Name: "f", Value: make([]float32, n),
				F16: make([]F16, n), GradBF16: make([]BF16, n)}}}
	}
	a, b := &groups[0], &groups[1]
	table := &b.Tables[0]
	c, d := &halves[0].Params16[0], &halves[1].Params16[0]
	options := Options{Workers: 3, MaxNorm: 1, ZeroGrad: shared == "Grad and ZeroGrad"}
	switch shared {
	case "Value":
		b.Params[0].Value = a.Params[0].Value
	case "Grad", "Grad and ZeroGrad":
		b.Params[0].Grad = a.Params[0].Grad
	case "Value and Grad":
		b.Params[0].Grad = a.Params[0].Value
	case "Value of float64":
		b.Params64[0].Value = a.Params64[0].Value
	case "BF16":
		d.BF16 = c.BF16
	case "GradBF16":
		d.GradBF16 = c.GradBF16
	case "a copy":
		halves[1].Params16[1].F16 = halves[0].Params16[1].F16
	case "V8":
		d.State.V8 = c.State.V8
	case "Rest":
		d.State.Rest = c.State.Rest
	case "Grad of float64":
		b.Params64[0].Grad = a.Params64[0].Grad
	case "Value of a part":
		b.Parts[0].Value = a.Parts[0].Value
	case "Value of a table":
		table.Value = a.Tables[0].Value
	case "Value of other rows":
		table.Value, table.Rows = a.Tables[0].Value, []int32{0}
	case "Rows":
		table.Rows = a.Tables[0].Rows
	case "average over other rows":
		table.Value, table.Grad = a.Tables[0].Value, nil
		table.EMA = make([]float32, n) // begun: a copy would be seen anyway
	}
	var both sync.WaitGroup
	for i, g := range groups {
		if i == 1 && shared == "average over other rows" {
			options.EMADecay = 0.5
		}
		o, err := New(options, g, halves[i])
		require.NoError(t, err)
		both.Add(1)
		go func() {
			defer both.Done()
			for range 100 {
				if _, err := o.Step(); err != nil {
					panic(err)
				}
			}
		}()
	}
	both.Wait()
}

// race steps two States beside each other that share what the name says.
func race[F float](shared string, step func(*operands.StateOf[F], []F, []F, Config) error) {
	const n = 100
	c := Config{LR: 1, AMSGrad: true}
	var states [2]operands.StateOf[F]
	var p, g [2][]F
	for i := range 2 {
		s := &states[i]
		for _, f := range []*[]F{&p[i], &g[i], &s.M, &s.V, &s.VMax} {
			*f = make([]F, n)
		}
	}
	switch shared {
	case "p":
		p[1] = p[0]
	case "g":
		g[1] = g[0]
	case "p=g":
		g[1] = p[0]
	case "M":
		states[1].M = states[0].M
	case "V":
		states[1].V = states[0].V
	case "VMax":
		states[1].VMax = states[0].VMax
	}
	// the detector remembers a few accesses only, so that one try is not quite certain
	for range 100 {
		var both sync.WaitGroup
		for i := range 2 {
			both.Add(1)
			go func() {
				defer both.Done()
				if err := step(&states[i], p[i], g[i], c); err != nil {
					panic(err)
				}
			}()
		}
		both.Wait()
	}
}
