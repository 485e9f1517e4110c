package main

import (
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/fusedadam/adam"
	"github.com/fusedadam/adam/examples/internal/checksum"
	"github.com/fusedadam/adam/examples/internal/replay"
	"github.com/fusedadam/adam/examples/internal/storage"
	"github.com/fusedadam/adam/examples/internal/transformer"
	"gonum.org/v1/plot/plotter"
)

func TestMain(m *testing.M) { replay.Main(m) }

func mustTrainer(t *testing.T, text transformer.Text, o options) *trainer {
	t.Helper()
	tr, err := newTrainer(text, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tr.opt.Close() })
	return tr
}

// A short run of a network so large that workers share its steps brings the loss, at first about
// that of an alphabet whose characters are equally probable, below two thirds, and that of the part
// held out too. Its recorded steps, made again with every kernel and other numbers of workers, end
// in the same bits. So does a second run, on one core.
func TestTrain(t *testing.T) {
	text, err := transformer.Load("")
	if err != nil {
		t.Fatal(err)
	}
	o := options{steps: 100, batch: 4, context: 32, width: 96, heads: 3, layers: 1, lr: 4e-3,
		seed: 1}
	tr := mustTrainer(t, text, o)
	recording := replay.New(adam.Options{MaxNorm: transformer.MaxNorm}, tr.opt.Groups)
	first, last := 0.0, 0.0
	for step := range o.steps {
		bits := tr.gradients()
		if step == 0 {
			first = bits
		}
		if step >= o.steps-10 {
			last += bits / 10
		}
		tr.setRate()
		recording.Add(tr.opt.Groups)
		if err := tr.update(); err != nil {
			t.Fatal(err)
		}
	}
	held := tr.heldOut()
	t.Logf("%.3f bits at first, %.3f at the end, %.3f held out", first, last, held)
	if uniform := math.Log2(float64(len(text.Alphabet))); math.Abs(first-uniform) > 0.2 {
		t.Errorf("the first loss is %.3f bits, want about %.3f", first, uniform)
	}
	if !(last < first*2/3) || !(held < first*2/3) {
		t.Errorf("%.3f bits after %d steps, %.3f held out, want less than two thirds of %.3f", last,
			o.steps, held, first)
	}
	recording.Check(t, tr.opt.Groups)
	for i := range tr.m {
		if (tr.m[i] == 0 || tr.v[i] == 0) && tr.net.Memory.Grads[i] != 0 {
			t.Fatalf("the moments of parameter %d are not in the flat slices", i)
		}
	}

	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	again := mustTrainer(t, text, o)
	for range o.steps {
		if _, err := again.step(); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := checksum.Of(again.net.Memory.Values),
		checksum.Of(tr.net.Memory.Values); got != want {
		t.Errorf("on one core the run ends in checksum %08x, want %08x", got, want)
	}
}

// A network whose parameters are all 0 but the output's biases predicts as these say, whatever
// comes before: so the bits of the part held out are known, and each of its characters must count
// once.
func TestHeldOut(t *testing.T) {
	text := transformer.NewText("a man, a plan, a canal: panama; a man, a plan, a canal: panama; " +
		"a man, a plan")
	rng := rand.New(rand.NewPCG(1, 0))
	for _, context := range []int{1, 5, 6, 64} {
		for _, batch := range []int{1, 3} {
			tr := mustTrainer(t, text, options{steps: 1, batch: batch, context: context, width: 4,
				heads: 2, layers: 1, seed: 1})
			clear(tr.net.Memory.Values)
			params := tr.net.Memory.Params()
			biases, total := params[len(params)-1].Value, 0.0 // of the output
			for i := range biases {
				biases[i] = float32(rng.NormFloat64())
				total += math.Exp(float64(biases[i]))
			}
			want := 0.0
			for _, id := range text.IDs[text.Held:] {
				want += math.Log2(total) - float64(biases[id])/math.Ln2
			}
			want /= float64(len(text.IDs) - text.Held)
			if got := tr.heldOut(); math.Abs(got-want) > 1e-5 {
				t.Errorf("context %d, %d replicas: %.6f bits, want %.6f", context, batch, got, want)
			}
		}
	}
}

// Each held-out character is predicted once, with half a window before it.
func TestWindows(t *testing.T) {
	for _, context := range []int{1, 2, 7, 64} {
		for _, n := range []int{201, 250, 264, 300} {
			const held = 200
			times := make([]int, n)
			for _, w := range windows(held, n, context) {
				for row := w.first; row < context; row++ {
					times[w.begin+row+1]++
				}
				if w.begin < 0 || w.first < context/2 {
					t.Errorf("context %d, %d characters: window %+v", context, n, w)
				}
			}
			for i, k := range times {
				if want := i >= held; (k == 1) != want || k > 1 {
					t.Errorf("context %d, %d characters: character %d is predicted %d times",
						context, n, i, k)
				}
			}
		}
	}
}

func TestDraw(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 0))
	z := []float32{0, float32(math.Log(3)), float32(math.Inf(-1))}
	for range 20 {
		if got := draw(rng, z, 0); got != 1 {
			t.Fatalf("temperature 0 draws %d", got)
		}
	}
	for temperature, want := range map[float64]float64{1: 0.75, 0.5: 0.9} {
		const n = 10000
		count := [3]int{}
		for range n {
			count[draw(rng, z, temperature)]++
		}
		if got := float64(count[1]) / n; math.Abs(got-want) > 0.02 || count[2] > 0 {
			t.Errorf("temperature %g: %v, want a share of %g", temperature, count, want)
		}
	}
}

