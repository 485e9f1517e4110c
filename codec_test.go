package adam

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"unsafe"

	"github.com/fusedadam/adam/internal/operands"
	"github.com/fusedadam/adam/internal/selection"
	"github.com/stretchr/testify/require"
)

// A stream is a slice that a codec reads or writes.
type stream struct {
	size   int                          // of an element, in bytes
	blocks bool                         // it has one for each block
	nan    bool                         // a NaN equals a NaN
	fill   func(r *rand.Rand, b []byte) // nil for one that the codec writes
}

// A codecTest is a codec with its streams.
type codecTest struct {
	name    string
	streams []stream
	run     func(s [][]byte, w words)
}

// view returns the same memory with elements of another type.
func view[E, S any](s []S) []E {
	n := len(s) * int(unsafe.Sizeof(*new(S))) / int(unsafe.Sizeof(*new(E)))
	return unsafe.Slice((*E)(unsafe.Pointer(unsafe.SliceData(s))), n)
}

func fillBits(r *rand.Rand, b []byte) {
	for i := range b {
		b[i] = byte(r.Uint32())
	}
}

// fillFloats draws each block from a kind of values of its own, so that some have no NaN.
func fillFloats(r *rand.Rand, b []byte) {
	kind := operands.Kinds[0]
	for i := range view[float32](b) {
		if i%block16 == 0 {
			kind = operands.Kinds[r.IntN(len(operands.Kinds))]
		}
		view[float32](b)[i] = kind.Value(r)
	}
}

// fillPositive does that without signs, but for one block in eight.
func fillPositive(r *rand.Rand, b []byte) {
	fillFloats(r, b)
	bits := view[uint32](b)
	for i := range bits {
		if i/block16%8 != 5 {
			bits[i] &= 0x7fffffff
		}
	}
}

var (
	floatsIn  = stream{size: 4, fill: fillFloats}
	vIn       = stream{size: 4, fill: fillPositive}
	floatsOut = stream{size: 4, nan: true}
	halvesIn  = stream{size: 2, fill: fillBits}
	halvesOut = stream{size: 2}
	f16Out    = stream{size: 2, nan: true}
	codesIn   = stream{size: 1, fill: fillBits}
	codesOut  = stream{size: 1}
	scalesIn  = stream{size: 1, blocks: true, fill: fillBits}
	scalesOut = stream{size: 1, blocks: true}
)

var codecTests = []codecTest{
	{"decodeBF16", []stream{floatsOut, halvesIn}, func(s [][]byte, _ words) {
		decodeBF16(view[float32](s[0]), view[BF16](s[1]))
	}},
	{"decodeF16", []stream{floatsOut, halvesIn}, func(s [][]byte, _ words) {
		decodeF16(view[float32](s[0]), view[F16](s[1]))
	}},
	{"decodeSplit", []stream{floatsOut, halvesIn, halvesIn}, func(s [][]byte, _ words) {
		decodeSplit(view[float32](s[0]), view[BF16](s[1]), view[int16](s[2]))
	}},
	{"encodeBF16", []stream{halvesOut, floatsIn}, func(s [][]byte, _ words) {
		encodeBF16(view[BF16](s[0]), view[float32](s[1]))
	}},
	{"encodeF16", []stream{f16Out, floatsIn}, func(s [][]byte, _ words) {
		encodeF16(view[F16](s[0]), view[float32](s[1]))
	}},
	{"encodeSplit", []stream{halvesOut, halvesOut, floatsIn}, func(s [][]byte, _ words) {
		encodeSplit(view[BF16](s[0]), view[int16](s[1]), view[float32](s[2]))
	}},
	{"roundBF16 lower", []stream{halvesOut, floatsIn}, func(s [][]byte, w words) {
		roundBF16(view[BF16](s[0]), view[float32](s[1]), w, 0)
	}},
	{"roundBF16 upper", []stream{halvesOut, vIn}, func(s [][]byte, w words) {
		roundBF16(view[BF16](s[0]), view[float32](s[1]), w, 16)
	}},
	{"decodeQ8", []stream{floatsOut, floatsOut, codesIn, codesIn, scalesIn, scalesIn},
		func(s [][]byte, _ words) {
			decodeQ8(view[float32](s[0]), view[float32](s[1]), view[int8](s[2]), view[int8](s[3]),
				s[4], s[5])
		}},
	{"encodeQ8", []stream{codesOut, codesOut, scalesOut, scalesOut, floatsIn, vIn},
		func(s [][]byte, w words) {
			encodeQ8(view[int8](s[0]), view[int8](s[1]), s[2], s[3], view[float32](s[4]),
				view[float32](s[5]), w)
		}},
}

func (s stream) bytes(n int) int {
	if s.blocks {
		n = (n + block16 - 1) / block16
	}
	return n * s.size
}

// around is the number of bytes on either side of a stream that a codec may not change.
const around = 128

// draw fills the streams for n elements, in memory of place(i, bytes).
func (c *codecTest) draw(r *rand.Rand, n int, place func(i, bytes int) []byte) [][]byte {
	s := make([][]byte, len(c.streams))
	for i, stream := range c.streams {
		s[i] = place(i, stream.bytes(n))
		if stream.fill != nil {
			stream.fill(r, s[i])
		} else {
			fillBits(r, s[i])
		}
	}
	return s
}

// compare runs the codec by the kernel in use on s, and by the generic one on a copy.
func (c *codecTest) compare(t *testing.T, s [][]byte, w words) {
	t.Helper()
	want := make([][]byte, len(s))
	for i := range s {
		want[i] = append(make([]byte, 0, 64+len(s[i])), s[i]...) // aligned, as it is not tiny
	}
	c.run(s, w)
	before := selection.Use(selection.Generic)
	c.run(want, w)
	selection.Use(before)
	for i, stream := range c.streams {
		if j := stream.differ(s[i], want[i]); j >= 0 {
			at := j * stream.size
			t.Fatalf("%s, kernel %s: stream %d [%d] of %d has the bytes %x, want %x", c.name,
				Kernel(), i, j, len(s[i])/stream.size, s[i][at:at+stream.size],
				want[i][at:at+stream.size])
		}
	}
}

