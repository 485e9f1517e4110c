package adam

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"unicode/utf8"
)

// Errors of [New], [Optimizer.Step] and the checkpoints, beside those of [State.Step].
var (
	ErrParams = errors.New("adam: bad parameters")
	ErrClosed = errors.New("adam: optimizer is closed")
)

// Param is a parameter tensor, of any shape, as a flat slice.
type Param struct {
	Name  string    // unique among all groups: the key in checkpoints
	Value []float32 // the parameters, which a step updates in place
	Grad  []float32 // their gradient, one per parameter; may be another slice in every step. nil: the tensor is not stepped
}

// Group holds the tensors that are stepped with one Config, which may change between steps, as LR does
// under a schedule.
type Group struct {
	Config Config
	Params []Param
}

// Options say what a step of an [Optimizer] does beside the update. The zero value is a plain step on all
// cores.
type Options struct {
	// Workers is the number of goroutines that share a step, the caller's included: 0 means GOMAXPROCS, which
	// respects a container's CPU quota, and 1 the caller's alone. Small steps never leave it. The bits of the
	// result do not depend on it.
	Workers int

	// MaxNorm > 0 clips the gradients by their global norm, the L2 norm of all gradients together: where it is
	// larger, all are multiplied by MaxNorm/(norm+1e-6) (torch.nn.utils.clip_grad_norm_). +Inf clips nothing
	// and makes Stats.GradNorm known. If a gradient is NaN or Inf the factor is NaN or 0, as in PyTorch; see
	// SkipNonFinite.
	MaxNorm float64

	// MaxValue > 0 clips each element of the gradients to [-MaxValue, MaxValue]
	// (torch.nn.utils.clip_grad_value_). It does not go together with MaxNorm.
	MaxValue float64

	// SkipNonFinite skips the whole step if an element of any gradient is NaN or Inf, as
	// torch.amp.GradScaler does (found_inf).
	SkipNonFinite bool

	// ZeroGrad sets all gradients to zero once the step has read them, also where it is skipped. Without it
	// gradients are only read.
	ZeroGrad bool

	// EMADecay, in (0, 1), keeps an exponential moving average of the parameters, see [Optimizer.EMA]: after
	// each step average += (1-EMADecay)·(parameter-average), and after the first the average is the parameters
	// themselves (torch.optim.swa_utils.get_ema_multi_avg_fn). 0 keeps none.
	EMADecay float64

	// SaveParams includes the parameters in checkpoints: Save writes them, and Load restores them.
	SaveParams bool
}

func (o *Options) validate() error {
	switch {
	case o.Workers < 0:
		return fmt.Errorf("%w: Workers = %d, want at least 0", ErrConfig, o.Workers)
	case !(o.MaxNorm >= 0):
		return fmt.Errorf("%w: MaxNorm = %v, want a number of at least 0", ErrConfig, o.MaxNorm)
	case !inRange(o.MaxValue) || o.MaxValue > 0 && float32(o.MaxValue) == 0:
		return fmt.Errorf("%w: MaxValue = %v, want 0 or a positive float32", ErrConfig, o.MaxValue)
	case o.MaxNorm > 0 && o.MaxValue > 0:
		return fmt.Errorf("%w: MaxNorm = %v and MaxValue = %v, want at most one of them", ErrConfig, o.MaxNorm, o.MaxValue)
	case !isRate(o.EMADecay):
		return fmt.Errorf("%w: EMADecay = %v, want a number in [0, 1)", ErrConfig, o.EMADecay)
	}
	return nil
}

// Stats is what a step of an [Optimizer] has to say.
type Stats struct {
	T        uint64  // completed steps, this one included unless it was skipped
	GradNorm float64 // global norm of the gradients divided by GradScale, before clipping; 0 without MaxNorm and SkipNonFinite, which need it
	Skipped  bool    // a gradient was NaN or Inf and SkipNonFinite is set: nothing has changed
}

// Optimizer makes all that lies between the end of a backward pass and the next forward pass, of many
// tensors, in one pass over them; two with clipping by norm or SkipNonFinite, whose first only reads the
// gradients. Each tensor counts its own steps, as in PyTorch: those in which it had a gradient.
//
// The result has the same bits for any number of workers, any kernel, and any order and grouping of the
// tensors.
//
// An Optimizer must not be used by two goroutines at once; different ones may. Between steps
// the caller may write Configs, Grad and Value of Groups, GradScale and T.
type Optimizer struct {
	Groups    []Group // as given to New: Configs and slices may change, names and their order may not
	GradScale float64 // the gradients were multiplied by it (loss scaling), and are divided by it in the step; 1 by default
	T         uint64  // completed steps, what a schedule depends on

	options  Options
	tensors  []tensor // in the order of Groups
	grid     grid
	written  spans     // the memory that a step writes
	spare    spans     // room for the next written
	coeffs   []coeffs  // of this step; those of a tensor point here
	sums     []float64 // of the squares of each cell's gradient
	averaged bool      // the averages have begun
	scratch  [][]float32
	pool     *pool
	pass     pass
	clampBy  float32 // multiplier of the gradients before they are clamped
}

