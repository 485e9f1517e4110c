// Package pool shares the chunks of a job among goroutines that wait for the next job awake, as
// long as one is likely to come soon.
package pool

import (
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

// A Pool shares the chunks of a job among the caller's goroutine and helpers, which wait for jobs
// until the pool is closed. Who does what is decided on the way: a helper that comes late finds
// less to do, and nobody waits for one that has not begun.
//
// Between jobs the pool does not refer to the last one, so that its owner can be collected.
//
// If a chunk panics, so does Run, whichever worker did the chunk, and the pool is closed.
type Pool struct {
	parts   []part        // one per worker, the caller's first
	helpers []sleeper     // the helper with parts[i+1] is helpers[i]
	caller  sleeper       // waits for pending to be 0
	pending atomic.Int64  // chunks that are not done yet
	jobs    atomic.Uint64 // jobs begun
	closed  atomic.Bool
	alive   sync.WaitGroup
	failure atomic.Pointer[any] // what a helper panicked with

	// Of the job at hand. Only the caller and those who have taken a chunk may read them.
	job    Job
	faults bool // the caller's debug.SetPanicOnFault

	// The caller's alone.
	workers, wakes int       // of this step: see Begin
	team           []int     // the workers that a job is cut for
	ended          time.Time // the last step
}

// A Job is work in chunks, each done once by any worker. Worker 0 is the caller's goroutine.
type Job interface{ Do(chunk, worker int) }

// A part is the chunks that a worker begins with. Others take from it when they have finished
// theirs.
type part struct {
	left atomic.Int64 // the chunks end-left … end-1 are not taken yet
	end  int          // read only by who has taken a chunk
	_    [48]byte     // a cache line for each part
}

// take returns a chunk that nobody else has taken, unless there is none left.
func (p *part) take() (chunk int, ok bool) {
	for {
		left := p.left.Load()
		if left == 0 {
			return 0, false
		}
		if p.left.CompareAndSwap(left, left-1) {
			return p.end - int(left), true
		}
	}
}

// New returns a pool of so many workers, the caller's goroutine included.
func New(workers int) *Pool {
	patiences := make([]time.Duration, workers)
	for i := range patiences {
		patiences[i] = patience
	}
	return newPool(patiences)
}

// newPool returns a pool whose workers have the given patience, the caller first.
func newPool(patience []time.Duration) *Pool {
	workers := len(patience)
	p := &Pool{
		parts:   make([]part, workers),
		helpers: make([]sleeper, workers-1),
		caller:  newSleeper(patience[0]),
		team:    make([]int, 0, workers),
	}
	p.alive.Add(workers - 1)
	for i := range p.helpers {
		p.helpers[i] = newSleeper(patience[i+1])
		go p.help(i)
	}
	return p
}

// Workers returns the number of workers.
func (p *Pool) Workers() int { return len(p.parts) }

// How many elements of a step are worth a worker that is awake, and the wake-up of one that is not:
// about 10 µs of the caller's time, and the helper comes some 70 µs later. Tests lower them.
var (
	Share     = 64 << 10
	WakeShare = 1 << 20
)

// Begin says that a step of so many elements begins. That decides how many workers its jobs are
// shared out to, and whether sleeping ones are woken for it: if there is much to do, or if the last
// step has only just ended, as where nothing but steps is done.
func (p *Pool) Begin(elements int) {
	p.workers = max(1, min(len(p.parts), elements/Share))
	p.wakes = max(0, min(p.workers, elements/WakeShare)-1)
	if p.workers > 1 && time.Since(p.ended) < p.caller.patience {
		p.wakes = p.workers - 1
	}
}

// End says that the step has ended.
func (p *Pool) End() {
	if p.workers > 1 {
		p.ended = time.Now()
	}
}

// Run does the chunks 0 … chunks-1 of j. If one panics, the pool is closed before the panic goes
// on: some chunks are done then, and no goroutine has j any more.
func (p *Pool) Run(j Job, chunks int) {
	done := false
	defer func() {
		if !done {
			p.abandon()
		}
	}()
	p.run(j, chunks)
	done = true
}

func (p *Pool) run(j Job, chunks int) {
	p.team = append(p.team[:0], 0)
	for i := range p.workers - 1 {
		if i < p.wakes || !p.helpers[i].asleep.Load() {
			p.team = append(p.team, i+1)
		}
	}
	if len(p.team) == 1 {
		for i := range chunks {
			j.Do(i, 0)
		}
		return
	}
	p.job = j
	p.faults = debug.SetPanicOnFault(true)
	debug.SetPanicOnFault(p.faults)
	p.pending.Store(int64(chunks))
	from := 0
	for i, w := range p.team {
		to := chunks * (i + 1) / len(p.team)
		p.parts[w].end = to
		p.parts[w].left.Store(int64(to - from))
		from = to
	}
	p.jobs.Add(1)
	for i := range p.wakes {
		p.helpers[i].wake()
	}
	p.work(0)
	p.caller.wait(func() bool { return p.pending.Load() <= 0 })
	if v := p.failure.Load(); v != nil {
		panic(*v)
	}
	p.job = nil
}

// abandon ends the pool in the middle of a job. Helpers finish the chunks that they have taken.
func (p *Pool) abandon() {
	p.discard()
	p.Close()
	p.job = nil
}

// discard takes away the chunks that nobody has taken.
func (p *Pool) discard() {
	for i := range p.parts {
		p.parts[i].left.Store(0)
	}
}

// work does chunks as worker w until none is left to take, first those of its own part.
func (p *Pool) work(w int) {
	for i := range p.parts {
		part := &p.parts[(w+i)%len(p.parts)]
		done := int64(0)
		for chunk, ok := part.take(); ok; chunk, ok = part.take() {
			if w > 0 {
				debug.SetPanicOnFault(p.faults)
			}
			p.job.Do(chunk, w)
			done++
		}
		if done > 0 && p.pending.Add(-done) == 0 {
			p.caller.wake()
		}
	}
}

func (p *Pool) help(i int) {
	defer p.alive.Done()
	defer p.fail()
	seen := uint64(0)
	for {
		p.helpers[i].wait(func() bool { return p.closed.Load() || p.jobs.Load() != seen })
		if p.closed.Load() {
			return
		}
		seen = p.jobs.Load()
		p.work(i + 1)
	}
}

// fail passes the panic of a helper on to the caller.
func (p *Pool) fail() {
	if v := recover(); v != nil {
		p.discard()
		p.failure.CompareAndSwap(nil, &v)
		p.pending.Swap(0) // the others can only make it less
		p.caller.wake()
	}
}

// Close ends the helpers and waits until they have. It may be called twice, but not during a Run.
func (p *Pool) Close() {
	p.closed.Swap(true) // not Store: see sleeper.wait
	for i := range p.helpers {
		p.helpers[i].wake()
	}
	p.alive.Wait()
}

// Closed reports whether the pool was closed, by Close or by a panic.
func (p *Pool) Closed() bool { return p.closed.Load() }

// A sleeper waits for a condition that others make true before they call wake.
type sleeper struct {
	patience time.Duration // how long it looks at the condition before it sleeps
	asleep   atomic.Bool
	woken    chan struct{} // of capacity 1
}

func newSleeper(patience time.Duration) sleeper {
	return sleeper{patience: patience, woken: make(chan struct{}, 1)}
}

// patience is about as long as it takes to wake a sleeper. Go offers no PAUSE instruction, so for
// these 70 µs after each step every helper takes as much from the other thread of its core as if it
// worked. Fewer workers take less.
const patience = 70 * time.Microsecond

// wait returns once ready is true.
func (s *sleeper) wait(ready func() bool) {
	for {
		for began := time.Now(); time.Since(began) < s.patience; {
			for range 100 {
				if ready() {
					return
				}
			}
		}
		// Either wake sees that s is asleep, or s sees here what was made true before. That needs
		// the order of a store and the load after it, on both sides. Go's Store and Load have it,
		// but the arm64 emulation of qemu 7.2 swaps them (in a tenth of the cases). It keeps the
		// order after a Swap or an Add.
		s.asleep.Swap(true)
		if ready() && s.asleep.CompareAndSwap(true, false) {
			return
		}
		<-s.woken
	}
}

// wake ends the sleep of s, if it sleeps.
func (s *sleeper) wake() {
	if s.asleep.Load() && s.asleep.CompareAndSwap(true, false) {
		s.woken <- struct{}{}
	}
}
