package schedule

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The closed forms as PyTorch documents them, for a base learning rate of 1, written with package
// math.

func torchConstant(factor float64, iters, t int) float64 {
	if t >= iters {
		return 1
	}
	return factor
}

func torchLinear(start, end float64, iters, t int) float64 {
	return start + (end-start)*float64(min(iters, t))/float64(iters)
}

func torchCosine(etaMin float64, tMax, t int) float64 {
	return etaMin + (1-etaMin)*(1+math.Cos(math.Pi*float64(t)/float64(tMax)))/2
}

func torchStep(gamma float64, size, t int) float64 {
	return math.Pow(gamma, math.Floor(float64(t)/float64(size)))
}

func torchMultiStep(gamma float64, milestones []int, t int) float64 {
	r := 1.0
	for _, m := range milestones {
		if t >= m {
			r *= gamma
		}
	}
	return r
}

func torchOneCycle(total int, pctStart, div, finalDiv float64, t int) float64 {
	anneal := func(from, to, pct float64) float64 {
		return to + (from-to)/2*(math.Cos(math.Pi*pct)+1)
	}
	initial := 1 / div
	up, down := pctStart*float64(total)-1, float64(total-1)
	if float64(t) <= up {
		return anneal(initial, 1, float64(t)/up)
	}
	return anneal(1, initial/finalDiv, (float64(t)-up)/(down-up))
}

// near allows a few roundings of numbers up to 1.
func near(t *testing.T, want, got float64, format string, args ...any) {
	t.Helper()
	if !(math.Abs(got-want) <= 2e-15) {
		t.Fatalf("%s: %v, by PyTorch's formula %v", fmt.Sprintf(format, args...), got, want)
	}
}

func TestAgainstFormulas(t *testing.T) {
	for _, n := range []int{1, 2, 3, 7, 10, 100, 999, 1000} {
		for _, f := range []float64{0, 0.001, 1.0 / 3, 0.5, 0.9, 1} {
			constant := Constant(f).Then(n, Constant(1))
			up, down := Linear(f, 1, n), Linear(1, f, n)
			cos := Cosine(1, f, n)
			stairs := Step(f, n)
			exponential := Step(f, 1)
			milestones := []int{n, 2*n + 1, 5 * n}
			multi := Constant(1).Then(n, Constant(f)).Then(2*n+1, Constant(f*f)).Then(5*n,
				Constant(f*f*f))
			cycle := OneCycle(1.0/25, 1.0/25e4, f, n)
			for i := range 6*n + 2 {
				s := uint64(i)
				near(t, torchConstant(f, n, i), constant(s), "constant %v, %d at %d", f, n, i)
				near(t, torchLinear(f, 1, n, i), up(s), "linear from %v, %d at %d", f, n, i)
				near(t, torchLinear(1, f, n, i), down(s), "linear to %v, %d at %d", f, n, i)
				near(t, torchCosine(f, n, min(i, n)), cos(s), "cosine to %v, %d at %d", f, n, i)
				near(t, torchStep(f, n, i), stairs(s), "step %v, %d at %d", f, n, i)
				near(t, math.Pow(f, float64(i)), exponential(s), "exponential %v at %d", f, i)
				near(t, torchMultiStep(f, milestones, i), multi(s), "steps of %v at %v at %d", f,
					milestones, i)
				if f*float64(n) != 1 { // there PyTorch divides by zero
					near(t, torchOneCycle(n, f, 25, 1e4, min(i, n-1)), cycle(s),
						"one-cycle of %d, %v up at %d", n, f, i)
				}
			}
		}
	}
}

// As PyTorch does it: without a look at the step, from the last value to the next.
func TestAgainstRecursions(t *testing.T) {
	const n, start, end, gamma = 200, 0.01, 0.1, 0.7
	linear, cos, stairs := Linear(start, 1, n), Cosine(1, end, n), Step(gamma, 30)
	a, b, c := start, 1.0, 1.0
	for i := 1; i <= n; i++ {
		a *= 1 + (1-start)/(n*start+float64(i-1)*(1-start))
		b = end + (b-end)*(1+math.Cos(math.Pi*float64(i)/n))/(1+math.Cos(math.Pi*float64(i-1)/n))
		if i%30 == 0 {
			c *= gamma
		}
		assert.InDelta(t, a, linear(uint64(i)), 1e-13, "linear at %d", i)
		assert.InDelta(t, b, cos(uint64(i)), 1e-12, "cosine at %d", i)
		assert.InDelta(t, c, stairs(uint64(i)), 1e-13, "step at %d", i)
	}
}

