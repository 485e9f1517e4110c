package adam

import (
	"encoding/binary"
	"hash/crc64"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/fusedadam/adam/internal/operands"
)

func TestKernelsEqualGeneric(t *testing.T) {
	eachKernel(t, func(t *testing.T) {
		for _, variant := range operands.Variants {
			t.Run(variant.Name, func(t *testing.T) {
				r := rand.New(rand.NewPCG(1, 2))
				for _, n := range operands.Lengths(tile) {
					for i, kind := range operands.Kinds {
						if n > operands.Longest && i%3 != 0 {
							continue
						}
						o := operands.New(r, n, operands.Offsets(r), kind.Value)
						o.T = []uint64{0, 1, 9, 1000, 1 << 40}[r.IntN(5)]
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
		for _, variant := range operands.Variants[:5] {
			for slice := range 5 {
				for offset := range 16 {
					for _, n := range []int{1, 7, 16, 37, 131} {
						var offsets [5]int
						offsets[slice] = offset
						check(t, operands.New(r, n, offsets, operands.Normal), variant.Config, 2)
					}
				}
			}
		}
	})
}

// The bits of an element do not depend on its place in the slice, on the slice's length or
// alignment: any split of a buffer gives the bits of one call.
func TestIndependenceOfSlicing(t *testing.T) {
	eachKernel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(5, 6))
		for _, n := range []int{1, 2, 63, 300, 3*tile + 5} {
			for trial := range 20 {
				c := operands.Variants[trial%len(operands.Variants)].Config
				whole := operands.New(r, n, [5]int{},
					operands.Kinds[trial%len(operands.Kinds)].Value)
				split := whole.Clone([5]int{1, 2, 3, 4, 5})
				steps(t, whole, c, 2)
				for i := 0; i < n; {
					j := i + 1 + r.IntN(n-i)
					steps(t, split.Sub(i, j), c, 2)
					i = j
				}
				split.T += 2
				if err := split.Difference(whole); err != nil {
					t.Fatalf("split: %v", err)
				}
			}
		}
	})
}

// The bits of a long computation, on this and on every other machine: kernels, architectures and
// compilers may not change them. A NaN counts as one number, whatever its payload.
func TestSameBitsOnEveryMachine(t *testing.T) {
	// after so many of the variants: those that were first have the digest that they always had
	want := map[int]uint64{12: 0x4d5dc1df8c506cbc, 14: 0x38f9c0a6c24cfeb1}
	eachKernel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(11, 12))
		// of no function that could differ: bits, in half of the cases of moderate size
		value := func(r *rand.Rand) float32 {
			b := r.Uint32()
			if b&1 != 0 {
				b = b&0x807fffff | (110+b>>8%30)<<23
			}
			return math.Float32frombits(b)
		}
		digest := crc64.New(crc64.MakeTable(crc64.ECMA))
		for i, variant := range operands.Variants {
			for _, n := range []int{1, 77, 500} {
				o := operands.New(r, n, [5]int{}, value)
				o.T = r.Uint64() >> (20 + r.IntN(44))
				steps(t, o, variant.Config, 10)
				for _, s := range o.Slices() {
					for _, x := range *s {
						b := math.Float32bits(x)
						if x != x {
							b = 0x7fc00000
						}
						digest.Write(binary.LittleEndian.AppendUint32(nil, b))
					}
				}
			}
			if k := i + 1; want[k] != 0 || k == len(operands.Variants) {
				if got := digest.Sum64(); got != want[k] {
					t.Errorf("digest of %d variants %#x, want %#x", k, got, want[k])
				}
			}
		}
	})
}

// The same of 16 and 8 bits.
func TestSameBitsOfStorages(t *testing.T) {
	const want = 0x825c9a2fb3a90717
	eachKernel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(13, 16))
		value := func(r *rand.Rand) float32 {
			b := r.Uint32()
			return math.Float32frombits(b&0x807fffff | (110+b>>8%30)<<23)
		}
		digest := crc64.New(crc64.MakeTable(crc64.ECMA))
		for _, c := range combinations() {
			for _, config := range c.configs() {
				p := c.param(r, 200, value)
				s := c.state(r, p, config, value)
				for range 3 {
					c.draw(r, &p, value)
					if err := s.Step(p, config); err != nil {
						t.Fatal(err)
					}
				}
				f := inFloat32(t, p, s, config)
				for _, x := range [][]float32{f.Value, f.State.M, f.State.V, f.State.VMax} {
					for _, x := range x {
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
