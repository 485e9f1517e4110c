package measure

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/fusedadam/adam"
	"github.com/fusedadam/adam/cmd/adam/internal/result"
	"github.com/fusedadam/adam/internal/selection"
)

// The bytes that a step moves and those that stay, of whole blocks: a scale of each moment for 64
// elements is read and written.
func TestStoredBytes(t *testing.T) {
	const scales = 2.0 / 64
	want := []result.Storage{
		{Label: "float32", Bytes: 28, State: 8},
		{Label: "bf16 g, float32 p, moments", Bytes: 26, State: 8},
		{Label: "bf16 g, float32 p with bf16 copy", Bytes: 28, State: 8},
		{Label: "bf16 g, split, bf16 moments", Bytes: 18, State: 6},
		{Label: "bf16 p, g, moments", Bytes: 14, State: 4},
		{Label: "float32 p, g, bf16 moments", Bytes: 20, State: 4},
		{Label: "bf16 g, split, q8", Bytes: 14 + 2*scales, State: 4 + scales},
		{Label: "float32 p, g, q8", Bytes: 16 + 2*scales, State: 2 + scales},
	}
	var got []result.Storage
	for _, s := range makeStored(128) {
		got = append(got, s.Storage)
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}

// What a kernel says that it steps in one loop is a storage that is measured.
func TestFusedIsStored(t *testing.T) {
	before := adam.Kernel()
	for _, k := range adam.Kernels() {
		for _, label := range fusedOn(k) {
			same := func(s stored) bool { return s.Label == label }
			if !slices.ContainsFunc(makeStored(1), same) {
				t.Errorf("%s steps %q in one loop, which is not measured", k, label)
			}
		}
	}
	if adam.Kernel() != before {
		t.Errorf("left kernel %s in use, not %s", adam.Kernel(), before)
	}
}

// All storages can take turns on the slices that they share: what remains are numbers. Each makes
// its own steps.
func TestStoredTurns(t *testing.T) {
	const n = 300
	list := makeStored(n)
	for range 3 {
		for _, s := range list {
			if err := s.tensor.step(); err != nil {
				t.Fatalf("%s: %v", s.Label, err)
			}
		}
	}
	t32 := list[0].tensor
	for _, x := range slices.Concat(t32.p, t32.m, t32.v) {
		if math.IsNaN(float64(x)) || math.Abs(float64(x)) > 10 || math.Abs(float64(x)) < 0x1p-126 {
			t.Fatalf("%v after turns", x)
		}
	}
}

// There is a step of each kernel and storage, the traffic of each and the arithmetic of each
// kernel in both orders. The generic kernel is there only if it is alone.
func TestStorageSubjects(t *testing.T) {
	for _, kernels := range [][]string{{selection.Generic}, adam.Kernels()} {
		want := max(1, len(kernels)-1)
		list := storages(kernels, 128)
		steps, ceilings := map[string]int{}, map[string]int{}
		for _, s := range list {
			switch {
			case s.storage.Label == "" || s.calls < 1 || s.every != 1:
				t.Errorf("%+v", s)
			case strings.HasPrefix(s.series, result.Traffic):
				ceilings[s.storage.Label]++
				if s.calls != 2 || s.fused {
					t.Errorf("%s: %d calls, fused %v", s.series, s.calls, s.fused)
				}
			case strings.HasPrefix(s.series, result.Arithmetic):
				_, order, _ := strings.Cut(s.series[len(result.Arithmetic):], "/")
				steps[result.Arithmetic+order]++
			default:
				steps[s.storage.Label]++
				if fused := slices.Contains(fusedOn(s.series), s.storage.Label); s.fused != fused {
					t.Errorf("%s, %s: fused %v, want %v", s.series, s.storage.Label, s.fused, fused)
				}
			}
			s.run(1)
		}
		if len(steps) != 10 || len(ceilings) != 8 {
			t.Errorf("%v: steps %v, ceilings %v", kernels, steps, ceilings)
		}
		for label, count := range steps {
			if count != want {
				t.Errorf("%v: %d of %s, want %d", kernels, count, label, want)
			}
		}
	}
}
