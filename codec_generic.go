package adam

import (
	"math"
	"math/bits"
)

// The codecs in plain Go, the reference of all others: see docs/ARITHMETIC.md, "Storage of 16 and 8
// bits".

// quiet makes every NaN that arithmetic returns ±0x7fc00000. No other could be rounded by adding to
// its bits: 0x7fffffff + 0x8000 is -0.
func quiet(b uint32) uint32 { return min(uint32(min(int32(b), 0x7fc00000)), 0xffc00000) }

func decodeBF16Generic(d []float32, s []BF16) {
	s = s[:len(d)]
	for i, b := range s {
		d[i] = math.Float32frombits(uint32(b) << 16)
	}
}

func decodeF16Generic(d []float32, s []F16) {
	s = s[:len(d)]
	for i, h := range s {
		d[i] = math.Float32frombits(widen(h))
	}
}

// widen returns the bits of the float32 with the value of h.
func widen(h F16) uint32 {
	sign, exp, frac := uint32(h)>>15<<31, uint32(h)>>10&0x1f, uint32(h)&0x3ff
	switch {
	case exp == 0 && frac == 0:
		return sign
	case exp == 0: // subnormal: frac·2^-24
		shift := bits.LeadingZeros32(frac) - 21
		return sign | uint32(113-shift)<<23 | frac<<(13+shift)&0x7fffff
	case exp == 0x1f && frac != 0:
		return sign | 0x7fc00000 | frac<<13
	case exp == 0x1f:
		return sign | 0x7f800000
	}
	return sign | (exp+112)<<23 | frac<<13
}

func decodeSplitGeneric(d []float32, hi []BF16, lo []int16) {
	hi, lo = hi[:len(d)], lo[:len(d)]
	for i := range d {
		d[i] = math.Float32frombits(uint32(hi[i])<<16 + uint32(int32(lo[i])))
	}
}

func encodeBF16Generic(d []BF16, s []float32) {
	s = s[:len(d)]
	for i, x := range s {
		d[i] = nearestBF16(math.Float32bits(x))
	}
}

func nearestBF16(b uint32) BF16 {
	b = quiet(b)
	return BF16((b + 0x7fff + b>>16&1) >> 16)
}

func encodeF16Generic(d []F16, s []float32) {
	s = s[:len(d)]
	for i, x := range s {
		d[i] = nearestF16(math.Float32bits(x))
	}
}

func nearestF16(b uint32) F16 {
	sign, a := F16(b>>31<<15), b&0x7fffffff
	exp := a >> 23
	switch {
	case a > 0x7f800000: // NaN
		return sign | 0x7e00 | F16(a>>13&0x1ff)
	case a >= 0x477ff000: // 65520
		return sign | 0x7c00
	case exp < 102: // less than 2^-25
		return sign
	case exp < 113: // subnormal: the fraction times 2^-24
		shift := 126 - exp
		frac := a&0x7fffff | 0x800000
		half := uint32(1)<<(shift-1) - 1
		return sign | F16((frac+half+frac>>shift&1)>>shift)
	}
	return sign | F16((a+0xfff+a>>13&1-0x38000000)>>13)
}

func encodeSplitGeneric(hi []BF16, lo []int16, s []float32) {
	hi, lo = hi[:len(s)], lo[:len(s)]
	for i, x := range s {
		b := quiet(math.Float32bits(x))
		hi[i], lo[i] = BF16((b+0x8000)>>16), int16(b)
	}
}

func roundBF16Generic(d []BF16, s []float32, w words, shift uint32) {
	s = s[:len(d)]
	for i, x := range s {
		d[i] = BF16((quiet(math.Float32bits(x)) + w.at(i)>>shift&0xffff) >> 16)
	}
}

// The 8-bit codes are the bits of a float32 from the fourth of its fraction on: of v itself, and of
// |m|+L, where L is a float32 far below the block's largest. They count from a base.

const (
	minScaleM = 16
	minScaleV = 32
	poison    = 255 // scale of a block with a NaN or Inf: it decodes to NaN throughout
)

// baseM returns the bits of L.
func baseM(scale uint8) uint32 {
	if scale == poison {
		return 0x7fc00000
	}
	return uint32(8*int32(scale)+8-126) << 20
}

// baseV returns the bits of the smallest v.
func baseV(scale uint8) uint32 {
	switch scale {
	case 0: // never stepped: code 0 is 2^-126
		return 0xf8800000 // -120<<20
	case poison:
		return 1915 << 20
	}
	return uint32(8*int32(scale)+8-255) << 20
}

func decodeQ8Generic(m, v []float32, m8, v8 []int8, mScale, vScale []uint8) {
	for i := range m {
		bm, bv := baseM(mScale[i/block16]), baseV(vScale[i/block16])
		c := int32(m8[i])
		sign := uint32(c) & (1 << 31)
		if c < 0 {
			c = -c
		}
		x := math.Float32frombits(uint32(c)<<20+bm) - math.Float32frombits(bm)
		m[i] = math.Float32frombits(math.Float32bits(x) | sign)
		v[i] = math.Float32frombits(uint32(int32(v8[i])+128)<<20 + bv)
	}
}

func encodeQ8Generic(m8, v8 []int8, mScale, vScale []uint8, m, v []float32, w words) {
	for b := range mScale {
		i, j := b*block16, min(len(m), (b+1)*block16)
		mScale[b] = encodeM(m8[i:j], m[i:j], w.from(i))
		vScale[b] = encodeV(v8[i:j], v[i:j], w.from(i))
	}
}

// encodeM encodes a block of first moments and returns its scale.
func encodeM(d []int8, s []float32, w words) uint8 {
	largest := uint32(0)
	for _, x := range s {
		largest = max(largest, math.Float32bits(x)&0x7fffffff)
	}
	scale := uint8(max(largest>>23, minScaleM))
	base := baseM(scale)
	for i, x := range s {
		b := math.Float32bits(x)
		sum := math.Float32frombits(b&0x7fffffff) + math.Float32frombits(base)
		c := int8((math.Float32bits(sum) - base + w.at(i)&0xfffff) >> 20)
		if b>>31 != 0 {
			c = -c
		}
		if scale == poison {
			c = 1
		}
		d[i] = c
	}
	return scale
}

// encodeV encodes a block of second moments and returns its scale.
func encodeV(d []int8, s []float32, w words) uint8 {
	largest := uint32(0)
	for _, x := range s {
		largest = max(largest, math.Float32bits(x)) // one with a sign is larger than all without
	}
	scale := uint8(min(max(largest>>23, minScaleV), poison))
	base := baseV(scale)
	for i, x := range s {
		c := int32(math.Float32bits(x)-base+w.at(i)>>12) >> 20
		d[i] = int8(min(max(c, 0), 255) - 128)
		if scale == poison {
			d[i] = 1
		}
	}
	return scale
}
