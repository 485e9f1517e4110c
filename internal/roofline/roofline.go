// Package roofline runs the two things that bound an Adam step on a machine, and nothing else: its
// memory traffic and its divisions and square roots. The time of a step cannot be below the longer
// of the two; benchmarks quote it as a share of that.
package roofline

import (
	"math"
	"slices"
	"unsafe"
)

// Block is the number of elements that both ceilings work in; they leave out the remainder.
const Block = 16

// Traffic makes the memory accesses of a step with as little arithmetic as there can be: it reads
// g, p, m and v once and writes p, m and v, in vectors as wide as those of the named kernel of
// package adam. What it computes is an exclusive or with g: called twice, it restores the slices,
// and it makes no subnormal that would slow it down. The slices must be of one length.
//
// The ceiling is the faster of Traffic and [TrafficPrefetched].
func Traffic(kernel string, p, g, m, v []float32) { xor(kernel, p, g, m, v, false) }

// TrafficPrefetched is Traffic with prefetch instructions: slower in the caches, faster out of
// them. The ceilings of the kernels "generic" and "neon" have none.
func TrafficPrefetched(kernel string, p, g, m, v []float32) { xor(kernel, p, g, m, v, true) }

func xor(kernel string, p, g, m, v []float32, prefetch bool) {
	n := len(p) &^ (Block - 1)
	if n == 0 || len(g) != len(p) || len(m) != len(p) || len(v) != len(p) {
		return
	}
	if slices.Contains(assembled, kernel) {
		traffic(kernel, &p[0], &g[0], &m[0], &v[0], n, prefetch)
		return
	}
	pu, mu, vu := bits(p), bits(m), bits(v)
	for i, x := range bits(g)[:n] {
		pu[i] ^= x
		mu[i] ^= x
		vu[i] ^= x
	}
}

func bits(s []float32) []uint32 { return unsafe.Slice((*uint32)(unsafe.Pointer(&s[0])), len(s)) }

// Arithmetic makes n square roots and n divisions of values as they occur in training, none of
// which waits for another, in vectors as wide as those of the named kernel. The result is of no use
// but to keep the compiler from leaving the work out.
func Arithmetic(kernel string, n int) float32 {
	n &^= Block - 1
	if slices.Contains(assembled, kernel) {
		arithmetic(kernel, n)
		return 0
	}
	var r0, r1 float32
	a, b := float32(1.2345678e-6), float32(1.2345678e-3)
	for i := 0; i < n; i += 2 {
		// Two of each in a turn, on values that the compiler cannot take out of the loop.
		u, w := math.Float32bits(a), math.Float32bits(b)
		a0, b0 := math.Float32frombits(u+uint32(i)), math.Float32frombits(w+uint32(i))
		a1, b1 := math.Float32frombits(u-uint32(i)), math.Float32frombits(w-uint32(i))
		r0 = float32(math.Sqrt(float64(a0))) + a1/b1
		r1 = float32(math.Sqrt(float64(a1))) + b0/a0
	}
	return r0 + r1
}

// Arithmetic64 is Arithmetic of float64.
func Arithmetic64(kernel string, n int) float64 {
	n &^= Block - 1
	if slices.Contains(assembled, kernel) {
		arithmetic64(kernel, n)
		return 0
	}
	var r0, r1 float64
	u, w := math.Float64bits(1.2345678e-6), math.Float64bits(1.2345678e-3)
	for i := 0; i < n; i += 2 {
		a0, b0 := math.Float64frombits(u+uint64(i)), math.Float64frombits(w+uint64(i))
		a1, b1 := math.Float64frombits(u-uint64(i)), math.Float64frombits(w-uint64(i))
		r0 = math.Sqrt(a0) + a1/b1
		r1 = math.Sqrt(a1) + b0/a0
	}
	return r0 + r1
}
