package main

import (
	"math"
	"testing"

	"github.com/fusedadam/adam"
	"github.com/fusedadam/adam/examples/internal/storage"
)

// The optimizer beside Gorgonia, with float32 throughout, ends in the bits of the adapter's solver.
// With each other storage the parameters are near, and bfloat16 if that is what is trained.
func TestBeside(t *testing.T) {
	set, _ := load(t, 200, 1)
	o := options{epochs: 1, batch: 25, lr: 2e-3, clip: 1, seed: 1}
	solver := mustTrainer(t, set, o)
	loss := train(t, solver)
	for _, k := range storage.Kinds {
		o.storage = k
		tr := mustTrainer(t, set, o)
		if k.Float32() {
			var err error
			tr.beside, err = newBeside(tr, adam.Options{MaxNorm: o.clip})
			if err != nil {
				t.Fatal(err)
			}
		}
		got := train(t, tr)
		if same := tr.checksum() == solver.checksum(); same != k.Float32() {
			t.Errorf("%s: the bits of the solver: %v", k.Name, same)
		}
		if math.Abs(got-loss) > 0.1*loss {
			t.Errorf("%s: the last loss is %v, that of float32 %v", k.Name, got, loss)
		}
		for _, p := range tr.params {
			for _, v := range p.value.Float32s() {
				if k.Halve && math.Float32bits(v)<<16 != 0 {
					t.Fatalf("%s: %s has %v, not a bfloat16", k.Name, p.name, v)
				}
			}
		}
	}
}

// train makes all steps and returns the loss of the last epoch.
func train(t *testing.T, tr *trainer) (loss float64) {
	for range tr.epochs {
		loss = 0
		if err := tr.epoch(func(l float64) { loss += l }); err != nil {
			t.Fatal(err)
		}
	}
	return loss
}
