package storage

import (
	"encoding/binary"
	"errors"
	"math"

	"github.com/fusedadam/adam"
	"github.com/fusedadam/adam/internal/checkpoint"
	"github.com/fusedadam/adam/internal/safetensors"
)

// run is the number of elements that are changed at a time: whole blocks.
const run = 1 << 15

// A change is a tensor that is to be stored otherwise.
type change struct {
	*file
	*tensor
	moments, params string // as they are to be
}

// data returns what the new file has of the tensor.
func (c *change) data(report *Report) []checkpoint.Data {
	moments, params := c.moments == c.tensor.moments, c.params == c.tensor.params
	data := c.copies(c.tensor, func(p checkpoint.Piece) bool {
		switch p {
		case checkpoint.EMA, checkpoint.Step:
			return true
		case checkpoint.Value, checkpoint.Rest:
			return params
		case checkpoint.Key:
			return false
		}
		return moments
	})
	add := func(p checkpoint.Piece, dtype string) {
		data = append(data, checkpoint.Data{
			Tensor: safetensors.Tensor{Name: p.Key(c.name), DType: dtype,
				Shape: []int64{int64(p.Len(int(c.n)))}},
			Source: &checkpoint.Source{File: &changed{c, p}},
		})
	}
	if !moments {
		dtype := map[string]string{Float32: checkpoint.Float32s, BF16: checkpoint.BFloat16s,
			Q8: checkpoint.Int8s}[c.moments]
		add(checkpoint.M, dtype)
		add(checkpoint.V, dtype)
		switch maximum := c.pieces[checkpoint.VMax]; {
		case c.moments == Q8:
			add(checkpoint.MScale, checkpoint.Uint8s)
			add(checkpoint.VScale, checkpoint.Uint8s)
			if maximum != nil {
				report.Left = append(report.Left, maximum.Name)
			}
		case maximum != nil:
			add(checkpoint.VMax, dtype)
		}
	}
	switch {
	case params:
	case c.params == Float32:
		add(checkpoint.Value, checkpoint.Float32s)
	case c.params == Split:
		add(checkpoint.Rest, checkpoint.Int16s)
		fallthrough
	default:
		add(checkpoint.Value, checkpoint.BFloat16s)
	}
	// Moments of float32 beside parameters that are not in the file: as it was, if they were that.
	kept := c.pieces[checkpoint.Key] != nil && c.params == "" && moments
	if c.moments != Float32 || c.params == BF16 || kept {
		data = append(data, checkpoint.CountOf(checkpoint.Key.Key(c.name), c.key))
	}
	return data
}

// changed is a file of one piece of a change.
type changed struct {
	*change
	piece checkpoint.Piece
}

// ReadAt reads whole elements, and begins at a scale's first element.
func (c *changed) ReadAt(b []byte, at int64) (n int, err error) {
	size, of := int64(0), int64(1)
	switch c.piece {
	case checkpoint.MScale, checkpoint.VScale:
		size, of = 1, checkpoint.Block
	case checkpoint.Value:
		if size = 2; c.params == Float32 {
			size = 4
		}
	case checkpoint.Rest:
		size = 2
	default:
		size = map[string]int64{Float32: 4, BF16: 2, Q8: 1}[c.moments]
	}
	for from := at / size * of; n < len(b); from += run {
		k := min(run, c.n-from)
		var elements []byte
		if c.piece == checkpoint.Value || c.piece == checkpoint.Rest {
			elements, err = c.parameters(from, k)
		} else {
			elements, err = c.moment(from, k)
		}
		if err != nil {
			return n, err
		}
		n += copy(b[n:], elements)
	}
	return n, nil
}

// moment returns k elements of the piece, which is one of moments.
func (c *changed) moment(from, k int64) ([]byte, error) {
	m, v := make([]float32, k), make([]float32, k)
	var err error
	if c.piece == checkpoint.VMax { // rounded as V is
		err = c.floats(v, c.pieces[checkpoint.VMax], from)
	} else {
		err = c.decode(m, v, from)
	}
	if err != nil {
		return nil, err
	}
	s := c.state(from)
	switch c.moments {
	case BF16:
		s.M16, s.V16 = make([]adam.BF16, k), make([]adam.BF16, k)
	case Q8:
		blocks := checkpoint.MScale.Len(int(k))
		s.M8, s.V8 = make([]int8, k), make([]int8, k)
		s.MScale, s.VScale = make([]uint8, blocks), make([]uint8, blocks)
	default:
		s.M, s.V = make([]float32, k), make([]float32, k)
	}
	if err := s.SetFloat32(m, v); err != nil {
		return nil, err
	}
	first := c.piece == checkpoint.M
	switch {
	case c.piece == checkpoint.MScale:
		return s.MScale, nil
	case c.piece == checkpoint.VScale:
		return s.VScale, nil
	case c.moments == BF16 && first:
		return bytes16(s.M16), nil
	case c.moments == BF16:
		return bytes16(s.V16), nil
	case c.moments == Q8 && first:
		return checkpoint.Memory(s.M8), nil
	case c.moments == Q8:
		return checkpoint.Memory(s.V8), nil
	case first:
		return bytes32(s.M), nil
	}
	return bytes32(s.V), nil
}

