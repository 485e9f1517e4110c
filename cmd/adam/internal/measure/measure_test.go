package measure

import (
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fusedadam/adam"
	"github.com/fusedadam/adam/cmd/adam/internal/result"
	"github.com/fusedadam/adam/internal/models"
	"github.com/fusedadam/adam/internal/plain"
	"github.com/fusedadam/adam/internal/roofline"
	"github.com/fusedadam/adam/internal/selection"
)

func TestParseSize(t *testing.T) {
	for text, want := range map[string]int{"1": 1, "1000": 1000, "16Ki": 16 << 10,
		"64Mi": 64 << 20} {
		if got, err := ParseSize(text); got != want || err != nil || SizeName(got) != text {
			t.Errorf("%q: %d, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "0", "-1", "1.5", "16k", "Ki", "1Gi", "16 Ki", "4097Mi",
		"9223372036854775807Ki", "0x10"} {
		if got, err := ParseSize(text); err == nil {
			t.Errorf("%q: %d", text, got)
		}
	}
}

func TestItemsThatFit(t *testing.T) {
	const double = "512Ki of float64"    // as many bytes as 1Mi
	const each = "512Ki of each storage" // almost as many
	p := Plan{Sizes: []int{16, 1 << 20}, Sizes64: []int{512 << 10}, Storages: []int{512 << 10},
		Models: []models.Model{{Key: "m", Name: "M", Tensors: []int{1 << 18, 1 << 18}}}}
	for memory, want := range map[int64][]string{0: nil, 10 << 20: {"1Mi", double, each},
		1 << 20: {"1Mi", "M", double, each}, 100 << 20: nil} {
		p.Memory = memory
		if fit, tooLarge := p.items(); !slices.Equal(tooLarge, want) || len(fit) != 5-len(want) {
			t.Errorf("%d bytes: left out %v, want %v", memory, tooLarge, want)
		}
	}
}

// An item allocates what it says that it needs.
func TestItemMemory(t *testing.T) {
	for _, kind := range []result.Kind{result.Size, result.Size64, result.Storages} {
		it := item{kind, "1Mi", []int{1 << 20}}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		list := it.subjects([]string{selection.Generic})
		runtime.ReadMemStats(&after)
		got, want := int64(after.TotalAlloc-before.TotalAlloc), it.memory()
		if got < want || got > want+4<<20 || len(list) == 0 {
			t.Errorf("%s: %d bytes, want %d and little more", kind, got, want)
		}
	}
}

// On a clock that only the subjects move: the samples are the cost of a call, whatever it is; the
// number of rounds follows the time given. A run that is a sample of its own is warmed up before
// each, or what is to come before has its place there.
func TestRounds(t *testing.T) {
	for _, test := range []struct {
		name  string
		cost  time.Duration // of a call
		given time.Duration
		want  int
	}{
		{"nanoseconds", 40, time.Second, most},
		{"enough", 10 * time.Millisecond, time.Millisecond, fewest},
		{"slow", time.Second, 15 * time.Second, enough},
		// calibration and four rounds take twice the time
		{"slower", time.Second, 7 * time.Second, fewest + 1},
		{"time left", time.Second, 40 * time.Second, 13},
	} {
		var clock time.Duration
		warmed, befores, firsts := 0, 0, 0
		list := []subject{
			{series: "one", run: func(times int) { clock += time.Duration(times) * test.cost },
				calls: 1, every: 1, warm: func() { warmed++ }},
			{series: "two", run: func(times int) { clock += time.Duration(2*times) * test.cost },
				calls: 2, every: 1, warm: func() {}},
			{series: "first", run: func(times int) {
				if firsts++; times != 1 || befores != firsts {
					t.Errorf("%s: run %d, %d times, after %d calls of before", test.name, firsts,
						times, befores)
				}
				clock += time.Nanosecond
			}, calls: 1, every: 1, before: func() { befores++ }},
			{series: "rare", run: func(times int) { clock += time.Duration(times) }, calls: 1,
				every: 1 << 20},
		}
		last := 0.0
		samples := rounds(list, test.given, func() time.Duration { return clock },
			func(done float64) {
				if done < last || done > 1 {
					t.Errorf("%s: progress from %v to %v", test.name, last, done)
				}
				last = done
			})
		if len(samples[0]) != test.want || len(samples[1]) != test.want ||
			len(samples[2]) != test.want || len(samples[3]) != 1 || last != 1 {
			t.Errorf("%s: %d, %d, %d and %d rounds, progress to %v; want %d rounds", test.name,
				len(samples[0]), len(samples[1]), len(samples[2]), len(samples[3]), last, test.want)
		}
		if want := len(samples[0]); test.cost >= atLeast && warmed != want ||
			test.cost < atLeast && warmed != 0 {
			t.Errorf("%s: warmed up %d times for %d samples", test.name, warmed, want)
		}
		for _, ns := range append(samples[0], samples[1]...) {
			if ns != float64(test.cost) {
				t.Errorf("%s: sample of %v ns", test.name, ns)
			}
		}
	}
}

func TestCalibrate(t *testing.T) {
	for _, cost := range []time.Duration{1, 30, 999, 20 * time.Microsecond, time.Millisecond,
		time.Second} {
		var clock, last time.Duration
		total := 0
		times := calibrate(func(times int) {
			last = time.Duration(times) * cost
			clock += last
			total += times
		}, func() time.Duration { return clock })
		if last < atLeast || times > int(2*atLeast/cost)+1 || total > 100*times {
			t.Errorf("a run of %v: %d times, which takes %v, after %d", cost, times, last, total)
		}
	}
}

// Every subject can be run, the traffic leaves the data as they were, and no moment is subnormal.
func TestSubjects(t *testing.T) {
	t.Run("float32", func(t *testing.T) {
		trySubjects(t, single, roofline.Arithmetic, singleLoops(), len(plain.SIMD)+1)
	})
	t.Run("float64", func(t *testing.T) {
		trySubjects(t, double, roofline.Arithmetic64, doubleLoops(), 1)
	})
}

func trySubjects[F float](t *testing.T, state func(*tensor[F]), roots rootLoop[F],
	loops []loop[F], howMany int) {
	tensors := makeTensors([]int{100, 3, 70000}, state)
	list := subjects(adam.Kernels(), tensors, roots, loops)
	ways := len(roofline.Ways(adam.Kernels()))
	if want := 3*len(adam.Kernels()) + ways + howMany; len(list) != want {
		t.Fatalf("%d subjects, want %d", len(list), want)
	}
	before := adam.Kernel()
	for _, s := range list {
		p := slices.Clone(tensors[2].p)
		s.run(3)
		changed := !slices.Equal(p, tensors[2].p)
		if ceiling := strings.Contains(s.series, "/"); changed == ceiling {
			t.Errorf("%s: parameters changed: %v", s.series, changed)
		}
	}
	if adam.Kernel() != before {
		t.Errorf("left kernel %s in use, not %s", adam.Kernel(), before)
	}
	for _, x := range tensors {
		for _, m := range append(slices.Clone(x.m), x.v...) {
			if math.Abs(float64(m)) < 0x1p-126 {
				t.Fatalf("moment %v", m)
			}
		}
	}
}

// A first step comes after scalar code of the time it is said to take, on its own slices; every
// other subject is warmed up for as long as promised.
func TestFirsts(t *testing.T) {
	tensors := makeTensors([]int{300}, single)
	p := slices.Clone(tensors[0].p)
	list := firsts([]string{selection.Generic}, tensors)
	if len(list) != 2 || list[0].before != nil || list[1].before == nil {
		t.Fatalf("%d subjects, want a warm one and one after scalar code", len(list))
	}
	start := time.Now()
	list[1].before()
	if took := time.Since(start); took < scalarCode || slices.Equal(p, tensors[0].p) {
		t.Errorf("scalar code of %v, want %v that changes the parameters", took, scalarCode)
	}
	for _, kind := range []result.Kind{result.Size, result.Size64, result.First,
		result.Storages} {
		for _, s := range (item{kind, "300", []int{300}}).subjects(adam.Kernels()) {
			start := time.Now()
			s.warm()
			if took := time.Since(start); took < warmUp {
				t.Errorf("%s: warmed up for %v, want %v", s.series, took, warmUp)
			}
		}
	}
}

func TestRun(t *testing.T) {
	p := Plan{Kernels: []string{selection.Generic}, Sizes: []int{1, 64}, Sizes64: []int{40},
		Firsts: []int{300}, Storages: []int{256},
		Models: []models.Model{{Key: "m", Name: "M", Tensors: []int{5, 6}}}, Time: time.Millisecond}
	last := 0.0
	rows, tooLarge := p.Run(func(done float64, _ string) { last = done })
	doubles := slices.IndexFunc(rows, func(r result.Row) bool { return r.Kind == result.Size64 })
	// one step and one traffic of each storage, and the arithmetic in both orders
	stored := len(rows) - (2 + 2*len(makeStored(1)))
	if stored != 3*(5+len(plain.SIMD))+2+5 || doubles != stored-5 || tooLarge != nil ||
		last != 1 {
		t.Fatalf("%d rows, float64 from %d on, left out %v, progress to %v", len(rows), doubles,
			tooLarge, last)
	}
	if r := rows[doubles]; r.Name != "40" || r.Elements != 40 || r.Series != selection.Generic {
		t.Errorf("row %+v", r)
	}
	if r := rows[stored+2]; r.Kind != result.Storages || r.Name != "256" || r.Label != "float32" ||
		r.Bytes != 28 || r.Series != selection.Generic {
		t.Errorf("row %+v", r)
	}
	for i, series := range []string{selection.Generic, result.AfterCode + selection.Generic} {
		if r := rows[doubles-2+i]; r.Kind != result.First || r.Name != "300" ||
			r.Series != series {
			t.Errorf("row %+v", r)
		}
	}
	if r := rows[2*(doubles-2)/3]; r.Kind != result.Model || r.Name != "M" || r.Elements != 11 ||
		r.Tensors != 2 || r.Series != selection.Generic {
		t.Errorf("row %+v", r)
	}
	for _, r := range rows {
		if !(r.Q1 <= r.Median && r.Median <= r.Q3 && r.Median > 0) && r.Elements >= 16 {
			t.Errorf("row %+v", r)
		}
	}
}
