// Package schedule has the usual learning-rate schedules as pure functions of the step:
//
//	lr := schedule.Linear(0.01, 1, 1000).Then(1000, schedule.Cosine(1, 0, 9000))
//	for … {
//		cfg.LR = base * lr(state.T)
//		if err := state.Step(params, grads, cfg); err != nil { … }
//	}
//
// A schedule has no state: a resumed run needs nothing but the counter that the optimizer keeps.
//
// # PyTorch
//
// Each function names the call of torch.optim.lr_scheduler that it stands for, where opt was made
// with lr=base and scheduler.step() follows every opt.step(). PyTorch updates most learning rates
// recursively, from the last one; here, each is computed from its step alone, in the closed form.
// The two differ by the rounding errors that the recursion gathers, and wherever something else
// changes the learning rate: here it is always the base that is multiplied.
//
// # Arguments
//
// Factors are finite and at least 0, counts at least 0. Everything else panics when the schedule is
// made, never when it is called. Factors above 1 and a start of 0 are fine, though PyTorch refuses
// some of them. A ramp of 0 steps is skipped: it is at its end from the beginning.
//
// # The same bits everywhere
//
// Every operation is one IEEE 754 float64 operation in a fixed order, nothing is fused, and no
// function of package math takes part: some of those are assembly, with other bits, on some
// architectures.
package schedule

import (
	"fmt"
	"math"
	"slices"
)

// Schedule is the factor of the base learning rate for the step that follows step completed ones
// (State.T of package adam before the step). Those of this package are defined for every step, do
// not allocate, and may be called by any number of goroutines at once.
type Schedule func(step uint64) float64

// Constant is always factor.
//
//	ConstantLR(opt, factor=f, total_iters=n)     Constant(f).Then(n, Constant(1))
//	MultiStepLR(opt, milestones=[a], gamma=g)    Constant(1).Then(a, Constant(g))
func Constant(factor float64) Schedule {
	checkFactor("Constant", "factor", factor)
	return func(uint64) float64 { return factor }
}

// Linear goes from start, at step 0, in a straight line to end, at step steps, and stays there.
//
//	LinearLR(opt, start_factor=start, end_factor=end, total_iters=steps)
//
// As in PyTorch, steps counts the intervals: the first of the steps is made with start, and end
// comes after steps of them. The warm-up (step+1)/n, whose n-th step is the first with the full
// learning rate, is Linear(1/n, 1, n-1); step/n is Linear(0, 1, n), whose first step has a learning
// rate of 0.
func Linear(start, end float64, steps int) Schedule {
	checkFactor("Linear", "start", start)
	checkFactor("Linear", "end", end)
	checkCount("Linear", "steps", steps, 0)
	n, length, slope := uint64(steps), float64(steps), end-start
	return func(step uint64) float64 {
		if step >= n {
			return end
		}
		return start + float64(slope*(float64(step)/length))
	}
}

// Cosine goes from start, at step 0, along half a period of a cosine to end, at step steps, and
// stays there.
//
//	CosineAnnealingLR(opt, T_max=steps, eta_min=base*end)   Cosine(1, end, steps)
//
// PyTorch follows the cosine back up after T_max steps. Close to its end, Cosine is more precise
// than the formula with 1+cos, which loses digits there.
func Cosine(start, end float64, steps int) Schedule {
	checkFactor("Cosine", "start", start)
	checkFactor("Cosine", "end", end)
	checkCount("Cosine", "steps", steps, 0)
	length := float64(steps)
	return func(step uint64) float64 { return cosine(start, end, float64(step), length) }
}

// Step is gamma^⌊step/every⌋: it multiplies by gamma after every so many steps, without end. It
// panics if every is 0. Where the power leaves the range of float64 it is 0 or, for a gamma above
// 1, +Inf.
//
//	StepLR(opt, step_size=every, gamma=gamma)
//	ExponentialLR(opt, gamma=gamma)            Step(gamma, 1)
func Step(gamma float64, every int) Schedule {
	checkFactor("Step", "gamma", gamma)
	checkCount("Step", "every", every, 1)
	n := uint64(every)
	return func(step uint64) float64 { return power(gamma, step/n) }
}

