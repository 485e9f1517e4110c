package adam

import (
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"sort"
	"testing"

	"github.com/stretchr/testify/require"
)

// A format16 has the values of all patterns of 16 bits from 0 to the first beyond the finite ones,
// which stands for the power of two that would follow.
type format16 []float64

var bfloat16, binary16 = formatOf(0x7f80, valueBF16), formatOf(0x7c00, valueF16)

func formatOf[P ~uint16](infinite P, value func(P) float64) (f format16) {
	for p := range infinite {
		f = append(f, value(p))
	}
	return append(f, 2*f[infinite-1]-f[infinite-2])
}

// below returns the pattern of the largest value that is at most |x|, and where |x| lies on the way
// from it to the next, from 0 to 1. Both are exact. Infinity is the last pattern.
func (f format16) below(x float64) (p uint16, part float64) {
	x = min(math.Abs(x), f[len(f)-1])
	p = uint16(sort.Search(len(f), func(i int) bool { return f[i] > x }) - 1)
	if int(p) == len(f)-1 {
		return p, 0
	}
	return p, (x - f[p]) / (f[p+1] - f[p])
}

// nearest rounds to nearest, ties to the pattern whose last bit is 0, or away from zero.
func (f format16) nearest(x float64, away bool) uint16 {
	p, part := f.below(x)
	if part > 0.5 || part == 0.5 && (away || p&1 != 0) {
		p++
	}
	return p | uint16(math.Float64bits(x)>>63<<15)
}

// stochastic rounds up for r of 2^16 numbers r, as many as |x| is parts of 2^16 above the value
// below.
func (f format16) stochastic(x float64, r uint32) uint16 {
	p, part := f.below(x)
	if part*0x10000+float64(r) >= 0x10000 {
		p++
	}
	return p | uint16(math.Float64bits(x)>>63<<15)
}

func equal16[P ~uint16](t *testing.T, x float32, want, got P) {
	if want != got {
		t.Helper()
		t.Fatalf("%x (%#08x) became %#04x, want %#04x", x, math.Float32bits(x), got, want)
	}
}

func isNaN16(p, infinite uint16) bool { return p&0x7fff > infinite }

// signs appends the values with these bits, with either sign.
func signs(list []float32, bits ...uint32) []float32 {
	for _, b := range bits {
		list = append(list, math.Float32frombits(b), math.Float32frombits(b|1<<31))
	}
	return list
}

// limits are float32 that are not NaN: all values of a format and the middles between them, with
// the float32 beside them, the ends of all exponents, and others.
func limits(f format16) (list []float32) {
	for p := range f[:len(f)-1] {
		for _, x := range []float64{f[p], (f[p] + f[p+1]) / 2} {
			b := math.Float32bits(float32(x))
			list = signs(list, max(b, 1)-1, b, b+1)
		}
	}
	for e := range uint32(255) {
		list = signs(list, max(e<<23, 1)-1, e<<23, e<<23+1, e<<23+0x400000)
	}
	list = signs(list, 0x7f7fffff, 0x7f800000)
	r := rand.New(rand.NewPCG(1, 2))
	for range 10_000 {
		list = signs(list, r.Uint32N(0x7f800000))
	}
	return list
}

// quietNaNs and signalling NaNs of many payloads.
func quietNaNs() (list []float32) {
	for i := range 23 {
		list = signs(list, 0x7fc00000|1<<i, 0x7fc00000|(1<<i-1), 0x7fffffff&^(1<<i)|0x400000)
	}
	return list
}

func signallingNaNs() (list []float32) {
	for i := range 22 {
		list = signs(list, 0x7f800000|1<<i, 0x7f800000|(2<<i-1), 0x7fbfffff&^(1<<i))
	}
	return list
}

func TestEncodeNearest(t *testing.T) {
	bf, half, nan := limits(bfloat16), limits(binary16), quietNaNs()
	wantBF, wantHalf := make([]BF16, len(bf)), make([]F16, len(half))
	for i, x := range bf {
		wantBF[i] = BF16(bfloat16.nearest(float64(x), false))
		equal16(t, x, wantBF[i], ToBF16(x))
	}
	for i, x := range half {
		wantHalf[i] = F16(binary16.nearest(float64(x), false))
		equal16(t, x, wantHalf[i], ToF16(x))
	}
	eachKernel(t, func(t *testing.T) {
		gotBF, gotHalf := make([]BF16, len(bf)), make([]F16, len(half))
		encodeBF16(gotBF, bf)
		for i, x := range bf {
			equal16(t, x, wantBF[i], gotBF[i])
		}
		encodeF16(gotHalf, half)
		for i, x := range half {
			equal16(t, x, wantHalf[i], gotHalf[i])
		}
		gotBF, gotHalf = make([]BF16, len(nan)), make([]F16, len(nan))
		encodeBF16(gotBF, nan)
		encodeF16(gotHalf, nan)
		for i, x := range nan {
			require.True(t, isNaN16(uint16(gotBF[i]), 0x7f80), "%#x", math.Float32bits(x))
			require.True(t, isNaN16(uint16(gotHalf[i]), 0x7c00), "%#x", math.Float32bits(x))
		}
		nan := signallingNaNs()
		gotHalf = make([]F16, len(nan))
		encodeF16(gotHalf, nan)
		for i, x := range nan {
			require.True(t, isNaN16(uint16(gotHalf[i]), 0x7c00), "%#x", math.Float32bits(x))
		}
	})
}

