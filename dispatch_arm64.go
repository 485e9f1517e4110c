//go:build !purego && !noasm

package adam

import (
	"unsafe"

	"github.com/fusedadam/adam/internal/selection"
	"golang.org/x/sys/cpu"
)

// The kernel in assembly; its index in kernels.
const neon = 0

var assembled = []selection.Kernel{
	neon: {Name: "neon", Needs: []selection.Flag{{Name: "asimd", Have: cpu.ARM64.HasASIMD}}},
}

// stepTile runs the kernel in use. It is an ordinary Go function, where the garbage collector can
// stop the goroutine between two tiles; the direct call keeps c from escaping to the heap.
//
//go:noinline
func stepTile(p, g, m, v, x []float32, c *coeffs) {
	if active != neon {
		stepGeneric(p, g, m, v, x, c)
		return
	}
	stepNEON(unsafe.SliceData(p), unsafe.SliceData(g), unsafe.SliceData(m), unsafe.SliceData(v), unsafe.SliceData(x), len(p), c)
}

// stepNEON does what stepGeneric does, for n elements at each pointer: any n ≥ 0, any alignment of 4
// bytes; x is read and written with c.amsgrad only.
//
//go:noescape
func stepNEON(p, grad, m, v, x *float32, n int, c *coeffs)

// The small kernels in assembly work on whole blocks; what is over, the generic ones do.

func sumSquaresTile(g []float32, sums *partialSums) {
	n := 0
	if active == neon {
		n = len(g) &^ (block - 1)
		sumSquaresNEON(unsafe.SliceData(g), n, sums)
	}
	sumSquaresGeneric(g[n:], sums)
}

func clampTile(d, g []float32, s, limit float32) {
	n := 0
	if active == neon {
		n = len(g) &^ (block - 1)
		clampNEON(unsafe.SliceData(d), unsafe.SliceData(g), n, s, limit)
	}
	clampGeneric(d[n:], g[n:], s, limit)
}

func averageTile(e, p []float32, c float32) {
	n := 0
	if active == neon {
		n = len(e) &^ (block - 1)
		averageNEON(unsafe.SliceData(e), unsafe.SliceData(p), n, c)
	}
	averageGeneric(e[n:], p[n:], c)
}

//go:noescape
func sumSquaresNEON(grad *float32, n int, sums *partialSums)

//go:noescape
func clampNEON(d, grad *float32, n int, s, limit float32)

//go:noescape
func averageNEON(e, p *float32, n int, c float32)
