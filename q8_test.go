package adam

import (
	"math"
	"math/rand/v2"
	"sort"
	"testing"

	"github.com/stretchr/testify/require"
)

// places are the values of 8 bits: 8 between two powers of two, the first of them subnormal. A code
// is a distance between two places.
var places = func() (list []float64) {
	for k := range 2040 {
		x := math.Ldexp(float64(k), -129)
		if k >= 8 {
			x = math.Ldexp(float64(8+k%8)/8, k/8-127)
		}
		list = append(list, x)
	}
	return append(list, math.Inf(1)) // 2040
}()

// placeOf returns the largest place that is at most x, and in 2^20th where x lies on the way to the
// next.
func placeOf(x float64) (k int, part float64) {
	k = sort.Search(len(places), func(i int) bool { return places[i] > x }) - 1
	if k == 2040 {
		return k, 0
	}
	next := places[k+1]
	if k == 2039 {
		next = 0x1p128
	}
	return k, (x - places[k]) / (next - places[k]) * (1 << 20)
}

// exponentOf returns the exponent field of the largest value.
func exponentOf(s []float32) int {
	e := 0
	for _, x := range s {
		if x != x || math.IsInf(float64(x), 0) {
			return poison
		}
		if x != 0 {
			_, k := math.Frexp(float64(x))
			e = max(e, k+126)
		}
	}
	return e
}

// q8Sum is what is encoded of a first moment: the float32 |m|+L.
func q8Sum(m float32, scale int) float64 {
	return float64(float32(math.Abs(float64(m)) + places[8*scale-118])) // exact until then
}

// encodedM returns what the scale and the codes of a block are by definition.
func encodedM(m []float32, w words) (uint8, []int8) {
	scale, codes := max(exponentOf(m), 16), make([]int8, len(m))
	for i, x := range m {
		if scale == poison {
			codes[i] = 1
			continue
		}
		sum := q8Sum(x, scale)
		k, part := 2040, 0.0
		if !math.IsInf(sum, 1) {
			k, part = placeOf(sum)
		}
		if part+float64(w.at(i)%(1<<20)) >= 1<<20 {
			k++
		}
		codes[i] = int8(k - (8*scale - 118))
		if x < 0 {
			codes[i] = -codes[i]
		}
	}
	return uint8(scale), codes
}

// encodedV does the same of second moments.
func encodedV(v []float32, w words) (uint8, []int8) {
	scale, codes := max(exponentOf(v), 32), make([]int8, len(v))
	for _, x := range v {
		if math.Signbit(float64(x)) {
			scale = poison
		}
	}
	for i, x := range v {
		if scale == poison {
			codes[i] = 1
			continue
		}
		k, part := placeOf(float64(x))
		if part+float64(w.at(i)>>12) >= 1<<20 {
			k++
		}
		codes[i] = int8(min(max(k-(8*scale-247), 0), 255) - 128)
	}
	return uint8(scale), codes
}

// A q8 has moments of 8 bits.
type q8 struct {
	m8, v8         []int8
	mScale, vScale []uint8
}

func newQ8(n int) q8 {
	blocks := (n + block16 - 1) / block16
	return q8{make([]int8, n), make([]int8, n), make([]uint8, blocks), make([]uint8, blocks)}
}

func (q q8) encode(m, v []float32, w words) {
	encodeQ8(q.m8, q.v8, q.mScale, q.vScale, m, v, w)
}

func (q q8) decode() (m, v []float32) {
	m, v = make([]float32, len(q.m8)), make([]float32, len(q.m8))
	decodeQ8(m, v, q.m8, q.v8, q.mScale, q.vScale)
	return m, v
}