func TestToNearest(t *testing.T) {
	for _, x := range slices.Concat(quietNaNs(), signallingNaNs()) {
		require.True(t, isNaN16(uint16(ToBF16(x)), 0x7f80), "%#x", math.Float32bits(x))
		require.True(t, isNaN16(uint16(ToF16(x)), 0x7c00), "%#x", math.Float32bits(x))
	}
	for x, want := range map[float32]F16{65504: 0x7bff, 65519.996: 0x7bff, 65520: 0x7c00,
		-65520: 0xfc00, 1e9: 0x7c00, 0x1p-24: 1, 0x1p-25: 0, 0x1.000002p-25: 1, 0x3p-25: 2,
		1: 0x3c00, 2049: 0x6800, 2051: 0x6802} {
		equal16(t, x, want, ToF16(x))
	}
	for x, want := range map[float32]BF16{1: 0x3f80, 257: 0x4380, 259: 0x4382, -3: 0xc040,
		0x1.fefffep127: 0x7f7f, 0x1.ffp127: 0x7f80, 0x1p-134: 0, 0x1.8p-133: 2} {
		equal16(t, x, want, ToBF16(x))
	}
}

// The upper half of a split master is the nearest bfloat16, of two the one further from zero.
func TestSplitNearest(t *testing.T) {
	list := limits(bfloat16)
	eachKernel(t, func(t *testing.T) {
		hi, lo := make([]BF16, len(list)), make([]int16, len(list))
		require.NoError(t, SplitFloat32(hi, lo, list))
		for i, x := range list {
			equal16(t, x, BF16(bfloat16.nearest(float64(x), true)), hi[i])
		}
		list := quietNaNs()
		require.NoError(t, SplitFloat32(hi[:len(list)], lo[:len(list)], list))
		for i, x := range list {
			require.True(t, isNaN16(uint16(hi[i]), 0x7f80), "%#x", math.Float32bits(x))
		}
	})
}

// A split loses nothing but the payload of a NaN. All 2^32 patterns take half a minute per kernel,
// with ADAM_TEST_ALL_FLOATS=1; every 257th is split without, and fewer with -short.
func TestSplitLosesNothing(t *testing.T) {
	stride := uint64(257)
	switch {
	case os.Getenv("ADAM_TEST_ALL_FLOATS") != "":
		stride = 1
	case testing.Short():
		stride = 4099
	}
	eachKernel(t, func(t *testing.T) {
		const n = 8192
		x, back, hi, lo := make([]float32, n), make([]float32, n), make([]BF16, n), make([]int16, n)
		split := func(x []float32) {
			back, hi, lo := back[:len(x)], hi[:len(x)], lo[:len(x)]
			require.NoError(t, SplitFloat32(hi, lo, x))
			require.NoError(t, JoinFloat32(back, hi, lo))
			for i, x := range x {
				a, b := math.Float32bits(x), math.Float32bits(back[i])
				if a != b && (x == x || back[i] == back[i]) {
					require.Fail(t, "lost", "%#08x became %#04x and %d, and then %#08x", a, hi[i],
						lo[i], b)
				}
			}
		}
		for first := uint64(0); first < 1<<32; first += n * stride {
			for i := range x {
				x[i] = math.Float32frombits(uint32(first + uint64(i)*stride))
			}
			split(x)
		}
		split(quietNaNs())
		split(signallingNaNs())
	})
}

// wordFor returns words of which that of element n is w.
func wordFor(w uint32, n int, k1 uint32) words {
	x := w ^ w>>16
	x = x*inverse(wordMul2) - k1
	x ^= x>>15 ^ x>>30
	x *= inverse(wordMul1)
	x ^= x >> 16
	return words{x - uint32(n)*wordStep, k1}
}

// inverse returns 1/a modulo 2^32, of an odd a.
func inverse(a uint32) uint32 {
	x := a // right in 3 bits, and in twice as many each time
	for range 4 {
		x *= 2 - a*x
	}
	return x
}