// power returns x^k by binary exponentiation: math.Pow is assembly on s390x.
func power(x float64, k uint64) float64 {
	r := 1.0
	for ; k != 0; k >>= 1 {
		if k&1 != 0 {
			r = float64(r * x)
		}
		x = float64(x * x)
	}
	return r
}

// OneCycle is the 1cycle policy (Smith & Topin, 2017): it goes from start along a cosine to 1, the
// largest learning rate, and then to end, where it is at step steps-1, the last of steps, and
// stays. The part rise of the steps, in [0, 1], is spent on the way up.
//
//	OneCycleLR(opt, max_lr=base, total_steps=steps, pct_start=rise, div_factor=1/start,
//		final_div_factor=start/end, cycle_momentum=False)
//
// PyTorch's defaults are start = 1.0/25, end = start/1e4 and rise = 0.3; by default it also cycles
// Beta1, which is another field of the Config. As in PyTorch, the peak is at rise·steps-1, which
// need not be a whole number; before step 0, the way down has already begun at step 0. At 0, where
// PyTorch divides by zero, the way up is skipped. PyTorch raises an error beyond step steps.
func OneCycle(start, end, rise float64, steps int) Schedule {
	checkFactor("OneCycle", "start", start)
	checkFactor("OneCycle", "end", end)
	checkCount("OneCycle", "steps", steps, 0)
	if !(rise >= 0 && rise <= 1) {
		panic(fmt.Sprintf("schedule: OneCycle: rise = %v, want a number in [0, 1]", rise))
	}
	n := uint64(max(steps-1, 0))
	last, peak := float64(n), float64(rise*float64(steps))-1
	return func(step uint64) float64 {
		t := float64(min(step, n))
		if t <= peak && peak > 0 {
			return cosine(start, 1, t, peak)
		}
		return cosine(1, end, t-peak, last-peak)
	}
}

// Then is s before step milestone, and next from there on, which sees milestone as its step 0. The
// milestones of a chain count from the beginning of the whole and increase:
//
//	SequentialLR(opt, [a, b, c], milestones=[10, 50])   a.Then(10, b).Then(50, c)
//
// With a milestone of 0, s is skipped.
func (s Schedule) Then(milestone int, next Schedule) Schedule {
	checkSchedule("Then", s)
	checkSchedule("Then", next)
	checkCount("Then", "milestone", milestone, 0)
	n := uint64(milestone)
	return func(step uint64) float64 {
		if step < n {
			return s(step)
		}
		return next(step - n)
	}
}

// Product is the product of all schedules at the same step; of none, 1.
//
//	ChainedScheduler([a, b])   Product(a, b)
//
// In PyTorch that is a product only of schedulers that multiply the learning rate, which
// CosineAnnealingLR with an eta_min and OneCycleLR do not: they do not chain there, but do here.
func Product(schedules ...Schedule) Schedule {
	for _, s := range schedules {
		checkSchedule("Product", s)
	}
	schedules = slices.Clone(schedules) // the caller may go on to change its slice
	return func(step uint64) float64 {
		r := 1.0
		for _, s := range schedules {
			r = float64(r * s(step))
		}
		return r
	}
}

func checkFactor(function, name string, x float64) {
	if !(x >= 0 && x <= math.MaxFloat64) { // true for NaN
		panic(fmt.Sprintf("schedule: %s: %s = %v, want a finite number of at least 0", function,
			name, x))
	}
}

func checkCount(function, name string, n, least int) {
	if n < least {
		panic(fmt.Sprintf("schedule: %s: %s = %d, want at least %d", function, name, n, least))
	}
}

func checkSchedule(function string, s Schedule) {
	if s == nil {
		panic(fmt.Sprintf("schedule: %s: a schedule is nil", function))
	}
}