func TestByHand(t *testing.T) {
	for _, c := range []struct {
		name string
		s    Schedule
		step uint64
		want float64
	}{
		{"constant", Constant(0.25), 7, 0.25},
		{"the first step is made with start", Linear(0.5, 1, 4), 0, 0.5},
		{"linear, PyTorch's example", Linear(0.5, 1, 4), 1, 0.625},
		{"linear, PyTorch's example", Linear(0.5, 1, 4), 3, 0.875},
		{"linear, PyTorch's example", Linear(0.5, 1, 4), 4, 1},
		{"(step+1)/n", Linear(1.0/8, 1, 7), 3, 0.5},
		{"(step+1)/n", Linear(1.0/8, 1, 7), 7, 1},
		{"linear down", Linear(1, 0, 4), 3, 0.25},
		{"cosine at the start", Cosine(1, 0.1, 12), 0, 1},
		{"cosine at a third, (1+1/2)/2", Cosine(1, 0, 12), 4, 0.75},
		{"cosine at a half", Cosine(1, 0.5, 12), 6, 0.75},
		{"cosine at two thirds, (1-1/2)/2", Cosine(1, 0, 12), 8, 0.25},
		{"cosine at a quarter, (2+√2)/4", Cosine(1, 0, 4), 1, 0.85355339059327376},
		{"cosine at the end", Cosine(1, 0.1, 12), 12, 0.1},
		{"cosine up", Cosine(0, 1, 12), 4, 0.25},
		{"cosine up", Cosine(0, 3, 12), 8, 2.25},
		{"step, PyTorch's example", Step(0.1, 30), 29, 1},
		{"step, PyTorch's example", Step(0.1, 30), 30, 0.1},
		{"step, PyTorch's example", Step(0.1, 30), 89, 0.01},
		{"step by 0", Step(0, 3), 2, 1},
		{"step by 0", Step(0, 3), 3, 0},
		{"step up", Step(2, 1), 10, 1024},
		{"one-cycle begins", OneCycle(0.04, 0, 0.3, 10), 0, 0.04},
		{"one-cycle, half way up", OneCycle(0.04, 0, 0.3, 10), 1, 0.52},
		{"one-cycle, peak at 0.3·10-1", OneCycle(0.04, 0, 0.3, 10), 2, 1},
		{"one-cycle, a quarter down, (2+√2)/4", OneCycle(0, 0, 0.2, 10), 3, 0.85355339059327376},
		{"one-cycle ends", OneCycle(0.04, 0.001, 0.3, 10), 9, 0.001},
		{"one-cycle, only up", OneCycle(0.04, 0, 1, 10), 9, 1},
		{"one-cycle, peak at half a step", OneCycle(0, 0, 0.75, 2), 0, 0},
		{"one-cycle, peak before step 0, 3/4 at a third", OneCycle(0.5, 0, 0, 3), 0, 0.75},
		{"one-cycle, peak at 0", OneCycle(0.5, 0.1, 0.25, 4), 0, 1},
		{"SequentialLR before", Linear(0.1, 1, 5).Then(5, Step(0.5, 1)), 4, 0.82},
		{"SequentialLR at the milestone", Linear(0.1, 1, 5).Then(5, Step(0.5, 1)), 5, 1},
		{"SequentialLR counts anew", Linear(0.1, 1, 5).Then(5, Step(0.5, 1)), 7, 0.25},
		{"SequentialLR, PyTorch's example", Constant(0.1).Then(20, Step(0.9, 1)), 21, 0.9},
		{"milestones count from the beginning", Constant(1).Then(2, Constant(2)).Then(5,
			Linear(3, 7, 4)), 6, 4},
		{"ChainedScheduler, PyTorch's example", Product(Constant(0.1).Then(20, Constant(1)),
			Step(0.9, 1)), 1, 0.09},
		{"ChainedScheduler, PyTorch's example", Product(Constant(0.1).Then(20, Constant(1)),
			Step(0.9, 1)), 20, 0.12157665459056929},
		{"product of one", Product(Constant(3)), 0, 3},
		{"product of none", Product(), 0, 1},
	} {
		assert.InDelta(t, c.want, c.s(c.step), 2e-16*max(1, c.want), "%s: step %d", c.name, c.step)
	}
}