// parameters returns k elements of the parameters or of their rest.
func (c *changed) parameters(from, k int64) ([]byte, error) {
	values, hi, lo := make([]float32, k), make([]adam.BF16, k), make([]int16, k)
	var err error
	if c.tensor.params == Split {
		err = errors.Join(read16(c.file, hi, c.pieces[checkpoint.Value], from),
			read16(c.file, lo, c.pieces[checkpoint.Rest], from), adam.JoinFloat32(values, hi, lo))
	} else {
		err = c.floats(values, c.pieces[checkpoint.Value], from)
	}
	if err != nil {
		return nil, err
	}
	switch c.params {
	case Float32:
		return bytes32(values), nil
	case Split:
		if err := adam.SplitFloat32(hi, lo, values); err != nil {
			return nil, err
		}
	default: // they share their bits of a word with M
		s := c.state(from)
		s.M16, s.V16 = hi, make([]adam.BF16, k)
		if err := s.SetFloat32(values, make([]float32, k)); err != nil {
			return nil, err
		}
	}
	if c.piece == checkpoint.Rest {
		return bytes16(lo), nil
	}
	return bytes16(hi), nil
}

// state returns one of elements from a place on, without moments.
func (c *changed) state(from int64) *adam.State16 {
	return &adam.State16{T: c.steps, Key: c.key, Offset: int(from)}
}

// decode reads moments from a place on.
func (f *changed) decode(m, v []float32, from int64) error {
	if f.tensor.moments == Q8 {
		s, err := f.codes(f.tensor, from, int64(len(m)))
		if err != nil {
			return err
		}
		return s.Float32(m, v)
	}
	if err := f.floats(m, f.pieces[checkpoint.M], from); err != nil {
		return err
	}
	return f.floats(v, f.pieces[checkpoint.V], from)
}

// codes reads n moments of 8 bits from a place on, where a block begins.
func (f *file) codes(t *tensor, from, n int64) (*adam.State16, error) {
	blocks := checkpoint.MScale.Len(int(n))
	s := &adam.State16{M8: make([]int8, n), V8: make([]int8, n),
		MScale: make([]uint8, blocks), VScale: make([]uint8, blocks)}
	for p, b := range map[checkpoint.Piece][]byte{
		checkpoint.M: checkpoint.Memory(s.M8), checkpoint.V: checkpoint.Memory(s.V8),
		checkpoint.MScale: s.MScale, checkpoint.VScale: s.VScale,
	} {
		if err := f.bytes(b, t.pieces[p], int64(p.Len(int(from)))); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// floats reads elements of F32 or BF16 from a place on. It makes a NaN quiet, as arithmetic does,
// since another one may round to an infinity.
func (f *file) floats(to []float32, t *safetensors.Tensor, from int64) error {
	size := checkpoint.SizeOf(t.DType)
	b := make([]byte, size*len(to))
	if err := f.bytes(b, t, int64(size)*from); err != nil {
		return err
	}
	for i := range to {
		if size == 2 {
			to[i] = adam.BF16(binary.LittleEndian.Uint16(b[2*i:])).Float32()
		} else {
			to[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
		}
		if to[i] != to[i] {
			to[i] = math.Float32frombits(math.Float32bits(to[i]) | 0x7fc00000)
		}
	}
	return nil
}

// read16 reads elements of 16 bits from a place on.
func read16[E ~uint16 | ~int16](f *file, to []E, t *safetensors.Tensor, from int64) error {
	b := make([]byte, 2*len(to))
	if err := f.bytes(b, t, 2*from); err != nil {
		return err
	}
	for i := range to {
		to[i] = E(binary.LittleEndian.Uint16(b[2*i:]))
	}
	return nil
}

// bytes16 returns elements as they stand in a file.
func bytes16[E ~uint16 | ~int16](s []E) []byte {
	b := make([]byte, 0, 2*len(s))
	for _, x := range s {
		b = binary.LittleEndian.AppendUint16(b, uint16(x))
	}
	return b
}

func bytes32(s []float32) []byte {
	b := make([]byte, 0, 4*len(s))
	for _, x := range s {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
	}
	return b
}
