//go:build unix

package adam

import (
	"math/rand/v2"
	"os"
	"testing"
	"unsafe"

	"github.com/fusedadam/adam/internal/operands"
	"github.com/fusedadam/adam/internal/selection"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// guarded returns n floats that end at an inaccessible page, or begin behind one.
func guarded(t *testing.T, n int, atEnd bool) []float32 {
	page := os.Getpagesize()
	data := (4*n + page - 1) / page * page
	memory, err := unix.Mmap(-1, 0, data+2*page, unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_ANON|unix.MAP_PRIVATE)
	require.NoError(t, err)
	t.Cleanup(func() { _ = unix.Munmap(memory) })
	require.NoError(t, unix.Mprotect(memory[:page], unix.PROT_NONE))
	require.NoError(t, unix.Mprotect(memory[page+data:], unix.PROT_NONE))
	from := page
	if atEnd {
		from = page + data - 4*n
	}
	return unsafe.Slice((*float32)(unsafe.Pointer(&memory[from])), n)
}

// guarded64 is guarded of float64.
func guarded64(t *testing.T, n int, atEnd bool) []float64 {
	return unsafe.Slice((*float64)(unsafe.Pointer(&guarded(t, 2*n, atEnd)[0])), n)
}

// No kernel touches a byte beyond a slice, at any length: each slice in turn, and all together, lie
// against an inaccessible page at their beginning and at their end.
func TestGuardPages(t *testing.T) {
	const most = operands.Longest
	for _, atEnd := range []bool{true, false} {
		var edge [5][]float32
		for i := range edge {
			edge[i] = guarded(t, most, atEnd)
		}
		eachKernel(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, 1))
			for _, variant := range []int{0, 2, 3, 4} { // plain, L2, AMSGrad, both
				c := operands.Variants[variant].Config
				for n := range most + 1 {
					o := operands.New(r, n, [5]int{}, operands.Normal)
					want := o.Clone([5]int{})
					for i, s := range o.Slices() {
						place := edge[i][:n]
						if atEnd {
							place = edge[i][most-n:]
						}
						copy(place, *s)
						*s = place
					}
					require.NoError(t, o.Compare(want, makeStep, makeGenericStep, c), "n = %d", n)
				}
			}
		})
	}
}

// As TestGuardPages: both slices against an inaccessible page, at either end.
func TestSmallKernelsGuardPages(t *testing.T) {
	guardSmall(t, smallKernels, guarded, operands.Normal)
}

func TestSmallKernelsGuardPages64(t *testing.T) {
	guardSmall(t, smallKernels64, guarded64, operands.Normal64)
}

func guardSmall[F operands.Float](t *testing.T, kernels []smallKernel[F],
	guarded func(t *testing.T, n int, atEnd bool) []F, draw func(r *rand.Rand) F) {
	const most = operands.Longest
	for _, atEnd := range []bool{true, false} {
		a, b := guarded(t, most, atEnd), guarded(t, most, atEnd)
		eachKernel(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, 1))
			for _, k := range kernels {
				for n := range most + 1 {
					o := operands.New(r, n, [5]int{}, draw)
					want := o.Clone([5]int{})
					from := 0
					if atEnd {
						from = most - n
					}
					copy(a[from:], o.P)
					copy(b[from:], o.G)
					o.P, o.G = a[from:from+n], b[from:from+n]
					compareSmall(t, o, want, k, 0.25)
				}
			}
		})
	}
}

// As TestGuardPages, of float64.
func TestGuardPages64(t *testing.T) {
	const most = operands.Longest
	for _, atEnd := range []bool{true, false} {
		var edge [5][]float64
		for i := range edge {
			edge[i] = guarded64(t, most, atEnd)
		}
		eachKernel(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, 1))
			for _, variant := range []int{0, 2, 3, 4} { // plain, L2, AMSGrad, both
				c := operands.Variants[variant].Config
				for n := range most + 1 {
					o := operands.New(r, n, [5]int{}, operands.Normal64)
					want := o.Clone([5]int{})
					for i, s := range o.Slices() {
						place := edge[i][:n]
						if atEnd {
							place = edge[i][most-n:]
						}
						copy(place, *s)
						*s = place
					}
					err := o.Compare(want, makeStep64, makeGenericStep64, c)
					require.NoError(t, err, "n = %d", n)
				}
			}
		})
	}
}