// tensor is a Param and what the optimizer knows of it.
type tensor struct {
	State
	name    string
	n       int
	average []float32 // EMA of the parameters, or empty
	param   *Param    // as of this step
	coeffs  *coeffs   // as of this step; nil: not stepped
	place   place     // where its slices lay when they were last checked
}

// New returns an optimizer of the given groups, before its first step. It keeps groups and the slices in
// them, and allocates the moments. An error wraps [ErrConfig], [ErrParams] (a name that is not unique or no
// UTF-8), [ErrLength] or [ErrOverlap].
//
// [Optimizer.Close] ends the goroutines of an optimizer that has more than one worker.
func New(options Options, groups ...Group) (*Optimizer, error) {
	if err := options.validate(); err != nil {
		return nil, err
	}
	o := &Optimizer{Groups: slices.Clone(groups), GradScale: 1, options: options}
	names := map[string]bool{}
	for i, g := range groups {
		o.Groups[i].Params = slices.Clone(g.Params)
		for _, p := range g.Params {
			if names[p.Name] || !utf8.ValidString(p.Name) {
				return nil, fmt.Errorf("%w: name %q is not unique or not UTF-8", ErrParams, p.Name)
			}
			names[p.Name] = true
			o.tensors = append(o.tensors, tensor{name: p.Name, n: len(p.Value)})
		}
	}
	_ = o.eachTensor(func(g *Group, p *Param, t *tensor) error { // Groups are as given to New
		t.allocate(g.Config.AMSGrad, options.EMADecay > 0)
		copy(t.average, p.Value)
		return nil
	})
	o.grid = newGrid(o.tensors)
	o.coeffs = make([]coeffs, 0, len(o.tensors))
	o.sums = make([]float64, len(o.grid.cells))
	if err := o.check(); err != nil {
		return nil, err
	}
	workers := options.Workers
	if workers == 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	workers = max(1, min(workers, o.grid.elements/share))
	if options.MaxValue > 0 {
		for range workers {
			o.scratch = append(o.scratch, moments(tile, 1)[0])
		}
	}
	o.pool = newPool(workers)
	runtime.AddCleanup(o, (*pool).close, o.pool)
	return o, nil
}

// allocate gives t moments, and an average if asked.
func (t *tensor) allocate(amsgrad, average bool) {
	k := 2
	if amsgrad {
		k++
	}
	if average {
		k++
	}
	s := moments(t.n, k)
	t.M, t.V = s[0], s[1]
	if amsgrad {
		t.VMax = s[2]
	}
	if average {
		t.average = s[k-1]
	}
}

// EMA returns the moving average of the parameters of the named tensor: the slice that the steps write, not
// a copy. It is nil without Options.EMADecay or such a tensor. Before the first step it holds the
// parameters as they were given to [New].
func (o *Optimizer) EMA(name string) []float32 {
	if t := o.tensor(name); t != nil && o.options.EMADecay > 0 {
		return t.average
	}
	return nil
}

// State returns the state of the named tensor, nil if there is none: the one that the steps write, for
// looking into it or for going on from the moments of another program. Its M and V may be other slices of the
// same length, until [Optimizer.Load] makes new ones.
func (o *Optimizer) State(name string) *State {
	if t := o.tensor(name); t != nil {
		return &t.State
	}
	return nil
}

func (o *Optimizer) tensor(name string) *tensor {
	for i := range o.tensors {
		if t := &o.tensors[i]; t.name == name {
			return t
		}
	}
	return nil
}

// Close ends the goroutines of o. Any further step gives [ErrClosed]. It may be called twice.
func (o *Optimizer) Close() { o.pool.close() }

