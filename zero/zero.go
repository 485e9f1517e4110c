// Package zero shards the state of an [adam.Optimizer] over the ranks of an engine such as MPI
// (ZeRO stage 1: Rajbhandari et al., 2020). Each rank has all parameters and all gradients, and the
// moments of its share of the elements only: 8 bytes a parameter and 8/N for N ranks, where one
// process has 16. The result has the same bits for any number of ranks, the norm included, as if
// one [adam.Optimizer] had made the step, and checkpoints are the same bytes.
//
// # Leaves
//
// The sum of the gradients of N ranks has other bits for another N, unless the order of the
// additions is fixed. Here it is a tree over Options.Leaves, a power of two: leaf k of a step is
// the gradients that the k-th part of the batch gives alone. Each rank has a run of neighbouring
// leaves, see [Optimizer.Leaves]. It computes the gradients of one after the other and calls
// [Optimizer.Add] after each:
//
//	from, to := z.Leaves()
//	for k := from; k < to; k++ {
//		backward(step, k) // adds to gradients that are zero
//		err = z.Add()
//	}
//	stats, err := z.Step()
//
// Any number of ranks from 1 to Leaves gives the same bits, as long as
//
//   - Leaves is the same number. Its default depends on the number of ranks;
//   - the data of a leaf depend on the step and on k alone, not on the rank;
//   - the passes give the same bits for the same data, wherever they run.
//
// The gradients are summed, so GradScale is Leaves where each leaf's are a mean.
//
// # 16 and 8 bits
//
// [adam.Param16] are sharded with their Storage; places in a tensor are those of the whole, so that
// stochastic rounding and blocks of 8 bits have the same bits for any number of ranks, too.
// Gradients of 16 bits are decoded to float32 in Add, since a sum rounded to 16 bits would depend
// on the ranks, and the step is given that sum: each rank has 4 bytes a parameter for it.
// Parameters in BF16 alone are sent as such, 2 bytes each; the other half of a split master stays
// with its owner. Of parameters with a copy Value is sent, and each rank makes the copy of it.
//
// # Memory and messages
//
// A rank with one leaf needs no memory for leaves. One with L leaves keeps log2(L) copies of the
// gradients, and up to twice as many where the number of ranks is no power of two. Powers of two
// send least, too: 2(N-1)/N·4 bytes a parameter and step, (N-1)/N·6 of bfloat16.
//
// # Errors
//
// Each rank calls Step, SaveFile and LoadFile as the others do. They begin with an agreement: if a
// rank cannot go on, or has another Config than the others, another T, model, set of gradients and
// so on, all ranks get an error that wraps [ErrRank] and names that rank. Nothing has changed then,
// and no gradient is spent: the rank may be repaired, and all call the method again.
//
// An error of the engine wraps [ErrBroken]. A step may be half made then, and the optimizer is of
// no more use: end the job, and begin again from the last checkpoint, with as many ranks as there
// are.
package zero

import (
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"

	"github.com/fusedadam/adam"
	"github.com/fusedadam/adam/internal/pool"
)

// Errors, beside those of package adam. A rank's error is known by errors.Is on the other ranks as
// well, where it is one of adam's or of io/fs.
var (
	// ErrRank is wrapped by the error of all ranks where one rank cannot go on with the others.
	ErrRank = errors.New("zero: a rank is at fault")
	// ErrBroken is wrapped, beside the cause, by all errors after one of the engine.
	ErrBroken = errors.New("zero: broken")
)

// Comm is what the optimizer needs of an engine: messages between ranks. It is called by one
// goroutine at a time.
type Comm interface {
	Rank() int // of this process, from 0
	Size() int // number of ranks
	// Send posts a message, of at least one byte, to another rank. b stays as it is until it is
	// waited for.
	Send(to int, b []byte)
	// Receive posts the room for a message of that length. The messages of a pair of ranks arrive
	// in the order of the posts.
	Receive(from int, b []byte)
	// Wait waits for the first n posts, of both kinds, that were not waited for yet; for all with
	// n < 0. It returns the error of any of them.
	Wait(n int) error
	// Gather returns the words of all ranks, in the order of the ranks: counts[r] of rank r. The
	// counts are the same on all ranks. The result is valid until the next call.
	Gather(own []uint64, counts []int) ([]uint64, error)
}

// Options are those of [adam.New], and how the work is cut.
type Options struct {
	adam.Options
	// Leaves is the number of leaves of a step, a power of two and at least the number of ranks.
	// The default is the smallest such number, so whoever wants the same bits from another number
	// of ranks has to give it.
	Leaves int
	// Bucket is the number of elements that are sent and stepped at a time, a float64 counting as
	// two and one of 16 bits as one. The default is 4 Mi. Each bucket is dealt to all ranks. The
	// bits do not depend on it.
	Bucket int
}

// DefaultBucket is Options.Bucket where that is 0.
const DefaultBucket = 4 << 20

