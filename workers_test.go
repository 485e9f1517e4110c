package adam

import (
	"math"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fusedadam/adam/internal/pool"
)

// goroutines returns how many goroutines of pools there are, once those that are ending have ended.
func goroutines(t *testing.T, want int) {
	t.Helper()
	require.Eventually(t, func() bool {
		stacks := make([]byte, 1<<20)
		return strings.Count(string(stacks[:runtime.Stack(stacks, true)]), ".(*Pool).help(") == want
	}, 10*time.Second, time.Millisecond)
}

// An optimizer has the goroutines that its size is worth, until Close or the garbage collector.
func TestGoroutines(t *testing.T) {
	goroutines(t, 0)
	big := make([]float32, 8*pool.Share)
	params := func() []Param { return []Param{{Name: "a", Value: big, Grad: make([]float32, len(big))}} }
	o, err := New(Options{Workers: 5}, Group{Default(), params()})
	require.NoError(t, err)
	goroutines(t, 4)
	for range 3 {
		_, err = o.Step()
		require.NoError(t, err)
	}
	o.Close()
	goroutines(t, 0)
	o.Close()

	small, err := New(Options{Workers: 5}, Group{Default(), []Param{{Name: "a", Value: big[:pool.Share]}}})
	require.NoError(t, err)
	assert.Equal(t, 1, small.pool.Workers(), "too small to be shared out")

	forgotten, err := New(Options{Workers: 3}, Group{Default(), params()})
	require.NoError(t, err)
	_, err = forgotten.Step()
	require.NoError(t, err)
	goroutines(t, 2)
	runtime.KeepAlive(forgotten)
	for range 3 {
		runtime.GC()
	}
	goroutines(t, 0)
}

// Many optimizers step at once, each with more workers than there are cores, on one buffer of gradients.
func TestOptimizersSideBySide(t *testing.T) {
	sharedOut(t)
	var all sync.WaitGroup
	for i := range 4 {
		r := rand.New(rand.NewPCG(uint64(i), 1))
		s := newTrial(t, r, Options{Workers: 8, MaxNorm: 1, EMADecay: 0.9}, someConfigs(i), someSizes)
		all.Go(func() {
			for range 20 {
				s.draw(r, false)
				s.step(t)
			}
		})
	}
	all.Wait()
}

// Pauses of all lengths between steps, so that helpers are met awake, falling asleep and asleep.
func TestHelpersAsleep(t *testing.T) {
	sharedOut(t)
	r := rand.New(rand.NewPCG(1, 1))
	s := newTrial(t, r, Options{Workers: 3, MaxNorm: 1}, []Config{Default()}, []int{3 * tile, tile, 5})
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
