package main

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/fusedadam/adam"
	"github.com/fusedadam/adam/examples/internal/checksum"
	"github.com/fusedadam/adam/examples/internal/gradcheck"
)

// some is a run over a part of Go's sources.
func some() options {
	src, err := sources()
	if err != nil {
		panic(err)
	}
	return options{epochs: 3, batch: 128, negatives: 4, width: 20, lr: 0.03, seed: 1,
		data: filepath.Join(src, "net")}
}

func mustLoad(t testing.TB, o options) *uses {
	u, err := load(o.data, o.seed)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func mustTrainer(t testing.TB, u *uses, o options, dense bool) *trainer {
	tr, err := newTrainer(u, o, dense)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tr.opt.Close() })
	return tr
}

func (t *trainer) checksum() uint32 { return checksum.Of(t.model.files, t.model.names) }

// With this in its environment the test binary trains by rows and prints the checksum.
const asTraining = "RECOMMEND_TEST_TRAIN"

func TestMain(m *testing.M) {
	if os.Getenv(asTraining) == "" {
		os.Exit(m.Run())
	}
	o := some()
	u, err := load(o.data, o.seed)
	if err != nil {
		panic(err)
	}
	tr, err := newTrainer(u, o, false)
	if err != nil {
		panic(err)
	}
	if _, err := tr.epoch(0); err != nil {
		panic(err)
	}
	fmt.Printf("%s %08x\n", adam.Kernel(), tr.checksum())
}

// Both ways begin at the loss of a model that knows nothing about files, and get far below it, on
// the pairs held out too.
func TestTrain(t *testing.T) {
	o := some()
	o.data, o.epochs, o.batch, o.width = "", 2, 512, 32
	u := mustLoad(t, o)
	want := baseline(o.negatives)
	for name, dense := range map[string]bool{"rows": false, "dense": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tr := mustTrainer(t, u, o, dense)
			first, lower := tr.heldOut()
			if math.Abs(first-want) > 0.01 || math.Abs(lower-0.5) > 0.03 {
				t.Errorf("loss %.4f at first, want about %.4f; ranked right %.3f, want about 0.5",
					first, want, lower)
			}
			var last float64
			for epoch := range o.epochs {
				var err error
				if last, err = tr.epoch(epoch); err != nil {
					t.Fatal(err)
				}
			}
			held, lower := tr.heldOut()
			t.Logf("loss %.4f in the last epoch, %.4f held out, ranked right %.3f", last, held,
				lower)
			if !(last < 0.6*want) || !(held < 0.7*want) || !(lower > 0.85) {
				t.Errorf("loss %.4f in the last epoch, %.4f held out, want less than 0.6 and 0.7 "+
					"of %.4f; ranked right %.3f, want more than 0.85", last, held, want, lower)
			}
			elements := tr.elements / tr.steps
			all := len(tr.model.files) + len(tr.model.names)
			if dense && elements != all || !dense && elements > all/15 {
				t.Errorf("a step moves %d of %d elements", elements, all)
			}
		})
	}
}

// Every kernel, and one core, train the same bits.
func TestKernels(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	o := some()
	tr := mustTrainer(t, mustLoad(t, o), o, false)
	if _, err := tr.epoch(0); err != nil {
		t.Fatal(err)
	}
	for _, kernel := range adam.Kernels() {
		cmd := exec.Command(os.Args[0]) // the kernel is chosen once, at the start of a process
		cmd.Env = append(os.Environ(), "ADAM_KERNEL="+kernel, asTraining+"=1", "GOMAXPROCS=3")
		got, err := cmd.CombinedOutput()
		want := fmt.Sprintf("%s %08x\n", kernel, tr.checksum())
		if err != nil || string(got) != want {
			t.Errorf("error %v, got %q, want %q", err, got, want)
		}
	}
}

