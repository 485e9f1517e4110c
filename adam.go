// Package adam is the Adam and AdamW optimizer step for float32 and float64 buffers on CPUs: one
// fused pass in AVX-512, AVX2, NEON or RISC-V vector assembly, chosen at run time, with a generic
// Go fallback. Every kernel gives the same bits for every length, alignment, slicing and number of
// workers.
//
// An [Optimizer] makes everything between the end of a backward pass and the next forward pass. A
// training loop needs no more than this:
//
//	opt, err := adam.New(adam.Options{MaxNorm: 1, ZeroGrad: true}, adam.Group{
//		Config: adam.DefaultW(), // AdamW as in PyTorch; Default is Adam
//		Params: []adam.Param{{Name: "w", Value: w, Grad: dw}, {Name: "b", Value: b, Grad: db}},
//	})
//	if err != nil { … }
//	defer opt.Close()
//	for opt.T < steps {
//		// add to dw and db
//		opt.Groups[0].Config.LR = base * lr(opt.T) // a schedule, see package schedule
//		if _, err := opt.Step(); err != nil { … }  // bad input; nothing has changed
//	}
//	err = opt.SaveFile("run.safetensors") // LoadFile goes on from there, to the bit
//
// [State] is the step of one slice, for runtimes with a loop over tensors of their own:
//
//	state := adam.NewState(len(params), config)
//	err := state.Step(params, grads, config)
//
// [Step] is the same for programs that have the moments and the number of steps already:
//
//	err := adam.Step(t, params, grads, m, v, config) // t from 1 on
//
// [State64] and [Step64] are the same for float64, [State16] for gradients and parameters of 16 and
// moments of 16 or 8 bits, which an Optimizer takes as [Param16].
//
// The environment variable ADAM_KERNEL (generic, avx2, avx512vl, avx512, neon or rvv), read once at
// start, chooses another kernel, if the CPU can run it. The build tags purego and noasm leave the
// assembly out. The contract of the arithmetic is [docs/ARITHMETIC.md].
//
// [docs/ARITHMETIC.md]: https://github.com/fusedadam/adam/blob/main/docs/ARITHMETIC.md
package adam

import (
	"errors"
	"fmt"
	"math"
	"unsafe"
)

// Errors of [Config.Validate], [State.Step] and [Step], for errors.Is. The error itself names the
// value that is wrong. Whenever one is returned, nothing has changed.
var (
	ErrConfig  = errors.New("adam: bad config")
	ErrLength  = errors.New("adam: lengths differ")
	ErrOverlap = errors.New("adam: slices overlap")
	ErrSteps   = errors.New("adam: step counter is out of range")
)

// Config holds the hyper-parameters of one step. It is plain data and may change from step to step,
// as LR does under a schedule. The zero value of a field is that value and never means a default:
// begin with [Default] or [DefaultW]. The zero Config as a whole is an error.
//
// LR, Eps and WeightDecay lie in [0, [math.MaxFloat32]], Beta1 and Beta2 in [0, 1). What a program
// has in float32 it passes as it is, float64(beta1): see [docs/COMING-FROM.md], which also has the
// Configs of other Adams.
//
// [docs/COMING-FROM.md]: https://github.com/fusedadam/adam/blob/main/docs/COMING-FROM.md
type Config struct {
	LR          float64 // learning rate; 0 moves the moments only
	Beta1       float64 // decay rate of the first moment (mean of the gradients)
	Beta2       float64 // decay rate of the second moment (mean of their squares)
	Eps         float64 // added to √v̂; from 2^-34 on, subnormal moments are stored as zero
	WeightDecay float64 // coefficient of the weight decay, in the form Decoupled says

	// Decoupled multiplies parameters by 1-LR·WeightDecay before the update (AdamW, Loshchilov &
	// Hutter 2019, torch.optim.AdamW). Otherwise WeightDecay·p is added to the gradient (L2
	// regularization, torch.optim.Adam).
	Decoupled bool
	// AMSGrad divides by the largest second moment seen so far (Reddi et al. 2018), kept in
	// State.VMax. As in PyTorch, the maximum is taken before the bias correction.
	AMSGrad bool
	// Maximize ascends: the gradient is negated before anything else. Decay is not.
	Maximize bool
	// EpsUncorrected adds Eps to √v and not to √v̂, which is √v/√(1-Beta2^t): the ε̂ of section 2
	// of Kingma & Ba 2015, and the epsilon of Keras and TensorFlow.
	EpsUncorrected bool
}

// Default returns the defaults of torch.optim.Adam: LR 1e-3, betas 0.9 and 0.999, Eps 1e-8, no
// decay.
func Default() Config {
	return Config{LR: 1e-3, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8}
}

// DefaultW returns the defaults of torch.optim.AdamW: those of [Default] with a decoupled
// WeightDecay of 1e-2.
func DefaultW() Config {
	c := Default()
	c.WeightDecay, c.Decoupled = 1e-2, true
	return c
}

// DefaultKeras returns the defaults of keras.optimizers.Adam, which is also TensorFlow's: LR 1e-3,
// betas 0.9 and 0.999, Eps 1e-7 with EpsUncorrected, no decay.
func DefaultKeras() Config {
	c := Default()
	c.Eps, c.EpsUncorrected = 1e-7, true
	return c
}

