//go:build race

package adam

import (
	"os"
	"strings"
	"sync"
	"testing"
)

// Two goroutines that add to or from one slice are reported by the race detector on every kernel if
// one writes what the other reads or writes.
func TestAccumulateRaceIsReported(t *testing.T) {
	if call := os.Getenv("ADAM_TEST_ACCUMULATE_RACE"); call != "" {
		if shared, ok := strings.CutSuffix(call, " of float64"); ok {
			raceSums(shared, Accumulate64)
		} else {
			raceSums(call, Accumulate)
		}
		return
	}
	for _, kernel := range Kernels() {
		for shared, reported := range map[string]bool{"to": true, "to and from": true,
			"from": false} {
			for suffix, name := range map[string]string{"": "adam.Accumulate(",
				" of float64": "adam.Accumulate64("} {
				t.Run(kernel+"/"+shared+suffix, func(t *testing.T) {
					raceIn(t, reported, name, "ADAM_TEST_ACCUMULATE_RACE="+shared+suffix,
						"ADAM_KERNEL="+kernel)
				})
			}
		}
	}
}

// raceSums makes two sums beside each other that share what the name says.
func raceSums[F float](shared string, accumulate func(to, from []F) error) {
	const n = 100
	var to, from [2][]F
	for i := range 2 {
		to[i], from[i] = make([]F, n), make([]F, n)
	}
	switch shared {
	case "to":
		to[1] = to[0]
	case "to and from":
		from[1] = to[0]
	case "from":
		from[1] = from[0]
	}
	for range 100 { // the detector remembers a few accesses only
		var both sync.WaitGroup
		for i := range 2 {
			both.Add(1)
			go func() {
				defer both.Done()
				if err := accumulate(to[i], from[i]); err != nil {
					panic(err)
				}
			}()
		}
		both.Wait()
	}
}