// blocks are moments of which the largest of each block has every exponent, the smaller ones any
// below. Some are 0, or as large as their exponent allows, and the first moments have signs.
func blocks(r *rand.Rand) (m, v []float32) {
	draw := func(e uint32) float32 {
		b := (e-min(e, r.Uint32N(40)))<<23 | r.Uint32()&0x7fffff
		switch r.IntN(16) {
		case 0:
			b = 0
		case 1:
			b = e<<23 | 0x7fffff
		case 2:
			b &= 0x7ff00000 // a place
		}
		return math.Float32frombits(b)
	}
	for e := range uint32(255) {
		for i := range block16 {
			x := draw(e)
			if r.IntN(2) == 0 {
				x = -x
			}
			m, v = append(m, x), append(v, draw(254-e))
			if i == 17 {
				m[len(m)-1] = math.Float32frombits(e<<23 | r.Uint32()&0x807fffff)
				v[len(v)-1] = math.Float32frombits((254-e)<<23 | r.Uint32()&0x7fffff)
			}
		}
	}
	return m, v
}

// requireEncoded requires codes and scales that are as defined.
func (q q8) requireEncoded(t *testing.T, m, v []float32, w words) {
	t.Helper()
	for b := range q.mScale {
		from, to := b*block16, min(len(m), (b+1)*block16)
		scaleM, codesM := encodedM(m[from:to], w.from(from))
		scaleV, codesV := encodedV(v[from:to], w.from(from))
		require.Equal(t, scaleM, q.mScale[b], "block %d", b)
		require.Equal(t, scaleV, q.vScale[b], "block %d", b)
		require.Equal(t, codesM, q.m8[from:to], "m, block %d, scale %d", b, scaleM)
		require.Equal(t, codesV, q.v8[from:to], "v, block %d, scale %d", b, scaleV)
	}
}

// Every scale and code that a step can leave decodes to what the formulas say.
func TestDecodeQ8(t *testing.T) {
	q := newQ8(256 * 256)
	for i := range q.m8 {
		q.m8[i], q.v8[i] = int8(i), int8(i)
		q.mScale[i/block16], q.vScale[i/block16] = uint8(i>>8), uint8(i>>8)
	}
	eachKernel(t, func(t *testing.T) {
		m, v := q.decode()
		for i := range m {
			scale, code := i>>8, int(int8(i))
			switch base := 8*scale - 118; {
			case scale == poison && code == 1:
				requireFloat(t, math.NaN(), m[i], "m, scale %d, code %d", scale, code)
			case scale == 0 && code == 0: // never stepped
				requireFloat(t, 0, m[i], "m, scale 0, code 0")
			case scale >= 16 && scale != poison && base+max(code, -code) <= 2040:
				want := places[base+max(code, -code)] - places[base]
				requireFloat(t, math.Copysign(want, float64(code)), m[i], "m, scale %d, code %d",
					scale, code)
			}
			switch base := 8*scale - 247; {
			case scale == poison && code == 1:
				requireFloat(t, math.NaN(), v[i], "v, scale %d, code %d", scale, code)
			case scale == 0 && code == 0:
				requireFloat(t, 0x1p-126, v[i], "v, scale 0, code 0")
			case scale >= 32 && scale != poison:
				requireFloat(t, places[base+code+128], v[i], "v, scale %d, code %d", scale, code)
				require.Greater(t, v[i], float32(0))
			}
		}
	})
}