// The ends are exact, whatever the numbers, and hold for ever.
func TestEnds(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for range 10_000 {
		start, end, n := r.Float64(), r.Float64()*math.Exp2(-60*r.Float64()), 2+r.IntN(1000)
		last := uint64(n)
		for name, s := range map[string]Schedule{
			"linear":    Linear(start, end, n),
			"cosine":    Cosine(start, end, n),
			"one-cycle": OneCycle(start, end, 0.5+0.4*r.Float64(), n+1),
		} {
			require.Equal(t, start, s(0), "%s from %v to %v in %d", name, start, end, n)
			for _, step := range []uint64{last, last + 1, 2 * last, 1 << 53, math.MaxUint64 - 1,
				math.MaxUint64} {
				require.Equal(t, end, s(step), "%s from %v to %v in %d, step %d", name, start, end,
					n, step)
			}
		}
	}
	assert.Equal(t, 1.0, OneCycle(0, 0, 1, 10)(math.MaxUint64), "only up")
	assert.Equal(t, 0.0, Step(0.5, 1)(math.MaxUint64))
	assert.Equal(t, math.Inf(1), Step(2, 1)(math.MaxUint64))
	assert.Equal(t, 1.0, Step(1, 1)(math.MaxUint64))
	assert.Equal(t, 0.5, Step(0.5, math.MaxInt)(math.MaxInt))
	assert.Equal(t, 0.5, Linear(0, 1, 1<<30)(1<<29))
	assert.Equal(t, 4.0, Constant(0).Then(math.MaxInt, Linear(3, 4, 5))(math.MaxUint64))
}

// A factor lies between those of both ends, up to a rounding, and so a learning rate is never
// negative; ramps are monotonic.
func TestRange(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 2))
	for range 2000 {
		start, end, n := r.Float64()*math.Exp2(-60*r.Float64()),
			r.Float64()*math.Exp2(-60*r.Float64()), 1+r.IntN(500)
		if r.IntN(4) == 0 {
			end = 0
		}
		low, high := min(start, end), max(start, end)
		for name, s := range map[string]Schedule{"linear": Linear(start, end, n),
			"cosine": Cosine(start, end, n)} {
			before := start
			for i := range uint64(n + 2) {
				x := s(i)
				if !(x >= 0 && x >= low-0x1p-52*high && x <= high*(1+0x1p-52)) {
					t.Fatalf("%s from %v to %v in %d: %v at %d", name, start, end, n, x, i)
				}
				if d := 0x1p-51 * high; start <= end && x < before-d ||
					start >= end && x > before+d {
					t.Fatalf("%s from %v to %v in %d: %v after %v at %d", name, start, end, n, x,
						before, i)
				}
				before = x
			}
		}
	}
	largest := Linear(math.MaxFloat64, 0, 4)
	assert.Equal(t, math.MaxFloat64/2, largest(2), "no overflow on the way")
	assert.InEpsilon(t, math.MaxFloat64/2, Cosine(math.MaxFloat64, 0, 4)(2), 1e-15)
}

func TestSkipped(t *testing.T) {
	for _, step := range []uint64{0, 1, math.MaxUint64} {
		assert.Equal(t, 0.75, Linear(0.25, 0.75, 0)(step))
		assert.Equal(t, 0.75, Cosine(0.25, 0.75, 0)(step))
		for _, rise := range []float64{0, 0.3, 1} {
			assert.Equal(t, 0.75, OneCycle(0.25, 0.75, rise, 0)(step))
			assert.Equal(t, 0.75, OneCycle(0.25, 0.75, rise, 1)(step))
		}
		assert.Equal(t, Linear(2, 5, 3)(step), Constant(1).Then(0, Linear(2, 5, 3))(step))
		assert.Equal(t, 3.0, Constant(1).Then(0, Constant(2)).Then(0, Constant(3))(step))
	}
}

func TestBadArguments(t *testing.T) {
	one := Constant(1)
	for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), -1, -0x1p-1074} {
		const want = ", want a finite number of at least 0"
		for name, f := range map[string]func(){
			"Constant: factor": func() { Constant(bad) },
			"Linear: start":    func() { Linear(bad, 1, 1) },
			"Linear: end":      func() { Linear(1, bad, 1) },
			"Cosine: start":    func() { Cosine(bad, 1, 1) },
			"Cosine: end":      func() { Cosine(1, bad, 1) },
			"Step: gamma":      func() { Step(bad, 1) },
			"OneCycle: start":  func() { OneCycle(bad, 1, 1, 1) },
			"OneCycle: end":    func() { OneCycle(1, bad, 1, 1) },
		} {
			assert.PanicsWithValue(t, fmt.Sprintf("schedule: %s = %v%s", name, bad, want), f)
		}
	}
	for _, bad := range []float64{math.NaN(), math.Inf(1), -0x1p-1074, math.Nextafter(1, 2)} {
		assert.PanicsWithValue(t,
			fmt.Sprintf("schedule: OneCycle: rise = %v, want a number in [0, 1]", bad),
			func() { OneCycle(1, 1, bad, 1) })
	}
	for want, f := range map[string]func(){
		"Linear: steps = -1, want at least 0":   func() { Linear(1, 1, -1) },
		"Cosine: steps = -1, want at least 0":   func() { Cosine(1, 1, -1) },
		"OneCycle: steps = -1, want at least 0": func() { OneCycle(1, 1, 0.5, -1) },
		"Step: every = 0, want at least 1":      func() { Step(1, 0) },
		"Step: every = -1, want at least 1":     func() { Step(1, -1) },
		"Then: milestone = -1, want at least 0": func() { one.Then(-1, one) },
		"Then: a schedule is nil":               func() { one.Then(1, nil) },
		"Product: a schedule is nil":            func() { Product(one, nil) },
	} {
		assert.PanicsWithValue(t, "schedule: "+want, f)
	}
	assert.PanicsWithValue(t, "schedule: Then: a schedule is nil", func() {
		Schedule(nil).Then(1, one)
	})
}