// Step makes one step of all tensors that have a gradient. It does not allocate.
//
// An error wraps [ErrConfig], [ErrParams], [ErrLength], [ErrOverlap], [ErrSteps] or [ErrClosed] and names
// the group or tensor; nothing has been changed.
func (o *Optimizer) Step() (Stats, error) {
	if o.pool.closed.Load() {
		return Stats{T: o.T}, ErrClosed
	}
	if err := o.check(); err != nil {
		return Stats{T: o.T}, err
	}
	o.raceHooks()
	o.pool.begin(o.grid.elements)
	defer o.pool.end()
	stats := Stats{T: o.T}
	clip := 1.0
	if o.options.MaxNorm > 0 || o.options.SkipNonFinite {
		squares := o.sumOfSquares()
		stats.GradNorm = math.Sqrt(squares) / o.GradScale
		if o.options.SkipNonFinite && !(squares <= math.MaxFloat64) {
			stats.Skipped = true
			if o.options.ZeroGrad {
				o.run(zeroPass)
			}
			return stats, nil
		}
		if o.options.MaxNorm > 0 && o.options.MaxNorm <= math.MaxFloat64 {
			clip = min(1, o.options.MaxNorm/(stats.GradNorm+1e-6))
		}
	}
	o.prepare(clip / o.GradScale)
	o.run(stepPass)
	o.averaged = true
	o.T++
	stats.T = o.T
	return stats, nil
}

// prepare counts the step of each tensor and computes its scalars, with scale as the multiplier of the
// gradients. Tensors of one group with the same count share them.
func (o *Optimizer) prepare(scale float64) {
	o.clampBy = float32(scale)
	if o.options.MaxValue > 0 {
		scale = 1
	}
	o.coeffs = o.coeffs[:0]
	i := 0
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
			t.T++
			if k == nil || t.T != count {
				o.coeffs = append(o.coeffs, coeffs{}) // within its capacity: the others stay where they are
				k, count = &o.coeffs[len(o.coeffs)-1], t.T
				k.set(&g.Config, count, scale)
			}
			t.coeffs = k
		}
	}
}

// check looks at all that a step is about to use, before it writes anything.
func (o *Optimizer) check() error {
	if err := o.checkConfigs(); err != nil {
		return err
	}
	moved := false
	err := o.eachTensor(func(g *Group, p *Param, t *tensor) error {
		t.param = p
		if len(t.M) != t.n || len(t.V) != t.n || len(p.Grad) != t.n && p.Grad != nil || g.Config.AMSGrad && len(t.VMax) != t.n {
			return t.lengthError(g.Config.AMSGrad)
		}
		if t.T == math.MaxUint64 {
			return fmt.Errorf("%w: %q: T = %d", ErrSteps, t.name, t.T)
		}
		moved = moved || t.place != t.now()
		return nil
	})
	if err == nil && moved {
		err = o.checkOverlaps()
	}
	return err
}

func (o *Optimizer) checkConfigs() error {
	if !isScale(o.GradScale) {
		return scaleError(o.GradScale)
	}
	for j := range o.Groups {
		if c := &o.Groups[j].Config; !c.valid() {
			return fmt.Errorf("adam: Groups[%d]: %w", j, c.Validate())
		}
	}
	return nil
}

// eachTensor calls f for all tensors in the order of Groups, of which it checks that they hold the tensors
// given to New.
func (o *Optimizer) eachTensor(f func(g *Group, p *Param, t *tensor) error) error {
	i := 0
	for j := range o.Groups {
		g := &o.Groups[j]
		for k := range g.Params {
			p := &g.Params[k]
			if i == len(o.tensors) || p.Name != o.tensors[i].name {
				return fmt.Errorf("%w: Groups[%d].Params[%d] is %q, not as given to New", ErrParams, j, k, p.Name)
			}
			t := &o.tensors[i]
			i++
			if len(p.Value) != t.n {
				return fmt.Errorf("%w: %q had %d elements in New; Value %d", ErrLength, t.name, t.n, len(p.Value))
			}
			if err := f(g, p, t); err != nil {
				return err
			}
		}
	}
	if i < len(o.tensors) {
		return fmt.Errorf("%w: Groups hold %d tensors, %d were given to New", ErrParams, i, len(o.tensors))
	}
	return nil
}

func isScale(x float64) bool { return x > 0 && inRange(x) && inRange(1/x) }

func scaleError(x float64) error {
	return fmt.Errorf("%w: GradScale = %v, want a positive number within the range of float32", ErrConfig, x)
}

func (t *tensor) lengthError(amsgrad bool) error {
	vmax, grad := "", "nil"
	if amsgrad {
		vmax = fmt.Sprintf(", VMax %d (AMSGrad)", len(t.VMax))
	}
	if t.param.Grad != nil {
		grad = fmt.Sprint(len(t.param.Grad))
	}
	return fmt.Errorf("%w: %q had %d elements in New; Value %d, Grad %s, M %d, V %d%s", ErrLength, t.name, t.n,
		len(t.param.Value), grad, len(t.M), len(t.V), vmax)
}
