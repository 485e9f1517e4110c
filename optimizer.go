package adam

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"sync/atomic"
	"unicode/utf8"
	"unsafe"

	"github.com/fusedadam/adam/internal/pool"
)

// Errors of [New], [Optimizer.Step] and the checkpoints, beside those of [State.Step].
var (
	ErrParams = errors.New("adam: bad parameters")
	ErrClosed = errors.New("adam: optimizer is closed")
	ErrBusy   = errors.New("adam: optimizer is in use by another goroutine")
)

// Optimizer makes all that lies between the end of a backward pass and the next forward pass, of
// many tensors, in one pass over them; two with clipping by norm or SkipNonFinite, whose first only
// reads the gradients. Each tensor counts its own steps, as in PyTorch: those in which it had a
// gradient. The bias corrections depend on that count, which is State(name).T, and not on
// Optimizer.T.
//
// The result has the same bits for any number of workers, any kernel, and any order and grouping of
// the tensors.
//
// An Optimizer comes from [New] and is not copied. It must not be used by two goroutines at once:
// the second one gets [ErrBusy]. Different ones may. Between steps the caller may write the
// exported fields: Options, GradScale, T, Metadata, and of Groups the Configs, Value and Grad.
type Optimizer struct {
	// Groups are copies of those given to [New]. Configs may change between steps, and Value and
	// Grad may be other slices. For other tensors use [Optimizer.Add], [Optimizer.Remove],
	// [Optimizer.Grow] or [Optimizer.Regroup].
	Groups []Group
	// Options may change between steps, all but Workers: see [Optimizer.SetWorkers].
	Options Options
	// GradScale is the factor by which the gradients were multiplied (loss scaling, or the number
	// of backward passes that were added up). A step divides them by it. The default is 1.
	GradScale float64
	// T counts completed steps, on which schedules depend. To go on from another program, set it
	// and the T of each State.
	T uint64
	// Metadata is saved in checkpoints and loaded from them: whatever else a run needs to go on.
	// Keys must not begin with "adam.".
	Metadata map[string]string

	self    uintptr     // its own address: a copy has another
	busy    atomic.Bool // a method is at work
	workers int         // Options.Workers as given to New
	checked Options     // the last valid Options
	model
	pool    *hired
	pass    pass
	scratch [][]float32 // a tile for each worker, with MaxValue
	clampBy float32     // multiplier of the gradients before they are clamped
	clampTo float32     // MaxValue
	toward  float32     // part of its way that an average goes to its parameter
	squares float64     // sum of the squares of all gradients
	normed  bool        // squares are those of the gradients that marks remember
}

// A model is the tensors of an optimizer and what is made for them.
type model struct {
	tensors      []tensor       // in the order of Groups
	index        map[string]int // of tensors, by name
	grid         grid
	written      spans     // the memory that a step writes
	spare        spans     // room for the next written
	gradsWritten bool      // the gradients are among written
	coeffs       []coeffs  // of this step; those of a tensor point here
	sums         []float64 // of the squares of each cell's gradient
	marks        []uint64  // of each cell's gradient, see mark
}

// tensor is a Param and what the optimizer knows of it.
type tensor struct {
	*State
	given   *State // Param.State
	name    string
	n       int
	average []float32 // EMA of the parameters, or empty
	begun   bool      // the average has begun
	lent    bool      // the average lies in the caller's memory
	param   *Param    // in Groups
	coeffs  *coeffs   // of this step; nil: not stepped
	place   place     // where its slices lay when they were last checked
}

// New returns an optimizer of the given groups, before its first step. It copies groups and their
// Params into Optimizer.Groups, which is what counts from then on; the slices are shared. It
// allocates the moments, unless Param.State has them. An error wraps [ErrConfig], [ErrParams] (a
// name that is not unique or no UTF-8), [ErrLength] or [ErrOverlap].
//
// [Optimizer.Close] ends the goroutines of an optimizer that has more than one worker.
func New(options Options, groups ...Group) (*Optimizer, error) {
	if err := options.validate(); err != nil {
		return nil, err
	}
	o := &Optimizer{Options: options, GradScale: 1, workers: options.Workers, checked: options}
	o.self = uintptr(unsafe.Pointer(o))
	if err := o.arrange(groups, nil); err != nil {
		return nil, err
	}
	o.hire()
	return o, nil
}

