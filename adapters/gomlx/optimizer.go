// Package adamgomlx makes adam the optimizer of GoMLX programs. An [Optimizer] takes the place of
// optimizers.Adam().Done() and steps all trainable variables of the context in one fused pass, in
// place.
package adamgomlx

import (
	"errors"
	"fmt"
	"slices"

	"github.com/fusedadam/adam"
	"github.com/gomlx/gomlx/pkg/core/dtypes"
	"github.com/gomlx/gomlx/pkg/core/dtypes/bfloat16"
	"github.com/gomlx/gomlx/pkg/core/graph"
	"github.com/gomlx/gomlx/pkg/core/shapes"
	"github.com/gomlx/gomlx/pkg/core/tensors"
	"github.com/gomlx/gomlx/pkg/ml/context"
	"github.com/gomlx/gomlx/pkg/ml/train"
	"github.com/gomlx/gomlx/pkg/ml/train/optimizers"
)

var (
	_ optimizers.Interface        = (*Optimizer)(nil)
	_ train.OptimizeWithGradients = (*Optimizer)(nil) // for Trainer.AccumulateGradients
)

// Scope is where the gradients lie in the context, as variables that are not trainable. That of a
// variable has its scope and name below Scope.
const Scope = "/adam_gradients"

// Optimizer is an optimizers.Interface for train.NewTrainer, or for graphs of one's own, which call
// its UpdateGraph. Unlike those of GoMLX it is not part of the graph. The graph computes the
// gradients and leaves them in variables of [Scope]. After each execution, and before the next,
// which replaces them, the program calls [Optimizer.Step].
//
// It trains the variables of one context, of float32, float64 and bfloat16, each in its own type.
// They may get other tensors between steps, as by Variable.SetValue, of the same type and shape;
// those of bfloat16 that have a split master (see Storage) by [adam.SplitFloat32], or what the
// master has beyond bfloat16 stays. GoMLX has gradients of float16 of variables of float16 only,
// which have no storage that could be trained: they are refused.
//
// An Optimizer must not be used by two goroutines at once, nor Step while a graph with its
// variables is executed.
type Optimizer struct {
	// Config may change between steps, as LR does under a schedule. Each step writes it into the
	// groups of the adam.Optimizer, also over the one that a checkpoint has restored.
	Config adam.Config

	// NoDecay tells by its Variable.ScopeAndName, such as "/dense/biases", whether a variable goes
	// without Config.WeightDecay. nil: all decay. [Optimizer.Bind] calls it once for each variable.
	NoDecay func(name string) bool

	// Storage is how the states of variables of float32 and bfloat16 are stored. With the zero
	// value moments are float32, and variables of bfloat16 have a split master. Those of float64
	// have moments of float64. [Optimizer.Bind] reads it.
	Storage adam.Storage

	options   adam.Options
	ctx       *context.Context // of the graphs
	variables []*variable
	optimizer *adam.Optimizer // nil: not bound
	closed    bool
}

// variable is a trainable variable.
type variable struct {
	*context.Variable
	gradient *context.Variable // nil: no graph computes it
	stepped  *tensors.Tensor   // the last value of gradient that has been stepped
	taken    *tensors.Tensor   // the one of this step, or nil
	group    int               // 1 and 3 without weight decay, 2 and 3 with Params16
	index    int               // in the list of its group
	bound    bool
	shape    shapes.Shape // as it was bound, with the type

	// One of them, by the type and storage, once it is bound.
	single *adam.Param
	double *adam.Param64
	half   *adam.Param16
}

// New returns an optimizer before its first step. Of options, ZeroGrad has no effect, as every
// execution of a graph makes new gradients.
//
// [Optimizer.Close] ends its goroutines, if it has more than one worker.
func New(config adam.Config, options adam.Options) *Optimizer {
	options.ZeroGrad = false
	return &Optimizer{Config: config, options: options}
}

// UpdateGraph adds to the graph of the scalar loss the gradients by all trainable variables in it,
// and one to the global step, as the optimizers of GoMLX do. It is part of optimizers.Interface;
// [Optimizer.Step] makes the update.
//
// It panics, as graph building does, where a variable or the context asks for what is not
// supported.
func (o *Optimizer) UpdateGraph(ctx *context.Context, _ *graph.Graph, loss *graph.Node) {
	if !loss.Shape().IsScalar() {
		panic(fmt.Errorf("adamgomlx: the loss has shape %s, want a scalar", loss.Shape()))
	}
	o.UpdateGraphWithGradients(ctx, ctx.BuildTrainableVariablesGradientsGraph(loss), loss.DType())
}