// Optimizer is an [adam.Optimizer] whose state is shared out to the ranks. Between steps the caller
// may write the exported fields as those of an adam.Optimizer, the same on all ranks.
//
// A rank has the moving average (Options.EMADecay) of its own share only: a checkpoint has all of
// it. AMSGrad cannot be switched on after [New], but by a checkpoint that has its maximum.
type Optimizer struct {
	// Groups are copies of those given to [New]. Configs may change between steps, and parameters
	// and gradients may be other slices. After a step gradients are zero with Options.ZeroGrad, and
	// otherwise of no use. All ranks end a step with the same parameters.
	Groups []adam.Group
	// Options may change between steps, all but Workers.
	Options   adam.Options
	GradScale float64           // see adam.Optimizer
	T         uint64            // completed steps
	Metadata  map[string]string // saved in checkpoints and loaded from them

	comm    Comm
	busy    atomic.Bool
	half    bool            // a step is at work, or has panicked
	broken  error           // of the engine, for ever
	own     *adam.Optimizer // of the parts of this rank
	crew    *crew
	message int // bytes of the largest message

	shards
	leaves
	reduction
	copies
	words []uint64 // to be gathered
	text  []byte   // to be hashed
}

// maxMessage keeps messages below the 2³¹ bytes that engines count in an int.
const maxMessage = 1 << 30

// New returns the optimizer of one rank. All ranks give it the same groups, with the same Values;
// it does not communicate. An error is one of [adam.New], or wraps [adam.ErrConfig] for Leaves and
// Bucket, or [adam.ErrParams] for what cannot be sharded: tables, and a State or EMA of the
// caller's.
func New(c Comm, o Options, groups ...adam.Group) (*Optimizer, error) {
	if o.Leaves == 0 {
		for o.Leaves = 1; o.Leaves < c.Size(); {
			o.Leaves *= 2
		}
	}
	if o.Bucket == 0 {
		o.Bucket = DefaultBucket
	}
	switch {
	case o.Leaves < 0 || o.Leaves&(o.Leaves-1) != 0:
		return nil, fmt.Errorf("zero: %w: Leaves = %d, want a power of two", adam.ErrConfig,
			o.Leaves)
	case c.Size() < 1 || c.Size() > o.Leaves:
		return nil, fmt.Errorf("zero: %w: %d ranks, want from 1 to Leaves, which is %d",
			adam.ErrConfig, c.Size(), o.Leaves)
	case o.Bucket < 0:
		return nil, fmt.Errorf("zero: %w: Bucket = %d, want at least 0", adam.ErrConfig, o.Bucket)
	}
	z := &Optimizer{
		Groups: copyOf(groups), Options: o.Options, GradScale: 1, comm: c, message: maxMessage,
	}
	if err := z.enrol(); err != nil {
		return nil, fmt.Errorf("zero: %w", err)
	}
	z.deal(c.Rank(), c.Size(), o.Bucket)
	z.grow(c.Rank(), c.Size(), o.Leaves)
	z.listCopies(c.Rank())
	z.plan()
	z.model = z.modelHash(o)
	if err := z.bind(true); err != nil {
		return nil, fmt.Errorf("zero: %w", err)
	}
	var err error
	if z.own, err = adam.New(o.Options, z.groupsOfParts()...); err != nil {
		return nil, fmt.Errorf("zero: %w", err)
	}
	z.hire()
	return z, nil
}

// crew is the workers that add gradients up. Only the optimizer refers to it, so that its finalizer
// runs when the optimizer is forgotten.
type crew struct{ *pool.Pool }

func (z *Optimizer) hire() {
	workers := z.Options.Workers
	if workers == 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	z.crew = &crew{pool.New(max(1, min(workers, z.total/4/pool.Share)))}
	runtime.SetFinalizer(z.crew, (*crew).Close)
}

// run makes the chunks of a job that concerns so many bytes.
func (z *Optimizer) run(j pool.Job, chunks, bytes int) {
	z.crew.Begin(bytes / 4)
	defer z.crew.End()
	z.crew.Run(j, chunks)
}

// Leaves returns the leaves of this rank: from, …, to-1 of each step.
func (z *Optimizer) Leaves() (from, to int) { return z.first, z.first + z.want }

// Close ends the goroutines of z. Any further step gives [adam.ErrClosed] on all ranks. It may be
// called twice. The only error is [adam.ErrBusy].
func (z *Optimizer) Close() error {
	if !z.busy.CompareAndSwap(false, true) {
		return adam.ErrBusy
	}
	defer z.leave()
	z.crew.Close()
	return z.own.Close()
}

// enter begins the work of a method, which ends with leave.
func (z *Optimizer) enter() error {
	if !z.busy.CompareAndSwap(false, true) {
		return adam.ErrBusy
	}
	err := z.broken
	if z.half {
		err = fmt.Errorf("%w: a step has panicked", ErrBroken)
	}
	if err != nil {
		z.leave()
	}
	return err
}

func (z *Optimizer) leave() { z.busy.Store(false) }

// engine makes an error of the engine the last word of z.
func (z *Optimizer) engine(err error) error {
	if err != nil && !errors.Is(err, ErrBroken) {
		err = fmt.Errorf("%w: %w", ErrBroken, err)
	}
	if err != nil {
		z.broken = err
	}
	return err
}