// arrange gives o the groups, with the states of the tensors that before has as well.
func (o *Optimizer) arrange(groups []Group, before *Optimizer) error {
	o.Groups, o.index = slices.Clone(groups), map[string]int{}
	owners := map[*State]string{}
	for i, g := range groups {
		o.Groups[i].Params = slices.Clone(g.Params)
		for j, p := range g.Params {
			if p.Name == "" {
				p.Name = fmt.Sprintf("%d.%d", i, j)
				o.Groups[i].Params[j].Name = p.Name
			}
			if _, ok := o.index[p.Name]; ok || !utf8.ValidString(p.Name) {
				return fmt.Errorf("%w: name %q is not unique or not UTF-8: give Groups[%d]."+
					"Params[%d] another (without one it is \"%d.%d\")",
					ErrParams, p.Name, i, j, i, j)
			}
			if owner, ok := owners[p.State]; ok && p.State != nil {
				return fmt.Errorf("%w: %q and %q have the same State", ErrParams, owner, p.Name)
			}
			owners[p.State] = p.Name
			o.index[p.Name] = len(o.tensors)
			t := newTensor(p, g.Config.AMSGrad, o.Options.EMADecay > 0, before)
			o.tensors = append(o.tensors, t)
		}
	}
	o.grid = newGrid(o.tensors)
	o.coeffs = make([]coeffs, 0, len(o.tensors))
	o.sums = make([]float64, len(o.grid.cells))
	return o.check()
}

// newTensor returns the tensor of p. Its state and average are those of p, else those of before,
// else new ones.
func newTensor(p Param, amsgrad, average bool, before *Optimizer) tensor {
	t := tensor{
		name: p.Name, n: len(p.Value), State: p.State, given: p.State,
		average: p.EMA, begun: p.EMA != nil, lent: p.EMA != nil,
	}
	if old := before.tensor(p.Name); old != nil && old.n == t.n {
		if t.State == nil {
			t.State = old.State
		}
		if t.average == nil || address(t.average) == address(old.average) {
			t.average, t.begun = old.average, old.begun
		}
	}
	kept := t.average != nil
	t.allocate(amsgrad, average)
	if !kept {
		copy(t.average, p.Value)
	}
	return t
}

// allocate gives t the moments and the average that it lacks.
func (t *tensor) allocate(amsgrad, average bool) {
	average = average && t.average == nil
	k := 0
	if t.State == nil {
		k = 2
		if amsgrad {
			k++
		}
	}
	if average {
		k++
	}
	if k == 0 {
		return
	}
	s := moments[float32](t.n, k)
	if t.State == nil {
		t.State = &State{M: s[0], V: s[1]}
		if amsgrad {
			t.VMax = s[2]
		}
	}
	if average {
		t.average = s[k-1]
	}
}

// crew returns the number of workers that the elements of all tensors are worth.
func (o *Optimizer) crew() int {
	workers := o.workers
	if workers == 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	return max(1, min(workers, o.grid.elements/pool.Share))
}

// hired is the pool of an optimizer. Only the optimizer refers to it, so that its finalizer runs
// when the optimizer is forgotten. A finalizer of the optimizer would not if that is part of a
// cycle: of a struct, say, that has the optimizer and one of its States.
type hired struct{ *pool.Pool }

// hire starts the workers.
func (o *Optimizer) hire() {
	o.pool = &hired{pool.New(o.crew())}
	runtime.SetFinalizer(o.pool, (*hired).Close)
}

