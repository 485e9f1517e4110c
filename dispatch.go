package adam

import (
	"fmt"
	"math"
	"os"
	"runtime"
	"slices"
	"strings"

	"github.com/fusedadam/adam/internal/selection"
)

// Kernel returns the name of the kernel in use: "avx512", "avx512vl", "avx2", "neon", "rvv" or
// "generic".
func Kernel() string { return kernels[active].Name }

// Kernels returns the names of all kernels that this CPU can run, best first; "generic" is always
// the last.
func Kernels() []string {
	var names []string
	for _, k := range ranking {
		if len(k.Missing()) == 0 {
			names = append(names, k.Name)
		}
	}
	return names
}

var (
	kernels = append(assembled, selection.Kernel{Name: selection.Generic})
	ranking = selection.Rank(kernels, best) // best first
	request = os.Getenv("ADAM_KERNEL")
	active  = index(request) // of the kernel in use
)

// index returns the index in kernels of the one that is chosen on request.
func index(request string) int {
	name := ranking[selection.Choose(ranking, request)].Name
	return slices.IndexFunc(kernels, func(k selection.Kernel) bool { return k.Name == name })
}

func init() {
	selection.Kernels, selection.Request, selection.Tile = ranking, request, tile
	selection.Mode = func() string { return describeMode(controlRegister() & modeBits) }
	selection.Use = func(name string) string {
		before, i := Kernel(), index(name)
		if kernels[i].Name != name {
			panic("adam: this machine cannot run kernel " + name)
		}
		active = i
		return before
	}
}

// coeffs holds the scalars of one step as the kernels read them (the field offsets reach the
// assembly through go_asm.h).
type coeffs struct {
	s      float32 // gradient multiplier
	lambda float32 // L2 weight decay
	b1, c1 float32 // Beta1, 1-Beta1
	b2, c2 float32 // Beta2, 1-Beta2
	alpha  float32 // LR with both bias corrections
	eps    float32 // Eps with the second moment's bias correction, unless EpsUncorrected
	kappa  float32 // decoupled weight decay: parameters shrink by this factor
	live   uint32  // a moment m with bits(m)&live == 0 is stored as +0

	l2, amsgrad bool // which of the four variants of the kernel runs
}

// exponent masks the bits of a float32 that are all zero in zeros and subnormals.
const exponent = 0x7f800000

// Eps from which a subnormal moment cannot matter, so that it is stored as zero: √v of a subnormal
// v is below 2^-63 and vanishes beside ε, the more so where ε is not multiplied by q ≤ 1.
const flushEps = 1.0 / (1 << 34)

// set computes the scalars of step t (1 for the first), with scale as the multiplier of the
// gradients.
func (k *coeffs) set(c *Config, t uint64, scale float64) {
	usually(func() { k.compute(c, t, scale) })
}

// compute computes in float64 and rounds each scalar to float32 once. Products that meet a sum
// stand in float64(…), or some compilers fuse them, and no function of package math is used but
// Sqrt: the bits are the same on every architecture.
func (k *coeffs) compute(c *Config, t uint64, scale float64) {
	alpha, eps, kappa := corrected(c, 1-power(c.Beta1, t), 1-power(c.Beta2, t))
	k.b1, k.c1 = float32(c.Beta1), float32(1-c.Beta1)
	k.b2, k.c2 = float32(c.Beta2), float32(1-c.Beta2)
	k.alpha, k.eps, k.kappa = float32(alpha), float32(eps), float32(kappa)
	k.l2 = !c.Decoupled && c.WeightDecay != 0
	k.lambda = float32(c.WeightDecay)
	k.amsgrad = c.AMSGrad
	k.s, k.live = float32(scale), 0xffffffff
	if c.Maximize {
		k.s = -k.s
	}
	if k.s != k.s { // with zeros in its lower half: fused steps round the NaNs that come from it
		k.s = math.Float32frombits(0x7fc00000)
	}
	if c.Eps >= flushEps {
		k.live = exponent
	}
}

// corrected computes α, ε and κ from the bias corrections q1 = 1-Beta1^t and q2 = 1-Beta2^t.
func corrected(c *Config, q1, q2 float64) (alpha, eps, kappa float64) {
	q := math.Sqrt(q2)
	kappa = 1
	if c.Decoupled {
		kappa = 1 - float64(c.LR*c.WeightDecay)
	}
	eps = c.Eps * q
	if c.EpsUncorrected {
		eps = c.Eps
	}
	return c.LR * q / q1, eps, kappa
}

