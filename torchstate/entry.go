package torchstate

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/fusedadam/adam/internal/checkpoint"
	"github.com/fusedadam/adam/internal/safetensors"
)

// An entry is what a file, of torch or of package adam, has of one parameter.
type entry struct {
	id     string // in the keys of the file
	pieces [checkpoint.Pieces]*safetensors.Tensor
	dtype  string  // of the moments
	shape  []int64 // of all pieces but step
	count  uint64  // steps
}

// enter finds the pieces of the parameters of all groups, and checks them.
func (f *file) enter() error {
	f.entries = map[string]*entry{}
	for i := range f.groups {
		for _, id := range f.groups[i].ids {
			f.entries[id] = &entry{id: id}
		}
	}
	for i := range f.head.Tensors {
		t := &f.head.Tensors[i]
		p, id, ok := checkpoint.ParseKey(t.Name)
		if !ok {
			return fmt.Errorf(
				"%s is not known: want state.ID.exp_avg, exp_avg_sq, max_exp_avg_sq or step, "+
					"or param.ID", safetensors.Quote(t.Name))
		}
		e := f.entries[id]
		if e == nil {
			return fmt.Errorf("%s: no group holds %s", safetensors.Quote(t.Name),
				safetensors.Quote(id))
		}
		e.pieces[p] = t
	}
	var with, without *entry // parameters
	for i := range f.groups {
		for _, id := range f.groups[i].ids {
			e := f.entries[id]
			if err := e.check(f.groups[i].config.AMSGrad, f.ours); err != nil {
				return err
			}
			if step := e.pieces[checkpoint.Step]; step != nil {
				var err error
				if e.count, err = readCount(f.r, f.head, step); err != nil {
					return fmt.Errorf("%s: %w", safetensors.Quote(step.Name), err)
				}
			}
			if e.pieces[checkpoint.Value] != nil {
				with = e
			} else if e.stepped() {
				without = e
			}
		}
	}
	if with != nil && without != nil {
		return fmt.Errorf("%q is there, and %q is missing: want all parameters or none",
			checkpoint.Value.Key(with.id), checkpoint.Value.Key(without.id))
	}
	return nil
}

// check sets the type and the shape of e, and says what is wrong with its pieces. In a checkpoint
// of ours moments and parameters may have fewer bits than float32.
func (e *entry) check(amsgrad, ours bool) error {
	var first *safetensors.Tensor
	for p, t := range e.pieces {
		p := checkpoint.Piece(p)
		if t == nil || p == checkpoint.Step {
			continue
		}
		few := ours && (t.DType == checkpoint.BFloat16s && p != checkpoint.EMA ||
			t.DType == checkpoint.Int8s && p <= checkpoint.V)
		switch {
		case p > checkpoint.Step && p < checkpoint.Value:
			if ours {
				continue
			}
			return fmt.Errorf("%q: torch's Adam has no such state", p.Key(e.id))
		case !few && t.DType != checkpoint.Float32s && t.DType != checkpoint.Float64s:
			return fmt.Errorf("%s is of dtype %s, want F32 or F64: save it as .float()",
				safetensors.Quote(t.Name), t.DType)
		}
		if first == nil {
			first, e.dtype, e.shape = t, t.DType, t.Shape
		}
		// Averages and parameters have types of their own then.
		mixed := ours && (p == checkpoint.EMA || p == checkpoint.Value) &&
			t.DType != checkpoint.Float64s && e.dtype != checkpoint.Float64s
		if t.DType != e.dtype && !mixed {
			return fmt.Errorf("%s is of dtype %s, and %s of %s", safetensors.Quote(t.Name), t.DType,
				safetensors.Quote(first.Name), e.dtype)
		}
		if !slices.Equal(t.Shape, first.Shape) {
			return fmt.Errorf("%s has shape %v, and %s has %v", safetensors.Quote(t.Name), t.Shape,
				safetensors.Quote(first.Name), first.Shape)
		}
	}
	if !e.stepped() {
		return nil
	}
	needed := []checkpoint.Piece{checkpoint.M, checkpoint.V, checkpoint.Step}
	if amsgrad {
		needed = append(needed, checkpoint.VMax)
	}
	for _, p := range needed {
		if e.pieces[p] == nil {
			return fmt.Errorf("%q is missing", p.Key(e.id))
		}
	}
	return nil
}

// stepped says that there is a state: torch makes it in the first step.
func (e *entry) stepped() bool {
	for p, t := range e.pieces {
		if t != nil && checkpoint.Piece(p) != checkpoint.Value {
			return true
		}
	}
	return false
}

// readCount reads a number of steps, which torch has as a float, and a checkpoint as an integer.
func readCount(r io.ReaderAt, head *checkpoint.Head, t *safetensors.Tensor) (uint64, error) {
	if len(t.Shape) > 1 || len(t.Shape) == 1 && t.Shape[0] != 1 {
		return 0, fmt.Errorf("shape %v, want a scalar", t.Shape)
	}
	b := make([]byte, t.To-t.From)
	if n, err := r.ReadAt(b, head.DataAt+t.From); n < len(b) {
		return 0, readError(err)
	}
	var x float64
	switch t.DType {
	case checkpoint.Int64s:
		n := int64(binary.LittleEndian.Uint64(b))
		if n < 0 {
			return 0, fmt.Errorf("%d steps", n)
		}
		return uint64(n), nil
	case checkpoint.Float32s, checkpoint.Float64s:
		x = float(b, t.DType)
	default:
		return 0, fmt.Errorf("dtype %s, want F32 or I64", t.DType)
	}
	if !(x >= 0 && x < 1<<63 && x == math.Trunc(x)) {
		return 0, fmt.Errorf("%v steps, want an integer from 0 to 2^63-1", x)
	}
	return uint64(x), nil
}

// float returns the float at the beginning of b.
func float(b []byte, dtype string) float64 {
	if dtype == checkpoint.Float64s {
		return math.Float64frombits(binary.LittleEndian.Uint64(b))
	}
	return float64(math.Float32frombits(binary.LittleEndian.Uint32(b)))
}

// readError returns the error of a read that has not got everything.
func readError(err error) error {
	if err == nil || err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// elements returns the number of elements of a shape, -1 if there is none.
func elements(shape []int64) int64 {
	size := int64(1)
	for _, n := range shape {
		if n < 0 || n > 0 && size > math.MaxInt64/n {
			return -1
		}
		size *= n
	}
	return size
}

// A second is a file that is read for a second moment, which is never negative.
type second struct {
	io.ReaderAt
	*safetensors.Tensor
}

// ReadAt reads whole elements.
func (s second) ReadAt(b []byte, at int64) (int, error) {
	n, err := s.ReaderAt.ReadAt(b, at)
	size := checkpoint.SizeOf(s.DType)
	for i := 0; i+size <= n; i += size {
		if x := float(b[i:], s.DType); x < 0 {
			return 0, fmt.Errorf("%s holds %.6g, and a second moment is never negative",
				safetensors.Quote(s.Name), x)
		}
	}
	return n, err
}

// zeros are the moments before the first step.
type zeros struct{}

func (zeros) ReadAt(b []byte, _ int64) (int, error) {
	clear(b)
	return len(b), nil
}

// A sink remembers the error of a writer, to tell it from that of a reader.
type sink struct {
	io.Writer
	err error
}

func (s *sink) Write(b []byte) (int, error) {
	n, err := s.Writer.Write(b)
	if err == nil && n < len(b) {
		err = io.ErrShortWrite
	}
	if err != nil {
		s.err = err
	}
	return n, err
}