// The codes of blocks of every exponent are those of the formulas, and what they decode to is less
// than the distance of two places away.
func TestEncodeQ8(t *testing.T) {
	eachKernel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(1, 2))
		for range 4 {
			m, v := blocks(r)
			w, q := words{r.Uint32(), r.Uint32()}, newQ8(len(m))
			q.encode(m, v, w)
			q.requireEncoded(t, m, v, w)
			gotM, gotV := q.decode()
			for i := range m {
				b := i / block16
				scale := int(q.mScale[b])
				sum := q8Sum(m[i], scale)
				if k, _ := placeOf(sum); k < 2039 {
					off := math.Abs(float64(gotM[i]) - float64(m[i]))
					rounding := math.Abs(sum - places[8*scale-118] - math.Abs(float64(m[i])))
					if off >= places[k+1]-places[k]+rounding {
						require.Fail(t, "too far", "m %v decodes to %v", m[i], gotM[i])
					}
				}
				// as docs/ARITHMETIC.md has it
				all := math.Abs(float64(m[i])) + 1.25*math.Ldexp(1, scale-142)
				off := math.Abs(float64(gotM[i]) - float64(m[i]))
				if off >= all/8+all*0x1p-23 && !math.IsInf(off, 1) {
					require.Fail(t, "beyond the bound", "m %v decodes to %v", m[i], gotM[i])
				}
				base := 8*int(q.vScale[b]) - 247
				k, _ := placeOf(float64(v[i]))
				off = math.Abs(float64(gotV[i]) - float64(v[i]))
				switch {
				case float64(v[i]) < 1.125*math.Ldexp(1, int(q.vScale[b])-158):
					requireFloat(t, places[base], gotV[i], "v %v", v[i])
				case k < 2039 && (off >= places[k+1]-places[k] || off >= float64(v[i])/8):
					require.Fail(t, "too far", "v %v decodes to %v", v[i], gotV[i])
				}
				if !(gotV[i] > 0) {
					require.Fail(t, "not positive", "v %v decodes to %v", v[i], gotV[i])
				}
				if m[i] != 0 && gotM[i] != 0 && (m[i] < 0) != (gotM[i] < 0) {
					require.Fail(t, "other sign", "m %v decodes to %v", m[i], gotM[i])
				}
			}
		}
	})
}

// Moments that 8 bits hold stay what they are, whatever the words.
func TestQ8KeepsWhatIsHeld(t *testing.T) {
	eachKernel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(3, 4))
		m, v := blocks(r)
		m, v = m[:254*block16], v[block16:][:254*block16] // the largest could round up to infinity
		q := newQ8(len(m))
		q.encode(m, v, words{r.Uint32(), r.Uint32()})
		m, v = q.decode()
		// Again, as the largest may have become a power of two, and the scale another one.
		q.encode(m, v, words{r.Uint32(), r.Uint32()})
		m, v = q.decode()
		q.encode(m, v, words{r.Uint32(), r.Uint32()})
		gotM, gotV := q.decode()
		for i := range m {
			requireFloat(t, float64(m[i]), gotM[i], "m %d, scale %d", i, q.mScale[i/block16])
			requireFloat(t, float64(v[i]), gotV[i], "v %d, scale %d", i, q.vScale[i/block16])
		}
	})
}

// A NaN or an infinity, and a second moment with a sign, poison their block and no other: it
// decodes to NaN throughout.
func TestQ8Poison(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	bits := math.Float32frombits
	ofM := append(signallingNaNs(), nan, inf, -inf, bits(0xffffffff), bits(0x7fffffff))
	ofV := append(ofM, -1, -0x1p-126, bits(0x80000001), bits(0x80000000), -math.MaxFloat32)
	eachKernel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(5, 6))
		m, v := blocks(r)
		m, v = m[100*block16:][:3*block16], v[100*block16:][:3*block16]
		for i, x := range ofV {
			at := block16 + i%block16
			m, v := append([]float32(nil), m...), append([]float32(nil), v...)
			poisonM := i < len(ofM)
			if v[at] = x; poisonM {
				m[at] = x
			}
			w, q := words{r.Uint32(), r.Uint32()}, newQ8(len(m))
			q.encode(m, v, w)
			q.requireEncoded(t, m, v, w)
			gotM, gotV := q.decode()
			for j := range m {
				inside := j/block16 == 1
				require.Equal(t, inside, gotV[j] != gotV[j], "v[%d] beside %v", j, x)
				require.Equal(t, inside && poisonM, gotM[j] != gotM[j], "m[%d] beside %v", j, x)
			}
			q.encode(gotM, gotV, w) // and it stays so
			require.Equal(t, uint8(poison), q.vScale[1])
		}
	})
}