// power returns β^t by binary exponentiation, least significant bit first, in plain float64
// products. Where β^t ≤ exp(-t·(1-β)) < 2^-60, of which 1-β^t keeps nothing, it returns 0: products
// that underflow are slow.
func power(beta float64, t uint64) float64 {
	if float64(t)*(1-beta) > 42 {
		return 0
	}
	const one = 0x3ff0000000000000 // bits of 1.0
	r := 1.0
	for ; t != 0; t >>= 1 {
		// A bit that is not set multiplies by 1: a branch on it would often be mispredicted.
		r *= math.Float64frombits(one ^ (one^math.Float64bits(beta))&-(t&1))
		beta *= beta
	}
	return r
}

// tile is the number of elements of one kernel call: few enough that the garbage collector, which
// cannot stop assembly, waits microseconds, and that a tile stays in a core's own cache; enough
// that the call costs nothing.
const tile = 8 << 10

// step runs the kernel over the slices; x is empty without AMSGrad.
func step(p, g, m, v, x []float32, c *coeffs) {
	raceWrite(p)
	raceRead(g)
	raceWrite(m)
	raceWrite(v)
	raceWrite(x)
	c.stepAll(p, g, m, v, x)
}

// stepAll is stepTile of any number of elements, tile by tile. Little is done between two tiles: in
// memory each instruction there delays the loads of the next one.
func (c *coeffs) stepAll(p, g, m, v, x []float32) {
	for len(p) > tile {
		c.stepTile(p[:tile], g[:tile], m[:tile], v[:tile], x[:min(tile, len(x))])
		p, g, m, v, x = p[tile:], g[tile:], m[tile:], v[tile:], x[min(tile, len(x)):]
	}
	c.stepTile(p, g, m, v, x)
}

// A run is a part of a tensor: the elements from one index on, to before another. The field offsets
// reach the assembly through go_asm.h.
type run struct{ from, to int }

// block is the number of elements that the small kernels in assembly work in. What remains of a
// slice goes through one more block of its own, so that all arithmetic is the kernel's.
const block = len(partialSums{})

// sumSquares returns the sum of the squares of a tile, in float64: the element at i belongs to
// partial sum i mod 32, and the partial sums are added in halves. It is finite if and only if all
// elements are.
func sumSquares(g []float32) float64 {
	var sums partialSums
	addSquares(g, &sums)
	return sums.total()
}

// addSquares adds the squares of a tile, or of a piece of one that begins at a whole block.
func addSquares(g []float32, sums *partialSums) {
	n := len(g) &^ (block - 1)
	sumSquaresBlocks(g[:n], sums)
	if n < len(g) {
		var last [block]float32 // its zeros add nothing
		copy(last[:], g[n:])
		sumSquaresBlocks(last[:], sums)
	}
}

// total adds the partial sums in halves.
func (sums *partialSums) total() (sum float64) {
	usually(func() {
		var s [block / 2]float64 // sums stays, in case this is done twice
		for i := range s {
			s[i] = sums[i] + sums[i+len(s)]
		}
		for half := len(s) / 2; half > 0; half /= 2 {
			for i := range half {
				s[i] += s[i+half]
			}
		}
		sum = s[0]
	})
	return sum
}

// clampTile sets d to s·g, clamped to ±limit; a NaN stays one.
func clampTile(d, g []float32, s, limit float32) {
	n := len(g) &^ (block - 1)
	clampBlocks(d[:n], g[:n], s, limit)
	if n < len(g) {
		var last [block]float32
		copy(last[:], g[n:])
		clampBlocks(last[:], last[:], s, limit)
		copy(d[n:len(g)], last[:])
	}
}

// averageTile moves e by the part c of its way to p.
func averageTile(e, p []float32, c float32) {
	n := len(e) &^ (block - 1)
	averageBlocks(e[:n], p[:n], c)
	if n < len(e) {
		var last, to [block]float32
		copy(last[:], e[n:])
		copy(to[:], p[n:])
		averageBlocks(last[:], to[:], c)
		copy(e[n:], last[:])
	}
}

// usually calls f in the usual floating-point mode: rounding to nearest, subnormals kept. The
// kernels in assembly see to that themselves; this is for the scalars, which Go computes. f must be
// short. It is called again if the goroutine has moved to a thread in another mode meanwhile. A
// move there and back would go unseen; it takes two preemptions within a fraction of a microsecond.
func usually(f func()) {
	if controlRegister()&modeBits == usualMode {
		if f(); controlRegister()&modeBits == usualMode {
			return
		}
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer setControlRegister(setControlRegister(usualMode))
	f()
}

// modeInWords joins what is unusual about a mode.
func modeInWords(list []string, mode uint32, register string) string {
	list = slices.DeleteFunc(list, func(s string) bool { return s == "" })
	switch {
	case mode == usualMode:
		return "usual"
	case len(list) == 0:
		list = []string{"trapped exceptions"}
	}
	return fmt.Sprintf("%s (%s %#x)", strings.Join(list, ", "), register, mode)
}
