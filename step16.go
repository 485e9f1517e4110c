package adam

import (
	"fmt"
	"math"
	"sync"
)

// Param16 is a parameter tensor of which gradients, parameters or moments have 16 or 8 bits. Each
// step decodes them to float32, is the step of a [Param], and encodes the result;
// docs/ARITHMETIC.md has the formats and how they are rounded. Without a name it is given
// "group.Params16.index".
//
// All slices have one length. Of parameters there are float32 in Value, or bfloat16 in BF16, of
// which Storage.Master says what a step has beside them. Of gradients there is one or none.
type Param16 struct {
	Name  string
	Value []float32 // the parameters, nil where they are in BF16
	// BF16 beside Value is a copy of it, rounded to nearest, which each step writes and never
	// reads. Without Value it has the parameters.
	BF16 []BF16
	// F16 is such a copy in binary16. From 65520 on its elements are infinite, which SkipNonFinite
	// does not see: it looks at gradients.
	F16 []F16

	Grad     []float32
	GradBF16 []BF16
	GradF16  []F16

	// State and EMA are those of [Param]. The average is one of float32.
	State *State16
	EMA   []float32
}

// State16 is what Adam remembers of one [Param16]. As in [State], the fields are plain data. Of
// moments there is one of three pairs, as [NewState16] makes them.
type State16 struct {
	T   uint64 // completed steps
	Key uint64 // of the words for stochastic rounding, see [NewState16]
	// Offset is the place of the first element in its tensor, where slices of one are stepped with
	// States of their own: a multiple of 64 with Q8Moments. With the Key of the whole, their bits
	// are those of the whole.
	Offset int

	M, V, VMax     []float32 // Float32Moments
	M16, V16       []BF16    // BF16Moments
	VMax16         []BF16    // their largest second moment; used with AMSGrad only
	M8, V8         []int8    // Q8Moments: codes
	MScale, VScale []uint8   // and the scale of each 64 of them
	Rest           []int16   // the lower halves of a split master
}

// NewState16 returns the state of p before its first step. Moments are zero; of 8 bits the second
// one is 2^-126, the smallest it has. A split master begins at the values of p.BF16: see
// [SplitFloat32] for one that begins at float32. s.Master concerns parameters in BF16 alone.
//
// The Key of a tensor is a hash of seed and p.Name. From then on neither counts: a tensor may be
// renamed, and its rounding stays what it was.
func NewState16(p Param16, s Storage, seed uint64, c Config) *State16 {
	t := newState16(p.size(), s, p.Value == nil && p.BF16 != nil, c.AMSGrad)
	t.Key = keyOf(seed, p.Name)
	return t
}

// newState16 returns a state of n elements, whose parameters are in BF16 alone if inBF16.
func newState16(n int, s Storage, inBF16, amsgrad bool) *State16 {
	t, split := new(State16), inBF16 && s.Master == SplitMaster
	switch s.Moments {
	case BF16Moments:
		k := 2
		if split {
			k++
		}
		if amsgrad {
			k++
		}
		m := moments[BF16](n, k)
		t.M16, t.V16 = m[0], m[1]
		if split {
			t.Rest = retyped[int16](m[2])
		}
		if amsgrad {
			t.VMax16 = m[k-1]
		}
		return t
	case Q8Moments:
		m, blocks := moments[int8](n, 2), (n+block16-1)/block16
		t.M8, t.V8 = m[0], m[1]
		t.MScale, t.VScale = make([]uint8, blocks), make([]uint8, blocks)
	default:
		f := NewState(n, Config{AMSGrad: amsgrad})
		t.M, t.V, t.VMax = f.M, f.V, f.VMax
	}
	if split {
		t.Rest = moments[int16](n, 1)[0]
	}
	return t
}

