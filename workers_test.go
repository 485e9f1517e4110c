package adam

import (
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fusedadam/adam/internal/pool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// sharedOut makes also small steps use every worker, and chunks of more than one tile, for the time
// of a test.
func sharedOut(t testing.TB) {
	before, wake, chunks := pool.Share, pool.WakeShare, leastChunks
	pool.Share, pool.WakeShare, leastChunks = 1, 1, 3
	t.Cleanup(func() { pool.Share, pool.WakeShare, leastChunks = before, wake, chunks })
}

// goroutines fails unless there are so many goroutines of pools, once those that are ending have
// ended. They count from the moment that they are started.
func goroutines(t *testing.T, want int) {
	t.Helper()
	require.Eventually(t, func() bool {
		stacks := make([]byte, 1<<20)
		stacks = stacks[:runtime.Stack(stacks, true)]
		return strings.Count(string(stacks), "adam/internal/pool.newPool in ") == want
	}, 10*time.Second, time.Millisecond)
}

func TestGoroutines(t *testing.T) {
	goroutines(t, 0)
	big := make([]float32, 8*pool.Share)
	params := func() []Param {
		return []Param{{Name: "a", Value: big, Grad: make([]float32, len(big))}}
	}
	o, err := New(Options{Workers: 5}, Group{Config: Default(), Params: params()})
	require.NoError(t, err)
	goroutines(t, 4)
	for range 3 {
		_, err = o.Step()
		require.NoError(t, err)
	}
	o.Close()
	goroutines(t, 0)
	o.Close()

	small, err := New(Options{Workers: 5},
		Group{Config: Default(), Params: []Param{{Name: "a", Value: big[:2*pool.Share-1]}}})
	require.NoError(t, err)
	goroutines(t, 0) // too small to be shared out
	assert.Equal(t, 1, small.pool.Workers())
	small.Close()

	// Three that are forgotten: one in a struct that it refers to, one that has hired anew.
	plain, err := New(Options{Workers: 3}, Group{Config: Default(), Params: params()})
	require.NoError(t, err)
	var trainer struct {
		*Optimizer
		State
	}
	trainer.State = *NewState(len(big), Default())
	held := params()
	held[0].State = &trainer.State
	trainer.Optimizer, err = New(Options{Workers: 3}, Group{Config: Default(), Params: held})
	require.NoError(t, err)
	regrouped, err := New(Options{Workers: 3}, Group{Config: Default(), Params: params()})
	require.NoError(t, err)
	require.NoError(
		t,
		regrouped.Regroup(Group{Config: Default(), Params: []Param{{Name: "a", Value: big[:1]}}}),
	)
	goroutines(t, 4)
	require.NoError(t, regrouped.Regroup(Group{Config: Default(), Params: params()}))
	goroutines(t, 6)
	forgotten := []*Optimizer{plain, trainer.Optimizer, regrouped}
	for _, o := range forgotten {
		_, err = o.Step()
		require.NoError(t, err)
	}
	goroutines(t, 6)
	runtime.KeepAlive(forgotten)
	for range 3 {
		runtime.GC()
	}
	goroutines(t, 0)
}

func TestOptimizerDoesNotAllocate(t *testing.T) {
	sharedOut(t)
	for _, o := range []Options{
		{Workers: 1}, {Workers: 2}, {Workers: 2, MaxValue: 1},
		{Workers: 2, MaxNorm: 1, EMADecay: 0.5, ZeroGrad: true, SkipNonFinite: true},
	} {
		s := newMixedTrial(t, rand.New(rand.NewPCG(1, 1)), o, someConfigs(0), someSizes)
		var drawn [2][]Group // other memory and other rows in every step
		for i := range drawn {
			s.draw(rand.New(rand.NewPCG(2, uint64(i))), false)
			for _, g := range s.Groups {
				for _, p := range g.Tables {
					slices.Sort(p.Rows) // in other orders a map of the rows may be made anew
				}
			}
			drawn[i] = copyOf(s.Groups)
		}
		k := 0
		step := func() {
			for i, g := range drawn[k%2] {
				copy(s.Groups[i].Params, g.Params)
				copy(s.Groups[i].Params64, g.Params64)
				copy(s.Groups[i].Tables, g.Tables)
			}
			k++
			if _, err := s.Step(); err != nil {
				t.Fatal(err)
			}
		}
		for range drawn {
			step() // what grows, grows in the first steps
		}
		assert.Zero(t, testing.AllocsPerRun(20, step), "%+v", o)
	}
}

// Many optimizers step at once, each with more workers than there are cores.
func TestOptimizersSideBySide(t *testing.T) {
	sharedOut(t)
	var all sync.WaitGroup
	for i := range 4 {
		r := rand.New(rand.NewPCG(uint64(i), 1))
		options := Options{Workers: 8, MaxNorm: 1, EMADecay: 0.9}
		s := newMixedTrial(t, r, options, someConfigs(i), someSizes)
		all.Add(1)
		go func() {
			defer all.Done()
			for range 20 {
				s.draw(r, false)
				s.step(t)
			}
		}()
	}
	all.Wait()
}

// Pauses of all lengths between steps, so that helpers are met awake, falling asleep and asleep.
func TestHelpersAsleep(t *testing.T) {
	sharedOut(t)
	r := rand.New(rand.NewPCG(1, 1))
	options, sizes := Options{Workers: 3, MaxNorm: 1}, []int{3 * tile, tile, 5}
	s := newTrial(t, r, options, []Config{Default()}, sizes)
	for i := range 300 {
		s.draw(r, false)
		s.step(t)
		for began := time.Now(); time.Since(began) < time.Duration(i)*time.Microsecond; {
		}
	}
	pool.Share, pool.WakeShare = 1, math.MaxInt // sleeping helpers are left asleep
	for i := range 100 {
		s.draw(r, false)
		s.step(t)
		time.Sleep(time.Duration(i%5) * 50 * time.Microsecond)
	}
}
