// Package adamspago makes the optimizer of package adam an optimization strategy of spago: Adam and
// AdamW on parameters of float32 and float64.
package adamspago

import (
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"reflect"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/fusedadam/adam"
	"github.com/nlpodyssey/spago/mat"
	"github.com/nlpodyssey/spago/nn"
	"github.com/nlpodyssey/spago/optimizers"
)

var _ optimizers.OptimizationStrategy = (*Adam)(nil)

func init() {
	// Its default name, "*adam.State", is also that of the State of spago's own Adam, and gob
	// panics at the second.
	gob.RegisterName("github.com/fusedadam/adam.State", &adam.State{})
	gob.RegisterName("github.com/fusedadam/adam.State64", &adam.State64{})
	gob.RegisterName("github.com/fusedadam/adam.State16", &adam.State16{})
}

// Adam steps parameters in place. Each keeps its own moments and count of steps in its field State,
// as an *[adam.State] or, of float64, an *[adam.State64], which spago saves and loads with the
// model.
type Adam struct {
	Config adam.Config // of the next step; may change between steps, as LR does under a schedule

	// Storage is how the moments of float32 parameters are stored that have no State yet: in 16 or
	// in 8 bits, in an *[adam.State16]. Its Master is of no account, as spago has no parameters and
	// gradients of fewer bits than float32. The zero value is float32.
	Storage adam.Storage
}

// OptimizeParams makes one step of p from its gradient, and drops the gradient as ZeroGrad does.
// Without a gradient it does nothing. Any number of goroutines may call it at once, for different
// parameters.
//
// An error wraps [adam.ErrParams] (p is not stored as float32 or float64, does not require a
// gradient, or has a gradient of another type or shape or the State of another optimizer) or is one
// of [adam.State.Step]. It names the shape of p, and nothing has been changed.
func (a *Adam) OptimizeParams(p *nn.Param) error {
	if !p.HasGrad() {
		return nil
	}
	t, err := newTensor(p)
	if err != nil {
		return err
	}
	return t.step(a)
}

// Optimize makes one step of all parameters that have a gradient. It returns when the last one is
// done, which optimizers.Optimizer of spago v1.1.0 does not. Large models are shared out to all
// cores. A parameter that comes more than once is stepped once.
//
// All parameters are checked before the first is stepped. An error is one of [Adam.OptimizeParams],
// or wraps [adam.ErrParams] where two parameters have one State, and nothing has been changed. Only
// with [adam.ErrOverlap], where the slices of a State share memory, have the other parameters been
// stepped.
func (a *Adam) Optimize(parameters nn.ParamChannelFunc) error {
	if err := a.Config.Validate(); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var tensors []tensor
	elements := 0
	values, states := map[mat.Matrix]bool{}, map[any]bool{}
	for p := range parameters(ctx) {
		if !p.HasGrad() {
			continue
		}
		t, err := newTensor(p)
		if err != nil {
			return err
		}
		if values[t.value] {
			continue
		}
		if !t.fits(a.Config) {
			return t.step(a) // an error, which has changed nothing
		}
		if states[t.state] {
			return unsupported(p, "its State is that of another parameter")
		}
		values[t.value], states[t.state] = true, t.state != nil
		tensors = append(tensors, t)
		elements += t.value.Size()
	}
	errs := make([]error, len(tensors))
	var next atomic.Int64
	work := func() {
		for i := int(next.Add(1)) - 1; i < len(tensors); i = int(next.Add(1)) - 1 {
			errs[i] = tensors[i].step(a)
		}
	}
	var others sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(tensors), elements/share) - 1 {
		others.Add(1)
		go func() {
			defer others.Done()
			work()
		}()
	}
	work()
	others.Wait()
	return errors.Join(errs...)
}

// share is the number of elements that are worth a goroutine: less is done before the thread that
// it runs on has woken up. Tests lower it.
var share = 1 << 20

// A tensor is a parameter that can be stepped.
type tensor struct {
	param       *nn.Param
	value, grad mat.Matrix // both a *mat.Dense of one type
	state       any        // as in Adam; nil before the first step
}

// moments is an *adam.State or an *adam.State64.
type moments[F float32 | float64] interface {
	comparable
	Step(p, g []F, c adam.Config) error
}

// newTensor checks that p, which has a gradient, can be stepped.
func newTensor(p *nn.Param) (tensor, error) {
	if _, ok := p.Value().(*mat.Dense[float64]); ok {
		return tensorOf[float64, *adam.State64](p)
	}
	if _, ok := p.State.(*adam.State16); ok {
		return tensorOf[float32, *adam.State16](p)
	}
	return tensorOf[float32, *adam.State](p)
}

