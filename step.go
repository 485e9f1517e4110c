package adam

import "fmt"

// Step is [State.Step] for programs that keep the moments and the number of steps themselves. It
// makes step t, from 1 on, of the parameters p in place: m and v are the first and the second
// moment, zero before the first step, and the gradients g are only read. All have the length of p.
//
// Errors are those of State.Step. It is [ErrSteps] as well if t is 0, and [ErrConfig] if
// c.AMSGrad, whose maximum only a [State] has. Nothing has been changed then. Step does not
// allocate.
func Step(t uint64, p, g, m, v []float32, c Config) error {
	if t == 0 || c.AMSGrad {
		return stepError(t)
	}
	s := State{T: t - 1, M: m, V: v}
	return s.Step(p, g, c)
}

// Step64 is [Step] of float64, with the arithmetic of [State64].
func Step64(t uint64, p, g, m, v []float64, c Config) error {
	if t == 0 || c.AMSGrad {
		return stepError(t)
	}
	s := State64{T: t - 1, M: m, V: v}
	return s.Step(p, g, c)
}

func stepError(t uint64) error {
	if t == 0 {
		return fmt.Errorf("%w: t = 0, want 1 for the first step", ErrSteps)
	}
	return fmt.Errorf("%w: AMSGrad keeps a maximum: use the Step of a State that has VMax",
		ErrConfig)
}