// enter begins the work of a method, which ends with leave. It fails if another goroutine is in
// one, or if New has not made o.
func (o *Optimizer) enter() error {
	if o == nil || o.self != uintptr(unsafe.Pointer(o)) {
		return fmt.Errorf("%w: this Optimizer is a copy or was not made by New", ErrParams)
	}
	if !o.busy.CompareAndSwap(false, true) {
		return ErrBusy
	}
	return nil
}

func (o *Optimizer) leave() { o.busy.Store(false) }

// EMA returns the moving average of the parameters of the named tensor: the slice that the steps
// write, not a copy. It is nil if there is no such tensor, or no average: neither Options.EMADecay
// was ever set nor Param.EMA. Before its first step it holds the parameters.
func (o *Optimizer) EMA(name string) []float32 {
	if t := o.tensor(name); t != nil {
		return t.average
	}
	return nil
}

// State returns the state of the named tensor, nil if there is none: the one that the steps write,
// for looking into it or for going on from the moments of another program. Its slices may be
// replaced by others of the same length, until [Optimizer.Load] makes new ones. A group whose
// AMSGrad is switched on late needs State(name).VMax = make([]float32, n).
func (o *Optimizer) State(name string) *State {
	if t := o.tensor(name); t != nil {
		return t.State
	}
	return nil
}

func (o *Optimizer) tensor(name string) *tensor {
	if o == nil {
		return nil
	}
	if i, ok := o.index[name]; ok {
		return &o.tensors[i]
	}
	return nil
}

// Close ends the goroutines of o. Any further step gives [ErrClosed]. It may be called twice. The
// only errors are [ErrBusy] and, for an Optimizer that New has not made, [ErrParams].
func (o *Optimizer) Close() error {
	if err := o.enter(); err != nil {
		return err
	}
	defer o.leave()
	o.pool.Close()
	return nil
}

// Step makes one step of all tensors that have a gradient. It does not allocate.
//
// An error wraps [ErrConfig], [ErrParams], [ErrLength], [ErrOverlap], [ErrSteps], [ErrClosed] or
// [ErrBusy] and names the group or tensor; nothing has changed.
//
// A step that panics because the memory of a slice is gone (see [runtime/debug.SetPanicOnFault],
// which holds for all workers) has counted no tensor. Where some may have been stepped, the
// optimizer is closed.
func (o *Optimizer) Step() (Stats, error) {
	if err := o.enter(); err != nil {
		return Stats{}, err
	}
	defer o.leave()
	stats := Stats{T: o.T}
	if err := o.ready(); err != nil {
		return stats, err
	}
	if o.T == math.MaxUint64 {
		return stats, fmt.Errorf("%w: Optimizer.T = %d", ErrSteps, o.T)
	}
	o.pool.Begin(o.grid.elements)
	defer o.pool.End()
	if o.Options.MaxNorm > 0 || o.Options.SkipNonFinite {
		if !o.normed || !o.unchanged() {
			o.sumOfSquares()
		}
		stats.GradNorm, _ = o.scalars()
		finite := o.squares <= math.MaxFloat64
		if !finite {
			stats.NonFinite = o.nonFinite()
		}
		if o.Options.SkipNonFinite && !finite {
			stats.Skipped = true
			if o.Options.ZeroGrad {
				o.run(zeroPass)
			}
			return stats, nil
		}
	}
	o.normed = false
	_, scale := o.scalars()
	stats.Stepped = o.prepare(scale)
	o.run(stepPass)
	o.count()
	stats.T = o.T
	return stats, nil
}

// Norm returns the global norm of the gradients divided by GradScale, as in Stats.GradNorm. It
// makes the checks of Step and the pass over the gradients. The Step that follows does not repeat
// the pass, so that a program can look at the norm and decide: step, or leave the step out and call
// [Optimizer.ZeroGrad].
//
// If the gradients are written or replaced in between, Step makes the pass again. It notices that
// by the addresses and by a few elements of each 8192, so call Norm again after a change of single
// elements.
func (o *Optimizer) Norm() (float64, error) {
	if err := o.enter(); err != nil {
		return 0, err
	}
	defer o.leave()
	if err := o.ready(); err != nil {
		return 0, err
	}
	o.pool.Begin(o.grid.elements)
	defer o.pool.End()
	o.sumOfSquares()
	o.remember()
	norm, _ := o.scalars()
	return norm, nil
}