// Validate returns an error that wraps [ErrConfig] and names the first field that is out of range.
// The zero Config is an error too: it moves nothing, and is one that somebody forgot to fill.
// [State.Step] makes the same check.
func (c Config) Validate() error {
	if c.valid() {
		return nil
	}
	return fmt.Errorf("%w: %s", ErrConfig, c.fault())
}

// fault says what is wrong with a config that is not valid.
func (c *Config) fault() string {
	if *c == (Config{}) {
		return "the Config is the zero value: begin with Default() or DefaultW()"
	}
	for _, f := range []struct {
		name  string
		value float64
	}{{"LR", c.LR}, {"Eps", c.Eps}, {"WeightDecay", c.WeightDecay}} {
		if !inRange(f.value) {
			return fmt.Sprintf("%s = %v, want a number in [0, %v]", f.name, f.value,
				math.MaxFloat32)
		}
	}
	if !isRate(c.Beta1) {
		return fmt.Sprintf("Beta1 = %v, want a number in [0, 1)", c.Beta1)
	}
	return fmt.Sprintf("Beta2 = %v, want a number in [0, 1)", c.Beta2)
}

func (c *Config) valid() bool {
	return inRange(c.LR) && inRange(c.Eps) && inRange(c.WeightDecay) &&
		isRate(c.Beta1) && isRate(c.Beta2) && *c != (Config{})
}

func inRange(x float64) bool { return x >= 0 && x <= math.MaxFloat32 } // false for NaN
func isRate(x float64) bool  { return x >= 0 && x < 1 }

// State is what Adam remembers of one parameter tensor. The fields are plain data: save and restore
// them as you like, then resume. The slices need no particular alignment, but those of [NewState]
// are laid out for speed.
//
// A State must not be used by two goroutines at once; different States may.
type State struct {
	T    uint64    // completed steps
	M    []float32 // first moment, one per parameter
	V    []float32 // second moment, one per parameter
	VMax []float32 // largest second moment, one per parameter; used with AMSGrad only
}

// NewState returns the state of n parameters before their first step: moments of zero, with VMax
// only if c.AMSGrad. It panics if n is negative, as make does.
func NewState(n int, c Config) *State {
	k := 2
	if c.AMSGrad {
		k = 3
	}
	m := moments[float32](n, k)
	s := &State{M: m[0], V: m[1]}
	if c.AMSGrad {
		s.VMax = m[2]
	}
	return s
}

// Step makes one Adam step in place: it updates the parameters p and the state s from the gradients
// g, which are only read, and counts the step in s.T. All slices have the length of p, which may be
// 0; no two of them may overlap. Step does not allocate.
//
// An error wraps [ErrConfig], [ErrLength], [ErrOverlap] or [ErrSteps], and nothing has been
// changed. NaN and Inf in the data are no error: they go where IEEE 754 and PyTorch take them.
func (s *State) Step(p, g []float32, c Config) error {
	if !c.valid() {
		return c.Validate()
	}
	n, m, v, x := len(p), s.M, s.V, []float32(nil)
	if c.AMSGrad {
		x = s.VMax
	}
	if len(g) != n || len(m) != n || len(v) != n || c.AMSGrad && len(x) != n {
		return lengthError[float32](n, len(g), len(m), len(v), len(x), c.AMSGrad)
	}
	at := [...]uintptr{address(p), address(g), address(m), address(v), address(x)}
	if overlap(at[0], at[1], n) || overlap(at[0], at[2], n) || overlap(at[0], at[3], n) ||
		overlap(at[1], at[2], n) || overlap(at[1], at[3], n) || overlap(at[2], at[3], n) ||
		c.AMSGrad && (overlap(at[0], at[4], n) || overlap(at[1], at[4], n) ||
			overlap(at[2], at[4], n) || overlap(at[3], at[4], n)) {
		return overlapError[float32](at, n)
	}
	if s.T == math.MaxUint64 {
		return fmt.Errorf("%w: T = %d", ErrSteps, s.T)
	}
	var k coeffs
	k.set(&c, s.T+1, 1)
	step(p, g, m, v, x, &k)
	s.T++
	return nil
}

// float is the type of the elements of a tensor.
type float interface{ float32 | float64 }

func lengthError[F float](p, g, m, v, x int, amsgrad bool) error {
	vmax := ""
	if amsgrad {
		vmax = fmt.Sprintf(", VMax %d", x)
		if x == 0 {
			vmax += fmt.Sprintf(" (AMSGrad needs VMax = make([]%T, %d))", F(0), p)
		}
	}
	return fmt.Errorf("%w: p %d, g %d, M %d, V %d%s", ErrLength, p, g, m, v, vmax)
}

// address returns where the elements of s lie. Errors speak of addresses and not of slices, so that
// the caller's arrays need not escape to the heap.
func address[E any](s []E) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(s))) }

// overlap reports whether n float32 at a and n at b share memory.
func overlap(a, b uintptr, n int) bool { return a-b < 4*uintptr(n) || b-a < 4*uintptr(n) }

// overlapError names the first two of the slices that overlap.
func overlapError[F float](at [5]uintptr, n int) error {
	words := n * int(unsafe.Sizeof(F(0))/4)
	names := [...]string{"p", "g", "M", "V", "VMax"}
	for j, b := range at {
		for i, a := range at[:j] {
			if overlap(a, b, words) {
				return fmt.Errorf("%w: %s at %#x and %s at %#x, %d elements each",
					ErrOverlap, names[i], a, names[j], b, n)
			}
		}
	}
	panic("adam: overlapError without an overlap")
}
