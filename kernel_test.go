package adam

import (
	"encoding/binary"
	"hash/crc64"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/fusedadam/adam/internal/selection"
)

// steps makes k steps and fails t on an error.
func (o *operands) steps(t testing.TB, c Config, k int) {
	for range k {
		if err := o.s.Step(o.p, o.g, c); err != nil {
			t.Fatal(err)
		}
	}
}

// generic makes k steps with the generic kernel.
func (o *operands) generic(t testing.TB, c Config, k int) {
	defer selection.Use(selection.Use(selection.Generic))
	o.steps(t, c, k)
}

// check makes k steps with the kernel in use and compares all bits with those of the generic one; it
// shows that the gradients were only read and nothing beside the slices was written.
func check(t testing.TB, o *operands, c Config, k int) {
	t.Helper()
	want, gradient := o.clone(), bits(o.g)
	want.generic(t, c, k)
	o.steps(t, c, k)
	switch d := o.difference(want); {
	case d != "":
		t.Fatalf("kernels %s and generic differ after %d steps of %+v: %s", Kernel(), k, c, d)
	case !sameBits(o.g, gradient):
		t.Fatalf("kernel %s wrote to the gradient", Kernel())
	case !o.intact():
		t.Fatalf("kernel %s wrote beside a slice", Kernel())
	}
}

func TestKernelsEqualGeneric(t *testing.T) {
	eachKernel(t, func(t *testing.T) {
		for _, variant := range variants {
			t.Run(variant.name, func(t *testing.T) {
				r := rand.New(rand.NewPCG(1, 2))
				for _, n := range lengths {
					for i, kind := range kinds {
						if n > 129 && i%3 != 0 {
							continue
						}
						offsets := [5]int{r.IntN(16), r.IntN(16), r.IntN(16), r.IntN(16), r.IntN(16)}
						o := newOperands(r, n, offsets, kind.value)
						o.s.T = []uint64{0, 1, 9, 1000, 1 << 40}[r.IntN(5)]
						check(t, o, variant.Config, 3)
					}
				}
			})
		}
	})
}

func TestEveryAlignment(t *testing.T) {
	eachKernel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(3, 4))
		for _, variant := range variants[:5] {
			for slice := range 5 {
				for offset := range 16 {
					for _, n := range []int{1, 7, 16, 37, 131} {
						var offsets [5]int
						offsets[slice] = offset
						check(t, newOperands(r, n, offsets, kinds[0].value), variant.Config, 2)
					}
				}
			}
		}
	})
}

// The bits of an element do not depend on its place in the slice, on the slice's length or alignment:
// any split of a buffer gives the bits of one call.
func TestIndependenceOfSlicing(t *testing.T) {
	eachKernel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(5, 6))
		for _, n := range []int{1, 2, 63, 300, 3*tile + 5} {
			for trial := range 20 {
				c := variants[trial%len(variants)].Config
				whole := newOperands(r, n, [5]int{}, kinds[trial%len(kinds)].value)
				split := whole.cloneTo([5]int{1, 2, 3, 4, 5})
				whole.steps(t, c, 2)
				for i := 0; i < n; {
					j := i + 1 + r.IntN(n-i)
					split.sub(i, j).steps(t, c, 2)
					i = j
				}
				split.s.T += 2
				if d := split.difference(whole); d != "" {
					t.Fatalf("split and whole differ: %s", d)
				}
			}
		}
	})
}

// The bits of a long computation, on this and on every other machine: kernels, architectures and compilers
// may not change them. A NaN counts as one number, whatever its payload.
func TestSameBitsOnEveryMachine(t *testing.T) {
	const want = 0x4d5dc1df8c506cbc
	eachKernel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(11, 12))
		value := func(r *rand.Rand) float32 { // of no function that could differ: bits, in half of the cases of moderate size
			b := r.Uint32()
			if b&1 != 0 {
				b = b&0x807fffff | (110+b>>8%30)<<23
			}
			return math.Float32frombits(b)
		}
		digest := crc64.New(crc64.MakeTable(crc64.ECMA))
		for _, variant := range variants {
			for _, n := range []int{1, 77, 500} {
				o := newOperands(r, n, [5]int{}, value)
				o.s.T = r.Uint64() >> (20 + r.IntN(44))
				o.steps(t, variant.Config, 10)
				for _, s := range o.slices() {
					for _, x := range *s {
						b := math.Float32bits(x)
						if x != x {
							b = 0x7fc00000
						}
						digest.Write(binary.LittleEndian.AppendUint32(nil, b))
					}
				}
			}
		}
		if got := digest.Sum64(); got != want {
			t.Errorf("digest %#x, want %#x", got, uint64(want))
		}
	})
}
