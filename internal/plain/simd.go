//go:build go1.26 && goexperiment.simd && amd64

package plain

import (
	"math"
	"simd/archsimd"
)

func init() {
	if archsimd.X86.AVX512() {
		SIMD = append(SIMD, Loop{"simd512", step512})
	}
	if archsimd.X86.AVX2() && archsimd.X86.FMA() {
		SIMD = append(SIMD, Loop{"simd256", step256})
	}
}

// scalars puts the bias corrections where they cost no division per element, as a program does that
// cares for vectors: p = keep·p - rate·m/(√(correct·v) + eps). Both loops then divide as often as
// package adam does. They advance the slices, which leaves no checks of bounds inside.
func scalars(t int, lr, beta1, beta2, decay float32) (keep, rate, correct float32) {
	correction1 := 1 - float32(math.Pow(float64(beta1), float64(t)))
	correction2 := 1 - float32(math.Pow(float64(beta2), float64(t)))
	return 1 - lr*decay, lr / correction1, 1 / correction2
}

func step512(p, g, m, v []float32, t int, lr, beta1, beta2, eps, decay float32) {
	keep, rate, correct := scalars(t, lr, beta1, beta2, decay)
	b1, c1 := archsimd.BroadcastFloat32x16(beta1), archsimd.BroadcastFloat32x16(1-beta1)
	b2, c2 := archsimd.BroadcastFloat32x16(beta2), archsimd.BroadcastFloat32x16(1-beta2)
	k, r := archsimd.BroadcastFloat32x16(keep), archsimd.BroadcastFloat32x16(rate)
	c, e := archsimd.BroadcastFloat32x16(correct), archsimd.BroadcastFloat32x16(eps)
	for len(p) >= 16 && len(g) >= 16 && len(m) >= 16 && len(v) >= 16 {
		gi := archsimd.LoadFloat32x16Slice(g)
		mi := b1.MulAdd(archsimd.LoadFloat32x16Slice(m), c1.Mul(gi))
		vi := b2.MulAdd(archsimd.LoadFloat32x16Slice(v), c2.Mul(gi).Mul(gi))
		mi.StoreSlice(m)
		vi.StoreSlice(v)
		d := r.Mul(mi).Div(c.Mul(vi).Sqrt().Add(e))
		k.Mul(archsimd.LoadFloat32x16Slice(p)).Sub(d).StoreSlice(p)
		p, g, m, v = p[16:], g[16:], m[16:], v[16:]
	}
	archsimd.ClearAVXUpperBits()
	if len(p) > 0 {
		Step(p, g, m, v, t, lr, beta1, beta2, eps, decay)
	}
}

func step256(p, g, m, v []float32, t int, lr, beta1, beta2, eps, decay float32) {
	keep, rate, correct := scalars(t, lr, beta1, beta2, decay)
	b1, c1 := archsimd.BroadcastFloat32x8(beta1), archsimd.BroadcastFloat32x8(1-beta1)
	b2, c2 := archsimd.BroadcastFloat32x8(beta2), archsimd.BroadcastFloat32x8(1-beta2)
	k, r := archsimd.BroadcastFloat32x8(keep), archsimd.BroadcastFloat32x8(rate)
	c, e := archsimd.BroadcastFloat32x8(correct), archsimd.BroadcastFloat32x8(eps)
	for len(p) >= 8 && len(g) >= 8 && len(m) >= 8 && len(v) >= 8 {
		gi := archsimd.LoadFloat32x8Slice(g)
		mi := b1.MulAdd(archsimd.LoadFloat32x8Slice(m), c1.Mul(gi))
		vi := b2.MulAdd(archsimd.LoadFloat32x8Slice(v), c2.Mul(gi).Mul(gi))
		mi.StoreSlice(m)
		vi.StoreSlice(v)
		d := r.Mul(mi).Div(c.Mul(vi).Sqrt().Add(e))
		k.Mul(archsimd.LoadFloat32x8Slice(p)).Sub(d).StoreSlice(p)
		p, g, m, v = p[8:], g[8:], m[8:], v[8:]
	}
	archsimd.ClearAVXUpperBits()
	if len(p) > 0 {
		Step(p, g, m, v, t, lr, beta1, beta2, eps, decay)
	}
}
