package pool

import (
	"math"
	"runtime"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	awake  = time.Hour // a patience that no test outlasts
	asleep = 0         // no patience
)

// rest waits until the helpers that have no patience sleep.
func rest(t *testing.T, p *Pool) {
	t.Helper()
	require.Eventually(t, func() bool {
		for i := range p.helpers {
			if s := &p.helpers[i]; s.patience == asleep && !s.asleep.Load() {
				return false
			}
		}
		return true
	}, 10*time.Second, 100*time.Microsecond)
}

// returns fails the test if f does not return.
func returns(t *testing.T, f func()) {
	t.Helper()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		f()
	}()
	select {
	case <-ended:
	case <-time.After(time.Minute):
		t.Fatal("it hangs")
	}
}

// A count is a job that counts how often each chunk was done.
type count []atomic.Int32

func (c count) Do(chunk, _ int) { c[chunk].Add(1) }

// Every chunk is done once, whatever the number of workers and chunks, and whoever is awake.
func TestEachChunkOnce(t *testing.T) {
	for _, patience := range [][]time.Duration{
		{awake}, {awake, awake}, {awake, asleep}, {asleep, asleep}, {awake, awake, awake},
		{awake, asleep, awake}, {asleep, awake, asleep}, {awake, asleep, asleep, awake, asleep},
	} {
		p := newPool(patience)
		for _, elements := range []int{0, 2 * Share, 2 * WakeShare, math.MaxInt} {
			for chunks := range 40 {
				rest(t, p)
				c := make(count, chunks)
				returns(t, func() {
					p.ended = time.Time{}
					p.Begin(elements)
					p.Run(c, chunks)
					p.End()
				})
				for i := range c {
					require.EqualValues(t, 1, c[i].Load(), "chunk %d of %d", i, chunks)
				}
			}
		}
		p.Close()
	}
}

// A meeting is a job of as many chunks as workers are to meet. None ends before all have begun.
type meeting struct {
	want       int64
	begun, met atomic.Int64
	arrive     func(chunk, worker int) // if not nil
}

func (m *meeting) Do(chunk, worker int) {
	if m.arrive != nil {
		m.arrive(chunk, worker)
	}
	m.begun.Add(1)
	for began := time.Now(); m.begun.Load() < m.want; runtime.Gosched() {
		if time.Since(began) > 10*time.Second {
			return
		}
	}
	m.met.Add(1)
}

// Who takes part: those that are awake, and for large steps and steps in a row those that sleep.
func TestWhoTakesPart(t *testing.T) {
	for _, c := range []struct {
		name     string
		patience []time.Duration // of the caller, and of the helpers
		elements int
		row      bool  // steps in a row
		want     int   // workers that take part
		sleeping []int // helpers that go on sleeping
	}{
		{"one awake", []time.Duration{asleep, asleep, awake}, 3 * Share, false, 2, []int{0}},
		{"two awake", []time.Duration{asleep, awake, awake}, 3 * Share, false, 3, nil},
		{"all asleep", []time.Duration{asleep, asleep, asleep}, 3 * Share, false, 1, []int{0, 1}},
		{"wake one", []time.Duration{asleep, asleep, asleep}, 2 * WakeShare, false, 2, []int{1}},
		{"wake all", []time.Duration{asleep, asleep, asleep}, 3 * WakeShare, false, 3, nil},
		{"wake one, who is awake", []time.Duration{asleep, awake, asleep}, 2 * WakeShare, false,
			2, []int{1}},
		{"in a row", []time.Duration{awake, asleep, asleep}, 3 * Share, true, 3, nil},
		{"after a pause", []time.Duration{asleep, asleep, asleep}, 3 * Share, true, 1, []int{0, 1}},
		{"in a row, worth two", []time.Duration{awake, asleep, asleep}, 2 * Share, true,
			2, []int{1}},
		{"worth one", []time.Duration{awake, awake, awake}, 2*Share - 1, true, 1, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPool(c.patience)
			defer p.Close()
			if c.row {
				p.Begin(math.MaxInt)
				p.End()
			}
			rest(t, p)
			p.Begin(c.elements)
			team := []int{0}
			for i := range p.helpers {
				if !slices.Contains(c.sleeping, i) {
					team = append(team, i+1)
				}
			}
			m := &meeting{want: int64(c.want), arrive: func(chunk, worker int) {
				for _, i := range c.sleeping {
					assert.True(t, p.helpers[i].asleep.Load(), "helper %d sleeps", i)
				}
				assert.Equal(t, team[chunk], worker, "each begins with a part of its own")
			}}
			returns(t, func() { p.Run(m, c.want) })
			assert.EqualValues(t, c.want, m.met.Load(), "workers that met all others")
			for i, w := range team[:c.want] {
				if c.want > 1 {
					assert.Equal(t, i+1, p.parts[w].end, "the part of worker %d", w)
				}
			}
		})
	}
}

