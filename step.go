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
	if t == 0 {
		return fmt.Errorf("%w: t = 0, want 1 for the first step", ErrSteps)
	}
	if c.AMSGrad {
		return fmt.Errorf("%w: AMSGrad keeps a maximum: use State.Step, with a State that has VMax",
			ErrConfig)
	}
	s := State{T: t - 1, M: m, V: v}
	return s.Step(p, g, c)
}
