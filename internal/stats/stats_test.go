package stats_test

import (
	"slices"
	"testing"

	"github.com/fusedadam/adam/internal/stats"
)

func TestQuantiles(t *testing.T) {
	for _, test := range []struct{ x, want []float64 }{
		{[]float64{7}, []float64{7, 7, 7, 7, 7}},
		{[]float64{2, 1}, []float64{1, 1.25, 1.5, 1.75, 2}},
		{[]float64{5, 1, 3, 2, 4}, []float64{1, 2, 3, 4, 5}},
		{[]float64{4, 3, 2, 1}, []float64{1, 1.75, 2.5, 3.25, 4}},
	} {
		given := slices.Clone(test.x)
		got := stats.Quantiles(given, 0, 0.25, 0.5, 0.75, 1)
		if !slices.Equal(got, test.want) || !slices.Equal(given, test.x) ||
			stats.Median(given) != test.want[2] {
			t.Errorf("%v: %v, want %v", test.x, got, test.want)
		}
	}
}

func TestArgmax(t *testing.T) {
	for want, x := range [][]float32{{3, 1, 3}, {-2, -1}, {0, 1, 2}} {
		if got := stats.Argmax(x); got != want {
			t.Errorf("%v: %d, want %d", x, got, want)
		}
	}
}
