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

// A Value is an exact one, as the nearest float64 and what is missing to it.
type Value struct{ Near, Rest float64 }

// Off returns x minus the exact value.
func (v Value) Off(x float64) float64 { return x - v.Near - v.Rest }

// NewExact begins at the given values, with moments of zero.
func NewExact(p []float32, constants Constants) *Exact {
	zeros := make([]float32, len(p))
	return newExact(snapshot[float32]{p: p, m: zeros, v: zeros, vmax: zeros}, constants)
}

func newExact(s snapshot[float32], constants Constants) *Exact {
	return &Exact{P: widen(s.p), constants: constants, t: s.t, m: widen(s.m), v: widen(s.v),
		vmax: widen(s.vmax)}
}

// A replay makes exact steps.
type replay[F operands.Float] interface {
	Step(grad []F, c operands.Config)
	At(i int) Value
}

// replays returns those with the constants Given and Rounded, which are the same for float64.
func replays[F operands.Float](s snapshot[F]) []replay[F] {
	switch s := any(s).(type) {
	case snapshot[float32]:
		return []replay[F]{any(newExact(s, Given)).(replay[F]),
			any(newExact(s, Rounded)).(replay[F])}
	case snapshot[float64]:
		e := NewExact64(s.p, &operands.StateOf[float64]{T: s.t, M: s.m, V: s.v, VMax: s.vmax})
		return []replay[F]{any(e).(replay[F])}
	}
	panic("golden: neither float32 nor float64")
}

// replay returns the exact parameters after the steps of the snapshots, by replay.
func (t *tensor[F]) replay(steps int) map[int][][]Value {
	exact := map[int][][]Value{}
	all := replays(t.start)
	for k := 1; k <= steps; k++ {
		if g := t.gradient(k, nil); g != nil {
			for _, r := range all {
				r.Step(g, t.config(k))
			}
		}
		if _, stored := t.snapshots[k]; !stored {
			continue
		}
		for _, r := range all {
			values := make([]Value, len(t.start.p))
			for i := range values {
				values[i] = r.At(i)
			}
			exact[k] = append(exact[k], values)
		}
	}
	return exact
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

// At returns the exact parameter i.
func (e *Exact) At(i int) Value { return Value{e.P[i], 0} }

const (
	// MaxRatio is how many times torch's distance from the exact parameters ours may be.
	MaxRatio = 1.5
	// Floor is a distance that is always accepted: rounding an exact value to float32 moves it by
	// up to 2⁻²⁴ of its size, and torch's distance is 0 where no update is large enough to be seen.
	// Floor64 is the same of float64.
	Floor, Floor64 = 0x1p-24, 0x1p-53
	// Far is more than torch's distance ever is. A replay that is not torch's algorithm is as far
	// from both, so that the ratio does not show it. Far64 is the same of float64, where torch
	// takes a rounded power from 1.
	Far, Far64 = 3e-4, 1e-13
)

// Errors collects the distances of adam's and of torch's parameters from the exact ones, as
// multiples of max(|p|, LR) with the exact p. A single element says little: either side may hit the
// exact value by chance. So [Errors.Check] compares root mean squares.
type Errors[F operands.Float] struct {
	N           int     // parameters compared
	ours, torch float64 // sums of squares
}

// Add takes in one parameter.
func (e *Errors[F]) Add(exact Value, ours, torch F, lr float64) {
	size := max(math.Abs(exact.Near), lr)
	if size == 0 {
		size = 1
	}
	e.N++
	e.ours += square(exact.Off(float64(ours)) / size)
	e.torch += square(exact.Off(float64(torch)) / size)
}

func square(x float64) float64 { return x * x }

// RMS returns the root mean squares of both.
func (e *Errors[F]) RMS() (ours, torch float64) {
	n := float64(max(e.N, 1))
	return math.Sqrt(e.ours / n), math.Sqrt(e.torch / n)
}

// Check returns an error if ours is more than [MaxRatio] times torch's, and more than [Floor], or
// if torch's is more than [Far].
func (e *Errors[F]) Check() error {
	limits := limitsOf[F]()
	ours, torch := e.RMS()
	if !(torch <= limits.far) {
		return fmt.Errorf("torch is %.3g of max(|p|, LR) from the exact parameters, which are not "+
			"those of its algorithm", torch)
	}
	if !(ours <= max(MaxRatio*torch, limits.floor)) {
		return fmt.Errorf("%.3g of max(|p|, LR) from the exact parameters in the root mean square "+
			"of %d, torch %.3g: more than %g times as far", ours, e.N, torch, MaxRatio)
	}
	return nil
}