// Where each batch uses all files and names, training by rows is dense Adam, to the bit.
func TestRowsOfAllAreDense(t *testing.T) {
	const files, names = 3, 40
	u := &uses{files: make([]string, files), names: make([]string, names)}
	for i := range files * names {
		u.train = append(u.train, pair{int32(i / names), int32(i % names)})
	}
	o := options{epochs: 30, batch: len(u.train), negatives: 2, width: 5, lr: 0.01, seed: 1}
	a, b := mustTrainer(t, u, o, false), mustTrainer(t, u, o, true)
	before := a.checksum()
	for epoch := range o.epochs {
		la, err := a.epoch(epoch)
		if err != nil {
			t.Fatal(err)
		}
		lb, err := b.epoch(epoch)
		if err != nil {
			t.Fatal(err)
		}
		if la != lb || a.checksum() != b.checksum() || a.checksum() == before {
			t.Fatalf("epoch %d: losses %v and %v, checksums %08x and %08x, at first %08x", epoch,
				la, lb, a.checksum(), b.checksum(), before)
		}
	}
}

// A step takes the mean of the gradients over the samples, and clips it by its norm.
func TestStep(t *testing.T) {
	u := &uses{files: make([]string, 1), names: make([]string, 2)}
	o := options{epochs: 1, batch: 2, negatives: 1, width: 3, lr: 0.01, seed: 1}
	for size, clipped := range map[float32]bool{1: true, 0.01: false} {
		tr := mustTrainer(t, u, o, true)
		for i := range tr.model.files {
			tr.model.files[i] = 1
		}
		tr.learn([]sample{{pair{0, 0}, true}, {pair{0, 1}, false}})
		var mean []float64
		norm := 0.0
		for _, p := range tr.opt.Groups[0].Params {
			for i := range p.Grad {
				p.Grad[i] *= size
				mean = append(mean, float64(p.Grad[i])/2)
				norm = math.Hypot(norm, mean[len(mean)-1])
			}
		}
		if clipped != (norm > 2*maxNorm) || !clipped && norm > maxNorm/2 {
			t.Fatalf("the norm is %v, clipped: %v", norm, clipped)
		}
		if err := tr.step(2); err != nil {
			t.Fatal(err)
		}
		m := slices.Concat(tr.opt.State("files").M, tr.opt.State("names").M)
		for i, g := range mean {
			want := 0.1 * g * min(1, maxNorm/norm)
			if math.Abs(float64(m[i])-want) > 1e-6 {
				t.Errorf("size %v, moment %d: %v, want %v", size, i, m[i], want)
			}
		}
	}
}

// The gradients agree with central differences of the loss, also those of rows used many times.
func TestGradients(t *testing.T) {
	u := &uses{files: make([]string, 3), names: make([]string, 4)}
	m := newModel(u, 6, 3, 1)
	rng := rand.New(rand.NewPCG(2, 0))
	for _, table := range [][]float32{m.files, m.names} {
		for i := range table {
			table[i] = float32(0.7 * rng.NormFloat64())
		}
	}
	var samples []sample
	for range 20 {
		p := pair{int32(rng.IntN(len(u.files))), int32(rng.IntN(len(u.names)))}
		samples = append(samples, sample{p, rng.IntN(3) == 0})
	}
	df, dn := make([]float32, len(m.files)), make([]float32, len(m.names))
	part := func(d []float32) func(int32) []float32 {
		return func(id int32) []float32 { return d[int(id)*m.width:][:m.width] }
	}
	loss := func() (sum float64) {
		for _, s := range samples {
			l, _ := m.loss(s)
			sum += l
		}
		return sum
	}
	backward := func() {
		clear(df)
		clear(dn)
		if got := m.learn(samples, part(df), part(dn)); got != loss() {
			t.Errorf("learn returns %v, want the loss, %v", got, loss())
		}
	}
	gradcheck.Check(t, "files", m.files, df, 1.0/256, 1e-4, loss, backward)
	gradcheck.Check(t, "names", m.names, dn, 1.0/256, 1e-4, loss, backward)
}

