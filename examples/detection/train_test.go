package main

import (
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/fusedadam/adam/examples/internal/gradcheck"
	"github.com/fusedadam/adam/examples/internal/layers"
	"github.com/fusedadam/adam/examples/internal/replay"
)

func TestMain(m *testing.M) { replay.Main(m) }

func mustTrainer(t *testing.T, widths []int, o options) *trainer {
	t.Helper()
	tr, err := newTrainer(sets()[0], sets()[1], widths, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tr.opt.Close() })
	return tr
}

func step(t *testing.T, tr *trainer) loss {
	t.Helper()
	l, err := tr.step()
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// The gradients of a batch, summed up from its scenes, must agree with central differences of its
// loss. Of the thousands of units some change sign within a difference, each of which makes it err
// by a little; random biases keep the background of the scenes, where all units are the same, away
// from there.
func TestGradients(t *testing.T) {
	tr := mustTrainer(t, []int{2, 2, 3, 2}, options{steps: 1, batch: 3, seed: 1})
	rng := rand.New(rand.NewPCG(2, 0))
	for _, p := range tr.nets[0].params(".bias") {
		layers.Normal(rng, p.Value, 1)
	}
	loss := func() float64 { return tr.gradients().sum() }
	loss() // whose gradients the next call must set, not add to
	for _, p := range tr.nets[0].memory.Params() {
		gradcheck.Check(t, p.Name, p.Value, p.Grad, 1.0/1024, 1e-3, loss, func() { loss() })
	}
}

// All weights decay, and no bias does.
func TestDecay(t *testing.T) {
	tr := mustTrainer(t, widths, options{steps: 1, batch: 1})
	stepped := 0
	for _, g := range tr.opt.Groups {
		for _, p := range g.Params {
			stepped += len(p.Value)
			if bias := strings.HasSuffix(p.Name, ".bias"); bias != (g.Config.WeightDecay == 0) {
				t.Errorf("%s has a decay of %g", p.Name, g.Config.WeightDecay)
			}
		}
	}
	if want := networkSize(widths); stepped != want {
		t.Errorf("%d parameters are stepped, want %d", stepped, want)
	}
}

// The loss of a batch is the mean of its scenes' losses.
func TestLossIsMean(t *testing.T) {
	const batch = 3
	narrow := []int{2, 2, 3}
	sum := 0.0
	for i := range uint64(batch) {
		one := mustTrainer(t, narrow, options{steps: 1, batch: 1})
		one.opt.T = i // its next scene is scene i
		sum += one.gradients().sum()
	}
	got := mustTrainer(t, narrow, options{steps: 1, batch: batch}).gradients().sum()
	if mean := sum / batch; math.Abs(got-mean) > 1e-6 {
		t.Errorf("loss %v, mean of the scenes %v", got, mean)
	}
}

// A narrow network brings the loss to less than half of what it was, and finds some digits it has
// never seen.
func TestTrain(t *testing.T) {
	const steps, mean = 200, 20
	tr := mustTrainer(t, []int{8, 16, 32, 32}, options{steps: steps, batch: 16, scenes: 100,
		lr: 5e-3, seed: 1})
	_, before := precisions(tr.heldOut, tr.detect())
	var first, last float64
	for i := range steps {
		l := step(t, tr).sum() / mean
		if i < mean {
			first += l
		}
		if i >= steps-mean {
			last += l
		}
	}
	_, after := precisions(tr.heldOut, tr.detect())
	t.Logf("loss %.2f and then %.2f, mAP %.3f and then %.3f", first, last, before, after)
	if !(last < first/2) {
		t.Errorf("loss %.2f and then %.2f, want less than half", first, last)
	}
	if !(after > before+0.02) {
		t.Errorf("mAP %.3f and then %.3f, want 0.02 more", before, after)
	}
}

// wide has so many parameters that workers share a step of the optimizer.
var wide = []int{8, 8, 64, 128, 64}

// The recorded steps, replayed with every kernel and other numbers of workers, end in the same
// bits.
func TestReplay(t *testing.T) {
	tr := mustTrainer(t, wide, options{steps: 4, batch: 4, lr: 2e-3, seed: 1})
	r := replay.New(trainOptions, tr.opt.Groups)
	for range tr.steps {
		tr.gradients()
		tr.setRate()
		r.Add(tr.opt.Groups)
		if _, err := tr.opt.Step(); err != nil {
			t.Fatal(err)
		}
	}
	r.Check(t, tr.opt.Groups)
}

// A seed gives the same bits on any number of cores, another seed others.
func TestSameBits(t *testing.T) {
	run := func(procs int, seed uint64) (start, end uint32, mean float64) {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(procs))
		tr := mustTrainer(t, wide, options{steps: 3, batch: 5, scenes: 5, lr: 2e-3, seed: seed})
		start = tr.checksum()
		for range tr.steps {
			step(t, tr)
		}
		_, mean = precisions(tr.heldOut, tr.detect())
		return start, tr.checksum(), mean
	}
	start, end, mean := run(1, 1)
	for _, procs := range []int{1, 2, 5} {
		if _, e, m := run(procs, 1); e != end || m != mean {
			t.Errorf("GOMAXPROCS=%d: checksum %08x, mAP %v, with GOMAXPROCS=1 %08x and %v", procs,
				e, m, end, mean)
		}
	}
	if s, e, _ := run(2, 2); s == start || e == end {
		t.Error("another seed begins or ends in the same bits")
	}
}

// A short run writes its picture and its plot.
func TestRun(t *testing.T) {
	dir := t.TempDir()
	o := options{steps: 12, batch: 1, scenes: 5, lr: 1e-3, picture: filepath.Join(dir, "a.png"),
		plot: filepath.Join(dir, "b.png")}
	if err := run(o); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{o.picture, o.plot} {
		if info, err := os.Stat(path); err != nil || info.Size() < 1000 {
			t.Errorf("%s: %v, %v", path, info, err)
		}
	}
}
