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
	t          uint64
	m, v, vmax []float64
}

// NewExact begins at the given values, with moments of zero.
func NewExact(p []float32) *Exact {
	zeros := make([]float32, len(p))
	return newExact(snapshot{p: p, m: zeros, v: zeros, vmax: zeros})
}

func newExact(s snapshot) *Exact {
	return &Exact{P: widen(s.p), t: s.t, m: widen(s.m), v: widen(s.v), vmax: widen(s.vmax)}
}

func widen(s []float32) []float64 {
	w := make([]float64, len(s))
	for i, x := range s {
		w[i] = float64(x)
	}
	return w
}

// Step makes one step in torch's order of operations. The constants are float64, as torch has them.
func (e *Exact) Step(grad []float32, c operands.Config) {
	e.t++
	q1, q2 := 1-math.Pow(c.Beta1, float64(e.t)), 1-math.Pow(c.Beta2, float64(e.t))
	for i := range e.P {
		g := float64(grad[i])
		if c.Maximize {
			g = -g
		}
		if c.Decoupled {
			e.P[i] *= 1 - c.LR*c.WeightDecay
		} else if c.WeightDecay != 0 {
			g += c.WeightDecay * e.P[i]
		}
		e.m[i] = c.Beta1*e.m[i] + (1-c.Beta1)*g
		e.v[i] = c.Beta2*e.v[i] + (1-c.Beta2)*g*g
		x := e.v[i]
		if c.AMSGrad {
			x = max(x, e.vmax[i])
			e.vmax[i] = x
		}
		e.P[i] -= c.LR / q1 * e.m[i] / (math.Sqrt(x)/math.Sqrt(q2) + c.Eps)
	}
}

// rounded returns the parameters as float32, for a gradient that depends on them.
func (e *Exact) rounded() []float32 {
	p := make([]float32, len(e.P))
	for i, x := range e.P {
		p[i] = float32(x)
	}
	return p
}

const (
	// MaxRatio is how many times torch's distance from the exact parameters ours may be.
	MaxRatio = 1.5
	// Floor is a distance that is always accepted: rounding an exact value to float32 moves it by
	// up to 2⁻²⁴ of its size, and torch's distance is 0 where no update is large enough to be seen.
	Floor = 0x1p-24
)

// Errors collects the distances of adam's and of torch's parameters from the exact ones, as
// multiples of max(|p|, LR) with the exact p. A single element says little: either side may hit the
// exact value by chance. So [Errors.Check] compares root mean squares.
type Errors struct {
	n           int
	ours, torch float64 // sums of squares
}

// Add takes in one parameter.
func (e *Errors) Add(exact float64, ours, torch float32, lr float64) {
	size := max(math.Abs(exact), lr)
	if size == 0 {
		size = 1
	}
	e.n++
	e.ours += square((float64(ours) - exact) / size)
	e.torch += square((float64(torch) - exact) / size)
}

func square(x float64) float64 { return x * x }

// RMS returns the root mean squares of both.
func (e *Errors) RMS() (ours, torch float64) {
	n := float64(max(e.n, 1))
	return math.Sqrt(e.ours / n), math.Sqrt(e.torch / n)
}

// Check returns an error if ours is more than [MaxRatio] times torch's, and more than [Floor].
func (e *Errors) Check() error {
	ours, torch := e.RMS()
	if !(ours <= max(MaxRatio*torch, Floor)) {
		return fmt.Errorf("%.3g of max(|p|, LR) from the exact parameters in the root mean square "+
			"of %d, torch %.3g: more than %g times as far", ours, e.n, torch, MaxRatio)
	}
	return nil
}
