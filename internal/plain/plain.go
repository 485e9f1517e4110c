// Package plain has the loops of AdamW as Go programs write them today: what package adam replaces
// and what its benchmarks have beside them.
package plain

import "math"

// A Loop makes step t (1 for the first) of AdamW in place.
type Loop struct {
	Name string
	Step func(p, g, m, v []float32, t int, lr, beta1, beta2, eps, decay float32)
}

// SIMD are the loops with Go's own vectors, package simd/archsimd, that this CPU runs, the widest
// first. There are none unless the program is built for amd64 with GOEXPERIMENT=simd.
var SIMD []Loop

// Step makes step t (1 for the first) of AdamW in place. The bias corrections stand before the
// loop, as careful programs have them.
func Step(p, g, m, v []float32, t int, lr, beta1, beta2, eps, decay float32) {
	correction1 := 1 - float32(math.Pow(float64(beta1), float64(t)))
	correction2 := 1 - float32(math.Pow(float64(beta2), float64(t)))
	for i := range p {
		m[i] = beta1*m[i] + (1-beta1)*g[i]
		v[i] = beta2*v[i] + (1-beta2)*g[i]*g[i]
		mHat := m[i] / correction1
		vHat := v[i] / correction2
		p[i] -= lr * (mHat/(float32(math.Sqrt(float64(vHat)))+eps) + decay*p[i])
	}
}

// Step64 is Step of float64.
func Step64(p, g, m, v []float64, t int, lr, beta1, beta2, eps, decay float64) {
	correction1 := 1 - math.Pow(beta1, float64(t))
	correction2 := 1 - math.Pow(beta2, float64(t))
	for i := range p {
		m[i] = beta1*m[i] + (1-beta1)*g[i]
		v[i] = beta2*v[i] + (1-beta2)*g[i]*g[i]
		mHat := m[i] / correction1
		vHat := v[i] / correction2
		p[i] -= lr * (mHat/(math.Sqrt(vHat)+eps) + decay*p[i])
	}
}
