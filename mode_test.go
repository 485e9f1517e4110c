//go:build gc && (amd64 || arm64 || (riscv64 && linux && go1.26)) && !purego && !noasm

package adam

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/fusedadam/adam/internal/operands"
	"github.com/fusedadam/adam/internal/pool"
	"github.com/fusedadam/adam/internal/selection"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A floatModeCase is a value of the control register, with more bits that change no result, and
// what selection.Mode says of it.
type floatModeCase struct {
	register uint32
	words    string
}

var unusualModes = map[string][]floatModeCase{
	// The lower bits are flags of exceptions that have been seen.
	"amd64": {
		{0x9fc0, "flush-to-zero, denormals-are-zero (MXCSR 0x9fc0)"},
		{0x9fa1, "flush-to-zero (MXCSR 0x9f80)"},
		{0x1fc2, "denormals-are-zero (MXCSR 0x1fc0)"},
		{0x3f80, "rounding down (MXCSR 0x3f80)"},
		{0x5fa0, "rounding up (MXCSR 0x5f80)"},
		{0x7f81, "rounding to zero (MXCSR 0x7f80)"},
		{0xffd1, "flush-to-zero, denormals-are-zero, rounding to zero (MXCSR 0xffc0)"},
	},
	// Bit 25 makes every NaN the default NaN.
	"arm64": {
		{0x1000000, "flush-to-zero (FPCR 0x1000000)"},
		{0x2400000, "rounding up (FPCR 0x400000)"},
		{0x0800000, "rounding down (FPCR 0x800000)"},
		{0x2c00000, "rounding to zero (FPCR 0xc00000)"},
		{0x3c00000, "flush-to-zero, rounding to zero (FPCR 0x1c00000)"},
		{0x6000000, "alternative half-precision (FPCR 0x4000000)"},
	},
	// As on amd64. With the last, an operation that asks for this mode is an illegal instruction.
	"riscv64": {
		{0x20, "rounding to zero (FCSR 0x20)"},
		{0x40, "rounding down (FCSR 0x40)"},
		{0x61, "rounding up (FCSR 0x60)"},
		{0x90, "rounding ties away from zero (FCSR 0x80)"},
		{0xa0, "no rounding (FCSR 0xa0)"},
	},
}[runtime.GOARCH]

// in runs f with the control register of the thread set to the value and returns what f has left
// there. Flags of exceptions that are new do not count: the runtime may set them in between.
func in(register uint32, f func()) uint32 {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before := setControlRegister(register)
	f()
	left := setControlRegister(before)
	switch runtime.GOARCH {
	case "amd64":
		left &^= 0x3f &^ register
	case "riscv64":
		left &^= 0x1f &^ register
	}
	return left
}

// eachMode runs f with each kernel in assembly and in each unusual mode.
func eachMode(t *testing.T, f func(t *testing.T, m floatModeCase)) {
	eachKernel(t, func(t *testing.T) {
		if Kernel() == selection.Generic {
			t.Skip("plain Go computes in the mode of its thread")
		}
		for _, m := range unusualModes {
			f(t, m)
		}
	})
}

// tiny returns n values, many of them subnormal or with subnormal products.
func tiny(r *rand.Rand, n int) []float32 {
	s := make([]float32, n)
	for i := range s {
		s[i] = float32(r.NormFloat64() * math.Exp2(-float64(r.IntN(150))))
	}
	return s
}

// tiny64 is tiny of float64.
func tiny64(r *rand.Rand, n int) []float64 {
	s := make([]float64, n)
	for i := range s {
		s[i] = r.NormFloat64() * math.Exp2(-float64(r.IntN(1075)))
	}
	return s
}

func squared(s []float32) []float32 {
	for i, x := range s {
		s[i] = x * x
	}
	return s
}

func sameBits(t *testing.T, want, got []float32, message ...any) {
	t.Helper()
	for i, w := range want {
		if math.Float32bits(w) != math.Float32bits(got[i]) {
			t.Fatalf("%s: element %d of %d is %x, want %x",
				fmt.Sprint(message...), i, len(want), got[i], w)
		}
	}
}

