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
