package main

import (
	"time"

	"github.com/fusedadam/adam/zero"
)

// The phases of a step, each of which begins when the one before it ends. The calls of the Comm
// tell them apart. The sums of squares belong to norm; what of the gather is done while the
// optimizer steps belongs to step.
const (
	agree = iota
	reduce
	norm
	step
	gather
	phaseCount
)

var phases = [phaseCount]string{"agree", "reduce", "norm", "step", "gather"}

// watch is a Comm that counts the bytes sent and measures the phases of a step.
type watch struct {
	zero.Comm
	sent          int
	phase         int
	began, phased time.Time // the step, and the phase
	took          [phaseCount]time.Duration
}

// begin begins a step.
func (w *watch) begin() {
	w.phase, w.took = agree, [phaseCount]time.Duration{}
	w.began = time.Now()
	w.phased = w.began
}

// enter ends the phase with what has been going on until now.
func (w *watch) enter(phase int) {
	now := time.Now()
	w.took[w.phase] += now.Sub(w.phased)
	w.phase, w.phased = phase, now
}

func (w *watch) Send(to int, b []byte) {
	if w.phase == agree {
		w.enter(reduce)
	}
	w.sent += len(b)
	w.Comm.Send(to, b)
}

func (w *watch) Receive(from int, b []byte) {
	if w.phase == agree {
		w.enter(reduce)
	}
	w.Comm.Receive(from, b)
}

func (w *watch) Wait(n int) error {
	if n < 0 {
		w.enter(gather)
	}
	err := w.Comm.Wait(n)
	if n >= 0 {
		w.enter(reduce) // whose last wait is its end
	}
	return err
}

func (w *watch) Gather(own []uint64, counts []int) ([]uint64, error) {
	w.sent += 8 * len(own) * (w.Size() - 1)
	if w.phase == agree {
		return w.Comm.Gather(own, counts)
	}
	w.phase = norm // since the last wait
	all, err := w.Comm.Gather(own, counts)
	w.enter(step)
	return all, err
}

// end ends the step and returns how long it took.
func (w *watch) end() time.Duration {
	w.enter(agree)
	return w.phased.Sub(w.began)
}
