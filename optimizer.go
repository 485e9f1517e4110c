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
// exported fields: Options, GradScale, T, Metadata, and of Groups the Configs, Value, Grad and
// Rows.
type Optimizer struct {
	// Groups are copies of those given to [New]. Configs may change between steps, and Value, Grad
	// and Rows may be other slices. For other tensors use [Optimizer.Add], [Optimizer.Remove],
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
	workers int         // Options.Workers as given to New or SetWorkers
	checked Options     // the last valid Options
	model
	pool    *hired
	pass    pass
	passing *grid // has the cells of the pass, which are
	begin   int   // from this one on
	end     int   // to before this one,
	first   int   // in this chunk and those that follow
	single  shared[float32]
	double  shared[float64]
	squares float64 // sum of the squares of all gradients
	normed  bool    // squares are those of the gradients that marks remember
}

// A model is the tensors of an optimizer and what is made for them.
type model struct {
	tensors      []tensor       // in the order of Groups
	index        map[string]int // of tensors that are not cut into parts, by name
	parts        map[start]int  // of parts
	order        []int          // of tensors, in the order of their names, parts by position
	bound        []lists        // of Groups, to which the tensors refer
	isBound      bool           // if they do
	words        int            // of 32 bits, in all tensors
	grid         grid           // of a step
	whole        grid           // of all tables, with EMADecay
	uncut        bool           // grid is not that of the tensors
	written      spans          // the memory that a step writes
	spare        spans          // room for the next written
	gradsWritten bool           // the gradients are among written
	sums         []float64      // of the squares of each cell's gradient
	marks        []uint64       // of each cell's gradient, see mark
	leaders      []int          // tensors of a step whose scalars none before has
	stepping     int            // tensors of a step, one in parts as one
}

// New returns an optimizer of the given groups, before its first step. It copies groups and their
// Params into Optimizer.Groups, which is what counts from then on; the slices are shared. It
// allocates the moments, unless Param.State has them. An error wraps [ErrConfig], [ErrParams] (a
// name that is not unique or no UTF-8, parts that do not fit together), [ErrLength], [ErrRows] or
// [ErrOverlap].
//
// [Optimizer.Close] ends the goroutines of an optimizer that has more than one worker.
func New(options Options, groups ...Group) (*Optimizer, error) {
	if err := options.validate(); err != nil {
		return nil, err
	}
	o := &Optimizer{Options: options, GradScale: 1, workers: options.Workers, checked: options}
	o.self = uintptr(unsafe.Pointer(o))
	if err := o.arrange(groups, nil, tensor{}); err != nil {
		return nil, err
	}
	o.hire()
	return o, nil
}

// arrange gives o the groups, with the states of the tensors that before has as well. In it the
// tensor changed, if there is one, has other elements than before.
func (o *Optimizer) arrange(groups []Group, before *Optimizer, changed tensor) error {
	o.Groups, o.index, o.uncut = copyOf(groups), map[string]int{}, true
	o.parts = map[start]int{}
	owners := map[any]string{}
	if err := o.checkStorage(); err != nil {
		return err
	}
	err := visit(o.Groups, func(w where, e entry) error {
		return o.enrol(w, e, before, changed, owners)
	})
	if err != nil {
		return err
	}
	o.order = byName(o.tensors)
	if err := o.fit(); err != nil {
		return err
	}
	o.whole.clear()
	for i, t := range o.tensors {
		if _, ok := t.kind.(*table); ok {
			o.whole.add(i, t.n, t.words())
		}
	}
	o.whole.gather(o.tensors)
	return o.check()
}

// copyOf returns groups with lists of their own.
func copyOf(groups []Group) []Group {
	groups = slices.Clone(groups)
	for i := range groups {
		g := &groups[i]
		g.Params, g.Params64 = slices.Clone(g.Params), slices.Clone(g.Params64)
		g.Params16, g.Tables = slices.Clone(g.Params16), slices.Clone(g.Tables)
		g.Parts, g.Parts64 = slices.Clone(g.Parts), slices.Clone(g.Parts64)
		g.Parts16 = slices.Clone(g.Parts16)
	}
	return groups
}

// enrol makes the tensor at w the next one of o.
func (o *Optimizer) enrol(w where, e entry, before *Optimizer, changed tensor,
	owners map[any]string) error {
	if *e.label() == "" && !e.isPart() {
		*e.label() = w.name()
	}
	name := *e.label()
	if _, ok := o.index[name]; ok && !e.isPart() || !utf8.ValidString(name) {
		return fmt.Errorf("%w: name %q is not unique or not UTF-8: give %v another (without one "+
			"it is %q)", ErrParams, name, w, w.name())
	}
	if err := checkPart(w, e); err != nil {
		return err
	}
	if lent := e.lent(); lent != nil {
		if owner, ok := owners[lent]; ok {
			return fmt.Errorf("%w: %q and %q have the same State", ErrParams, owner, name)
		}
		owners[lent] = name
	}
	from, _ := e.run()
	old := before.starting(name, from).kind
	if changed.kind != nil && changed.name == name {
		old = changed.kind
	}
	t, err := e.tensor(o, w, old)
	if err != nil {
		return err
	}
	if t.part {
		o.parts[start{name, from}] = len(o.tensors)
	} else {
		o.index[name] = len(o.tensors)
	}
	o.tensors = append(o.tensors, t)
	o.words += t.n * t.words()
	return nil
}