// lengths has whole blocks and tails of each kernel.
var lengths = []int{1, 5, 16, 23, 32, 45, 63, 100, 1000}

func TestModeOfStep(t *testing.T) {
	eachMode(t, func(t *testing.T, m floatModeCase) {
		r := rand.New(rand.NewPCG(3, 9))
		for _, n := range lengths {
			for variant := range 8 {
				p, g, mo, v := tiny(r, n), tiny(r, n), tiny(r, n), squared(tiny(r, n))
				x := tiny(r, n)
				c := Config{LR: 0.1, Beta1: 0.9, Beta2: 0.99, Eps: 1e-30, WeightDecay: 0.03,
					Decoupled: variant&1 != 0, AMSGrad: variant&2 != 0}
				if variant&4 != 0 {
					c.Eps = 1e-8
				}
				if !c.AMSGrad {
					x = nil
				}
				var k coeffs
				k.set(&c, 7, 0.7)
				all := [][]float32{p, mo, v, x}
				var want [][]float32
				for _, s := range all {
					want = append(want, slices.Clone(s))
				}
				step(want[0], g, want[1], want[2], want[3], &k)
				left := in(m.register, func() { step(p, g, mo, v, x, &k) })
				require.Equal(t, m.register, left, "%s, %d elements: the mode left", m.words, n)
				for i, s := range all {
					sameBits(t, want[i], s, m.words, ", variant ", variant, ", slice ", i)
				}
			}
		}
	})
}

func TestModeOfStep64(t *testing.T) {
	eachMode(t, func(t *testing.T, m floatModeCase) {
		r := rand.New(rand.NewPCG(3, 9))
		for _, n := range lengths {
			for variant := range 8 {
				c := Config{LR: 0.1, Beta1: 0.9, Beta2: 0.99, Eps: 1e-200, WeightDecay: 0.03,
					Decoupled: variant&1 != 0, AMSGrad: variant&2 != 0}
				if variant&4 != 0 {
					c.Eps = 1e-8
				}
				p, g := tiny64(r, n), tiny64(r, n)
				s := &State64{T: 6, M: tiny64(r, n), V: tiny64(r, n), VMax: tiny64(r, n)}
				for i, v := range s.V {
					s.V[i] = v * v
				}
				want := &State64{T: 6, M: slices.Clone(s.M), V: slices.Clone(s.V),
					VMax: slices.Clone(s.VMax)}
				wantP := slices.Clone(p)
				require.NoError(t, want.Step(wantP, g, c))
				left := in(m.register, func() { _ = s.Step(p, g, c) })
				require.Equal(t, m.register, left, "%s, %d elements: the mode left", m.words, n)
				require.Equal(t, want.T, s.T)
				for i, pair := range [][2][]float64{{wantP, p}, {want.M, s.M}, {want.V, s.V},
					{want.VMax, s.VMax}} {
					for j, w := range pair[0] {
						if math.Float64bits(w) != math.Float64bits(pair[1][j]) {
							t.Fatalf("%s, variant %d, slice %d: element %d of %d is %x, want %x",
								m.words, variant, i, j, n, pair[1][j], w)
						}
					}
				}
			}
		}
	})
}

func TestModeOfSmallKernels(t *testing.T)   { modeOfSmall(t, smallKernels, tiny) }
func TestModeOfSmallKernels64(t *testing.T) { modeOfSmall(t, smallKernels64, tiny64) }

func modeOfSmall[F operands.Float](t *testing.T, kernels []smallKernel[F],
	draw func(r *rand.Rand, n int) []F) {
	eachMode(t, func(t *testing.T, m floatModeCase) {
		r := rand.New(rand.NewPCG(4, 9))
		for _, n := range lengths {
			for _, k := range kernels {
				a, b := draw(r, n), draw(r, n)
				expected := slices.Clone(a)
				want := k.run(expected, b, 0.7)
				var got float64
				left := in(m.register, func() { got = k.run(a, b, 0.7) })
				require.Equal(t, m.register, left, "%s in %s: the mode afterwards", k.name, m.words)
				require.Equal(t, math.Float64bits(want), math.Float64bits(got),
					"%s of %d elements in %s", k.name, n, m.words)
				require.True(t, operands.Unchanged(a, operands.Bits(expected)),
					"%s of %d elements in %s", k.name, n, m.words)
			}
		}
	})
}

