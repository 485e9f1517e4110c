package adam

import (
	"sync"
	"sync/atomic"
	"time"
)

// A pool shares the chunks of a job among the caller's goroutine and helpers, which wait for it until the
// pool is closed. Who does what is decided as they go: a helper that comes late finds less to do, or
// nothing, and nobody waits for one that has not begun.
//
// Between jobs the pool does not refer to the optimizer, so that one that was forgotten can be collected.
type pool struct {
	parts   []part        // one per worker, the caller's first
	helpers []sleeper     // the helper with parts[i+1] is helpers[i]
	caller  sleeper       // waits for pending to be 0
	pending atomic.Int64  // chunks that are not done yet
	jobs    atomic.Uint64 // jobs begun
	job     job           // the one at hand; only who has taken a chunk may read it
	closed  atomic.Bool
	alive   sync.WaitGroup

	workers, wakes int       // of this step: see begin
	ended          time.Time // the last step
}

// A job is work in chunks, each done once by any worker.
type job interface{ do(chunk, worker int) }

// A part is the chunks that a worker begins with; others take from it when they have finished theirs.
type part struct {
	left atomic.Int64 // the chunks end-left … end-1 are not taken yet; none if ≤ 0
	end  int          // read only by who has taken a chunk
	_    [48]byte     // a cache line for each part
}

func newPool(workers int) *pool {
	p := &pool{parts: make([]part, workers), helpers: make([]sleeper, workers-1), caller: newSleeper()}
	for i := range p.helpers {
		p.helpers[i] = newSleeper()
		p.alive.Go(func() { p.help(i) })
	}
	return p
}

// How many elements of a step are worth a worker that is awake, and the wake-up of one that is not: about
// 10 µs of the caller's time, and the helper comes some 70 µs later. Tests lower them.
var (
	share     = 64 << 10
	wakeShare = 1 << 20
)

// begin says that a step of so many elements begins, which decides how many workers its jobs are shared
// out to, and whether for that helpers are woken: if there is much to do, or if the last step has only
// just ended, as where nothing but steps is done.
func (p *pool) begin(elements int) {
	p.workers = max(1, min(len(p.parts), elements/share))
	p.wakes = elements/wakeShare - 1
	if p.workers > 1 && time.Since(p.ended) < patience {
		p.wakes = p.workers - 1
	}
}

// end says that the step has ended.
func (p *pool) end() {
	if p.workers > 1 {
		p.ended = time.Now()
	}
}

// run does the chunks 0 … chunks-1 of j.
func (p *pool) run(j job, chunks int) {
	workers := 1
	for i := range p.workers - 1 {
		if i < p.wakes || !p.helpers[i].asleep.Load() {
			workers++
		}
	}
	if workers == 1 {
		for i := range chunks {
			j.do(i, 0)
		}
		return
	}
	p.job = j
	p.pending.Store(int64(chunks))
	from := 0
	for i := range workers {
		to := chunks * (i + 1) / workers
		p.parts[i].end = to
		p.parts[i].left.Store(int64(to - from))
		from = to
	}
	p.jobs.Add(1)
	for i := range min(p.workers-1, p.wakes) {
		p.helpers[i].wake()
	}
	p.work(0)
	p.caller.wait(func() bool { return p.pending.Load() == 0 })
	p.job = nil
}

// work does chunks as worker w until none is left to take, first those of its own part.
func (p *pool) work(w int) {
	for i := range p.parts {
		part := &p.parts[(w+i)%len(p.parts)]
		done := int64(0)
		for part.left.Load() > 0 {
			left := part.left.Add(-1)
			if left < 0 {
				break
			}
			p.job.do(part.end-1-int(left), w)
			done++
		}
		if done > 0 && p.pending.Add(-done) == 0 {
			p.caller.wake()
		}
	}
}

func (p *pool) help(i int) {
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

// close ends the helpers and waits until they are gone.
func (p *pool) close() {
	p.closed.Swap(true) // not Store: see sleeper.wait
	for i := range p.helpers {
		p.helpers[i].wake()
	}
	p.alive.Wait()
}

// A sleeper waits for a condition that others make true before they call wake.
type sleeper struct {
	asleep atomic.Bool
	woken  chan struct{} // of capacity 1
}

func newSleeper() sleeper { return sleeper{woken: make(chan struct{}, 1)} }

// patience is how long a sleeper looks at its condition before it sleeps: about as long as it takes to wake
// it.
const patience = 70 * time.Microsecond

// wait returns once ready is true.
func (s *sleeper) wait(ready func() bool) {
	for {
		for began := time.Now(); time.Since(began) < patience; {
			for range 100 {
				if ready() {
					return
				}
			}
		}
		// Either wake sees that s is asleep, or s sees here what was made true before. That needs the order of a store
		// and the load after it, on both sides. Go's Store and Load have it, but the arm64 emulation of qemu 7.2
		// swaps them (in a tenth of the cases); it keeps the order after a Swap or an Add.
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