// Of the raised cosine, both halves keep their digits: as close to sin² and 1-sin² as package math
// is.
func TestCosineAccuracy(t *testing.T) {
	const n = 100_003
	for i := range n + 1 {
		x := math.Pi * float64(i) / n
		up, down := cosine(0, 1, float64(i), n), cosine(1, 0, float64(i), n)
		if want := (1 + math.Cos(x)) / 2; math.Abs(down-want) > 5e-16 {
			t.Fatalf("(1+cos(π·%d/%d))/2 = %v, want %v", i, n, down, want)
		}
		sin := math.Sin(x / 2)
		if want := sin * sin; math.Abs(up-want) > 1e-15*want {
			t.Fatalf("sin²(π/2·%d/%d) = %v, want %v", i, n, up, want)
		}
	}
	for i := range 1_000_000 {
		x := math.Pi / 4 * float64(i) / 1_000_000
		if got, want := sine(x), math.Sin(x); math.Abs(got-want) > 0x1p-52*want {
			t.Fatalf("sin(%v) = %v, want %v", x, got, want)
		}
	}
}

// samples holds schedules of all kinds, with numbers that round.
func samples() []Schedule {
	return []Schedule{
		Constant(1.0 / 3),
		Linear(1.0/3, 1, 97),
		Linear(0.9, 1.0/7, 1009),
		Cosine(1, 0, 1013),
		Cosine(1.0/3, 0.9, 211),
		Step(0.97, 1),
		Step(1.0/3, 17),
		Step(1.01, 3),
		OneCycle(1.0/25, 1.0/25e4, 0.3, 1000),
		OneCycle(0.1, 0.07, 1.0/3, 301),
		OneCycle(0.1, 0.3, 0.7, 46),
		Linear(1.0/50, 1, 49).Then(50, Cosine(1, 0.1, 700)).Then(600, Step(0.99, 2)),
		Product(Linear(0.01, 1, 100), Step(0.999, 1), Cosine(1, 0.1, 900)),
	}
}

// Computed on amd64; the same on every architecture, whether its compiler fuses multiply-adds or
// not.
func TestSameBitsEverywhere(t *testing.T) {
	h := fnv.New64a()
	for _, s := range samples() {
		for step := range uint64(1100) {
			require.NoError(t, binary.Write(h, binary.LittleEndian, s(step)))
		}
		for _, step := range []uint64{1<<31 - 1, 1 << 32, 1<<53 + 1, math.MaxUint64} {
			require.NoError(t, binary.Write(h, binary.LittleEndian, s(step)))
		}
	}
	assert.Equal(t, uint64(0x8c6e903737608279), h.Sum64(), "%#x", h.Sum64())
}

// The factor of a step depends on the step alone: not on the calls before, other goroutines, or
// what became of the arguments. With -race this also shows that nothing is written.
func TestPure(t *testing.T) {
	const steps = 1100
	var want [][]float64
	for _, s := range samples() {
		var row []float64
		for step := range uint64(steps) {
			row = append(row, s(step))
		}
		want = append(want, row)
	}
	shared := samples()
	var wg sync.WaitGroup
	for g := range uint64(4) {
		wg.Add(1)
		go func() {
			defer wg.Done()
			r := rand.New(rand.NewPCG(3, g))
			for range 20_000 {
				i, step := r.IntN(len(shared)), r.IntN(steps)
				if got := shared[i](uint64(step)); got != want[i][step] {
					t.Errorf("schedule %d at %d: %v, before %v", i, step, got, want[i][step])
					return
				}
			}
		}()
	}
	wg.Wait()

	factors := []Schedule{Constant(2), Constant(3)}
	product := Product(factors...)
	factors[0] = Constant(5)
	assert.Equal(t, 6.0, product(0))
}

func TestNoAllocation(t *testing.T) {
	sum := 0.0
	for i, s := range samples() {
		step := uint64(0)
		assert.Zero(t, testing.AllocsPerRun(1000, func() { sum += s(step); step++ }), "schedule %d",
			i)
	}
}
