// Package gradcheck compares gradients with finite differences.
package gradcheck

import (
	"math"
	"slices"
	"testing"
)

// Check fails t unless grad agrees with the central differences of loss, (loss(x+h) - loss(x-h)) /
// 2h, to the absolute tolerance, for each element of x. backward is called first; it fills grad.
// loss reads x each time.
//
// With float32 arithmetic a difference errs by about 1e-7/h from rounding and h² from the
// curvature, and by any amount where it crosses the kink of a ReLU: choose h and the data
// accordingly.
func Check(t *testing.T, name string, x, grad []float32, h, tolerance float64, loss func() float64,
	backward func()) {
	t.Helper()
	backward()
	grad = slices.Clone(grad) // loss may overwrite it
	largest, worst := 0.0, 0.0
	for i, x0 := range x {
		up, down := x0+float32(h), x0-float32(h)
		x[i] = up
		above := loss()
		x[i] = down
		below := loss()
		x[i] = x0
		want := (above - below) / (float64(up) - float64(down))
		err := math.Abs(float64(grad[i]) - want)
		if !(err <= tolerance) {
			t.Errorf("%s, element %d: gradient %.6f, central difference %.6f", name, i, grad[i],
				want)
		}
		largest, worst = max(largest, math.Abs(want)), max(worst, err)
	}
	if !(largest > 10*tolerance) {
		t.Errorf("%s: all differences are at most %g: the tolerance %g says nothing", name, largest,
			tolerance)
	}
	t.Logf("%s: largest difference %.3g, largest error %.2g", name, largest, worst)
}