// Rows are what a batch has used, ascending, each once, with the sums of their gradients.
func TestRows(t *testing.T) {
	const width = 3
	rng := rand.New(rand.NewPCG(3, 0))
	r := rows{width: width}
	for _, n := range []int{5, 200, 1, 0, 80} {
		ids := make([]int32, n)
		want := map[int32]float32{}
		for i := range ids {
			ids[i] = rng.Int32N(100)
		}
		given := slices.Clone(ids)
		r.begin(ids)
		for i, id := range ids {
			want[id] += float32(i)
			r.grad(id)[1] += float32(i)
		}
		if !slices.Equal(ids, given) || !slices.IsSorted(r.ids) || len(r.ids) != len(want) ||
			len(r.grads) != len(want)*width {
			t.Fatalf("%d ids: %d rows, %d elements, want %d rows", n, len(r.ids), len(r.grads),
				len(want))
		}
		for i, id := range r.ids {
			got := r.grads[i*width:][:width]
			if !slices.Equal(got, []float32{0, want[id], 0}) {
				t.Errorf("row %d: %v, want the sum %v", id, got, want[id])
			}
		}
		clear(r.grads) // as the optimizer does
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	source := "package p // no\n"
	for i := range 40 {
		source += fmt.Sprintf("var name%d, _ = name%d, \"text\"\n", i, i)
	}
	write("a.go", source)
	write("b/b.go", source+"var two int")
	if _, err := load(dir, 1); err == nil || !strings.Contains(err.Error(), "too few Go files") {
		t.Errorf("names of two files: error %v", err)
	}
	write("c.go", source+"var two int")
	write("short.go", "package p; var name1 = 2")
	write("testdata/d.go", source+"var two int")
	write("e.txt", source+"var two int")
	u := mustLoad(t, options{data: dir, seed: 1})
	all := slices.Concat(u.train, u.held)
	slices.SortFunc(all, func(a, b pair) int { return int(100*(a.file-b.file) + a.name - b.name) })
	if got := fmt.Sprint(u.files); got != "[a.go b/b.go c.go]" || len(u.names) != 41 ||
		slices.Contains(u.names, "two") || len(all) != 3*41 ||
		len(slices.Compact(all)) != 3*41 { // p and the 40
		t.Errorf("files %s, names %v, pairs %v", got, u.names, all)
	}
	if len(u.held) < 3 || len(u.held) > 30 {
		t.Errorf("%d of %d pairs are held out", len(u.held), len(all))
	}
}

// Names that fit best come first, without those that the file uses and those that few files use.
func TestRecommend(t *testing.T) {
	u := &uses{names: []string{"used", "held", "rare", "good", "best", "bad"},
		files: make([]string, 2*often)}
	add := func(name int32, from, to int) {
		for f := from; f < to; f++ {
			u.train = append(u.train, pair{int32(f), name})
		}
	}
	for name := range int32(6) {
		add(name, 1, 1+often)
	}
	add(0, 0, 1)
	u.train = slices.DeleteFunc(u.train, func(p pair) bool { return p == pair{1, 2} })
	u.held = []pair{{0, 1}}
	m := &model{1, 4, make([]float32, len(u.files)), []float32{9, 8, 7, 2, 3, -1}}
	m.files[0] = 1
	tr := &trainer{uses: u, model: m}
	if got := fmt.Sprint(tr.recommend(0, 2), tr.recommend(0, 9)); got !=
		"[best good] [best good bad]" {
		t.Error(got)
	}
}

func TestRun(t *testing.T) {
	o := some()
	o.epochs, o.data = 1, filepath.Join(o.data, "http")
	if err := run(o); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*options){
		"epochs":  func(o *options) { o.epochs = 0 },
		"batch":   func(o *options) { o.batch = 0 },
		"width":   func(o *options) { o.width = 0 },
		"no data": func(o *options) { o.data = filepath.Join(o.data, "none") },
		"empty":   func(o *options) { o.data = t.TempDir() },
		"rate":    func(o *options) { o.lr = math.Inf(1) },
	} {
		bad := o
		spoil(&bad)
		if run(bad) == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
