package main

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fusedadam/adam"
	"github.com/fusedadam/adam/examples/internal/storage"
)

// A tenth of the steps of the hard cases shows what the page says of them.
func TestHard(t *testing.T) {
	r, err := runHard(10)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("\n%s\n%s", r.moments().Text(1), r.parameters().Text(1))
	of := map[string]Hard{}
	for _, f := range r.Formats {
		of[f.Format] = f
	}
	within := func(name, what string, x, from, to float64) {
		t.Helper()
		if !(x >= from && x <= to) {
			t.Errorf("%s, %s: %v, want %v to %v", name, what, x, from, to)
		}
	}
	for _, name := range []string{"float32", "bf16", "q8"} {
		f := of[name]
		for i := range 4 {
			within(name, "mixed", f.Mixed[i], 0.9, 1.1)
		}
		within(name, "largest", f.Largest, 0.5, 2)
		within(name, "fall", f.Fall[2], 0.9, 1.1)
		within(name, "rare", f.Rare, 0.9, 1.1)
		within(name, "dead", f.Drift, 0, of["float32"].Drift+0.1)
	}
	within("bf16, nearest", "fall", of["bf16, nearest"].Fall[2], 1.1, 2)
	within("bf16, nearest", "rare", of["bf16, nearest"].Rare, 0.3, 0.97)
	within("companding of flashoptim", "dead", of["companding of flashoptim"].Drift, 1.5, 10)
	for _, name := range []string{"map of bitsandbytes", "companding of flashoptim",
		"fp8 e4m3 of torchao", "linear, blocks of 256"} {
		within(name, "largest", of[name].Largest, 500, 1e6)
	}
	for _, a := range r.Alone {
		want := 0.98
		if a.Parameters == "bf16 alone, nearest" {
			want = 1
		}
		within(a.Parameters, "mean", a.Mean, want-0.002, want+0.002)
	}
}

// The emulation of q8 has its numbers, and rounds to one of the two that the package rounds to.
func TestEmulation(t *testing.T) {
	x := []float32{1, 0.3, 1e-3, 1e-5, 0, 2.9}
	v := append([]float32(nil), x...)
	q8v(3, half)(v)
	for i, want := range []float32{1, 0.3125, 0x1p-10, 0x1.4p-17, 0x1.2p-30, 3} {
		if v[i] != want {
			t.Errorf("%v: %v, want %v", x[i], v[i], want)
		}
	}
	grad, rng := make([]float32, elements), rand.New(rand.NewPCG(1, 0))
	for i := range grad {
		grad[i] = float32(rng.NormFloat64())
	}
	var m, u [2][]float32
	for i, make32 := range []func(n int) stepper{ours(adam.Q8Moments),
		emulated(q8m(3, half), q8v(3, half))} {
		s := make32(elements)
		if _, err := s.step(grad, adam.Default()); err != nil {
			t.Fatal(err)
		}
		m[i], u[i] = make([]float32, elements), make([]float32, elements)
		if err := s.moments(m[i], u[i]); err != nil {
			t.Fatal(err)
		}
	}
	other := 0
	for i := range grad {
		if d := int(math.Float32bits(u[0][i])>>20) - int(math.Float32bits(u[1][i])>>20); d*d > 1 {
			t.Errorf("v of element %d: %v, the emulation has %v", i, u[0][i], u[1][i])
		} else if d != 0 {
			other++
		}
		if d := abs(m[0][i] - m[1][i]); d > abs(m[1][i])/7+1e-5 {
			t.Errorf("m of element %d: %v, the emulation has %v", i, m[0][i], m[1][i])
		}
	}
	if other == 0 || other == elements {
		t.Errorf("%d of %d are the other one, want a share", other, elements)
	}
}