// A fall is a job whose first chunks wait for each other. Then one of the workers panics, and the
// chunks of the others last until they see that.
type fall struct {
	meeting
	pool  *Pool
	who   func(worker int) bool // panics
	ended atomic.Int64
}

func (f *fall) Do(chunk, worker int) {
	f.meeting.Do(chunk, worker)
	if f.who(worker) {
		panic(f)
	}
	for began := time.Now(); !f.pool.Closed() && f.pool.failure.Load() == nil; runtime.Gosched() {
		if time.Since(began) > 10*time.Second {
			return
		}
	}
	f.ended.Add(1)
}

// fell runs f, whose first chunks are to be met by so many workers.
func (f *fall) fell(t *testing.T, elements, want int) {
	t.Helper()
	rest(t, f.pool)
	f.want = int64(want)
	returns(t, func() {
		f.pool.Begin(elements)
		defer f.pool.End()
		assert.PanicsWithValue(t, f, func() { f.pool.Run(f, 20) })
		assert.True(t, f.pool.Closed())
		assert.Nil(t, f.pool.job)
		assert.EqualValues(t, want, f.met.Load(), "no chunk is begun after the panic")
		f.pool.Close()
	})
}

var teams = [][]time.Duration{
	{awake}, {awake, asleep}, {awake, awake}, {awake, asleep, awake}, {asleep, awake, awake},
}

// A panic of any worker closes the pool and is one of the caller's goroutine. When it goes on the
// helpers have ended, whether they were asleep, spinning or at work, and what they had begun is
// done.
func TestPanic(t *testing.T) {
	for _, patience := range teams {
		workers := len(patience)
		for who := range workers {
			f := &fall{pool: newPool(patience), who: func(w int) bool { return w == who }}
			f.fell(t, math.MaxInt, workers)
			assert.EqualValues(t, workers-1, f.ended.Load(), "the others have done their chunks")
		}
		alone := &fall{pool: newPool(patience), who: func(w int) bool { return w == 0 }}
		alone.fell(t, 0, 1)
	}
}

// All workers panic at once.
func TestAllPanic(t *testing.T) {
	for _, patience := range teams {
		for range 20 {
			f := &fall{pool: newPool(patience), who: func(int) bool { return true }}
			f.fell(t, math.MaxInt, len(patience))
		}
	}
}

// A fault panics in a helper if it does in the caller.
func TestPanicOnFault(t *testing.T) {
	p := newPool([]time.Duration{awake, awake, asleep})
	defer p.Close()
	for _, want := range []bool{true, false, true} {
		rest(t, p)
		m := &meeting{want: 3, arrive: func(_, worker int) {
			got := debug.SetPanicOnFault(true)
			debug.SetPanicOnFault(got)
			assert.Equal(t, want, got, "worker %d", worker)
		}}
		returns(t, func() {
			debug.SetPanicOnFault(want)
			p.Begin(math.MaxInt)
			p.Run(m, 3)
			assert.Equal(t, want, debug.SetPanicOnFault(false))
		})
		assert.EqualValues(t, 3, m.met.Load())
	}
}

// Close is met by helpers in every state: spinning, working, falling asleep, asleep.
func TestClose(t *testing.T) {
	returns(t, func() {
		for i := range 10_000 {
			p := New(2 + i%2)
			for range i % 3 {
				p.Begin(math.MaxInt)
				p.Run(make(count, 2), 2)
			}
			if i%10 == 0 {
				time.Sleep(2 * patience)
			}
			for range i % 100 {
				p.Closed()
			}
			p.Close()
		}
	})
}

// Close returns when the helpers have ended, and not before.
func TestCloseWaits(t *testing.T) {
	p := New(3)
	var ended atomic.Bool
	p.alive.Add(1) // a helper that takes its time
	time.AfterFunc(20*time.Millisecond, func() {
		ended.Store(true)
		p.alive.Done()
	})
	p.Close()
	assert.True(t, ended.Load())
}

// What nobody else holds any more is collected, though the pool has worked on it.
func TestForgetsItsJob(t *testing.T) {
	p := newPool([]time.Duration{awake, awake, asleep})
	defer p.Close()
	collected := make(chan struct{})
	func() {
		m := &meeting{want: 2}
		runtime.SetFinalizer(m, func(*meeting) { close(collected) })
		p.Begin(math.MaxInt)
		p.Run(m, 2)
	}()
	for range 1000 {
		runtime.GC()
		select {
		case <-collected:
			return
		case <-time.After(10 * time.Millisecond):
		}
	}
	t.Fatal("the pool holds its last job")
}
