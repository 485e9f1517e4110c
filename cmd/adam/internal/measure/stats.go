package measure

import "slices"

// Quartiles returns the quartiles of samples, interpolated between the two nearest.
func Quartiles(samples []float64) (q1, median, q3 float64) {
	s := slices.Sorted(slices.Values(samples))
	at := func(q float64) float64 {
		x := q * float64(len(s)-1)
		i := min(int(x), len(s)-2)
		if i < 0 {
			return s[0]
		}
		return s[i] + (x-float64(i))*(s[i+1]-s[i])
	}
	return at(0.25), at(0.5), at(0.75)
}