// roundable are values of every kind, with a part between two bfloat16.
func roundable() (list []float32) {
	list = signs(list, 0x3f800001, 0x3f80ffff, 0x3f808000, 0x3fffffff, 0x12345678, 0x00000001,
		0x0000ffff, 0x00012345, 0x007fffff, 0x00800001, 0x7f7e8765, 0x3f810000, 0)
	r := rand.New(rand.NewPCG(5, 6))
	for len(list) < 64 {
		list = append(list, float32(r.NormFloat64()*math.Exp2(40*r.NormFloat64())))
	}
	return list
}

// Over all 2^16 residues the mean of what a value is rounded to is the value, exactly.
func TestRoundExpectation(t *testing.T) {
	mean := func(x float32, shift uint32, round func(r uint32) BF16) {
		t.Helper()
		sum := 0.0
		for r := range uint32(1 << 16) {
			sum += valueBF16(round(r)) / 0x10000
		}
		require.Equal(t, float64(x), sum, "%x, shift %d", x, shift)
	}
	for _, shift := range []uint32{0, 16} {
		for _, x := range roundable() {
			mean(x, shift, func(r uint32) BF16 {
				var d [1]BF16
				w := wordFor(r<<shift|0x1234<<(16-shift), 0, r)
				roundBF16Generic(d[:], []float32{x}, w, shift)
				return d[0]
			})
		}
	}
	eachKernel(t, func(t *testing.T) {
		x := roundable()
		d := make([]BF16, len(x))
		mean(x[8], 0, func(r uint32) BF16 { // in every lane by turns
			n := int(r % block16)
			x[n], x[8] = x[8], x[n]
			roundBF16(d, x, wordFor(r|r<<20, n, 77), 0)
			x[n], x[8] = x[8], x[n]
			return d[n]
		})
	})
}

// Each rounding is to the value below or to the one above, as the part of the way between them and
// 16 bits of the word say.
func TestRoundAsDefined(t *testing.T) {
	list := slices.Concat(roundable(), limits(bfloat16))
	r := rand.New(rand.NewPCG(7, 8))
	eachKernel(t, func(t *testing.T) {
		d := make([]BF16, len(list))
		for _, shift := range []uint32{0, 16} {
			w := words{r.Uint32(), r.Uint32()}
			roundBF16(d, list, w, shift)
			for i, x := range list {
				equal16(t, x, BF16(bfloat16.stochastic(float64(x), w.at(i)>>shift&0xffff)), d[i])
			}
		}
	})
}

// What bfloat16 holds stays, whatever the word; so does a NaN.
func TestRoundKeepsWhatIsHeld(t *testing.T) {
	x, held := make([]float32, 1<<16), make([]BF16, 1<<16)
	for i := range held {
		held[i] = BF16(i)
		if isNaN16(uint16(i), 0x7f80) {
			held[i] |= 0x40 // arithmetic makes no other
		}
		x[i] = held[i].Float32()
	}
	eachKernel(t, func(t *testing.T) {
		r, d := rand.New(rand.NewPCG(9, 10)), make([]BF16, 1<<16)
		for range 8 {
			for _, shift := range []uint32{0, 16} {
				roundBF16(d, x, words{r.Uint32(), r.Uint32()}, shift)
				for i, b := range held {
					if !isNaN16(uint16(b), 0x7f80) || !isNaN16(uint16(d[i]), 0x7f80) {
						equal16(t, x[i], b, d[i])
					}
				}
			}
		}
		nan := quietNaNs()
		for _, w := range []uint32{0, 0xffff, 0x8000, 0xffff0000, 0xffffffff} {
			for n := range nan {
				for _, shift := range []uint32{0, 16} {
					roundBF16(d[:len(nan)], nan, wordFor(w, n, 5), shift)
					require.True(t, isNaN16(uint16(d[n]), 0x7f80), "%#x", math.Float32bits(nan[n]))
				}
			}
		}
	})
}

// Over the words of many tiles and steps, means and variances are those of independent roundings.
// The seeds are fixed.
func TestRoundStatistics(t *testing.T) {
	const n = 1 << 16
	eachKernel(t, func(t *testing.T) {
		x, d := make([]float32, n), make([]BF16, n)
		squares, count := 0.0, 0
		for k, value := range roundable() {
			for i := range x {
				x[i] = value
			}
			for _, shift := range []uint32{0, 16} {
				for from := 0; from < n; from += tile {
					w := wordsAt(keyOf(1, "x"), uint64(k), uint64(from))
					roundBF16(d[from:from+tile], x[from:from+tile], w, shift)
				}
				p, part := bfloat16.below(float64(value))
				ups := 0
				for _, b := range d {
					ups += int(uint16(b)&0x7fff - p)
				}
				if part == 0 {
					require.Zero(t, ups)
					continue
				}
				z := (float64(ups) - n*part) / math.Sqrt(n*part*(1-part))
				require.Less(t, math.Abs(z), 6.0, "%x, shift %d", value, shift)
				squares += z * z
				count++
			}
		}
		require.InDelta(t, 1, squares/float64(count), 0.5, "%d means", count)
	})
}
