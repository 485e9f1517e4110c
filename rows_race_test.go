//go:build race

package adam

import (
	"os"
	"sync"
	"testing"
)

// Two goroutines that step rows of one table are reported by the race detector on every kernel if a
// row is the same, and not if all differ: nothing but the given rows is touched.
func TestRowsRaceIsReported(t *testing.T) {
	if shared := os.Getenv("ADAM_TEST_ROWS_RACE"); shared != "" {
		raceRowsOf(shared)
		return
	}
	for _, kernel := range Kernels() {
		for shared, reported := range map[string]bool{"p": true, "M": true, "V": true, "VMax": true,
			"g and p": true, "g": false, "other rows": false} {
			t.Run(kernel+"/"+shared, func(t *testing.T) {
				raceIn(t, reported, "adam.(*State).StepRows", "ADAM_TEST_ROWS_RACE="+shared,
					"ADAM_KERNEL="+kernel)
			})
		}
	}
}

// raceRowsOf steps rows of two tables beside each other that share what the name says.
func raceRowsOf(shared string) {
	const n, width = 100, 5
	c := Config{LR: 1, AMSGrad: true}
	states := [2]*State{NewState(n, c), NewState(n, c)}
	rows := [2][]int32{{3, 4, 19, 7}, {0, 5, 7, 9}}
	var p, g [2][]float32
	for i := range 2 {
		p[i], g[i] = make([]float32, n), make([]float32, 4*width)
	}
	switch shared {
	case "p":
		p[1] = p[0]
	case "M":
		states[1].M = states[0].M
	case "V":
		states[1].V = states[0].V
	case "VMax":
		states[1].VMax = states[0].VMax
	case "g and p":
		g[1] = p[0][7*width:][:4*width]
	case "g":
		g[1] = g[0]
	case "other rows":
		p[1], states[1].M, states[1].V, states[1].VMax = p[0], states[0].M, states[0].V,
			states[0].VMax
		rows[1] = []int32{0, 2, 5, 18}
	}
	for range 100 { // the detector remembers a few accesses only
		var both sync.WaitGroup
		for i := range 2 {
			both.Add(1)
			go func() {
				defer both.Done()
				if err := states[i].StepRows(p[i], width, rows[i], g[i], c); err != nil {
					panic(err)
				}
			}()
		}
		both.Wait()
	}
}
