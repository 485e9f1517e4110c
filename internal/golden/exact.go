package golden

import (
	"fmt"
	"math"

	"github.com/fusedadam/adam/internal/operands"
)

// Exact is a tensor that PyTorch's algorithm steps in float64, whose rounding a float32 does not
// show: what adam and torch would both arrive at if they did not round.
type Exact struct {
	P          []float64
	constants  Constants
	t          uint64
	m, v, vmax []float64
}

// Constants says what an exact step takes for Beta1, 1-Beta1, Beta2, 1-Beta2, 1-LR·WeightDecay and
// WeightDecay.
type Constants int

const (
	// Given are the constants as float64.
	Given Constants = iota
	// Rounded are the same as float32, as both adam and torch use them. Over thousands of steps
	// that is most of the distance from Given, and it would hide the rounding of the operations.
	Rounded
)

// NewExact begins at the given values, with moments of zero.
func NewExact(p []float32, constants Constants) *Exact {
	zeros := make([]float32, len(p))
	return newExact(snapshot{p: p, m: zeros, v: zeros, vmax: zeros}, constants)
}

func newExact(s snapshot, constants Constants) *Exact {
	return &Exact{P: widen(s.p), constants: constants, t: s.t, m: widen(s.m), v: widen(s.v),
		vmax: widen(s.vmax)}
}

func widen(s []float32) []float64 {
	w := make([]float64, len(s))
	for i, x := range s {
		w[i] = float64(x)
	}
	return w
}

// Step makes one step in torch's order of operations.
func (e *Exact) Step(grad []float32, c operands.Config) {
	e.t++
	b1, c1, b2, c2 := c.Beta1, 1-c.Beta1, c.Beta2, 1-c.Beta2
	kappa, lambda := 1-c.LR*c.WeightDecay, c.WeightDecay
	if e.constants == Rounded {
		for _, k := range []*float64{&b1, &c1, &b2, &c2, &kappa, &lambda} {
			*k = float64(float32(*k))
		}
	}
	q1, q2 := 1-math.Pow(c.Beta1, float64(e.t)), 1-math.Pow(c.Beta2, float64(e.t))
	for i := range e.P {
		g := float64(grad[i])
		if c.Maximize {
			g = -g
		}
		if c.Decoupled {
			e.P[i] *= kappa
		} else if c.WeightDecay != 0 {
			g += lambda * e.P[i]
		}
		e.m[i] = b1*e.m[i] + c1*g
		e.v[i] = b2*e.v[i] + c2*g*g
		x := e.v[i]
		if c.AMSGrad {
			x = max(x, e.vmax[i])
			e.vmax[i] = x
		}
		e.P[i] -= c.LR / q1 * e.m[i] / (math.Sqrt(x)/math.Sqrt(q2) + c.Eps)
	}
}

const (
	// MaxRatio is how many times torch's distance from the exact parameters ours may be.
	MaxRatio = 1.5
	// Floor is a distance that is always accepted: rounding an exact value to float32 moves it by
	// up to 2⁻²⁴ of its size, and torch's distance is 0 where no update is large enough to be seen.
	Floor = 0x1p-24
	// Far is more than torch's distance ever is. A replay that is not torch's algorithm is as far
	// from both, so that the ratio does not show it.
	Far = 3e-4
)

// Errors collects the distances of adam's and of torch's parameters from the exact ones, as
// multiples of max(|p|, LR) with the exact p. A single element says little: either side may hit the
// exact value by chance. So [Errors.Check] compares root mean squares.
type Errors struct {
	N           int     // parameters compared
	ours, torch float64 // sums of squares
}

// Add takes in one parameter.
func (e *Errors) Add(exact float64, ours, torch float32, lr float64) {
	size := max(math.Abs(exact), lr)
	if size == 0 {
		size = 1
	}
	e.N++
	e.ours += square((float64(ours) - exact) / size)
	e.torch += square((float64(torch) - exact) / size)
}

func square(x float64) float64 { return x * x }

// RMS returns the root mean squares of both.
func (e *Errors) RMS() (ours, torch float64) {
	n := float64(max(e.N, 1))
	return math.Sqrt(e.ours / n), math.Sqrt(e.torch / n)
}

// Check returns an error if ours is more than [MaxRatio] times torch's, and more than [Floor], or
// if torch's is more than [Far].
func (e *Errors) Check() error {
	ours, torch := e.RMS()
	if !(torch <= Far) {
		return fmt.Errorf("torch is %.3g of max(|p|, LR) from the exact parameters, which are not "+
			"those of its algorithm", torch)
	}
	if !(ours <= max(MaxRatio*torch, Floor)) {
		return fmt.Errorf("%.3g of max(|p|, LR) from the exact parameters in the root mean square "+
			"of %d, torch %.3g: more than %g times as far", ours, e.N, torch, MaxRatio)
	}
	return nil
}
