package main

import (
	"fmt"
	"math"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/fusedadam/adam"
)

// The checksums of the trained parameters, on every machine.
var checksums = map[string]uint32{
	"flat":    0x5ac75c4a,
	"rows":    0x321b0ace,
	"lazy":    0x9f5b4a15,
	"lora":    0x371dc063,
	"nnue":    0xc83ffda9,
	"float64": 0xf3dba63e,
}

// With this in its environment the test binary trains all shapes and prints their checksums.
const asTraining = "SHAPES_TEST_TRAIN"

func TestMain(m *testing.M) {
	if os.Getenv(asTraining) == "" {
		os.Exit(m.Run())
	}
	for _, s := range shapes {
		r, err := s.train(3)
		if err != nil {
			panic(err)
		}
		fmt.Printf("%s %s %08x\n", adam.Kernel(), s.name, r.sum)
	}
}

// Every kernel trains the same bits. A process chooses its kernel once, at its start.
func TestKernels(t *testing.T) {
	for _, kernel := range adam.Kernels() {
		var want strings.Builder
		for _, s := range shapes {
			fmt.Fprintf(&want, "%s %s %08x\n", kernel, s.name, checksums[s.name])
		}
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "ADAM_KERNEL="+kernel, asTraining+"=1")
		got, err := cmd.CombinedOutput()
		if err != nil || string(got) != want.String() {
			t.Errorf("error %v, got\n%swant\n%s", err, got, &want)
		}
	}
}

// The command fails if a training does not reach its bound.
func TestRun(t *testing.T) {
	if err := run(0); err != nil {
		t.Error(err)
	}
	defer func(below float64) { shapes[0].below = below }(shapes[0].below)
	shapes[0].below = 2e-4
	if err := run(0); err == nil || !strings.Contains(err.Error(), "want less than 0.0002") {
		t.Errorf("error %v", err)
	}
}

// What the shapes show beside the loss, with one worker.
func TestNotes(t *testing.T) {
	notes := map[string]string{
		"flat":    "skipped step 20: b2 is not finite",
		"rows":    "left out 8 batches",
		"lazy":    "steps of each tensor: 900 900 466 466 267 267 167 167",
		"lora":    "128 parameters trained, 512 frozen",
		"nnue":    "clamped 4371 times",
		"float64": "the last loss is 3e-32",
	}
	for _, s := range shapes {
		r, err := s.train(1)
		if err != nil || r.note != notes[s.name] || r.sum != checksums[s.name] {
			t.Errorf("%s: %q, checksum %08x, error %v, want %q", s.name, r.note, r.sum, err,
				notes[s.name])
		}
	}
}

// A run that stops and goes on ends in the bits of one that does not stop, also right before and
// after a batch that is left out.
func TestResume(t *testing.T) {
	for _, stop := range []int{0, 1, 50, 51, 799} {
		r, err := trainRows(1, stop)
		if err != nil || r.sum != checksums["rows"] {
			t.Errorf("stopped after %d batches: checksum %08x, error %v", stop, r.sum, err)
		}
	}
}

// A net with so many parameters that a step wakes other workers.
func TestWorkers(t *testing.T) {
	const width = 2<<20/(pieces*squares) + 8
	want, err := trainNNUE(width, 4, 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, workers := range []int{2, 3, 8} {
		if r, err := trainNNUE(width, 4, workers); err != nil || r.sum != want.sum {
			t.Errorf("%d workers: checksum %08x, error %v, want %08x", workers, r.sum, err,
				want.sum)
		}
	}
}

func TestClamp(t *testing.T) {
	nan := float32(math.NaN())
	w := []float32{-3, -2, -1, 0, 1, 2, 3, nan}
	if n := clamp(w, 2); n != 2 || fmt.Sprint(w) != "[-2 -2 -1 0 1 2 2 NaN]" {
		t.Errorf("%d clamped, %v", n, w)
	}
}

// The rows of a matrix are parts of its slice, and none runs into the next.
func TestMatrix(t *testing.T) {
	m, all := newMatrix(3, 2)
	for i := range m {
		for j := range m[i] {
			m[i][j] = float64(10*i + j)
		}
	}
	for i := range m {
		_ = append(m[i], -1)
	}
	if fmt.Sprint(m, all) != "[[0 1] [10 11] [20 21]] [0 1 10 11 20 21]" {
		t.Errorf("%v, %v", m, all)
	}
}
