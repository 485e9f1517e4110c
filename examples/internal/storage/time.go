package storage

import (
	"fmt"
	"runtime"
	"time"

	"github.com/fusedadam/adam"
	"github.com/fusedadam/adam/internal/selection"
)

// Timing is the record of the microseconds that the optimizer took for a step with each storage:
// the least of so many steps. Storages took turns, and each step came after its gradients, which
// had the cache before.
type Timing struct {
	Example string             `json:"example"`
	Micros  map[string]float64 `json:"micros"`
	Steps   int                `json:"steps"`
	CPU     string             `json:"cpu,omitempty"` // by which the kernel was chosen
	Cores   int                `json:"logical_cores"`
	Kernel  string             `json:"kernel"`
	Date    string             `json:"date"`
}

// A Clock makes steps of a training and tells how long the optimizer took for each.
type Clock struct {
	Step  func() (time.Duration, error)
	Close func() error
}

// timed is the number of steps of each storage.
const timed = 200

// Time times the steps of all Kinds and adds the record to a file.
func Time(example, path string, begin func(Kind) (Clock, error)) error {
	r := Timing{
		Example: example, Micros: map[string]float64{}, Steps: timed,
		CPU: selection.Chosen.CPUs, Cores: runtime.GOMAXPROCS(0), Kernel: adam.Kernel(),
		Date: time.Now().UTC().Format(time.DateOnly),
	}
	clocks := make([]Clock, len(Kinds))
	for i, k := range Kinds {
		var err error
		if clocks[i], err = begin(k); err != nil {
			return err
		}
		defer clocks[i].Close()
	}
	for range timed {
		for i, k := range Kinds {
			d, err := clocks[i].Step()
			if err != nil {
				return err
			}
			micros := float64(d.Nanoseconds()) / 1e3
			if least, ok := r.Micros[k.Name]; !ok || micros < least {
				r.Micros[k.Name] = micros
			}
		}
	}
	for _, k := range Kinds {
		fmt.Printf("%-14s %8.1f µs a step\n", k.Name, r.Micros[k.Name])
	}
	return Append(path, r)
}