func tensorOf[F float32 | float64, S comparable](p *nn.Param) (tensor, error) {
	t := tensor{param: p}
	value, ok := p.Value().(*mat.Dense[F])
	if !ok {
		return t, unsupported(p, "its value is a %T, want a %T or a %T",
			p.Value(), (*mat.Dense[float32])(nil), (*mat.Dense[float64])(nil))
	}
	grad, ok := p.Grad().(*mat.Dense[F])
	if !ok {
		return t, unsupported(p, "its gradient is a %T, want a %T", p.Grad(), value)
	}
	if !mat.SameDims(value, grad) {
		return t, unsupported(p, "its gradient has the shape %v", grad.Shape())
	}
	if !p.RequiresGrad() {
		return t, unsupported(p, "it has a gradient but does not require one")
	}
	state, ok := p.State.(S)
	if !ok && p.State != nil {
		// The type may have the same name.
		other := reflect.Indirect(reflect.ValueOf(p.State)).Type().PkgPath()
		return t, unsupported(p, "its State is a %T of package %q", p.State, other)
	}
	t.value, t.grad = value, grad
	if none := *new(S); state != none {
		t.state = state
	}
	return t, nil
}

func unsupported(p *nn.Param, format string, args ...any) error {
	return fmt.Errorf("%w: parameter of shape %v: %s",
		adam.ErrParams, p.Shape(), fmt.Sprintf(format, args...))
}

// fits reports whether the State of t has the lengths of a step and can count it.
func (t *tensor) fits(c adam.Config) bool {
	fit := func(steps uint64, m, v, vmax int) bool {
		n := t.value.Size()
		return m == n && v == n && (!c.AMSGrad || vmax == n) && steps < math.MaxUint64
	}
	switch s := t.state.(type) {
	case *adam.State:
		return fit(s.T, len(s.M), len(s.V), len(s.VMax))
	case *adam.State64:
		return fit(s.T, len(s.M), len(s.V), len(s.VMax))
	case *adam.State16:
		blocks := (t.value.Size() + 63) / 64 // each has a scale
		switch {
		case s.M8 != nil:
			return fit(s.T, len(s.M8), len(s.V8), 0) && len(s.MScale) == blocks &&
				len(s.VScale) == blocks
		case s.M16 != nil:
			return fit(s.T, len(s.M16), len(s.V16), len(s.VMax16))
		}
		return fit(s.T, len(s.M), len(s.V), len(s.VMax))
	}
	return true
}

func (t *tensor) step(a *Adam) error {
	_, stored := t.state.(*adam.State16)
	switch {
	case stored || t.state == nil && a.Storage.Moments != adam.Float32Moments && t.isFloat32():
		return t.step16(a)
	case t.isFloat32():
		return step(t, adam.NewState, a.Config)
	}
	return step(t, adam.NewState64, a.Config)
}

func (t *tensor) isFloat32() bool {
	_, ok := t.value.(*mat.Dense[float32])
	return ok
}

// step16 makes the step of an *adam.State16.
func (t *tensor) step16(a *Adam) error {
	p := adam.Param16{Value: mat.Data[float32](t.value), Grad: mat.Data[float32](t.grad)}
	state, ok := t.state.(*adam.State16)
	if !ok {
		// Parameters have no names. Those that begin with other values are rounded apart.
		h := fnv.New64a()
		fmt.Fprint(h, t.value.Shape(), p.Value[:min(len(p.Value), 256)])
		p.Name = fmt.Sprint(h.Sum64())
		state = adam.NewState16(p, adam.Storage{Moments: a.Storage.Moments}, 0, a.Config)
	}
	return t.stepped(state, state.Step(p, a.Config))
}

func step[F float32 | float64, S moments[F]](
	t *tensor, newState func(int, adam.Config) S, c adam.Config,
) error {
	// Of a Dense matrix of the same type, Data returns the slice that the matrix is stored in, not
	// a copy.
	value, grad := mat.Data[F](t.value), mat.Data[F](t.grad)
	state, ok := t.state.(S)
	if !ok {
		state = newState(len(value), c)
	}
	return t.stepped(state, state.Step(value, grad, c))
}

// stepped ends a step that the state has made, or returns its error.
func (t *tensor) stepped(state any, err error) error {
	if err != nil {
		return fmt.Errorf("adamspago: parameter of shape %v: %w", t.param.Shape(), err)
	}
	t.param.State = state
	t.param.ZeroGrad()
	return nil
}