// As TestGuardPages: the first and the last row of a table, and their gradients.
func TestGuardPagesOfRows(t *testing.T) {
	const n = 4 // rows
	for _, atEnd := range []bool{true, false} {
		var edge [5][]float32
		for i := range edge {
			edge[i] = guarded(t, n*operands.Longest, atEnd)
		}
		eachKernel(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, 1))
			for _, variant := range []int{0, 2, 3, 4} { // plain, L2, AMSGrad, both
				c := operands.Variants[variant].Config
				for width := 1; width <= operands.Longest; width++ {
					for _, rows := range [][]int32{{0, 3}, {2, 3, 0}} {
						o := operands.New(r, n*width, [5]int{}, operands.Normal)
						o.G = o.G[:len(rows)*width]
						want := o.Clone([5]int{})
						want.G = o.G
						for i, s := range o.Slices() {
							place := edge[i][:len(*s)]
							if atEnd {
								place = edge[i][len(edge[i])-len(*s):]
							}
							copy(place, *s)
							*s = place
						}
						step := func(s *operands.State, p, g []float32, c operands.Config) error {
							return (*State)(s).StepRows(p, width, rows, g, Config(c))
						}
						generic := func(s *operands.State, p, g []float32,
							c operands.Config) error {
							defer selection.Use(selection.Use(selection.Generic))
							return step(s, p, g, c)
						}
						require.NoError(t, o.Compare(want, step, generic, c), "width %d, rows %v",
							width, rows)
					}
				}
			}
		})
	}
}

// As TestGuardPages: the codecs of 16 and 8 bits.
func TestCodecsGuardPages(t *testing.T) {
	const most = 2*block16 + 2
	for _, atEnd := range []bool{true, false} {
		var edge [6][]byte
		for i := range edge {
			edge[i] = view[byte](guarded(t, most, atEnd))
		}
		eachKernel(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, 1))
			for _, c := range codecTests {
				for n := range most + 1 {
					s := c.draw(r, n, func(i, bytes int) []byte {
						if atEnd {
							return edge[i][len(edge[i])-bytes:]
						}
						return edge[i][:bytes:bytes]
					})
					c.compare(t, s, words{r.Uint32(), r.Uint32()})
				}
			}
		})
	}
}

// As TestGuardPages: the fused steps. Their bits are compared elsewhere.
func TestFusedGuardPages(t *testing.T) {
	for _, atEnd := range []bool{true, false} {
		eachKernel(t, func(t *testing.T) {
			for _, f := range fusions {
				o := newFusionOperands(f.fusion, 4*block16, func() int { return 0 })
				fence(t, &o.p.Value, atEnd)
				fence(t, &o.p.Grad, atEnd)
				fence(t, &o.p.BF16, atEnd)
				fence(t, &o.p.GradBF16, atEnd)
				fence(t, &o.s.Rest, atEnd)
				fence(t, &o.s.M, atEnd)
				fence(t, &o.s.V, atEnd)
				fence(t, &o.s.M16, atEnd)
				fence(t, &o.s.V16, atEnd)
				fence(t, &o.s.M8, atEnd)
				fence(t, &o.s.V8, atEnd)
				fence(t, &o.s.MScale, atEnd)
				fence(t, &o.s.VScale, atEnd)
				a := o.p.operands(&o.s, 0, words{})
				new(coeffs).stepFused(f.fusion, &a, 4*block16)
			}
		})
	}
}

// fence puts a slice against an inaccessible page.
func fence[E any](t *testing.T, s *[]E, atEnd bool) {
	if bytes := view[byte](*s); len(bytes) > 0 {
		*s = view[E](guarded(t, len(bytes)/4, atEnd))
	}
}
