package measure

import (
	"math/rand/v2"
	"time"

	"github.com/fusedadam/adam/cmd/adam/internal/result"
)

// A subject is one thing to time.
type subject struct {
	series string
	run    func(times int)
	calls  int    // of what is timed, in a run of 1
	every  int    // 3: it is timed in every third round
	before func() // what comes before each sample, which is one run then; nil: it is warmed up
	warm   func() // runs it for warmUp on little data

	storage result.Storage // of a step, or of what is its ceiling
	fused   bool           // the step is one loop
}

const (
	most    = 51               // rounds at the most: more do not move a median
	enough  = 7                // rounds after which the time given is kept
	fewest  = 3                // rounds even when it takes twice the time given
	atLeast = time.Millisecond // of a sample
	// warmUp is what comes before each sample: some CPUs take 0.12 ms to make ready for wide
	// vectors.
	warmUp = 300 * time.Microsecond
)

// rounds times all subjects round after round, so that a drift of the machine meets all of them, in
// a random order, as what ran before leaves its mark on the caches. It returns for each the
// nanoseconds of a call in every round. It spends about the time given, which now counts; progress
// is told the part done.
func rounds(subjects []subject, given time.Duration, now func() time.Duration,
	progress func(float64)) [][]float64 {
	start := now()
	random := rand.New(rand.NewPCG(1, 2))
	times := make([]int, len(subjects))
	samples := make([][]float64, len(subjects))
	for i, s := range subjects {
		if s.before == nil {
			times[i] = calibrate(s.run, now)
		} else {
			times[i] = 1
		}
	}
	for round := 0; ; round++ {
		spent := now() - start
		part := max(float64(round)/most, min(float64(spent)/float64(given), float64(round)/enough))
		if round >= most || round >= enough && spent >= given || round >= fewest &&
			spent >= 2*given {
			progress(1)
			return samples
		}
		progress(min(part, 1))
		for _, i := range random.Perm(len(subjects)) {
			s := subjects[i]
			if round%s.every != 0 {
				continue
			}
			switch {
			case s.before != nil:
				s.before()
			case times[i] > 1: // the caches as well, for data so small that this helps
				s.run(times[i])
			default:
				s.warm()
			}
			before := now()
			s.run(times[i])
			samples[i] = append(samples[i], float64(now()-before)/float64(times[i]*s.calls))
		}
	}
}

// calibrate returns how often to run so that it takes at least atLeast, and warms up.
func calibrate(run func(times int), now func() time.Duration) int {
	timed := func(times int) time.Duration {
		before := now()
		run(times)
		return now() - before
	}
	// The first run is a poor guide, unless it is too long to be a matter of cold caches.
	if timed(1) >= 20*atLeast {
		return 1
	}
	for times := 1; ; {
		took := timed(times)
		if took >= atLeast {
			return times
		}
		// Aim somewhat beyond, but do not trust a short time far.
		next := int(1.2 * float64(times) * float64(atLeast) / float64(max(took, 1)))
		times = max(times+1, min(next, 100*times))
	}
}
