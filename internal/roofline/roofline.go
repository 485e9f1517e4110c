// Package roofline runs the two things that bound an Adam step on a machine, and nothing else: its
// memory traffic and its divisions and square roots. The time of a step cannot be below the longer
// of the two; benchmarks quote it as a share of that.
package roofline

import (
	"math"
	"slices"
	"strconv"
	"unsafe"
)

// Block is the number of elements that both ceilings work in; they leave out the remainder.
const Block = 16

// A Way is a way to make the memory accesses of a step, which no other is the best of everywhere:
// narrow vectors or wide ones, with prefetching or without. The ceiling is the fastest.
type Way struct {
	bits int // of a vector, 0: an element at a time
	ahead
}

// ahead are the distances of prefetching in bytes: into the L1 cache and into L2. 0: none.
type ahead struct{ l1, l2 int }

// Ways returns those of the named kernels of package adam: each width without prefetching, with
// each distance at which a kernel prefetches on any CPU, and with others that can be faster.
func Ways(kernels []string) []Way {
	var list []Way
	for _, k := range kernels {
		w := Way{bits: widths[k]}
		if slices.Contains(list, w) {
			continue
		}
		list = append(list, w)
		for _, w.ahead = range distances {
			if w.bits > 0 {
				list = append(list, w)
			}
		}
	}
	return list
}

// String is such as "512+320": vectors of 512 bits, prefetched 320 bytes ahead.
func (w Way) String() string {
	if w.bits == 0 {
		return "words"
	}
	text := strconv.Itoa(w.bits)
	for _, bytes := range []int{w.l1, w.l2} {
		if bytes > 0 {
			text += "+" + strconv.Itoa(bytes)
		}
	}
	return text
}

// Traffic makes the memory accesses of a step with as little arithmetic as there can be: it reads
// g, p, m and v once and writes p, m and v. What it computes is an exclusive or with g: called
// twice, it restores the slices, and it makes no subnormal that would slow it down. The slices must
// be of one length.
func (w Way) Traffic(p, g, m, v []float32) {
	n := len(p) &^ (Block - 1)
	if n == 0 || len(g) != len(p) || len(m) != len(p) || len(v) != len(p) {
		return
	}
	if w.bits > 0 {
		w.traffic(&p[0], &g[0], &m[0], &v[0], n)
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

// An Order is that of the work in Arithmetic. No one is the fastest everywhere: Zen 4 likes float32
// in Turns, and on Zen 5 they take 1.29 times as long as Pairs. The ceiling is the fastest.
type Order string

const (
	Turns Order = ""       // a root, a division
	Pairs Order = "/pairs" // two roots, two divisions
)

// Orders are all.
var Orders = []Order{Turns, Pairs}

// Arithmetic makes n square roots and n divisions of values as they occur in training, none of
// which waits for another, in vectors as wide as those of the named kernel. Where that is code of
// the compiler, so is the order. The result is of no use but to keep the compiler from leaving the
// work out.
func Arithmetic(kernel string, order Order, n int) float32 {
	n &^= Block - 1
	if arithmetic(kernel, order == Pairs, n) {
		return 0
	}
	return roots(&values, n)
}

// Arithmetic64 is Arithmetic of float64.
func Arithmetic64(kernel string, order Order, n int) float64 {
	n &^= Block - 1
	if arithmetic64(kernel, order == Pairs, n) {
		return 0
	}
	return roots(&values64, n)
}

// values are some as they occur in training: of v, and as many of m.
var (
	values   [2][Block]float32
	values64 [2][Block]float64
)

func init() {
	for i := range Block {
		x := 1 + float64(i)/Block
		values[0][i], values[1][i] = float32(1.2e-6*x), float32(1.2e-3/x)
		values64[0][i], values64[1][i] = 1.2e-6*x, 1.2e-3/x
	}
}

// roots makes n square roots and divisions, Block at a time.
func roots[F float32 | float64](values *[2][Block]F, n int) (sum F) {
	for ; n > 0; n -= Block {
		for i, v := range &values[0] {
			sum += F(math.Sqrt(float64(v))) + values[1][i]/v
		}
	}
	return sum
}