// scalars returns the global norm, if o.squares is known, and the multiplier of the gradients, and
// rounds the options that the cells use.
func (o *Optimizer) scalars() (norm, scale float64) {
	usually(func() {
		clip, limit := 1.0, o.Options.MaxNorm
		norm = math.Sqrt(o.squares) / o.GradScale
		if limit > 0 && limit <= math.MaxFloat64 {
			clip = min(1, limit/(norm+1e-6))
		}
		scale = clip / o.GradScale
		o.clampBy, o.clampTo = float32(scale), float32(o.Options.MaxValue)
		o.toward = float32(1 - o.Options.EMADecay)
	})
	return norm, scale
}

// ZeroGrad sets all gradients to zero. It makes the checks of Step.
func (o *Optimizer) ZeroGrad() error {
	if err := o.enter(); err != nil {
		return err
	}
	defer o.leave()
	if err := o.ready(); err != nil {
		return err
	}
	o.pool.Begin(o.grid.elements)
	defer o.pool.End()
	o.normed = false
	o.run(zeroPass)
	return nil
}

// ready checks that passes can be made.
func (o *Optimizer) ready() error {
	if o.pool.Closed() {
		return ErrClosed
	}
	if err := o.check(); err != nil {
		return err
	}
	o.raceHooks()
	return nil
}

// prepare computes the scalars of each tensor's next step, with scale as the multiplier of the
// gradients, and returns the number of tensors to step. Tensors of one group with the same count
// share their scalars.
func (o *Optimizer) prepare(scale float64) int {
	if o.Options.MaxValue > 0 {
		scale = 1
	}
	o.coeffs = o.coeffs[:0]
	stepped, i := 0, 0
	for j := range o.Groups {
		g := &o.Groups[j]
		var k *coeffs
		var count uint64
		for range g.Params {
			t := &o.tensors[i]
			i++
			if t.coeffs = nil; t.param.Grad == nil {
				continue
			}
			if k == nil || t.T+1 != count {
				o.coeffs = append(o.coeffs, coeffs{}) // within its capacity: the others stay
				k, count = &o.coeffs[len(o.coeffs)-1], t.T+1
				k.set(&g.Config, count, scale)
			}
			t.coeffs = k
			stepped++
		}
	}
	return stepped
}

// count counts a step that is done.
func (o *Optimizer) count() {
	for i := range o.tensors {
		t := &o.tensors[i]
		if t.coeffs != nil {
			t.T++
		}
		t.begun = t.begun || o.Options.EMADecay > 0
	}
	o.T++
}

// check looks at all that a step is about to use, before it writes anything.
func (o *Optimizer) check() error {
	if err := o.checkConfigs(); err != nil {
		return err
	}
	moved := o.Options.ZeroGrad != o.gradsWritten
	err := o.eachTensor(func(g *Group, p *Param, t *tensor) error {
		t.param = p
		if len(t.M) != t.n || len(t.V) != t.n || g.Config.AMSGrad && len(t.VMax) != t.n ||
			len(p.Grad) != t.n && p.Grad != nil || len(t.average) != t.n && t.average != nil {
			return t.lengthError(g.Config.AMSGrad)
		}
		if t.T == math.MaxUint64 {
			return fmt.Errorf("%w: %q: T = %d", ErrSteps, t.name, t.T)
		}
		moved = moved || t.place != t.now()
		return nil
	})
	if err == nil && moved {
		o.normed = false
		err = o.checkOverlaps()
	}
	if err == nil {
		o.furnish()
	}
	return err
}

