// Package stats has the statistics of small samples that benchmarks and examples need.
package stats

import "slices"

// Quantiles returns the quantiles of x at the given probabilities, each interpolated between the
// two nearest elements. x must not be empty.
func Quantiles(x []float64, probabilities ...float64) []float64 {
	sorted := slices.Sorted(slices.Values(x))
	q := make([]float64, len(probabilities))
	for i, p := range probabilities {
		at := p * float64(len(sorted)-1)
		below := int(at)
		q[i] = sorted[below]
		if part := at - float64(below); part > 0 {
			q[i] += part * (sorted[below+1] - sorted[below])
		}
	}
	return q
}

// Median returns the median of x, which must not be empty.
func Median(x []float64) float64 { return Quantiles(x, 0.5)[0] }

// Argmax returns the index of the largest element, the first of several.
func Argmax(x []float32) int {
	best := 0
	for i, v := range x {
		if v > x[best] {
			best = i
		}
	}
	return best
}
