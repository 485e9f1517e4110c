//go:build gc && !purego && !noasm

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

const best = neon

// stepTile runs the kernel in use. It is an ordinary Go function, where the garbage collector can
// stop the goroutine between two tiles; the direct call keeps c from escaping to the heap.
//
//go:noinline
func (c *coeffs) stepTile(p, g, m, v, x []float32) {
	if active != neon {
		stepGeneric(p, g, m, v, x, c)
		return
	}
	stepNEON(unsafe.SliceData(p), unsafe.SliceData(g), unsafe.SliceData(m),
		unsafe.SliceData(v), unsafe.SliceData(x), len(p), c)
}

// stepRuns is stepTile of runs.
//
//go:noinline
func stepRuns(p, g, m, v, x []float32, runs []run, c *coeffs) {
	if active != neon {
		stepRunsGeneric(p, g, m, v, x, runs, c)
		return
	}
	stepRunsNEON(unsafe.SliceData(p), unsafe.SliceData(g), unsafe.SliceData(m),
		unsafe.SliceData(v), unsafe.SliceData(x), unsafe.SliceData(runs), len(runs), c)
}

// stepNEON does what stepGeneric does, for n elements at each pointer: any n ≥ 0, any alignment of
// 4 bytes; x is read and written with c.amsgrad only.
//
//go:noescape
func stepNEON(p, grad, m, v, x *float32, n int, c *coeffs)

// stepRunsNEON does what stepRunsGeneric does.
//
//go:noescape
func stepRunsNEON(p, grad, m, v, x *float32, runs *run, k int, c *coeffs)

// stepTile is that of coeffs.
//
//go:noinline
func (c *coeffs64) stepTile(p, g, m, v, x []float64) {
	if active != neon {
		stepGeneric64(p, g, m, v, x, c)
		return
	}
	step64NEON(unsafe.SliceData(p), unsafe.SliceData(g), unsafe.SliceData(m),
		unsafe.SliceData(v), unsafe.SliceData(x), len(p), c)
}

// step64NEON does what stepGeneric64 does, in the same way as stepNEON.
//
//go:noescape
func step64NEON(p, grad, m, v, x *float64, n int, c *coeffs64)

// The small kernels, for whole blocks.

func sumSquaresBlocks(g []float32, sums *partialSums) {
	if active != neon {
		sumSquaresGeneric(g, sums)
		return
	}
	sumSquaresNEON(unsafe.SliceData(g), len(g), sums)
}

func clampBlocks(d, g []float32, s, limit float32) {
	if active != neon {
		clampGeneric(d, g, s, limit)
		return
	}
	clampNEON(unsafe.SliceData(d), unsafe.SliceData(g), len(g), s, limit)
}

func averageBlocks(e, p []float32, c float32) {
	if active != neon {
		averageGeneric(e, p, c)
		return
	}
	averageNEON(unsafe.SliceData(e), unsafe.SliceData(p), len(e), c)
}

func addBlocks(to, from []float32) {
	if active != neon {
		addGeneric(to, from)
		return
	}
	addNEON(unsafe.SliceData(to), unsafe.SliceData(from), len(to))
}

//go:noescape
func sumSquaresNEON(grad *float32, n int, sums *partialSums)

//go:noescape
func clampNEON(d, grad *float32, n int, s, limit float32)

//go:noescape
func averageNEON(e, p *float32, n int, c float32)

//go:noescape
func addNEON(to, from *float32, n int)

// The same of float64.

func sumSquaresBlocks64(g []float64, sums *partialSums) {
	if active != neon {
		sumSquaresGeneric64(g, sums)
		return
	}
	sumSquares64NEON(unsafe.SliceData(g), len(g), sums)
}

func clampBlocks64(d, g []float64, s, limit float64) {
	if active != neon {
		clampGeneric64(d, g, s, limit)
		return
	}
	clamp64NEON(unsafe.SliceData(d), unsafe.SliceData(g), len(g), s, limit)
}

func averageBlocks64(e, p []float64, c float64) {
	if active != neon {
		averageGeneric64(e, p, c)
		return
	}
	average64NEON(unsafe.SliceData(e), unsafe.SliceData(p), len(e), c)
}

func addBlocks64(to, from []float64) {
	if active != neon {
		addGeneric(to, from)
		return
	}
	add64NEON(unsafe.SliceData(to), unsafe.SliceData(from), len(to))
}

//go:noescape
func sumSquares64NEON(grad *float64, n int, sums *partialSums)

//go:noescape
func clamp64NEON(d, grad *float64, n int, s, limit float64)

//go:noescape
func average64NEON(e, p *float64, n int, c float64)

//go:noescape
func add64NEON(to, from *float64, n int)

// The bits of FPCR that change results or raise signals (FIZ, AH, NEP, the traps, FZ16, RMode, FZ
// and AHP), and their values when a program starts: no traps, rounding to nearest, subnormals kept,
// IEEE half precision.
const (
	modeBits  = 0x05c89f07
	usualMode = 0
)

// controlRegister returns the thread's FPCR.
func controlRegister() uint32

// setControlRegister sets it and returns what it was.
func setControlRegister(value uint32) (before uint32)

// describeMode says in words what is unusual about a mode.
func describeMode(mode uint32) string {
	var list []string
	if mode&(1<<24|1<<19|1) != 0 {
		list = append(list, "flush-to-zero")
	}
	if mode&(1<<26) != 0 {
		list = append(list, "alternative half-precision")
	}
	rounding := []string{"", "rounding up", "rounding down", "rounding to zero"}
	list = append(list, rounding[mode>>22&3])
	return modeInWords(list, mode, "FPCR")
}
