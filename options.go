package adam

import "fmt"

// Param is a parameter tensor, of any shape, as a flat slice.
type Param struct {
	// Name is unique among all groups: the key in checkpoints. A tensor without one is given the
	// name "group.index", as in "0.3", in Optimizer.Groups, and keeps it. In the next run it is the
	// same as long as the order of the tensors is.
	Name  string
	Value []float32 // the parameters, which a step updates in place
	// Grad is the gradient, one per parameter. It may be another slice in every step. A tensor
	// whose Grad is nil is not stepped.
	Grad []float32

	// State is the tensor's state in the caller's memory, for runtimes that keep moments of their
	// own. It is used as it is, so its moments and T count. With nil [New] allocates a state.
	State *State
	// EMA is the memory of the average, one value per parameter, which counts as begun. With nil
	// the average is allocated when Options.EMADecay asks for one, and begins at the next step.
	EMA []float32
}

// Param64 is [Param] in float64, with the arithmetic of [State64]. Without a name it is given
// "group.Params64.index".
type Param64 struct {
	Name        string
	Value, Grad []float64
	State       *State64
	EMA         []float64
}

// Table is a parameter tensor of which a step moves some rows only, such as the embedding of a
// vocabulary: see [State.StepRows], which has the semantics. Without a name it is given
// "group.Tables.index".
type Table struct {
	Name  string
	Width int       // elements of a row, which is fixed; it divides the length of Value
	Value []float32 // row after row
	// Rows are the rows that have a gradient in this step, and Grad is their gradients,
	// len(Rows)·Width elements in the order of Rows. Each row may be given once; rows in ascending
	// order are checked fastest. A table whose Grad is nil is not stepped. One that has a Grad, be
	// it of no rows, is. The global norm is that of all Grads; the order of the rows can change its
	// last bit.
	Rows []int32
	Grad []float32

	// State and EMA are those of [Param], of the whole Value. The average moves for all rows in
	// every step, so EMADecay costs a pass over the whole table.
	State *State
	EMA   []float32
}

// Group holds the tensors that are stepped with one Config. It may change between steps, as LR does
// under a schedule. Tensors with a learning rate of their own are a group each. Names are unique
// over all kinds and groups, but for the parts of a tensor, which have its name.
type Group struct {
	Config   Config
	Params   []Param
	Params64 []Param64
	Params16 []Param16
	Tables   []Table
	Parts    []Part
	Parts64  []Part64
	Parts16  []Part16
	// Storage is that of Params16 and Parts16. The other lists have no choice: beside them it is
	// the zero value, and tensors that are to have another are in a group of their own.
	Storage Storage
}

// Options say what a step of an [Optimizer] does beside the update. The zero value is a plain step
// on all cores. Every step reads them anew from Optimizer.Options; only Workers must not change.
type Options struct {
	// Workers is the number of goroutines that share a step, the caller's included: 0 means
	// GOMAXPROCS, which respects a container's CPU quota, and 1 the caller's alone. Small steps
	// never leave it. The bits of the result do not depend on it. After [New] only
	// [Optimizer.SetWorkers] changes it: another number here is an error. Between steps a helper
	// spins for some 70 µs before it sleeps.
	Workers int

	// MaxNorm > 0 clips the gradients by their global norm, the L2 norm of all gradients together:
	// where it is larger, all are multiplied by MaxNorm/(norm+1e-6)
	// (torch.nn.utils.clip_grad_norm_). +Inf clips nothing and makes Stats.GradNorm known. If a
	// gradient is NaN or Inf the factor is NaN or 0, as in PyTorch; see SkipNonFinite. It is 0 as
	// well where a finite float64 gradient has a square that is not: beyond 1e154.
	MaxNorm float64

	// MaxValue > 0 clips each element of the gradients to [-MaxValue, MaxValue]
	// (torch.nn.utils.clip_grad_value_). It does not go together with MaxNorm.
	MaxValue float64

	// SkipNonFinite skips the whole step if an element of any gradient is NaN or Inf, as
	// torch.amp.GradScaler does (found_inf).
	SkipNonFinite bool

	// ZeroGrad sets all gradients to zero once the step has read them, also where it is skipped.
	// Without it gradients are only read.
	ZeroGrad bool

	// EMADecay, in (0, 1), keeps an exponential moving average of the parameters, see
	// [Optimizer.EMA]: after each step average += (1-EMADecay)·(parameter-average), and after its
	// first step the average is the parameters themselves
	// (torch.optim.swa_utils.get_ema_multi_avg_fn). 0 moves no average. For a warm-up set it before
	// each step, for instance to min(decay, (1+T)/(10+T)).
	EMADecay float64

	// SaveParams includes the parameters in checkpoints: Save writes them, and Load restores them.
	SaveParams bool

	// Seed is that of the stochastic rounding of new [Param16], see [NewState16]. Any value does.
	// Tensors that are there keep their keys, and checkpoints have them.
	Seed uint64
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
		return fmt.Errorf("%w: MaxNorm = %v and MaxValue = %v, want at most one of them",
			ErrConfig, o.MaxNorm, o.MaxValue)
	case !isRate(o.EMADecay):
		return fmt.Errorf("%w: EMADecay = %v, want a number in [0, 1)", ErrConfig, o.EMADecay)
	}
	return nil
}

// Stats is what a step of an [Optimizer] has to say.
type Stats struct {
	T uint64 // completed steps, this one included unless it was skipped
	// GradNorm is the global norm of the gradients divided by GradScale, before clipping. It is 0
	// without MaxNorm and SkipNonFinite, which need it.
	GradNorm float64
	Skipped  bool // a gradient is NaN or Inf and SkipNonFinite is set: nothing has changed
	// Stepped is the number of tensors that were stepped: those with a gradient, a tensor in parts
	// as one; 0 if the step was skipped.
	Stepped int
	// NonFinite names the first tensor, in the order of the names, whose gradient has a NaN or Inf.
	// It is known where GradNorm is.
	NonFinite string
}