// The command runs on any text, and draws its curves.
func TestRun(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "text")
	text := make([]byte, 3000)
	for i := range text {
		text[i] = "the same again; "[i%16]
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	o := options{steps: 20, batch: 2, context: 8, width: 8, heads: 2, layers: 1, lr: 1e-2, seed: 1,
		data: path, plot: filepath.Join(dir, "loss.svg"), sample: 10, temperature: 1}
	if err := run(o); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(o.plot); err != nil || info.Size() < 1000 {
		t.Errorf("plot: %v, %v", info, err)
	}
	for name, spoil := range map[string]func(*options){
		"steps":    func(o *options) { o.steps = 0 },
		"batch":    func(o *options) { o.batch = 0 },
		"heads":    func(o *options) { o.heads = 3 },
		"context":  func(o *options) { o.context = 2700 },
		"no text":  func(o *options) { o.data = filepath.Join(dir, "none") },
		"negative": func(o *options) { o.sample = -1 },
	} {
		bad := o
		spoil(&bad)
		if run(bad) == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// With fewer bits a short run comes near the loss of float32, its layers have the bfloat16
// parameters, and the record says what was trained.
func TestStorage(t *testing.T) {
	text, err := transformer.Load("")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "runs")
	o := options{steps: 60, batch: 2, context: 16, width: 16, heads: 2, layers: 1, lr: 4e-3,
		seed: 1, record: path}
	for _, o.storage = range storage.Kinds {
		tr := mustTrainer(t, text, o)
		var losses plotter.XYs
		for range o.steps {
			bits, err := tr.step()
			if err != nil {
				t.Fatal(err)
			}
			losses = append(losses, plotter.XY{Y: bits})
		}
		for i, v := range tr.net.Memory.Values {
			if o.storage.Halve && math.Float32bits(v)<<16 != 0 {
				t.Fatalf("%s: parameter %d of the layers is %v, not a bfloat16", o.storage.Name, i,
					v)
			}
		}
		if err := tr.writeRecord(path, losses, 1); err != nil {
			t.Fatal(err)
		}
	}
	runs, err := storage.Read[storage.Run](path)
	if err != nil || len(runs) != len(storage.Kinds) {
		t.Fatalf("%d records, %v", len(runs), err)
	}
	sums := map[string]bool{}
	for i, r := range runs {
		sums[r.Checksum] = true
		first, last, want := r.Training[0], r.Training[39], runs[0].Training[39]
		if r.Storage != storage.Kinds[i].Name || r.Seed != 1 || r.Steps != o.steps ||
			!(last < first-0.5) || math.Abs(last-want) > 0.1 {
			t.Errorf("%+v: want less than the first loss, and near %v", r, want)
		}
	}
	if len(sums) != len(runs) {
		t.Errorf("%d different results of %d storages", len(sums), len(runs))
	}
}