// The other emulations round to numbers that are known.
func TestFormats(t *testing.T) {
	for _, test := range []struct {
		name     string
		round    func(x []float32)
		from, to []float32
	}{
		{"map of m", mapped(true), []float32{1, 1e-9, -1e-9, 0}, []float32{1, 5.5e-7, -5.5e-7, 0}},
		{"map of v", mapped(false), []float32{2, 1e-9, 1.994}, []float32{2, 0, 1.99296875}},
		{"companded m", compandM, []float32{1, -0.25}, []float32{1, -51. / (2*127 - 51)}},
		{"companded v", compandV, []float32{4, 1}, []float32{4, 4 * 128 * 128 / (255. * 255)}},
		{"fp8", e4m3, []float32{448, 0.1, -17, 0, 0x1.4p-8},
			[]float32{448, 0.1015625, -16, 0, 0x1p-8}},
		{"linear", linear(127), []float32{127, 0.6, -3.2}, []float32{127, 1, -3}},
		{"bf16", toBF16, []float32{1, 1.005, -1.001}, []float32{1, 1.0078125, -1}},
	} {
		x := append([]float32(nil), test.from...)
		test.round(x)
		for i, want := range test.to {
			if abs(x[i]-want) > abs(want)*1e-5 {
				t.Errorf("%s: %v is %v, want %v", test.name, test.from[i], x[i], want)
			}
		}
	}
}

// The page is made from the records: runs at full size if all storages have one, else short ones.
func TestPage(t *testing.T) {
	dir := t.TempDir()
	add := func(example, name string, seed uint64, quick bool, steps int, test float64) {
		t.Helper()
		r := storage.Run{Example: example, Storage: name, Seed: seed, Steps: steps, Parameters: 10,
			Bytes: 4, Training: []float64{2, test}, Test: test, Accuracy: test / 10}
		if err := storage.Append(filepath.Join(dir, runsFile(example, quick)), r); err != nil {
			t.Fatal(err)
		}
	}
	text, err := json.Marshal(hardCases{Alone: []Alone{{Parameters: "some", Mean: 0.5}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, hardFile), text, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := load(dir); err == nil {
		t.Error("a page of no runs")
	}
	for i, k := range storage.Kinds {
		for seed := uint64(1); seed <= 2; seed++ {
			add("language", k.Name, seed, true, 100, 1+float64(seed)+0.01*float64(i))
			add("images", k.Name, seed, true, 50, 1+float64(seed))
		}
	}
	add("language", "float32", 3, true, 100, 9) // a seed that the others lack
	add("language", "q8", 1, false, 1000, 1)
	page := func() string {
		t.Helper()
		r, err := load(dir)
		if err != nil {
			t.Fatal(err)
		}
		files, err := r.files()
		if err != nil {
			t.Fatal(err)
		}
		for name, text := range files {
			if len(text) < 1000 {
				t.Errorf("%s has %d bytes", name, len(text))
			}
		}
		if len(files) != 5 {
			t.Errorf("%d files, want 5", len(files))
		}
		return string(files["STORAGE.md"])
	}
	short := page()
	for _, want := range []string{
		"10 parameters, 100 steps, 2 seeds: the short",
		"10 parameters, 50 steps, 2 seeds: the short",
		"| q8 | 4.00 | 12.0 | 2.520 (2.020 to 3.020) | +0.020 (+0.020 to +0.020) |",
		"| some | 0.50000 | 0.00000 |", "Steps were not timed yet.",
	} {
		if !strings.Contains(short, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if strings.ContainsAny(short, "{}") {
		t.Error("a name is left in the page")
	}
	for _, k := range storage.Kinds {
		if k.Name != "q8" {
			add("language", k.Name, 1, false, 1000, 1.5)
		}
	}
	if err := storage.Append(filepath.Join(dir, timeFile), storage.Timing{Example: "images",
		Micros: map[string]float64{"q8": 12.5}, Steps: 3, CPU: "some CPUs", Cores: 4,
		Kernel: "generic"}); err != nil {
		t.Fatal(err)
	}
	long := page()
	for _, want := range []string{"10 parameters, 1000 steps, 1 seed: the full",
		"| q8 | 4.00 | 12.0 | 1.000 | −0.500 |", "| 12.5 |", "the least of 3",
		"on 4 logical cores of some CPUs, kernel generic"} {
		if !strings.Contains(long, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
}
