package zero

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// A world is an engine among goroutines. A message is copied when both sides have posted it, so
// that the race detector sees memory that is written before it is waited for.
type world struct {
	sync.Mutex
	changed sync.Cond
	ranks   []*comm
	posted  map[[2]int]*pair
	round   int // gathers done
	said    [][]uint64
	counts  [][]int
	result  []uint64
	err     error // of all ranks from now on
	gone    int   // ranks that communicate no more
}

// A pair is the posts between two ranks of which the other side has not come yet.
type pair struct{ sends, receives []*post }

type post struct {
	b    []byte
	done bool
}

// A comm is the engine as one rank sees it.
type comm struct {
	*world
	rank  int
	posts []*post // not waited for
	sent  int     // bytes
	calls int
	fails int // the call that fails; 0: none
	words []uint64
}

var errEngine = errors.New("a rank is lost")

func newWorld(ranks int) *world {
	w := &world{posted: map[[2]int]*pair{}}
	w.changed.L = w
	for r := range ranks {
		w.ranks = append(w.ranks, &comm{world: w, rank: r})
	}
	w.said, w.counts = make([][]uint64, ranks), make([][]int, ranks)
	return w
}

func (c *comm) Rank() int { return c.rank }
func (c *comm) Size() int { return len(c.ranks) }

// call counts a call, with the lock held.
func (c *comm) call() {
	if c.calls++; c.calls == c.fails {
		c.break_(errEngine)
	}
}

func (w *world) break_(err error) {
	if w.err == nil {
		w.err = err
	}
	w.changed.Broadcast()
}

func (w *world) pair(from, to int) *pair {
	if w.posted[[2]int{from, to}] == nil {
		w.posted[[2]int{from, to}] = &pair{}
	}
	return w.posted[[2]int{from, to}]
}

func (c *comm) Send(to int, b []byte) {
	c.sent += len(b)
	c.post(c.rank, to, b, false)
}

func (c *comm) Receive(from int, b []byte) { c.post(from, c.rank, b, true) }

func (c *comm) post(from, to int, b []byte, receive bool) {
	c.Lock()
	defer c.Unlock()
	c.call()
	p := &post{b: b}
	c.posts = append(c.posts, p)
	pair := c.pair(from, to)
	own, others := &pair.sends, &pair.receives
	if receive {
		own, others = others, own
	}
	if from == to || len(b) == 0 {
		c.break_(fmt.Errorf("a message of %d bytes from %d to %d", len(b), from, to))
	}
	if len(*others) == 0 {
		*own = append(*own, p)
		return
	}
	q := (*others)[0]
	*others = (*others)[1:]
	if len(q.b) != len(b) {
		c.break_(fmt.Errorf("a message of %d bytes from %d to %d, and room for %d", len(b), from,
			to,
			len(q.b)))
	}
	if receive {
		copy(b, q.b)
	} else {
		copy(q.b, b)
	}
	p.done, q.done = true, true
	c.changed.Broadcast()
}

func (c *comm) Wait(n int) error {
	c.Lock()
	defer c.Unlock()
	c.call()
	if n < 0 {
		n = len(c.posts)
	}
	if n > len(c.posts) {
		return errors.New("waiting for more than was posted")
	}
	for _, p := range c.posts[:n] {
		for !p.done && c.err == nil {
			c.changed.Wait()
		}
	}
	c.posts = c.posts[n:]
	return c.err
}

func (c *comm) Gather(own []uint64, counts []int) ([]uint64, error) {
	c.Lock()
	defer c.Unlock()
	c.call()
	for i := range c.words {
		c.words[i] = 0xdeadbeef // what an earlier call returned
	}
	c.sent += 8 * len(own) * (len(c.ranks) - 1)
	if len(own) != counts[c.rank] {
		c.break_(fmt.Errorf("rank %d gathers %d words, and counts %v", c.rank, len(own), counts))
	}
	c.said[c.rank], c.counts[c.rank] = slices.Clone(own), slices.Clone(counts)
	round, all := c.round, true
	for r := range c.said {
		all = all && c.said[r] != nil
	}
	if all {
		c.result = slices.Concat(c.said...)
		for r := range c.said {
			if !slices.Equal(c.counts[r], counts) {
				c.break_(fmt.Errorf("counts of rank %d: %v, of %d: %v", r, c.counts[r], c.rank,
					counts))
			}
			c.said[r] = nil
		}
		c.round++
		c.changed.Broadcast()
	}
	for c.round == round && c.err == nil {
		c.changed.Wait()
	}
	c.words = append(c.words[:0], c.result...)
	return c.words, c.err
}

// together runs f as each of so many ranks. If one of them fails the test or panics, the others'
// calls fail. Nothing is left behind.
func together(t *testing.T, ranks int, f func(c *comm)) *world {
	t.Helper()
	w := newWorld(ranks)
	slow := time.AfterFunc(2*time.Minute, func() {
		w.Lock()
		defer w.Unlock()
		w.break_(errors.New("the ranks wait for each other"))
	})
	defer slow.Stop()
	var group sync.WaitGroup
	for _, c := range w.ranks {
		group.Add(1)
		go func() {
			defer group.Done()
			finished := false
			defer func() {
				w.Lock()
				defer w.Unlock()
				if w.gone++; !finished {
					w.break_(errors.New("a rank has failed its test"))
				}
			}()
			f(c)
			finished = true
		}()
	}
	group.Wait()
	if w.err == nil {
		for k, p := range w.posted {
			assert.Empty(t, p.sends, "%v", k)
			assert.Empty(t, p.receives, "%v", k)
		}
		for _, c := range w.ranks {
			assert.Empty(t, c.posts, "of rank %d, not waited for", c.rank)
		}
	}
	return w
}