// Step makes one Adam step in place, as [State.Step] does, of the parameters and with the gradient
// that p has; p.Name, p.State and p.EMA do not count. Step does not allocate.
//
// An error is one of State.Step, or wraps [ErrParams] for a combination of fields that cannot be;
// nothing has been changed.
func (s *State16) Step(p Param16, c Config) error {
	if !c.valid() {
		return c.Validate()
	}
	if err := s.check(&p, c.AMSGrad); err != nil {
		return err
	}
	n := p.size()
	if n > 0 && !p.hasGrad() {
		return fmt.Errorf("%w: Grad, GradBF16 and GradF16 are nil: want one of them", ErrLength)
	}
	var room [spans16 + 1]span
	if err := disjoint(append(s.written(&p, "", room[:0]), p.gradient(""))); err != nil {
		return err
	}
	if s.T == math.MaxUint64 {
		return fmt.Errorf("%w: T = %d", ErrSteps, s.T)
	}
	s.raceHook(&p, c.AMSGrad)
	var k coeffs
	k.set(&c, s.T+1, 1)
	for from := 0; from < n; {
		to := min(n, from+tile-(s.Offset+from)%tile)
		k.step16(&p, s, from, to, 0, 0)
		from = to
	}
	s.T++
	return nil
}

// Float32 decodes the moments into m and v, for looking into them. The error is [ErrLength].
func (s *State16) Float32(m, v []float32) error {
	if err := s.checkFloat32(m, v); err != nil {
		return err
	}
	inTiles(len(m), func(from, to int) {
		m, v := m[from:to], v[from:to]
		switch {
		case s.M16 != nil:
			decodeBF16(m, s.M16[from:to])
			decodeBF16(v, s.V16[from:to])
		case s.M8 != nil:
			b, e := from/block16, (to+block16-1)/block16
			decodeQ8(m, v, s.M8[from:to], s.V8[from:to], s.MScale[b:e], s.VScale[b:e])
		default:
			copy(m, s.M[from:to])
			copy(v, s.V[from:to])
		}
	})
	return nil
}

// SetFloat32 is the inverse of Float32: it makes m and v the moments, rounded stochastically by the
// words of step T. The error is [ErrLength].
func (s *State16) SetFloat32(m, v []float32) error {
	if err := s.checkFloat32(m, v); err != nil {
		return err
	}
	for from, n := 0, len(m); from < n; {
		to := min(n, from+tile-(s.Offset+from)%tile)
		s.encode(from, m[from:to], v[from:to], nil, wordsAt(s.Key, s.T, uint64(s.Offset+from)))
		from = to
	}
	return nil
}

// checkFloat32 returns an error unless m and v have the length of the moments.
func (s *State16) checkFloat32(m, v []float32) error {
	n := max(len(s.M), len(s.M16), len(s.M8))
	if len(m) != n || len(v) != n {
		return fmt.Errorf("%w: m %d, v %d, the state %d", ErrLength, len(m), len(v), n)
	}
	return s.checkMoments(n, false)
}

// inTiles calls f for each tile of n elements: the garbage collector cannot stop assembly, so that
// codecs are called for a tile at most.
func inTiles(n int, f func(from, to int)) {
	for from := 0; from < n; from += tile {
		f(from, min(n, from+tile))
	}
}

// piece is the number of elements that go through the codecs at a time, so that their float32 stay
// in L1.
const piece = 1 << 10

// scratch16 has the float32 of a piece. They do not lie at equal offsets of a page, which would
// meet in one set of the cache.
type scratch16 struct{ p, g, m, v, x [piece + 80]float32 }

var scratches = sync.Pool{New: func() any { return new(scratch16) }}

