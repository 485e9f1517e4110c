//go:build gc && !purego && !noasm

package adam

import (
	"encoding/binary"
	"slices"
	"unsafe"

	"github.com/fusedadam/adam/internal/selection"
	"golang.org/x/sys/cpu"
)

// The kernels in assembly; their indices in kernels.
const (
	avx512 = iota
	avx512vl
	avx2
)

var assembled = []selection.Kernel{
	avx512:   {Name: "avx512", Needs: flags512},
	avx512vl: {Name: "avx512vl", Needs: append(flags512, avx2Flag)},
	avx2:     {Name: "avx2", Needs: []selection.Flag{avxFlag, avx2Flag}},
}

var (
	avxFlag  = selection.Flag{Name: "avx", Have: cpu.X86.HasAVX} // VZEROUPPER
	avx2Flag = selection.Flag{Name: "avx2", Have: cpu.X86.HasAVX2}

	flags512 = []selection.Flag{
		avxFlag,
		{Name: "avx512", Have: cpu.X86.HasAVX512},
		{Name: "avx512f", Have: cpu.X86.HasAVX512F},
		{Name: "avx512bw", Have: cpu.X86.HasAVX512BW},
		{Name: "avx512dq", Have: cpu.X86.HasAVX512DQ},
		{Name: "avx512vl", Have: cpu.X86.HasAVX512VL},
	}
)

// A choice says what is best on some CPUs.
type choice struct {
	cpus   string   // in words
	kin    string   // the CPUs that were measured in their place; "" if they were themselves
	vendor string   // of CPUID; "" stands for all
	family int      // 0 for all
	models [][2]int // from, to; nil for all
	kernel int      // where it can run
	ahead  int      // bytes that the steps of all kernels prefetch ahead
}

// The first that fits the CPU is taken. CPUs that nobody measured take what their nearest kin takes
// that somebody did. Figures are of float32 and AdamW.
var choices = []choice{
	// From 256 elements to 1 Mi, avx512vl takes 1.02 to 1.09 times as long as avx512, avx2 1.06 to
	// 1.12 times. Prefetching 256 to 448 bytes ahead makes a step up to an eighth faster between
	// the caches and the memory, and no slower in cache. With 640 to 2048 it takes 1.2 to 1.3 times
	// as long as with 320 at 4 Mi.
	{"AMD Zen 4", "", "AuthenticAMD", 25, [][2]int{{0x10, 0x1f}, {0x60, 0x7f}, {0xa0, 0xaf}},
		avx512, 320},

	// In cache avx512vl and avx2 take twice as long as avx512, and in memory the three are equal.
	// From 128 bytes to 640 the distance makes no difference beyond noise. With 768 to 2048 a step
	// takes 1.2 to 1.5 times as long as with 320 at 1 Mi, and 1.1 to 1.3 times at 4 Mi.
	{"AMD Zen 5", "", "AuthenticAMD", 26, [][2]int{{0x00, 0x4f}, {0x60, 0x7f}}, avx512, 320},
	{"other AMD CPUs", "Zen 4", "AuthenticAMD", 0, nil, avx512, 320},

	// After 0.7 ms without 512-bit vectors, avx512 takes 2.3 times as long for its first 120 µs:
	// 0.86 ns an element at 128 Ki, where avx512vl takes 0.56. Warm and in cache the two are equal,
	// the divider being the limit. At 64 Mi avx512 takes 1.17 at both distances, avx512vl 1.12 at
	// 320 and 1.07 at 1024, avx2 1.13 and 1.05; in cache there is no difference.
	{"Intel Ice Lake servers", "", "GenuineIntel", 6, [][2]int{{106, 106}, {108, 108}},
		avx512vl, 1024},

	// Warm and in cache the two are equal here, too, and so is the first step after scalar code but
	// for 64 Ki elements to 256 Ki, where avx512 takes 1.1 times as long. Steps with moments of 16
	// and 8 bits, bound by the number of their instructions, take 0.8 to 0.95 of the time with it.
	{"Intel Emerald Rapids", "", "GenuineIntel", 6, [][2]int{{207, 207}}, avx512, 1024},
	{"Intel Sapphire Rapids and Granite Rapids", "Emerald Rapids", "GenuineIntel", 6,
		[][2]int{{143, 143}, {173, 174}}, avx512, 1024},
	{"other Intel CPUs", "Ice Lake", "GenuineIntel", 0, nil, avx512vl, 1024},

	{"CPUs of other makers", "Zen 4", "", 0, nil, avx512, 320},
}

var (
	taken = choose(identify())
	best  = taken.kernel
	ahead = taken.ahead // read by the assembly
)

func init() {
	selection.Chosen = selection.Choice{CPUs: taken.cpus, Kin: taken.kin, Ahead: taken.ahead}
	selection.Optional = []selection.Flag{{Name: "f16c", Have: f16c}}
}