func TestModeOfScalars(t *testing.T) {
	for _, m := range unusualModes {
		r := rand.New(rand.NewPCG(5, 9))
		for range 200 {
			c := Config{LR: math.Exp2(-150 * r.Float64()), Beta1: r.Float64(), Beta2: r.Float64(),
				Eps: math.Exp2(-150 * r.Float64()), WeightDecay: r.Float64()}
			c.Decoupled, c.EpsUncorrected = r.IntN(2) == 0, r.IntN(4) == 0
			var want, got coeffs
			t1, scale := 1+r.Uint64N(50), r.Float64()
			want.set(&c, t1, scale)
			left := in(m.register, func() { got.set(&c, t1, scale) })
			require.Equal(t, want, got, "%+v in %s", c, m.words)
			require.Equal(t, m.register, left, "the mode afterwards")
			var want64, got64 coeffs64
			want64.set(&c, t1, scale)
			left = in(m.register, func() { got64.set(&c, t1, scale) })
			require.Equal(t, want64, got64, "%+v in %s", c, m.words)
			require.Equal(t, m.register, left, "the mode afterwards")
		}
	}
}

// What is computed on a thread that has changed is computed again.
func TestModeChanges(t *testing.T) {
	m := unusualModes[0].register
	calls := 0
	var mode uint32
	left := in(usualMode, func() {
		usually(func() {
			if calls++; calls == 1 {
				setControlRegister(m) // as if the goroutine had come to another thread
			}
			mode = controlRegister() & modeBits
		})
	})
	assert.Equal(t, 2, calls)
	assert.Equal(t, uint32(usualMode), mode, "the mode of the second call")
	assert.Equal(t, m, left, "the thread keeps its mode")
}

func TestModeInWords(t *testing.T) {
	assert.Equal(t, "usual", selection.Mode())
	for _, m := range unusualModes {
		var got string
		in(m.register, func() { got = selection.Mode() })
		assert.Equal(t, m.words, got)
	}
}

// optimizers returns functions that step some tensors with everything that an Optimizer can do,
// each call in the same way, and return what the steps leave. The values are drawn in the mode of
// the caller.
func optimizers(t *testing.T, workers int) (steps []func() [][]float32) {
	for _, options := range []Options{
		{MaxNorm: 0.3, EMADecay: 0.9}, {MaxValue: 1e-3, EMADecay: 0.99},
	} {
		options.Workers = workers
		r := rand.New(rand.NewPCG(6, 9))
		g := Group{Config: Config{LR: 1e-3, Beta1: 0.9, Beta2: 0.99, Eps: 1e-30, WeightDecay: 0.03}}
		g.Config.Decoupled = true
		var first [][]float32
		for i, n := range []int{3, 70, pool.Share + 11, pool.Share, 2*pool.Share + 1} {
			first = append(first, tiny(r, n))
			p := Param{Name: fmt.Sprint(i), Value: make([]float32, n), Grad: tiny(r, n)}
			g.Params = append(g.Params, p)
		}
		steps = append(steps, func() (out [][]float32) {
			for i, p := range g.Params {
				copy(p.Value, first[i])
			}
			o, err := New(options, g)
			require.NoError(t, err)
			defer o.Close()
			o.GradScale = 3
			var norms []float32
			for range 4 {
				stats, err := o.Step()
				require.NoError(t, err)
				norms = append(norms, halves(stats.GradNorm)...)
				norm, err := o.Norm()
				require.NoError(t, err)
				norms = append(norms, halves(norm)...)
			}
			for _, p := range g.Params {
				s := o.State(p.Name)
				out = append(out, slices.Clone(p.Value), s.M, s.V, o.EMA(p.Name))
			}
			return append(out, norms)
		})
	}
	return steps
}

