package adam

import "github.com/fusedadam/adam/internal/checkpoint"

// key returns where the Key is, nil if no step of t needs it.
func (t *tensor16) key() *uint64 {
	if t.storage == (Storage{}) {
		return nil
	}
	return &t.Key
}

// memory returns the memory of a piece of a checkpoint.
func (t *tensor16) memory(p checkpoint.Piece) []byte { return t.data(p).Floats }

func (t *tensor16) data(p checkpoint.Piece) (d checkpoint.Data) {
	key, q8 := p.Key(t.name), t.storage.Moments == Q8Moments
	switch {
	case p == checkpoint.M:
		return t.moment(key, t.M, t.M16, t.M8)
	case p == checkpoint.V:
		return t.moment(key, t.V, t.V16, t.V8)
	case p == checkpoint.VMax && !q8:
		return t.moment(key, t.VMax, t.VMax16, nil)
	case p == checkpoint.MScale && q8:
		return checkpoint.FloatsOf(key, t.MScale)
	case p == checkpoint.VScale && q8:
		return checkpoint.FloatsOf(key, t.VScale)
	case p == checkpoint.Rest && t.Rest != nil:
		return checkpoint.FloatsOf(key, t.Rest)
	case p == checkpoint.EMA:
		return checkpoint.FloatsOf(key, t.ema)
	case p == checkpoint.Value && t.at.Value == nil && t.at.BF16 != nil:
		return checkpoint.FloatsOf(key, t.at.BF16)
	case p == checkpoint.Value:
		return checkpoint.FloatsOf(key, t.at.Value)
	}
	return d
}

func (t *tensor16) moment(key string, single []float32, half []BF16,
	quarter []int8) checkpoint.Data {
	switch t.storage.Moments {
	case BF16Moments:
		return checkpoint.FloatsOf(key, half)
	case Q8Moments:
		return checkpoint.FloatsOf(key, quarter)
	}
	return checkpoint.FloatsOf(key, single)
}

// fresh returns a tensor of the same size with memory of its own, for what a checkpoint has.
func (t *tensor16) fresh(vmax, average, value bool) kind {
	inBF16 := t.at.Value == nil && t.at.BF16 != nil
	fresh := &tensor16{base: base{name: t.name, n: t.n}, storage: t.storage,
		State16: newState16(t.n, t.storage, inBF16, vmax), at: fields16{Param16: new(Param16)}}
	fresh.Key, fresh.Offset = t.Key, t.Offset
	switch {
	case value && inBF16:
		fresh.at.BF16 = make([]BF16, t.n)
	case value:
		fresh.at.Value = make([]float32, t.n)
	}
	if average {
		fresh.ema = moments[float32](t.n, 1)[0]
	}
	return fresh
}

// restore gives t what was loaded: new slices, but copies where the memory is the caller's.
func (t *tensor16) restore(loaded kind, begun bool) {
	from := loaded.(*tensor16)
	switch {
	case from.at.Value != nil:
		copy(t.at.Value, from.at.Value)
		inTiles(t.n, t.at.copy)
	case from.at.BF16 != nil:
		copy(t.at.BF16, from.at.BF16)
	}
	if t.given == nil {
		*t.State16 = *from.State16
	} else {
		t.State16.copy(from.State16, t.n)
	}
	if !begun && from.ema != nil {
		t.values(0, t.n, func(at int, p []float32) { copy(from.ema[at:], p) })
	}
	t.begun = begun
	if t.lent {
		copy(t.ema, from.ema)
	} else {
		t.ema = from.ema
	}
}

// copy writes a state of n elements into the memory of s.
func (s *State16) copy(from *State16, n int) {
	copy(s.M, from.M)
	copy(s.V, from.V)
	copy(s.M16, from.M16)
	copy(s.V16, from.V16)
	copy(s.M8, from.M8)
	copy(s.V8, from.V8)
	copy(s.MScale, from.MScale)
	copy(s.VScale, from.VScale)
	copy(s.Rest, from.Rest)
	s.VMax = copyMaximum(s.VMax, from.VMax, n)
	s.VMax16 = copyMaximum(s.VMax16, from.VMax16, n)
	s.T, s.Key = from.T, from.Key
}

// copyMaximum returns the maximum of a state whose memory is the caller's: there, if it has n
// elements. Without one in the checkpoint it is as if it began anew.
func copyMaximum[E any](to, from []E, n int) []E {
	switch {
	case to == nil || len(to) != n: // nil also of an empty part: it has none
		return from
	case from == nil:
		clear(to)
	default:
		copy(to, from)
	}
	return to
}