// furnish allocates what Options ask for that was not asked for before.
func (o *Optimizer) furnish() {
	if o.Options.EMADecay > 0 {
		for i := range o.tensors {
			if t := &o.tensors[i]; t.average == nil {
				t.allocate(false, true)
				copy(t.average, t.param.Value)
			}
		}
	}
	if o.Options.MaxValue > 0 {
		workers := o.crew()
		if o.pool != nil { // crew may be another by now
			workers = o.pool.Workers()
		}
		for len(o.scratch) < workers {
			o.scratch = append(o.scratch, moments[float32](tile, 1)[0])
		}
	}
}

func (o *Optimizer) checkConfigs() error {
	if !isScale(o.GradScale) {
		return fmt.Errorf("%w: %s", ErrConfig, scaleFault(o.GradScale))
	}
	if o.Options != o.checked {
		if err := o.Options.validate(); err != nil {
			return err
		}
		if o.Options.Workers != o.workers {
			return fmt.Errorf("%w: Options.Workers = %d is not the %d given to New: "+
				"call SetWorkers(%[2]d)", ErrConfig, o.Options.Workers, o.workers)
		}
		o.checked = o.Options
	}
	for j := range o.Groups {
		g := &o.Groups[j]
		if c := &g.Config; !c.valid() && (len(g.Params) > 0 || *c != (Config{})) {
			return fmt.Errorf("%w: Groups[%d]: %s", ErrConfig, j, c.fault())
		}
	}
	return nil
}

// eachTensor calls f for all tensors in the order of Groups. It checks that Groups hold the tensors
// given to New or Regroup.
func (o *Optimizer) eachTensor(f func(g *Group, p *Param, t *tensor) error) error {
	const regroup = "use Add, Remove or Regroup for other tensors"
	i := 0
	for j := range o.Groups {
		g := &o.Groups[j]
		for k := range g.Params {
			p := &g.Params[k]
			if i == len(o.tensors) || p.Name != o.tensors[i].name {
				return fmt.Errorf("%w: Groups[%d].Params[%d] is %q, not as given to New: %s",
					ErrParams, j, k, p.Name, regroup)
			}
			t := &o.tensors[i]
			i++
			if len(p.Value) != t.n {
				return fmt.Errorf("%w: %q had %d elements in New; Value %d: "+
					"use Grow or Regroup to resize a tensor", ErrLength, t.name, t.n, len(p.Value))
			}
			if p.State != t.given || t.lent && address(p.EMA) != address(t.average) {
				return fmt.Errorf("%w: %q has another State or EMA than in New: "+
					"use Regroup to give it others", ErrParams, t.name)
			}
			if err := f(g, p, t); err != nil {
				return err
			}
		}
	}
	if i < len(o.tensors) {
		return fmt.Errorf("%w: Groups hold %d tensors, %d were given to New: %s",
			ErrParams, i, len(o.tensors), regroup)
	}
	return nil
}

func isScale(x float64) bool { return x > 0 && inRange(x) && inRange(1/x) }

func scaleFault(x float64) string {
	return fmt.Sprintf("GradScale = %v, want a positive number within the range of float32", x)
}

func (t *tensor) lengthError(amsgrad bool) error {
	more, grad := "", "nil"
	if amsgrad {
		more = fmt.Sprintf(", VMax %d", len(t.VMax))
		if len(t.VMax) == 0 {
			more += fmt.Sprintf(" (AMSGrad needs State(%q).VMax = make([]float32, %d))",
				t.name, t.n)
		}
	}
	if t.average != nil {
		more += fmt.Sprintf(", EMA %d", len(t.average))
	}
	if t.param.Grad != nil {
		grad = fmt.Sprint(len(t.param.Grad))
	}
	return fmt.Errorf("%w: %q had %d elements in New; Value %d, Grad %s, M %d, V %d%s",
		ErrLength, t.name, t.n, len(t.param.Value), grad, len(t.M), len(t.V), more)
}