// halves returns the bits of x as those of two float32.
func halves(x float64) []float32 {
	bits := math.Float64bits(x)
	return []float32{math.Float32frombits(uint32(bits)), math.Float32frombits(uint32(bits >> 32))}
}

func TestModeOfOptimizer(t *testing.T) {
	for j, steps := range optimizers(t, 1) {
		want := steps()
		eachMode(t, func(t *testing.T, m floatModeCase) {
			var got [][]float32
			in(m.register, func() { got = steps() })
			for i := range want {
				sameBits(t, want[i], got[i], m.words, ", options ", j, ", slice ", i)
			}
		})
	}
}

// A process all of whose threads are in an unusual mode makes the steps that others make, with any
// number of workers. Threads keep their modes, so it is a process of its own.
func TestModeOfThreads(t *testing.T) {
	const key = "ADAM_TEST_MODE"
	if mode := os.Getenv(key); mode != "" {
		all := optimizers(t, 3)
		var want [][][]float32
		for _, steps := range all {
			want = append(want, steps())
		}
		var register uint32
		_, err := fmt.Sscan(mode, &register)
		require.NoError(t, err)
		var ready, done sync.WaitGroup
		leave := make(chan bool)
		const threads = 32
		ready.Add(threads)
		done.Add(threads)
		for range threads {
			go func() {
				defer done.Done()
				runtime.LockOSThread()
				defer runtime.UnlockOSThread()
				setControlRegister(register)
				ready.Done()
				<-leave
			}()
		}
		ready.Wait()
		close(leave)
		done.Wait()
		for range 3 {
			for j, steps := range all {
				for i, got := range steps() {
					sameBits(t, want[j][i], got, "options ", j, ", slice ", i)
				}
			}
		}
		return
	}
	if exec.Command(os.Args[0], "-test.run=^$").Run() != nil {
		t.Skip("under an emulator that cannot start the test binary anew")
	}
	if _, all := chosen(t); !slices.Equal(all, Kernels()) {
		t.Skip("under an emulator that does not emulate a test binary started anew")
	}
	for _, name := range Kernels() {
		if name == selection.Generic {
			continue
		}
		for _, m := range unusualModes {
			child := exec.Command(os.Args[0], "-test.run=^TestModeOfThreads$")
			child.Env = append(os.Environ(), "ADAM_TEST_REQUIRE=", "ADAM_KERNEL="+name,
				fmt.Sprintf("%s=%d", key, m.register))
			out, err := child.CombinedOutput()
			assert.NoError(t, err, "%s in %s: %s", name, m.words, strings.TrimSpace(string(out)))
		}
	}
}

func TestModeOfStepRows(t *testing.T) {
	eachMode(t, func(t *testing.T, m floatModeCase) {
		r := rand.New(rand.NewPCG(5, 9))
		rows := []int32{3, 1, 2, 0}
		for _, width := range lengths {
			n := 5 * width
			c := Config{LR: 0.1, Beta1: 0.9, Beta2: 0.99, Eps: 1e-30, AMSGrad: true}
			p, g := tiny(r, n), tiny(r, 4*width)
			s := State{T: 3, M: tiny(r, n), V: squared(tiny(r, n)), VMax: tiny(r, n)}
			want := State{T: 3, M: slices.Clone(s.M), V: slices.Clone(s.V),
				VMax: slices.Clone(s.VMax)}
			q := slices.Clone(p)
			require.NoError(t, want.StepRows(q, width, rows, g, c))
			left := in(m.register, func() { require.NoError(t, s.StepRows(p, width, rows, g, c)) })
			require.Equal(t, m.register, left, "%s, width %d: the mode left", m.words, width)
			for i, pair := range [][2][]float32{{q, p}, {want.M, s.M}, {want.V, s.V},
				{want.VMax, s.VMax}} {
				sameBits(t, pair[0], pair[1], m.words, ", width ", width, ", slice ", i)
			}
		}
	})
}