// choose returns the first choice that fits a CPU.
func choose(vendor string, family, model int) choice {
	return choices[slices.IndexFunc(choices, func(c choice) bool {
		return (c.vendor == "" || c.vendor == vendor) && (c.family == 0 || c.family == family) &&
			(c.models == nil || slices.ContainsFunc(c.models, func(m [2]int) bool {
				return m[0] <= model && model <= m[1]
			}))
	})]
}

// identify returns who made the CPU, its family and its model.
func identify() (vendor string, family, model int) {
	_, b, c, d := cpuid(0)
	var name []byte
	for _, x := range []uint32{b, d, c} {
		name = binary.LittleEndian.AppendUint32(name, x)
	}
	signature, _, _, _ := cpuid(1)
	family, model = familyAndModel(signature)
	return string(name), family, model
}

// familyAndModel reads CPUID's signature as Intel's and AMD's manuals say.
func familyAndModel(signature uint32) (family, model int) {
	family, model = int(signature>>8&0xf), int(signature>>4&0xf)
	if family == 6 || family == 15 {
		model += int(signature >> 16 & 0xf << 4)
	}
	if family == 15 {
		family += int(signature >> 20 & 0xff)
	}
	return family, model
}

// cpuid returns EAX, EBX, ECX and EDX of a leaf.
func cpuid(leaf uint32) (a, b, c, d uint32)

// stepTile runs the kernel in use. It is an ordinary Go function, where the garbage collector can
// stop the goroutine between two tiles; direct calls in a switch keep c from escaping to
// the heap.
//
//go:noinline
func (c *coeffs) stepTile(p, g, m, v, x []float32) {
	p0, g0, m0 := unsafe.SliceData(p), unsafe.SliceData(g), unsafe.SliceData(m)
	v0, x0, n := unsafe.SliceData(v), unsafe.SliceData(x), len(p)
	switch active {
	case avx512:
		stepAVX512(p0, g0, m0, v0, x0, n, c)
	case avx512vl:
		stepAVX512VL(p0, g0, m0, v0, x0, n, c)
	case avx2:
		stepAVX2(p0, g0, m0, v0, x0, n, c)
	default:
		stepGeneric(p, g, m, v, x, c)
	}
}

// stepRuns is stepTile of runs.
//
//go:noinline
func stepRuns(p, g, m, v, x []float32, runs []run, c *coeffs) {
	p0, g0, m0 := unsafe.SliceData(p), unsafe.SliceData(g), unsafe.SliceData(m)
	v0, x0, r0, k := unsafe.SliceData(v), unsafe.SliceData(x), unsafe.SliceData(runs), len(runs)
	switch active {
	case avx512:
		stepRunsAVX512(p0, g0, m0, v0, x0, r0, k, c)
	case avx512vl:
		stepRunsAVX512VL(p0, g0, m0, v0, x0, r0, k, c)
	case avx2:
		stepRunsAVX2(p0, g0, m0, v0, x0, r0, k, c)
	default:
		stepRunsGeneric(p, g, m, v, x, runs, c)
	}
}

// stepAVX512 does what stepGeneric does, for n elements at each pointer: any n ≥ 0, any alignment;
// x is read and written with c.amsgrad only.
//
//go:noescape
func stepAVX512(p, grad, m, v, x *float32, n int, c *coeffs)

// stepAVX512VL is stepAVX512 on vectors of 256 bits. Where it is the kernel in use, the small
// kernels are those of AVX2, which have no vector of 512 bits either.
//
//go:noescape
func stepAVX512VL(p, grad, m, v, x *float32, n int, c *coeffs)

// stepAVX2 is stepAVX512 in AVX2.
//
//go:noescape
func stepAVX2(p, grad, m, v, x *float32, n int, c *coeffs)

// stepRunsAVX512 does what stepRunsGeneric does.
//
//go:noescape
func stepRunsAVX512(p, grad, m, v, x *float32, runs *run, k int, c *coeffs)

//go:noescape
func stepRunsAVX512VL(p, grad, m, v, x *float32, runs *run, k int, c *coeffs)

//go:noescape
func stepRunsAVX2(p, grad, m, v, x *float32, runs *run, k int, c *coeffs)

// stepTile is that of coeffs.
//
//go:noinline
func (c *coeffs64) stepTile(p, g, m, v, x []float64) {
	p0, g0, m0 := unsafe.SliceData(p), unsafe.SliceData(g), unsafe.SliceData(m)
	v0, x0, n := unsafe.SliceData(v), unsafe.SliceData(x), len(p)
	switch active {
	case avx512:
		step64AVX512(p0, g0, m0, v0, x0, n, c)
	case avx512vl:
		step64AVX512VL(p0, g0, m0, v0, x0, n, c)
	case avx2:
		step64AVX2(p0, g0, m0, v0, x0, n, c)
	default:
		stepGeneric64(p, g, m, v, x, c)
	}
}

