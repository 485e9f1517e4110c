//go:build gc && linux && go1.26 && !purego && !noasm

package adam

import (
	"encoding/binary"
	"os"
	"syscall"
	"unsafe"

	"github.com/fusedadam/adam/internal/selection"
)

// The kernel in assembly; its index in kernels.
const rvv = 0

var assembled = []selection.Kernel{
	rvv: {Name: "rvv", Needs: []selection.Flag{{Name: "v", Have: hasVectors()}}},
}

const best = rvv

// hasVectors reports whether the CPUs have RVV 1.0 and this process may use it. x/sys/cpu, which
// looks at hwprobe only, has RISCV64 in versions that are too new for go.mod. The numbers are those
// of Linux, Documentation/arch/riscv: hwprobe.rst and vector.rst.
func hasVectors() bool {
	const (
		getVectorControl    = 70 // of prctl
		current, off        = 3, 1
		hwprobe             = 258
		extensions, vectors = 4, 1 << 2 // RISCV_HWPROBE_KEY_IMA_EXT_0 and its IMA_V
	)
	control, _, err := syscall.RawSyscall6(syscall.SYS_PRCTL, getVectorControl, 0, 0, 0, 0, 0)
	if err == 0 && control&current == off {
		return false
	}
	pair := struct {
		key   int64
		value uint64
	}{key: extensions}
	_, _, err = syscall.RawSyscall6(hwprobe, uintptr(unsafe.Pointer(&pair)), 1, 0, 0, 0, 0)
	if err == 0 {
		return pair.value&vectors != 0
	}
	// An older system, or an emulator or a sandbox without the call: the V there may also be that
	// of the draft 0.7.1, which has other instructions, but VSETVLI as well.
	auxv, _ := os.ReadFile("/proc/self/auxv")
	return letterV(auxv) && vectorType() >= 0
}

// letterV reports whether the auxiliary vector of a process has the letter V of the CPUs' names.
func letterV(auxv []byte) bool {
	const hwcap, v = 16, 1 << ('V' - 'A')
	for ; len(auxv) >= 16; auxv = auxv[16:] {
		if binary.NativeEndian.Uint64(auxv) == hwcap {
			return binary.NativeEndian.Uint64(auxv[8:])&v != 0
		}
	}
	return false
}

// vectorType sets a type of vectors that RVV 0.7.1 does not have and returns the register vtype,
// which is negative (vill) if the CPU does not have it.
func vectorType() int64

// stepTile runs the kernel in use. It is an ordinary Go function, where the garbage collector can
// stop the goroutine between two tiles; the direct call keeps c from escaping to the heap.
//
//go:noinline
func (c *coeffs) stepTile(p, g, m, v, x []float32) {
	if active != rvv {
		stepGeneric(p, g, m, v, x, c)
		return
	}
	stepRVV(unsafe.SliceData(p), unsafe.SliceData(g), unsafe.SliceData(m),
		unsafe.SliceData(v), unsafe.SliceData(x), len(p), c)
}

// stepRuns is stepTile of runs.
//
//go:noinline
func stepRuns(p, g, m, v, x []float32, runs []run, c *coeffs) {
	if active != rvv {
		stepRunsGeneric(p, g, m, v, x, runs, c)
		return
	}
	stepRunsRVV(unsafe.SliceData(p), unsafe.SliceData(g), unsafe.SliceData(m),
		unsafe.SliceData(v), unsafe.SliceData(x), unsafe.SliceData(runs), len(runs), c)
}

// stepRVV does what stepGeneric does, for n elements at each pointer: any n ≥ 0, any alignment of
// 4 bytes; x is read and written with c.amsgrad only.
//
//go:noescape
func stepRVV(p, grad, m, v, x *float32, n int, c *coeffs)

// stepRunsRVV does what stepRunsGeneric does.
//
//go:noescape
func stepRunsRVV(p, grad, m, v, x *float32, runs *run, k int, c *coeffs)