// UpdateGraphWithGradients is [Optimizer.UpdateGraph] of gradients that are there already, in the
// order of Context.BuildTrainableVariablesGradientsGraph. It is part of
// train.OptimizeWithGradients.
func (o *Optimizer) UpdateGraphWithGradients(
	ctx *context.Context, gradients []*graph.Node, _ dtypes.DType,
) {
	if len(gradients) == 0 {
		panic(errors.New("adamgomlx: no trainable variable is used by the graph"))
	}
	if context.GetParamOr(ctx, optimizers.ParamClipStepByValue, 0.0) != 0 ||
		context.GetParamOr(ctx, optimizers.ParamClipNaN, false) {
		panic(fmt.Errorf("adamgomlx: use adam.Options in place of the hyper-parameters %q and %q, "+
			"which are not supported", optimizers.ParamClipStepByValue, optimizers.ParamClipNaN))
	}
	g := gradients[0].Graph()
	var used []*context.Variable
	for v := range ctx.IterVariables() {
		if v.Trainable && v.InUseByGraph(g) {
			used = append(used, v)
		}
	}
	if len(used) != len(gradients) {
		panic(fmt.Errorf("adamgomlx: %d gradients of the %d trainable variables in the graph",
			len(gradients), len(used)))
	}
	for i, v := range used {
		if err := check(v, v.Shape()); err != nil {
			panic(err)
		}
		if shape := gradients[i].Shape(); !shape.Equal(v.Shape()) {
			panic(fmt.Errorf("%w: gradient of %q has shape %s, its value %s",
				adam.ErrParams, v.ScopeAndName(), shape, v.Shape()))
		}
	}
	for i, v := range used {
		o.variable(v).keep(ctx, gradients[i])
	}
	// The global step comes last: the pure-Go backend fails on a parameter, as keep makes them,
	// that comes after all outputs.
	optimizers.IncrementGlobalStepGraph(ctx, g, dtypes.Int64)
	o.ctx = ctx
}

// keep makes the graph leave the gradient in v.gradient.
func (v *variable) keep(ctx *context.Context, gradient *graph.Node) {
	if v.gradient == nil {
		// Executing a graph replaces a value, so there must be one.
		zeros := tensors.FromShape(v.Shape())
		scope := ctx.Checked(false).InAbsPath(Scope + v.Scope())
		v.gradient = scope.VariableWithValue(v.Name(), zeros).SetTrainable(false)
		v.stepped = v.gradient.MustValue() // these zeros are no gradient
	}
	v.gradient.SetValueGraph(gradient)
}

// variable returns what o knows of v, which may be new to it.
func (o *Optimizer) variable(v *context.Variable) *variable {
	for _, known := range o.variables {
		if known.Variable == v {
			return known
		}
	}
	o.variables = append(o.variables, &variable{Variable: v})
	return o.variables[len(o.variables)-1]
}

// Bind makes the optimizer that of the trainable variables of ctx, which must have their values,
// but needs no gradients yet. The first Step does it, so that programs need it only for what comes
// before that, as loading a checkpoint. Executing a graph of the model, as Trainer.EvalStep does,
// creates the variables:
//
//	if err := opt.Bind(ctx); err != nil { … }
//	err := opt.Optimizer().LoadFile(path)
//
// In the optimizer and its checkpoints a variable has the name that Variable.ScopeAndName gives.
//
// Binding again takes the memory that the variables have now. That is needed before the optimizer
// saves or loads parameters (adam.Options.SaveParams), as an execution may have moved them.
// Trainable variables that have come since then begin anew, the others go on (see
// [adam.Optimizer.Regroup]). On an error nothing has changed.
func (o *Optimizer) Bind(ctx *context.Context) error {
	if o.closed {
		return adam.ErrClosed
	}
	known := len(o.variables)
	for v := range ctx.IterVariables() {
		if v.Trainable {
			o.variable(v)
		}
	}
	if len(o.variables) == 0 {
		return fmt.Errorf("%w: the context has no trainable variables: execute a graph first",
			adam.ErrParams)
	}
	err := o.refresh()
	if err != nil {
		o.variables = o.variables[:known]
	}
	return err
}