// step64AVX512 does what stepGeneric64 does, in the same way as stepAVX512.
//
//go:noescape
func step64AVX512(p, grad, m, v, x *float64, n int, c *coeffs64)

//go:noescape
func step64AVX512VL(p, grad, m, v, x *float64, n int, c *coeffs64)

// step64AVX2 is step64AVX512 in AVX2.
//
//go:noescape
func step64AVX2(p, grad, m, v, x *float64, n int, c *coeffs64)

// The small kernels, for whole blocks.

func sumSquaresBlocks(g []float32, sums *partialSums) {
	switch active {
	case avx512:
		sumSquaresAVX512(unsafe.SliceData(g), len(g), sums)
	case avx512vl, avx2:
		sumSquaresAVX2(unsafe.SliceData(g), len(g), sums)
	default:
		sumSquaresGeneric(g, sums)
	}
}

func clampBlocks(d, g []float32, s, limit float32) {
	switch active {
	case avx512:
		clampAVX512(unsafe.SliceData(d), unsafe.SliceData(g), len(g), s, limit)
	case avx512vl, avx2:
		clampAVX2(unsafe.SliceData(d), unsafe.SliceData(g), len(g), s, limit)
	default:
		clampGeneric(d, g, s, limit)
	}
}

func averageBlocks(e, p []float32, c float32) {
	switch active {
	case avx512:
		averageAVX512(unsafe.SliceData(e), unsafe.SliceData(p), len(e), c)
	case avx512vl, avx2:
		averageAVX2(unsafe.SliceData(e), unsafe.SliceData(p), len(e), c)
	default:
		averageGeneric(e, p, c)
	}
}

func addBlocks(to, from []float32) {
	switch active {
	case avx512, avx512vl, avx2:
		addAVX(unsafe.SliceData(to), unsafe.SliceData(from), len(to))
	default:
		addGeneric(to, from)
	}
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

// addAVX is that of all kernels: 512 bits make it slower.
//
//go:noescape
func addAVX(to, from *float32, n int)

// The same of float64.

func sumSquaresBlocks64(g []float64, sums *partialSums) {
	switch active {
	case avx512:
		sumSquares64AVX512(unsafe.SliceData(g), len(g), sums)
	case avx512vl, avx2:
		sumSquares64AVX2(unsafe.SliceData(g), len(g), sums)
	default:
		sumSquaresGeneric64(g, sums)
	}
}

func clampBlocks64(d, g []float64, s, limit float64) {
	switch active {
	case avx512:
		clamp64AVX512(unsafe.SliceData(d), unsafe.SliceData(g), len(g), s, limit)
	case avx512vl, avx2:
		clamp64AVX2(unsafe.SliceData(d), unsafe.SliceData(g), len(g), s, limit)
	default:
		clampGeneric64(d, g, s, limit)
	}
}

func averageBlocks64(e, p []float64, c float64) {
	switch active {
	case avx512:
		average64AVX512(unsafe.SliceData(e), unsafe.SliceData(p), len(e), c)
	case avx512vl, avx2:
		average64AVX2(unsafe.SliceData(e), unsafe.SliceData(p), len(e), c)
	default:
		averageGeneric64(e, p, c)
	}
}

func addBlocks64(to, from []float64) {
	switch active {
	case avx512, avx512vl, avx2:
		add64AVX(unsafe.SliceData(to), unsafe.SliceData(from), len(to))
	default:
		addGeneric(to, from)
	}
}

//go:noescape
func sumSquares64AVX512(grad *float64, n int, sums *partialSums)

//go:noescape
func sumSquares64AVX2(grad *float64, n int, sums *partialSums)

//go:noescape
func clamp64AVX512(d, grad *float64, n int, s, limit float64)

//go:noescape
func clamp64AVX2(d, grad *float64, n int, s, limit float64)

//go:noescape
func average64AVX512(e, p *float64, n int, c float64)

//go:noescape
func average64AVX2(e, p *float64, n int, c float64)

//go:noescape
func add64AVX(to, from *float64, n int)

// The bits of MXCSR that change results or raise signals, and their values when a program starts:
// exceptions masked, rounding to nearest, subnormals kept. The others are flags.
const (
	modeBits  = 0xffc0
	usualMode = 0x1f80
)

// controlRegister returns the thread's MXCSR.
func controlRegister() uint32

// setControlRegister sets it and returns what it was.
func setControlRegister(value uint32) (before uint32)

// describeMode says in words what is unusual about a mode.
func describeMode(mode uint32) string {
	var list []string
	if mode&(1<<15) != 0 {
		list = append(list, "flush-to-zero")
	}
	if mode&(1<<6) != 0 {
		list = append(list, "denormals-are-zero")
	}
	rounding := []string{"", "rounding down", "rounding up", "rounding to zero"}
	list = append(list, rounding[mode>>13&3])
	return modeInWords(list, mode, "MXCSR")
}
