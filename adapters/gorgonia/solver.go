// Package adamgorgonia makes adam the solver of Gorgonia programs. A [Solver] takes the place of
// gorgonia.NewAdamSolver and steps all tensors of the model in one fused pass, in place.
package adamgorgonia

import (
	"fmt"
	"unsafe"

	"github.com/fusedadam/adam"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

var _ gorgonia.Solver = (*Solver)(nil)

// Solver is a gorgonia.Solver of one model: the same tensors in the same order at every step.
//
// Values and gradients are *gorgonia.F32 and *gorgonia.F64, or *tensor.Dense of float32 and float64
// that are row-major, contiguous and in memory that Go can access. A model may have both types; a
// value and its gradient have one. They may be others at every step, as long as their types and
// shapes stay.
//
// A Solver must not be used by two goroutines at once; different ones may.
type Solver struct {
	// Config may change between steps, as LR does under a schedule.
	Config adam.Config

	// NoDecay tells by its name whether a tensor goes without Config.WeightDecay, as biases often
	// do. nil: all decay. [Solver.Bind] calls it once for each tensor.
	NoDecay func(name string) bool

	// Storage is how the moments of float32 tensors are stored, in 16 or in 8 bits; its Master is
	// of no account, as Gorgonia has no parameters and gradients of fewer bits than float32. The
	// zero value is float32. [Solver.Bind] reads it.
	Storage adam.Storage

	// Stats is what the last successful step had to say, such as the norm of the gradients, if it
	// was computed, and whether the step was skipped.
	Stats adam.Stats

	options   adam.Options
	optimizer *adam.Optimizer // nil before Bind
	params    []param         // in the order of the model
	closed    bool
}

// param is a tensor of the model as it was bound.
type param struct {
	node  string // name of the node, not always unique
	name  string // in the optimizer
	dtype tensor.Dtype
	shape tensor.Shape
	group int // 1 and 3 without weight decay, 2 and 3 with a Storage
	index int // in the list of its group

	// One of them, by dtype and storage.
	single *adam.Param
	double *adam.Param64
	stored *adam.Param16
}

// New returns a solver before its first step. Of options, ZeroGrad is always on: machines add to
// the gradients, and all solvers of Gorgonia zero them.
//
// [Solver.Close] ends its goroutines, if it has more than one worker.
func New(config adam.Config, options adam.Options) *Solver {
	options.ZeroGrad = true
	return &Solver{Config: config, options: options}
}

// Bind makes the solver that of the model, which must have its values, but needs no gradients yet.
// The first Step does it, so that programs need it only for what comes before that, as loading a
// checkpoint:
//
//	if err := s.Bind(model); err != nil { … }
//	err := s.Optimizer().LoadFile(path)
//
// In the optimizer and its checkpoints a tensor has the name of its node. Where several nodes have
// the same, the second is called "name#2" and so on; what has no name is "tensor".
//
// Binding again takes the values that the model has now. It may be another model: tensors with the
// name, the type and the number of elements of a former one keep its moments, others begin anew
// (see [adam.Optimizer.Regroup]). On an error nothing has changed.
func (s *Solver) Bind(model []gorgonia.ValueGrad) error {
	if s.closed {
		return adam.ErrClosed
	}
	params := make([]param, len(model))
	groups := make([]adam.Group, 2)
	if s.Storage.Moments != adam.Float32Moments {
		stored := adam.Storage{Moments: s.Storage.Moments}
		groups = append(groups, adam.Group{Storage: stored}, adam.Group{Storage: stored})
	}
	s.configure(groups)
	for i, name := range uniqueNames(model) {
		n, p := model[i], &params[i]
		value, problem := elementsOf(n.Value())
		if problem != "" {
			return fmt.Errorf("%w: the value of %q %s", adam.ErrParams, name, problem)
		}
		p.node, p.name, p.dtype, p.shape = nameOf(n), name, value.dtype, value.shape.Clone()
		if s.NoDecay != nil && s.NoDecay(name) {
			p.group = 1
		}
		if len(groups) == 4 && p.dtype != tensor.Float64 {
			p.group += 2
		}
		switch g := &groups[p.group]; {
		case p.group >= 2:
			p.index = len(g.Params16)
			g.Params16 = append(g.Params16, adam.Param16{Name: name, Value: value.single})
		case p.dtype == tensor.Float64:
			p.index = len(g.Params64)
			g.Params64 = append(g.Params64, adam.Param64{Name: name, Value: value.double})
		default:
			p.index = len(g.Params)
			g.Params = append(g.Params, adam.Param{Name: name, Value: value.single})
		}
	}
	if s.optimizer != nil {
		if err := s.optimizer.Regroup(groups...); err != nil {
			return err
		}
	} else {
		o, err := adam.New(s.options, groups...)
		if err != nil {
			return err
		}
		s.optimizer = o
	}
	for i := range params {
		p := &params[i]
		switch g := &s.optimizer.Groups[p.group]; {
		case p.group >= 2:
			p.stored = &g.Params16[p.index]
		case p.dtype == tensor.Float64:
			p.double = &g.Params64[p.index]
		default:
			p.single = &g.Params[p.index]
		}
	}
	s.params = params
	return nil
}

// Step makes one step of all tensors of the model, in place, and sets their gradients to zero.
//
// An error says which tensor is not as it must be; nothing has been changed, the gradients neither.
// It wraps those of [adam.Optimizer.Step], and adam.ErrParams where a value or gradient is missing
// or of a kind that is not supported, or where the model is not the one that the solver is bound
// to.
func (s *Solver) Step(model []gorgonia.ValueGrad) error {
	if s.optimizer == nil {
		if err := s.Bind(model); err != nil {
			return err
		}
	}
	if err := s.refresh(model); err != nil {
		return err
	}
	s.configure(s.optimizer.Groups)
	stats, err := s.optimizer.Step()
	if err == nil {
		s.Stats = stats
	}
	return err
}

// Optimizer returns what the solver steps with, for its states, averages, checkpoints, Options,
// Metadata, GradScale and T; nil before [Solver.Bind] or the first step. The second of its Groups
// has the tensors of NoDecay; with a Storage those of float32 are in a third and a fourth one, in
// the same way. Each step writes the Configs and slices of Groups.
func (s *Solver) Optimizer() *adam.Optimizer { return s.optimizer }

// Close ends the goroutines of s. Any further step gives adam.ErrClosed. It may be called twice,
// and before the first step. Its errors are those of [adam.Optimizer.Close].
func (s *Solver) Close() error {
	if s.optimizer != nil {
		if err := s.optimizer.Close(); err != nil {
			return err
		}
	}
	s.closed = true
	return nil
}

// refresh takes the values and the gradients of the model.
func (s *Solver) refresh(model []gorgonia.ValueGrad) error {
	if len(model) != len(s.params) {
		return fmt.Errorf("%w: the model has %d tensors, it had %d: Bind the solver to it",
			adam.ErrParams, len(model), len(s.params))
	}
	for i, n := range model {
		if err := s.params[i].refresh(n); err != nil {
			return err
		}
	}
	return nil
}

func (p *param) refresh(n gorgonia.ValueGrad) error {
	if name := nameOf(n); name != p.node {
		return fmt.Errorf("%w: tensor %q of the model was %q: Bind the solver to it",
			adam.ErrParams, name, p.node)
	}
	value, problem := elementsOf(n.Value())
	if problem == "" {
		problem = value.differ(p, "it had")
	}
	if problem != "" {
		return fmt.Errorf("%w: the value of %q %s", adam.ErrParams, p.name, problem)
	}
	g, err := n.Grad()
	if err != nil {
		return fmt.Errorf("%w: the gradient of %q: %w", adam.ErrParams, p.name, err)
	}
	grad, problem := elementsOf(g)
	if problem == "" {
		problem = grad.differ(p, "its value")
	}
	if problem != "" {
		return fmt.Errorf("%w: the gradient of %q %s", adam.ErrParams, p.name, problem)
	}
	switch {
	case p.double != nil:
		p.double.Value, p.double.Grad = value.double, grad.double
	case p.stored != nil:
		p.stored.Value, p.stored.Grad = value.single, grad.single
	default:
		p.single.Value, p.single.Grad = value.single, grad.single
	}
	return nil
}

// elements are the memory of a value or a gradient, in the slice of its type.
type elements struct {
	dtype  tensor.Dtype
	shape  tensor.Shape
	single []float32
	double []float64
}

// elementsOf returns those of v, or in what way v is not as it must be.
func elementsOf(v gorgonia.Value) (e elements, problem string) {
	switch v := v.(type) {
	case *gorgonia.F32:
		e.dtype, e.shape = tensor.Float32, tensor.ScalarShape()
		e.single = unsafe.Slice((*float32)(v), 1)
	case *gorgonia.F64:
		e.dtype, e.shape = tensor.Float64, tensor.ScalarShape()
		e.double = unsafe.Slice((*float64)(v), 1)
	case *tensor.Dense:
		e.dtype, e.shape = v.Dtype(), v.Shape()
		switch {
		case e.dtype != tensor.Float32 && e.dtype != tensor.Float64:
			return e, fmt.Sprintf("is of %v, want float32 or float64", e.dtype)
		case !v.IsNativelyAccessible():
			return e, "lies in memory that Go cannot access"
		case v.IsMasked():
			return e, "has a mask"
		case v.RequiresIterator() || !v.DataOrder().IsRowMajor():
			return e, "is not row-major and contiguous"
		case e.dtype == tensor.Float64:
			e.double = v.Float64s()
		default:
			e.single = v.Float32s()
		}
	case nil:
		return e, "is missing"
	default:
		return e, fmt.Sprintf("is a %T, want *tensor.Dense, *gorgonia.F32 or *gorgonia.F64", v)
	}
	return e, ""
}

// differ tells in what way e is of another type or shape than p was bound with.
func (e *elements) differ(p *param, other string) string {
	switch {
	case e.dtype != p.dtype:
		return fmt.Sprintf("has type %v, %s %v", e.dtype, other, p.dtype)
	case !e.shape.Eq(p.shape):
		return fmt.Sprintf("has shape %v, %s %v", e.shape, other, p.shape)
	}
	return ""
}

// configure writes Config into groups.
func (s *Solver) configure(groups []adam.Group) {
	for i := range groups {
		groups[i].Config = s.Config
		if i%2 == 1 {
			groups[i].Config.WeightDecay = 0
		}
	}
}

// nameOf returns the name of n, "tensor" if it has none.
func nameOf(n gorgonia.ValueGrad) string {
	if n, ok := n.(gorgonia.Namer); ok {
		return n.Name()
	}
	return "tensor"
}

// uniqueNames gives each tensor a name of its own. It depends on the names and order of the model
// only, so that the next run of the program finds it in a checkpoint.
func uniqueNames(model []gorgonia.ValueGrad) []string {
	taken := map[string]bool{}
	for _, n := range model {
		taken[nameOf(n)] = true // those to come as well: a node may be called "w#2"
	}
	names := make([]string, len(model))
	seen := map[string]bool{}
	for i, n := range model {
		name := nameOf(n)
		names[i] = name
		for k := 2; seen[name] && taken[names[i]]; k++ {
			names[i] = fmt.Sprintf("%s#%d", name, k)
		}
		seen[name], taken[names[i]] = true, true
	}
	return names
}