// refresh takes the memory of the values, and binds the variables that are not bound yet.
func (o *Optimizer) refresh() error {
	values, bound := make([]memory, len(o.variables)), true
	for i, v := range o.variables {
		if !v.bound {
			v.shape, bound = v.Shape(), false
		}
		var err error
		values[i], err = elements(v.Variable, v.shape, (*tensors.Tensor).MutableFlatData)
		if err != nil {
			return err
		}
	}
	if !bound {
		return o.regroup(values)
	}
	for i, v := range o.variables {
		switch m := values[i]; {
		case v.double != nil:
			v.double.Value = m.double
		case v.half != nil:
			v.half.Value, v.half.BF16 = m.single, m.half
		default:
			v.single.Value = m.single
		}
	}
	return nil
}

// regroup gives the variables, with their values, to the optimizer.
func (o *Optimizer) regroup(values []memory) error {
	groups := []adam.Group{{}, {}, {Storage: o.Storage}, {Storage: o.Storage}}
	for i, v := range o.variables {
		name, m := v.ScopeAndName(), values[i]
		if !v.bound && o.NoDecay != nil && o.NoDecay(name) {
			v.group = 1
		}
		if !v.bound && (m.half != nil || m.single != nil && o.Storage != (adam.Storage{})) {
			v.group += 2
		}
		switch g := &groups[v.group]; {
		case v.group >= 2:
			v.index = len(g.Params16)
			g.Params16 = append(g.Params16,
				adam.Param16{Name: name, Value: m.single, BF16: m.half})
		case m.double != nil:
			v.index = len(g.Params64)
			g.Params64 = append(g.Params64, adam.Param64{Name: name, Value: m.double})
		default:
			v.index = len(g.Params)
			g.Params = append(g.Params, adam.Param{Name: name, Value: m.single})
		}
	}
	if len(groups[2].Params16)+len(groups[3].Params16) == 0 {
		groups = groups[:2]
	}
	o.configure(groups)
	if o.optimizer != nil {
		if err := o.optimizer.Regroup(groups...); err != nil {
			return err
		}
	} else {
		optimizer, err := adam.New(o.options, groups...)
		if err != nil {
			return err
		}
		o.optimizer = optimizer
	}
	for _, v := range o.variables {
		v.bound = true
		switch g := &o.optimizer.Groups[v.group]; {
		case v.group >= 2:
			v.half = &g.Params16[v.index]
		case v.shape.DType == dtypes.Float64:
			v.double = &g.Params64[v.index]
		default:
			v.single = &g.Params[v.index]
		}
	}
	return nil
}

// Step steps, in place, all variables whose gradients an execution has left since the last Step. If
// there are none, as in the steps of Trainer.AccumulateGradients between its updates, it does
// nothing. A trainable variable that is new to the optimizer begins with this step.
//
// An error wraps those of [adam.Optimizer.Step], or adam.ErrParams where a variable is of a kind
// that is not supported, has lost its value or has another shape. It names the variable; nothing
// has been changed, and the gradients still wait for their step.
func (o *Optimizer) Step() (adam.Stats, error) {
	if err := o.ready(); err != nil {
		return o.unchanged(), err
	}
	defer o.dropGradients()
	if waiting, err := o.takeGradients(); err != nil || !waiting {
		return o.unchanged(), err
	}
	o.configure(o.optimizer.Groups)
	stats, err := o.optimizer.Step()
	if err != nil {
		return stats, err
	}
	for _, v := range o.variables {
		if v.taken != nil {
			v.stepped = v.taken
		}
	}
	return stats, nil
}

// ready binds the optimizer, or takes the memory of what it is bound to.
func (o *Optimizer) ready() error {
	switch {
	case o.closed:
		return adam.ErrClosed
	case o.ctx == nil:
		return fmt.Errorf("%w: no gradients, as the optimizer is in no graph", adam.ErrParams)
	case o.optimizer == nil:
		return o.Bind(o.ctx)
	}
	return o.refresh()
}

func (o *Optimizer) unchanged() adam.Stats {
	if o.optimizer == nil {
		return adam.Stats{}
	}
	return adam.Stats{T: o.optimizer.T}
}