// crew returns the number of workers that the elements of all tensors are worth.
func (o *Optimizer) crew() int {
	workers := o.workers
	if workers == 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	return max(1, min(workers, o.words/pool.Share))
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
// was ever set nor Param.EMA. Before its first step it holds the parameters. That of a [Param64] is
// EMA64; of a [Param16] it is float32, too.
func (o *Optimizer) EMA(name string) []float32 { return emaOf[float32](o, name) }

// EMA64 is [Optimizer.EMA] of a [Param64].
func (o *Optimizer) EMA64(name string) []float64 { return emaOf[float64](o, name) }

func emaOf[F float](o *Optimizer, name string) []F {
	if t, ok := o.tensor(name).kind.(*tensor16); ok {
		ema, _ := any(t.ema).([]F)
		return ema
	}
	if t := typedOf[F](o.tensor(name).kind); t != nil {
		return t.ema
	}
	return nil
}

// State returns the state of the named tensor, nil if there is none: the one that the steps write,
// for looking into it or for going on from the moments of another program. Its slices may be
// replaced by others of the same length, until [Optimizer.Load] makes new ones. A group whose
// AMSGrad is switched on late needs State(name).VMax = make([]float32, n). That of a [Param64] is
// State64.
func (o *Optimizer) State(name string) *State { return (*State)(stateIn[float32](o, name)) }

// State64 is [Optimizer.State] of a [Param64].
func (o *Optimizer) State64(name string) *State64 { return (*State64)(stateIn[float64](o, name)) }

func stateIn[F float](o *Optimizer, name string) *state[F] {
	if t := typedOf[F](o.tensor(name).kind); t != nil {
		return t.state
	}
	return nil
}

// tensor returns the named tensor, an empty one if there is none.
func (o *Optimizer) tensor(name string) (t tensor) {
	if o != nil {
		if i, ok := o.index[name]; ok {
			t = o.tensors[i]
		}
	}
	return t
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
// An error wraps [ErrConfig], [ErrParams], [ErrLength], [ErrRows], [ErrOverlap], [ErrSteps],
// [ErrClosed] or [ErrBusy] and names the group or tensor; nothing has changed.
//
// A step that panics because the memory of a slice is gone (see [runtime/debug.SetPanicOnFault],
// which holds for all workers) has counted no tensor. Where some may have been stepped, the
// optimizer is closed.
func (o *Optimizer) Step() (Stats, error) {
	if err := o.enter(); err != nil {
		return Stats{}, err
	}
	defer o.leave()
	if err := o.readyToStep(); err != nil {
		return Stats{T: o.T}, err
	}
	o.pool.Begin(o.grid.words)
	defer o.pool.End()
	nonFinite := ""
	if o.needsNorm() {
		nonFinite = o.measure()
	}
	return o.stepWith(nonFinite, nil, nil), nil
}

// readyToStep checks that a step can be made.
func (o *Optimizer) readyToStep() error {
	if err := o.ready(); err != nil {
		return err
	}
	if o.T == math.MaxUint64 {
		return fmt.Errorf("%w: Optimizer.T = %d", ErrSteps, o.T)
	}
	return nil
}

func (o *Optimizer) needsNorm() bool { return o.Options.MaxNorm > 0 || o.Options.SkipNonFinite }

// measure makes o.squares those of the gradients, and returns the name of the first tensor whose
// gradient is not finite.
func (o *Optimizer) measure() (nonFinite string) {
	if !o.normed || !o.unchanged() {
		o.sumOfSquares()
	}
	if !(o.squares <= math.MaxFloat64) {
		nonFinite = o.nonFinite()
	}
	return nonFinite
}

// stepWith makes all of a step that comes after the pass over the gradients: see StepWith.
func (o *Optimizer) stepWith(nonFinite string, runs []int, stepped func(run int)) Stats {
	stats := Stats{T: o.T}
	if o.needsNorm() {
		stats.GradNorm, _ = o.scalars()
		stats.NonFinite = nonFinite
		if o.Options.SkipNonFinite && nonFinite != "" {
			stats.Skipped = true
			if o.Options.ZeroGrad {
				o.run(zeroPass, &o.grid)
			}
			return stats
		}
	}
	o.normed = false
	_, scale := o.scalars()
	o.prepare(scale)
	stats.Stepped = o.stepping
	if stepped == nil {
		o.run(stepPass, &o.grid)
	} else {
		o.stepRuns(runs, stepped)
	}
	if o.Options.EMADecay > 0 {
		o.run(averagePass, &o.whole)
	}
	o.count()
	stats.T = o.T
	return stats
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
	o.pool.Begin(o.grid.words)
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
		by, to, toward := scale, o.Options.MaxValue, 1-o.Options.EMADecay
		s, d := &o.single, &o.double
		s.clampBy, s.clampTo, s.toward = float32(by), float32(to), float32(toward)
		d.clampBy, d.clampTo, d.toward = by, to, toward
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
	o.pool.Begin(o.grid.words)
	defer o.pool.End()
	o.normed = false
	o.run(zeroPass, &o.grid)
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

// prepare computes the scalars of the next step, with scale as the multiplier of the gradients.
func (o *Optimizer) prepare(scale float64) {
	if o.Options.MaxValue > 0 {
		scale = 1
	}
	for _, i := range o.leaders {
		t := o.tensors[i]
		t.prepare(&o.Groups[t.group].Config, scale)
	}
}

// count counts a step that is done.
func (o *Optimizer) count() {
	for _, t := range o.tensors {
		if t.hasGrad {
			*t.steps++
		}
	}
	if o.Options.EMADecay > 0 {
		for _, t := range o.tensors {
			t.begun = true
		}
	}
	o.T++
}

// check looks at all that a step is about to use, before it writes anything. It makes one pass over
// the tensors: of many small ones a pass costs as much as a third of their step.
func (o *Optimizer) check() error {
	if err := o.checkConfigs(); err != nil {
		return err
	}
	moved := o.Options.ZeroGrad != o.gradsWritten
	if err := o.bind(); err != nil {
		return err
	}
	o.leaders, o.stepping = o.leaders[:0], 0
	var last tensor
	for i, t := range o.tensors {
		extent := t.extent
		m, err := t.look(o.Groups[t.group].Config.AMSGrad)
		moved, o.uncut = moved || m, o.uncut || t.extent != extent
		if err != nil {
			return err
		}
		if !t.hasGrad {
			continue
		}
		if last.base != nil && last.group != t.group {
			last.kind = nil
		}
		if !t.share(last.kind) {
			o.leaders = append(o.leaders, i)
		}
		if !t.follows {
			o.stepping++
		}
		last = t
	}
	if err := o.agree(); err != nil {
		return err
	}
	if moved {
		o.normed = false
		if err := o.checkOverlaps(); err != nil {
			return err
		}
	}
	if o.uncut {
		o.cut()
	}
	if o.Options.EMADecay > 0 || o.Options.MaxValue > 0 {
		workers := o.crew()
		if o.pool != nil { // crew may be another by now
			workers = o.pool.Workers()
		}
		for _, t := range o.tensors {
			t.furnish(o, workers)
		}
	}
	return nil
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
			return fmt.Errorf("%w: Options.Workers = %d is not the %d given before: "+
				"call SetWorkers(%[2]d)", ErrConfig, o.Options.Workers, o.workers)
		}
		o.checked = o.Options
	}
	for j := range o.Groups {
		g := &o.Groups[j]
		if c := &g.Config; !c.valid() && (g.size() > 0 || *c != (Config{})) {
			return fmt.Errorf("%w: Groups[%d]: %s", ErrConfig, j, c.fault())
		}
	}
	return nil
}

// eachTensor calls f for all tensors in the order of Groups. It checks that Groups hold the tensors
// given to New or Regroup.
func (o *Optimizer) eachTensor(f func(t tensor) error) error {
	if err := o.bind(); err != nil {
		return err
	}
	for _, t := range o.tensors {
		if err := t.same(); err != nil {
			return err
		}
		if err := f(t); err != nil {
			return err
		}
	}
	return nil
}

// bind makes sure that the tensors know where they are in Groups, whose lists may be others by now.
func (o *Optimizer) bind() error {
	bound := o.isBound && len(o.bound) == len(o.Groups)
	for i := 0; bound && i < len(o.Groups); i++ {
		bound = o.bound[i] == o.Groups[i].lists()
	}
	if bound {
		return nil
	}
	o.bound, o.isBound = o.bound[:0], false
	if err := o.checkStorage(); err != nil {
		return err
	}
	i := 0
	err := visit(o.Groups, func(w where, e entry) error {
		i++
		return o.attach(i-1, w, e)
	})
	if err == nil && i < len(o.tensors) {
		err = fmt.Errorf("%w: Groups hold %d tensors, %d were given before: %s", ErrParams, i,
			len(o.tensors), otherTensors)
	}
	if err != nil {
		return err
	}
	for i := range o.Groups {
		o.bound = append(o.bound, o.Groups[i].lists())
	}
	o.isBound = true
	return nil
}

func isScale(x float64) bool { return x > 0 && inRange(x) && inRange(1/x) }

func scaleFault(x float64) string {
	return fmt.Sprintf("GradScale = %v, want a positive number within the range of float32", x)
}