// The last block may be short, and codes do not depend on where a slice of whole blocks begins.
func TestQ8Slices(t *testing.T) {
	eachKernel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(7, 8))
		allM, allV := blocks(r)
		for n := range 3*block16 + 1 {
			first := block16 * r.IntN(200)
			m, v := allM[first:first+n], allV[first:first+n]
			w, q := words{r.Uint32(), r.Uint32()}, newQ8(n)
			q.encode(m, v, w)
			q.requireEncoded(t, m, v, w)
			gotM, gotV := q.decode()
			for from := 0; from < n; from += block16 {
				part := newQ8(n - from)
				part.encode(m[from:], v[from:], w.from(from))
				require.Equal(t, q.m8[from:], part.m8)
				require.Equal(t, q.v8[from:], part.v8)
				require.Equal(t, q.mScale[from/block16:], part.mScale)
				require.Equal(t, q.vScale[from/block16:], part.vScale)
				m, v := part.decode()
				require.Equal(t, gotM[from:], m)
				require.Equal(t, gotV[from:], v)
			}
		}
	})
}

// Zeros are encoded as the smallest there is, and stay.
func TestQ8Zeros(t *testing.T) {
	eachKernel(t, func(t *testing.T) {
		for _, n := range []int{64, 100} {
			q := newQ8(n)
			m, v := q.decode()
			for i := range m {
				requireFloat(t, 0, m[i], "new")
				requireFloat(t, 0x1p-126, v[i], "new")
			}
			clear(v)
			m[3] = float32(math.Copysign(0, -1))
			q.encode(m, v, words{0xffffffff, 12345})
			m, v = q.decode()
			for i := range m {
				require.Zero(t, m[i])
				requireFloat(t, places[9], v[i], "zero") // 1.125·2^-126
			}
		}
	})
}

// Over many steps, the mean of what a moment decodes to is the moment, and its variance that of a
// rounding to one of two places. The keys are fixed.
func TestQ8Statistics(t *testing.T) {
	const steps = 4096
	eachKernel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(9, 10))
		m, v := make([]float32, 4*block16), make([]float32, 4*block16)
		for i := range m {
			m[i] = float32(r.NormFloat64() * math.Exp2(-20*r.Float64()))
			v[i] = float32(math.Exp2(-30 * r.Float64()))
			if i%block16 == 0 {
				m[i], v[i] = 1.999, 1.999 // nothing lies below the smallest
			}
		}
		key, q := keyOf(3, "x"), newQ8(len(m))
		sums, squares := make([]float64, 2*len(m)), make([]float64, 2*len(m))
		for step := range uint64(steps) {
			q.encode(m, v, wordsAt(key, step, 0))
			gotM, gotV := q.decode()
			for i := range m {
				for k, off := range [2]float64{float64(gotM[i]) - float64(m[i]),
					float64(gotV[i]) - float64(v[i])} {
					sums[2*i+k] += off
					squares[2*i+k] += off * off
				}
			}
		}
		for k, name := range []string{"m", "v"} {
			zz, count := 0.0, 0.0
			for i := range m {
				at, rounding := placeOf(float64(v[i]))
				if k == 0 { // of the sum, whose own rounding is the bias that remains
					scale := int(q.mScale[i/block16])
					sum := q8Sum(m[i], scale)
					at, rounding = placeOf(sum)
					sums[i*2] -= steps * math.Copysign(
						sum-places[8*scale-118]-math.Abs(float64(m[i])), float64(m[i]))
				}
				gap, part := places[at+1]-places[at], rounding/(1<<20)
				variance := gap * gap * part * (1 - part)
				if part < 0.01 || part > 0.99 {
					continue // too few roundings of one kind
				}
				z := sums[2*i+k] / math.Sqrt(steps*variance)
				require.Less(t, math.Abs(z), 6.0, "mean of %s[%d]", name, i)
				require.InDelta(t, 1, squares[2*i+k]/(steps*variance), 0.6, "variance of %s[%d]",
					name, i)
				zz += z * z
				count++
			}
			require.InDelta(t, 1, zz/count, 0.4, "%v means of %s", count, name)
		}
	})
}