// step16 steps the elements from, …, to-1, which lie in one tile of their tensor. A limit that is
// not 0 clips the gradient by value, after its multiplication by factor.
func (c *coeffs) step16(p *Param16, s *State16, from, to int, factor, limit float32) {
	w := wordsAt(s.Key, s.T+1, uint64(s.Offset+from))
	if limit == 0 && !c.l2 && !c.amsgrad {
		if f, n := p.fusion(s), whole(to-from); f != unfused && n > 0 {
			if a := p.operands(s, from, w); c.stepFused(f, &a, n) {
				from, w = from+n, w.from(n)
			}
		}
	}
	if from == to {
		return
	}
	room := scratches.Get().(*scratch16)
	for from < to {
		n := min(piece, to-from)
		c.stepPiece(p, s, from, from+n, factor, limit, w, room)
		from, w = from+n, w.from(n)
	}
	scratches.Put(room)
}

// stepPiece is step16 through the codecs.
func (c *coeffs) stepPiece(p *Param16, s *State16, from, to int, factor, limit float32, w words,
	room *scratch16) {
	n := to - from
	value, g := p.decode(s, from, to, room.p[:n]), p.decodeGrad(from, to, room.g[:n])
	if limit > 0 {
		clampTile(room.g[:n], g, factor, limit)
		g = room.g[:n]
	}
	m, v, x := room.m[:n], room.v[:n], []float32(nil)
	switch {
	case s.M16 != nil:
		decodeBF16(m, s.M16[from:to])
		decodeBF16(v, s.V16[from:to])
		if c.amsgrad {
			x = room.x[:n]
			decodeBF16(x, s.VMax16[from:to])
		}
	case s.M8 != nil:
		b, e := from/block16, (to+block16-1)/block16
		decodeQ8(m, v, s.M8[from:to], s.V8[from:to], s.MScale[b:e], s.VScale[b:e])
	default:
		m, v = s.M[from:to], s.V[from:to]
		if c.amsgrad {
			x = s.VMax[from:to]
		}
	}
	c.stepTile(value, g, m, v, x)
	s.encode(from, m, v, x, w)
	switch {
	case p.Value != nil:
		p.copy(from, to)
	case s.Rest != nil:
		encodeSplit(p.BF16[from:to], s.Rest[from:to], value)
	default:
		roundBF16(p.BF16[from:to], value, w, 0)
	}
}

// decode returns the parameters from, …, to-1 in float32: they themselves, or room.
func (p *Param16) decode(s *State16, from, to int, room []float32) []float32 {
	switch {
	case p.Value != nil:
		return p.Value[from:to]
	case s.Rest != nil:
		decodeSplit(room, p.BF16[from:to], s.Rest[from:to])
	default:
		decodeBF16(room, p.BF16[from:to])
	}
	return room
}

// decodeGrad does the same of the gradient.
func (p *Param16) decodeGrad(from, to int, room []float32) []float32 {
	switch {
	case p.GradBF16 != nil:
		decodeBF16(room, p.GradBF16[from:to])
	case p.GradF16 != nil:
		decodeF16(room, p.GradF16[from:to])
	default:
		return p.Grad[from:to]
	}
	return room
}

// copy writes the copies of the parameters from, …, to-1.
func (p *Param16) copy(from, to int) {
	if p.BF16 != nil {
		encodeBF16(p.BF16[from:to], p.Value[from:to])
	}
	if p.F16 != nil {
		encodeF16(p.F16[from:to], p.Value[from:to])
	}
}

// encode stores moments, from an element on, in at most a tile. Those of float32 may be stored
// already. x is empty without AMSGrad.
func (s *State16) encode(from int, m, v, x []float32, w words) {
	to := from + len(m)
	switch {
	case s.M16 != nil:
		roundBF16(s.M16[from:to], m, w, 0)
		roundBF16(s.V16[from:to], v, w, 16)
		if len(x) > 0 {
			roundBF16(s.VMax16[from:to], x, w, 16)
		}
	case s.M8 != nil:
		b, e := from/block16, (to+block16-1)/block16
		encodeQ8(s.M8[from:to], s.V8[from:to], s.MScale[b:e], s.VScale[b:e], m, v, w)
	default:
		copy(s.M[from:to], m)
		copy(s.V[from:to], v)
	}
}
