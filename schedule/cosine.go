package schedule

import "math"

// cosine returns end + (start-end)·(1+cos(π·t/n))/2 for t in [0, n], exactly start and end at the
// ends, and end beyond.
//
// (1+cos(π·u))/2 is 1-sin²(π/2·u) and sin²(π/2·(1-u)): each half of the way is measured from its
// own end by a sine of at most π/4, which needs no reduction of the argument and loses no digits.
func cosine(start, end, t, n float64) float64 {
	if t >= n {
		return end
	}
	if t <= n-t {
		s := sine(float64(math.Pi / 2 * (t / n)))
		return start + float64((end-start)*float64(s*s))
	}
	s := sine(float64(math.Pi / 2 * ((n - t) / n)))
	return end + float64((start-end)*float64(s*s))
}

// sine returns sin(x) for x in [0, π/4]: the Taylor series to x¹⁷, which leaves out less than 2⁻⁶³.
//
// math.Sin and math.Cos are assembly on s390x, and elsewhere Go that the compiler fuses where it
// can. The conversions to float64 forbid it that, so that the bits are the same everywhere.
func sine(x float64) float64 {
	const (
		c3  = -1.0 / (2 * 3)
		c5  = -c3 / (4 * 5)
		c7  = -c5 / (6 * 7)
		c9  = -c7 / (8 * 9)
		c11 = -c9 / (10 * 11)
		c13 = -c11 / (12 * 13)
		c15 = -c13 / (14 * 15)
		c17 = -c15 / (16 * 17)
	)
	z := float64(x * x)
	r := float64(z*c17) + c15
	r = float64(z*r) + c13
	r = float64(z*r) + c11
	r = float64(z*r) + c9
	r = float64(z*r) + c7
	r = float64(z*r) + c5
	r = float64(z*r) + c3
	return x + float64(x*float64(z*r))
}
