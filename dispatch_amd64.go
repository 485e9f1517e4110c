//go:build !purego && !noasm

package adam

import (
	"unsafe"

	"github.com/fusedadam/adam/internal/selection"
	"golang.org/x/sys/cpu"
)

// The kernels in assembly, best first; their indices in kernels.
const (
	avx512 = iota
	avx2
)

var assembled = []selection.Kernel{
	avx512: {Name: "avx512", Needs: []selection.Flag{
		{Name: "avx", Have: cpu.X86.HasAVX}, // VZEROUPPER
		{Name: "avx512", Have: cpu.X86.HasAVX512},
		{Name: "avx512f", Have: cpu.X86.HasAVX512F},
		{Name: "avx512bw", Have: cpu.X86.HasAVX512BW},
		{Name: "avx512dq", Have: cpu.X86.HasAVX512DQ},
		{Name: "avx512vl", Have: cpu.X86.HasAVX512VL},
	}},
	avx2: {Name: "avx2", Needs: []selection.Flag{
		{Name: "avx", Have: cpu.X86.HasAVX},
		{Name: "avx2", Have: cpu.X86.HasAVX2},
	}},
}

// stepTile runs the kernel in use. It is an ordinary Go function, where the garbage collector can
// stop the goroutine between two tiles; the switch with direct calls keeps c from escaping to the heap.
//
//go:noinline
func stepTile(p, g, m, v, x []float32, c *coeffs) {
	p0, g0, m0 := unsafe.SliceData(p), unsafe.SliceData(g), unsafe.SliceData(m)
	v0, x0, n := unsafe.SliceData(v), unsafe.SliceData(x), len(p)
	switch active {
	case avx512:
		stepAVX512(p0, g0, m0, v0, x0, n, c)
	case avx2:
		stepAVX2(p0, g0, m0, v0, x0, n, c)
	default:
		stepGeneric(p, g, m, v, x, c)
	}
}

// stepAVX512 does what stepGeneric does, for n elements at each pointer: any n ≥ 0, any alignment;
// x is read and written with c.amsgrad only.
//
//go:noescape
func stepAVX512(p, grad, m, v, x *float32, n int, c *coeffs)

// stepAVX2 is stepAVX512 in AVX2.
//
//go:noescape
func stepAVX2(p, grad, m, v, x *float32, n int, c *coeffs)

// The small kernels in assembly work on whole blocks; what is over, the generic ones do.

func sumSquaresTile(g []float32, sums *partialSums) {
	g0, n := unsafe.SliceData(g), len(g)&^(block-1)
	switch active {
	case avx512:
		sumSquaresAVX512(g0, n, sums)
	case avx2:
		sumSquaresAVX2(g0, n, sums)
	default:
		n = 0
	}
	sumSquaresGeneric(g[n:], sums)
}

func clampTile(d, g []float32, s, limit float32) {
	d0, g0, n := unsafe.SliceData(d), unsafe.SliceData(g), len(g)&^(block-1)
	switch active {
	case avx512:
		clampAVX512(d0, g0, n, s, limit)
	case avx2:
		clampAVX2(d0, g0, n, s, limit)
	default:
		n = 0
	}
	clampGeneric(d[n:], g[n:], s, limit)
}

func averageTile(e, p []float32, c float32) {
	e0, p0, n := unsafe.SliceData(e), unsafe.SliceData(p), len(e)&^(block-1)
	switch active {
	case avx512:
		averageAVX512(e0, p0, n, c)
	case avx2:
		averageAVX2(e0, p0, n, c)
	default:
		n = 0
	}
	averageGeneric(e[n:], p[n:], c)
}

//go:noescape
func sumSquaresAVX512(grad *float32, n int, sums *partialSums)

//go:noescape
func sumSquaresAVX2(grad *float32, n int, sums *partialSums)

//go:noescape
func clampAVX512(d, grad *float32, n int, s, limit float32)

//go:noescape
func clampAVX2(d, grad *float32, n int, s, limit float32)

//go:noescape
func averageAVX512(e, p *float32, n int, c float32)

//go:noescape
func averageAVX2(e, p *float32, n int, c float32)