// stepTile is that of coeffs.
//
//go:noinline
func (c *coeffs64) stepTile(p, g, m, v, x []float64) {
	if active != rvv {
		stepGeneric64(p, g, m, v, x, c)
		return
	}
	step64RVV(unsafe.SliceData(p), unsafe.SliceData(g), unsafe.SliceData(m),
		unsafe.SliceData(v), unsafe.SliceData(x), len(p), c)
}

// step64RVV does what stepGeneric64 does, in the same way as stepRVV.
//
//go:noescape
func step64RVV(p, grad, m, v, x *float64, n int, c *coeffs64)

// The small kernels, for whole blocks.

func sumSquaresBlocks(g []float32, sums *partialSums) {
	if active != rvv {
		sumSquaresGeneric(g, sums)
		return
	}
	sumSquaresRVV(unsafe.SliceData(g), len(g), sums)
}

func clampBlocks(d, g []float32, s, limit float32) {
	if active != rvv {
		clampGeneric(d, g, s, limit)
		return
	}
	clampRVV(unsafe.SliceData(d), unsafe.SliceData(g), len(g), s, limit)
}

func averageBlocks(e, p []float32, c float32) {
	if active != rvv {
		averageGeneric(e, p, c)
		return
	}
	averageRVV(unsafe.SliceData(e), unsafe.SliceData(p), len(e), c)
}

func addBlocks(to, from []float32) {
	if active != rvv {
		addGeneric(to, from)
		return
	}
	addRVV(unsafe.SliceData(to), unsafe.SliceData(from), len(to))
}

//go:noescape
func sumSquaresRVV(grad *float32, n int, sums *partialSums)

//go:noescape
func clampRVV(d, grad *float32, n int, s, limit float32)

//go:noescape
func averageRVV(e, p *float32, n int, c float32)

//go:noescape
func addRVV(to, from *float32, n int)

// The same of float64.

func sumSquaresBlocks64(g []float64, sums *partialSums) {
	if active != rvv {
		sumSquaresGeneric64(g, sums)
		return
	}
	sumSquares64RVV(unsafe.SliceData(g), len(g), sums)
}

func clampBlocks64(d, g []float64, s, limit float64) {
	if active != rvv {
		clampGeneric64(d, g, s, limit)
		return
	}
	clamp64RVV(unsafe.SliceData(d), unsafe.SliceData(g), len(g), s, limit)
}

func averageBlocks64(e, p []float64, c float64) {
	if active != rvv {
		averageGeneric64(e, p, c)
		return
	}
	average64RVV(unsafe.SliceData(e), unsafe.SliceData(p), len(e), c)
}

func addBlocks64(to, from []float64) {
	if active != rvv {
		addGeneric(to, from)
		return
	}
	add64RVV(unsafe.SliceData(to), unsafe.SliceData(from), len(to))
}

//go:noescape
func sumSquares64RVV(grad *float64, n int, sums *partialSums)

//go:noescape
func clamp64RVV(d, grad *float64, n int, s, limit float64)

//go:noescape
func average64RVV(e, p *float64, n int, c float64)

//go:noescape
func add64RVV(to, from *float64, n int)

// The bits of FCSR that change results, the rounding, and their value when a program starts: to
// nearest. The others are flags of exceptions that have been seen.
const (
	modeBits  = 0xe0
	usualMode = 0
)

// controlRegister returns the thread's FCSR.
func controlRegister() uint32

// setControlRegister sets it and returns what it was.
func setControlRegister(value uint32) (before uint32)

// describeMode says in words what is unusual about a mode.
func describeMode(mode uint32) string {
	rounding := []string{"", "rounding to zero", "rounding down", "rounding up",
		"rounding ties away from zero", "no rounding", "no rounding", "no rounding"}
	return modeInWords([]string{rounding[mode>>5]}, mode, "FCSR")
}
