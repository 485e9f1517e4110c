// Package adam is the Adam optimizer step for float32 buffers on CPUs: one fused pass in AVX-512,
// AVX2 or NEON assembly, chosen at run time, with a generic Go fallback. Every kernel gives the same
// bits for every length, alignment and slicing; docs/ARITHMETIC.md states the arithmetic.
//
//	cfg := adam.DefaultW()
//	state := adam.NewState(len(params), cfg)
//	for … {
//		// fill grads
//		if err := state.Step(params, grads, cfg); err != nil { … }
//	}
//
// The environment variable ADAM_KERNEL (generic, avx2, avx512 or neon), read once at start, lowers
// the choice of the kernel. The build tag purego leaves the assembly out.
package adam

import (
	"errors"
	"fmt"
	"math"
	"unsafe"
)

// Errors of [Config.Validate] and [State.Step], for errors.Is. The error itself names the value that
// was wrong. Whenever one is returned, nothing has been changed.
var (
	ErrConfig  = errors.New("adam: bad config")
	ErrLength  = errors.New("adam: lengths differ")
	ErrOverlap = errors.New("adam: slices overlap")
	ErrSteps   = errors.New("adam: step counter is at its end")
)

// Config holds the hyper-parameters of one step. It is plain data and may change from step to step,
// as LR does under a schedule. The zero value of a field is that value and never means a default:
// begin with [Default] or [DefaultW].
//
// LR, Eps and WeightDecay lie in [0, [math.MaxFloat32]], Beta1 and Beta2 in [0, 1).
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
}

// Default returns the defaults of torch.optim.Adam: LR 1e-3, betas 0.9 and 0.999, Eps 1e-8, no decay.
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

// Validate returns an error that wraps [ErrConfig] and names the first field that is out of range.
// [State.Step] makes the same check.
func (c Config) Validate() error {
	if c.valid() {
		return nil
	}
	for _, f := range []struct {
		name  string
		value float64
	}{{"LR", c.LR}, {"Eps", c.Eps}, {"WeightDecay", c.WeightDecay}} {
		if !inRange(f.value) {
			return fmt.Errorf("%w: %s = %v, want a number in [0, %v]", ErrConfig, f.name, f.value, math.MaxFloat32)
		}
	}
	if !isRate(c.Beta1) {
		return fmt.Errorf("%w: Beta1 = %v, want a number in [0, 1)", ErrConfig, c.Beta1)
	}
	return fmt.Errorf("%w: Beta2 = %v, want a number in [0, 1)", ErrConfig, c.Beta2)
}

func (c *Config) valid() bool {
	return inRange(c.LR) && inRange(c.Eps) && inRange(c.WeightDecay) && isRate(c.Beta1) && isRate(c.Beta2)
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
	m := moments(n, k)
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
// An error wraps [ErrConfig], [ErrLength], [ErrOverlap] or [ErrSteps], and nothing has been changed.
// NaN and Inf in the data are no error: they go where IEEE 754 and PyTorch take them.
func (s *State) Step(p, g []float32, c Config) error {
	if !c.valid() {
		return c.Validate()
	}
	n, m, v, x := len(p), s.M, s.V, []float32(nil)
	if c.AMSGrad {
		x = s.VMax
	}
	if len(g) != n || len(m) != n || len(v) != n || c.AMSGrad && len(x) != n {
		return lengthError(n, len(g), len(m), len(v), len(x), c.AMSGrad)
	}
	if overlap(p, g) || overlap(p, m) || overlap(p, v) || overlap(g, m) || overlap(g, v) || overlap(m, v) ||
		c.AMSGrad && (overlap(p, x) || overlap(g, x) || overlap(m, x) || overlap(v, x)) {
		return overlapError(p, g, m, v, x)
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

func lengthError(p, g, m, v, x int, amsgrad bool) error {
	vmax := ""
	if amsgrad {
		vmax = fmt.Sprintf(", VMax %d (AMSGrad)", x)
	}
	return fmt.Errorf("%w: p %d, g %d, M %d, V %d%s", ErrLength, p, g, m, v, vmax)
}

// overlap reports whether the elements of a and b, of one length, share memory.
func overlap(a, b []float32) bool {
	size := 4 * uintptr(len(a))
	distance := uintptr(unsafe.Pointer(unsafe.SliceData(a))) - uintptr(unsafe.Pointer(unsafe.SliceData(b)))
	return distance < size || -distance < size
}

// overlapError names the first two of the slices that overlap.
func overlapError(slices ...[]float32) error {
	names := [...]string{"p", "g", "M", "V", "VMax"}
	for j, b := range slices {
		for i, a := range slices[:j] {
			if len(a) == len(b) && overlap(a, b) {
				return fmt.Errorf("%w: %s at %p and %s at %p, %d elements each",
					ErrOverlap, names[i], a, names[j], b, len(a))
			}
		}
	}
	panic("adam: overlapError without an overlap")
}
