package pool

import (
	"math"
	"runtime"
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
	arrive     func() // of the caller, if not nil
}

func (m *meeting) Do(_, worker int) {
	if worker == 0 && m.arrive != nil {
		m.arrive()
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
		{"in a row, worth two", []time.Duration{awake, asleep, asleep}, 2 * Share, true, 2, []int{1}},
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
			m := &meeting{want: int64(c.want), arrive: func() {
				for _, i := range c.sleeping {
					assert.True(t, p.helpers[i].asleep.Load(), "helper %d sleeps", i)
				}
			}}
			returns(t, func() { p.Run(m, c.want) })
			assert.EqualValues(t, c.want, m.met.Load(), "workers that met all others")
			for i := 0; i < c.want && c.want > 1; i++ { // cut evenly among those that take part
				assert.Equal(t, i+1, p.parts[i].end)
			}
		})
	}
}

// A fall is a job that panics on the caller's goroutine, if helped once a helper is at work. The chunk
// of a helper lasts until the pool is closed.
type fall struct {
	pool   *Pool
	helped bool
	begun  atomic.Bool
	ended  atomic.Int64
}

func (f *fall) Do(_, worker int) {
	switch {
	case worker == 0:
		for f.helped && !f.begun.Load() {
			runtime.Gosched()
		}
		panic("a fault")
	default:
		f.begun.Store(true)
		for !f.pool.Closed() {
			runtime.Gosched()
		}
		f.ended.Add(1)
	}
}

// A panic of the caller's goroutine closes the pool: when it goes on the helpers have ended, whether
// they were asleep, spinning or at work, and what they had begun is done.
func TestPanic(t *testing.T) {
	for _, patience := range [][]time.Duration{
		{awake}, {awake, asleep}, {awake, awake}, {awake, asleep, awake}, {awake, awake, awake},
	} {
		for _, helped := range []bool{false, true} {
			if helped && len(patience) == 1 {
				continue
			}
			p := newPool(patience)
			rest(t, p)
			f := &fall{pool: p, helped: helped}
			returns(t, func() {
				p.Begin(0)
				if helped {
					p.Begin(math.MaxInt)
				}
				assert.PanicsWithValue(t, "a fault", func() { p.Run(f, 8) })
				if helped {
					assert.Positive(t, f.ended.Load(), "a helper has done what it had begun")
				}
				assert.Less(t, int(f.ended.Load()), len(patience), "and no more")
				assert.True(t, p.Closed())
				assert.Nil(t, p.job)
				p.Close()
			})
		}
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