// differ returns the first element in which a and b differ, -1 if there is none.
func (s stream) differ(a, b []byte) int {
	for j := range len(a) / s.size {
		x, y := a[j*s.size:][:s.size], b[j*s.size:][:s.size]
		if string(x) != string(y) && !(s.isNaN(x) && s.isNaN(y)) {
			return j
		}
	}
	return -1
}

func (s stream) isNaN(b []byte) bool {
	switch {
	case !s.nan:
		return false
	case s.size == 2:
		return view[uint16](b)[0]&0x7fff > 0x7c00
	}
	return view[uint32](b)[0]&0x7fffffff > 0x7f800000
}

// drawAround draws the streams at offsets, in elements relative to a cache line, and returns with
// them a function that tells whether the bytes around them are unchanged.
func (c *codecTest) drawAround(r *rand.Rand, n int, offset func(i int) int) ([][]byte,
	func() bool) {
	var all, copies [][]byte
	var from []int
	s := c.draw(r, n, func(i, bytes int) []byte {
		b := make([]byte, bytes+2*around+128)
		fillBits(r, b)
		line := int(-uintptr(unsafe.Pointer(&b[0])) % 64)
		at := around + line + offset(i)*c.streams[i].size
		all, from = append(all, b), append(from, at)
		return b[at : at+bytes : at+bytes]
	})
	for _, b := range all {
		copies = append(copies, append([]byte(nil), b...))
	}
	return s, func() bool {
		for i, b := range all {
			end := from[i] + len(s[i])
			if string(b[:from[i]]) != string(copies[i][:from[i]]) ||
				string(b[end:]) != string(copies[i][end:]) {
				return false
			}
			if c.streams[i].fill != nil && string(b) != string(copies[i]) {
				return false
			}
		}
		return true
	}
}

func (c *codecTest) check(t *testing.T, r *rand.Rand, n int, offset func(i int) int) {
	t.Helper()
	s, intact := c.drawAround(r, n, offset)
	c.compare(t, s, words{r.Uint32(), r.Uint32()})
	if !intact() {
		t.Fatalf("%s, kernel %s, n = %d: memory beside a slice, or an input, was changed", c.name,
			Kernel(), n)
	}
}

func TestCodecsEqualGeneric(t *testing.T) {
	eachKernel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(1, 2))
		for _, c := range codecTests {
			random := func(i int) int { return r.IntN(64 / c.streams[i].size) }
			for n := range 201 {
				c.check(t, r, n, random)
			}
			for _, n := range []int{1000, 1024, 8191, 8192, 8193} {
				for range 4 {
					c.check(t, r, n, random)
				}
			}
		}
	})
}

func TestCodecsEveryAlignment(t *testing.T) {
	eachKernel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(3, 4))
		for _, c := range codecTests {
			for k := range c.streams {
				for offset := range 64 / c.streams[k].size {
					for _, n := range []int{64, 192, 200} {
						c.check(t, r, n, func(i int) int {
							if i == k {
								return offset
							}
							return 0
						})
					}
				}
			}
		}
	})
}

// valueF16 returns what IEEE 754 says that h is worth.
func valueF16(h F16) float64 {
	exp, frac := int(h>>10&0x1f), float64(h&0x3ff)
	x := math.Ldexp(1+frac/1024, exp-15)
	switch {
	case exp == 0:
		x = math.Ldexp(frac, -24)
	case exp == 0x1f && frac == 0:
		x = math.Inf(1)
	case exp == 0x1f:
		return math.NaN()
	}
	if h>>15 != 0 {
		x = -x
	}
	return x
}

// valueBF16 does the same of a bfloat16.
func valueBF16(b BF16) float64 {
	exp, frac := int(b>>7&0xff), float64(b&0x7f)
	x := math.Ldexp(1+frac/128, exp-127)
	switch {
	case exp == 0:
		x = math.Ldexp(frac, -133)
	case exp == 0xff && frac == 0:
		x = math.Inf(1)
	case exp == 0xff:
		return math.NaN()
	}
	if b>>15 != 0 {
		x = -x
	}
	return x
}

// requireFloat requires the same bits, or two NaN.
func requireFloat(t *testing.T, want float64, got float32, format string, args ...any) {
	t.Helper()
	if !operands.Same(float32(want), got) || float64(float32(want)) != want && want == want {
		require.Fail(t, fmt.Sprintf("%v, want %v: ", got, want)+fmt.Sprintf(format, args...))
	}
}

// All patterns of 16 bits decode to what IEEE 754 says.
func TestDecodeEveryPattern(t *testing.T) {
	halves, bfloats := make([]F16, 1<<16), make([]BF16, 1<<16)
	for i := range halves {
		halves[i], bfloats[i] = F16(i), BF16(i)
	}
	eachKernel(t, func(t *testing.T) {
		d := make([]float32, 1<<16)
		decodeF16(d, halves)
		for i, h := range halves {
			requireFloat(t, valueF16(h), d[i], "binary16 %#04x", h)
			requireFloat(t, valueF16(h), h.Float32(), "binary16 %#04x", h)
		}
		decodeBF16(d, bfloats)
		for i, b := range bfloats {
			requireFloat(t, valueBF16(b), d[i], "bfloat16 %#04x", b)
			requireFloat(t, valueBF16(b), b.Float32(), "bfloat16 %#04x", b)
		}
	})
}