// takeGradients takes the memory of the gradients that wait for their step, and reports whether
// there are any.
func (o *Optimizer) takeGradients() (waiting bool, err error) {
	for _, v := range o.variables {
		if v.gradient == nil || !v.gradient.HasValue() {
			continue
		}
		value, err := v.gradient.Value()
		if err != nil {
			return false, err
		}
		if value == v.stepped {
			continue
		}
		grad, err := elements(v.gradient, v.shape, (*tensors.Tensor).ConstFlatData)
		if err != nil {
			return false, err
		}
		v.setGrad(grad)
		v.taken, waiting = value, true
	}
	return waiting, nil
}

// dropGradients forgets the memory of the gradients, which the next execution uses for others.
func (o *Optimizer) dropGradients() {
	for _, v := range o.variables {
		v.setGrad(memory{})
		v.taken = nil
	}
}

// setGrad sets the gradient of a variable that is bound.
func (v *variable) setGrad(grad memory) {
	switch {
	case v.double != nil:
		v.double.Grad = grad.double
	case v.half != nil:
		v.half.Grad, v.half.GradBF16 = grad.single, grad.half
	default:
		v.single.Grad = grad.single
	}
}

// memory is that of a tensor, in the slice of its type.
type memory struct {
	single []float32
	double []float64
	half   []adam.BF16
}

// elements returns the memory of v, which must be of the shape and its type. access is the method
// of a tensor that gives it for reading or writing. It gives one tensor at a time, and a step needs
// all at once. So the memory is kept beyond access, which is good as long as no graph is executed
// and v gets no other tensor.
func elements(
	v *context.Variable, shape shapes.Shape, access func(*tensors.Tensor, func(flat any)) error,
) (memory, error) {
	var m memory
	if err := check(v, shape); err != nil {
		return m, err
	}
	value, err := v.Value()
	if err == nil {
		err = access(value, func(flat any) {
			m.single, _ = flat.([]float32)
			m.double, _ = flat.([]float64)
			if half, ok := flat.([]bfloat16.BFloat16); ok {
				m.half = adam.AsBF16(half)
			}
		})
	}
	if err != nil {
		return m, fmt.Errorf("%w: value of %q: %w", adam.ErrParams, v.ScopeAndName(), err)
	}
	return m, nil
}

// check returns an error unless v is of the shape and its type, one that can be trained, and on one
// device.
func check(v *context.Variable, shape shapes.Shape) error {
	trained := []dtypes.DType{dtypes.Float32, dtypes.Float64, dtypes.BFloat16}
	switch name := v.ScopeAndName(); {
	case !slices.Contains(trained, v.DType()):
		return fmt.Errorf("%w: %q is of %s, want Float32, Float64 or BFloat16",
			adam.ErrParams, name, v.DType())
	case !v.Shape().Equal(shape):
		return fmt.Errorf("%w: %q has shape %s, want %s", adam.ErrParams, name, v.Shape(), shape)
	case v.ShardingSpec() != nil:
		return fmt.Errorf("%w: %q is distributed over devices", adam.ErrParams, name)
	}
	return nil
}

// Optimizer returns what o steps with, for its states, averages, checkpoints, Options, Metadata,
// GradScale and T; nil before [Optimizer.Bind] or the first step. The second of its Groups has the
// variables of NoDecay. Those of bfloat16, and with a Storage those of float32, are in a third and
// a fourth one in the same way. Each step writes the Configs and slices of Groups.
func (o *Optimizer) Optimizer() *adam.Optimizer { return o.optimizer }

// Clear deletes the gradients from the context, forgets the variables and their moments and ends
// the goroutines. Graphs must be built anew after it. It is part of optimizers.Interface.
func (o *Optimizer) Clear(ctx *context.Context) error {
	if o.optimizer != nil {
		if err := o.optimizer.Close(); err != nil {
			return err
		}
	}
	o.ctx, o.variables, o.optimizer = nil, nil, nil
	return ctx.InAbsPath(Scope).DeleteVariablesInScope()
}

// Close ends the goroutines of o. Any further step gives adam.ErrClosed. It may be called twice,
// and before the first step. Its errors are those of [adam.Optimizer.Close].
func (o *Optimizer) Close() error {
	if o.optimizer != nil {
		if err := o.optimizer.Close(); err != nil {
			return err
		}
	}
	o.closed = true
	return nil
}

// configure writes Config into groups.
func (o *Optimizer) configure(groups []adam.Group) {
	for i := range groups {
		groups[i].Config = o.Config
		if i%2 == 1 {
			groups[i].Config.WeightDecay = 0
		}
	}
}
