// Package storage changes how a checkpoint stores moments and parameters.
package storage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/fusedadam/adam"
	"github.com/fusedadam/adam/internal/checkpoint"
	"github.com/fusedadam/adam/internal/safetensors"
)

// Options say what a checkpoint is to have. Without Moments or Params they stay as they are.
type Options struct {
	Moments string   // Float32, BF16 or Q8
	Params  string   // Float32, Split or BF16
	Names   []string // of the tensors to change, nil for all
	Seed    uint64   // for tensors that have no key yet
}

// How moments and parameters may be stored.
const (
	Float32 = "float32"
	BF16    = "bf16"
	Q8      = "q8"
	Split   = "split"
)

// ErrStorage is wrapped by the errors of [Convert] for a checkpoint that cannot be stored so.
var ErrStorage = errors.New("adam: no such storage of the checkpoint")

// A Report says what became of a checkpoint.
type Report struct {
	Tensors int      // in the file
	Changed []string // of them
	Left    []string // keys of maxima that nothing uses and 8 bits cannot hold
}

// Convert reads a checkpoint and writes it with another storage. What has fewer bits then is
// rounded stochastically, by the words of the tensor's last step. Tensors of float64 stay as they
// are.
//
// Everything is checked before anything is written. An error wraps [adam.ErrCheckpoint] if the
// checkpoint is bad, [ErrStorage] if it cannot be stored so, or it is the writer's.
func Convert(w io.Writer, r io.ReaderAt, options Options) (Report, error) {
	f, err := read(r)
	if err != nil {
		return Report{}, fmt.Errorf("%w: %w", adam.ErrCheckpoint, err)
	}
	var report Report
	data, err := f.convert(&options, &report)
	var head []byte
	if err == nil {
		head, err = checkpoint.Encode(&f.info, data)
	}
	if err != nil {
		return Report{}, fmt.Errorf("%w: %w", ErrStorage, err)
	}
	switch err := checkpoint.Write(w, head, data); {
	case errors.Is(err, checkpoint.ErrChanged):
		return Report{}, fmt.Errorf("%w: the file was changed while it was read",
			adam.ErrCheckpoint)
	case err != nil:
		return Report{}, fmt.Errorf("adam: writing a checkpoint: %w", err)
	}
	return report, nil
}

// A file is a checkpoint.
type file struct {
	r       io.ReaderAt
	head    *checkpoint.Head
	info    checkpoint.Info
	tensors map[string]*tensor
}

// A tensor is what the file has of one.
type tensor struct {
	name    string
	pieces  [checkpoint.Pieces]*safetensors.Tensor
	n       int64
	steps   uint64
	key     uint64 // of the words
	moments string // how they are stored, "" for float64
	params  string // "" if they are not there
}

// read reads a checkpoint to its end, which proves its checksum.
func read(r io.ReaderAt) (*file, error) {
	c, head, err := checkpoint.Verify(r, checkpoint.Limits{Tensors: -1})
	if err != nil {
		return nil, err
	}
	f := &file{r: r, head: head, info: c.Info, tensors: map[string]*tensor{}}
	for _, g := range f.info.Groups {
		for _, name := range g.Params {
			f.tensors[name] = &tensor{name: name}
		}
	}
	for i := range head.Tensors {
		entry := &head.Tensors[i]
		p, name, ok := checkpoint.ParseKey(entry.Name)
		t := f.tensors[name]
		if !ok || t == nil {
			return nil, fmt.Errorf("%s is not known", safetensors.Quote(entry.Name))
		}
		t.pieces[p] = entry
	}
	for _, t := range f.tensors {
		if err := f.check(t); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// check finds out how t is stored, and checks that it is so.
func (f *file) check(t *tensor) error {
	for _, p := range []checkpoint.Piece{checkpoint.M, checkpoint.V, checkpoint.Step} {
		if t.pieces[p] == nil {
			return fmt.Errorf("%q is missing", p.Key(t.name))
		}
	}
	m := t.pieces[checkpoint.M]
	if len(m.Shape) != 1 {
		return fmt.Errorf("%s has shape %v, want one dimension", safetensors.Quote(m.Name), m.Shape)
	}
	t.n = m.Shape[0]
	want := [checkpoint.Pieces]string{checkpoint.V: m.DType, checkpoint.VMax: m.DType,
		checkpoint.EMA: checkpoint.Float32s, checkpoint.Step: checkpoint.Int64s,
		checkpoint.Rest: checkpoint.Int16s, checkpoint.Key: checkpoint.Int64s}
	switch m.DType {
	case checkpoint.Float32s:
		t.moments = Float32
	case checkpoint.BFloat16s:
		t.moments = BF16
	case checkpoint.Int8s:
		t.moments = Q8
		want[checkpoint.VMax] = ""
		want[checkpoint.MScale], want[checkpoint.VScale] = checkpoint.Uint8s, checkpoint.Uint8s
	case checkpoint.Float64s:
		want[checkpoint.EMA], want[checkpoint.Value] = m.DType, m.DType
		want[checkpoint.Rest], want[checkpoint.Key] = "", ""
	default:
		return fmt.Errorf("%s has dtype %s, want F32, BF16, I8 or F64", safetensors.Quote(m.Name),
			m.DType)
	}
	if v := t.pieces[checkpoint.Value]; v != nil && m.DType != checkpoint.Float64s {
		t.params = Float32
		want[checkpoint.Value] = checkpoint.Float32s
		switch {
		case t.pieces[checkpoint.Rest] != nil:
			t.params, want[checkpoint.Value] = Split, checkpoint.BFloat16s
		case v.DType == checkpoint.BFloat16s:
			t.params, want[checkpoint.Value] = BF16, checkpoint.BFloat16s
		}
	}
	for i, entry := range t.pieces {
		p := checkpoint.Piece(i)
		dtype, shape := want[p], []int64{int64(p.Len(int(t.n)))}
		switch {
		case p == checkpoint.M:
			continue
		case entry == nil && (p == checkpoint.MScale || p == checkpoint.VScale) && dtype != "":
			return fmt.Errorf("%q is missing", p.Key(t.name))
		case entry == nil:
			continue
		case dtype == "":
			return fmt.Errorf("%s does not go with %s of %s", safetensors.Quote(entry.Name),
				safetensors.Quote(m.Name), m.DType)
		case dtype == checkpoint.Int64s:
			shape = nil
		}
		if entry.DType != dtype || !slices.Equal(entry.Shape, shape) {
			return fmt.Errorf("%s has dtype %s and shape %v, want %s and %v",
				safetensors.Quote(entry.Name), entry.DType, entry.Shape, dtype, shape)
		}
	}
	return f.values(t)
}

// values reads the numbers of t, and checks the blocks of 8 bits.
func (f *file) values(t *tensor) (err error) {
	if t.steps, err = f.number(t.pieces[checkpoint.Step]); err != nil {
		return err
	}
	if int64(t.steps) < 0 {
		return fmt.Errorf("%q: %d, want a number of at least 0", checkpoint.Step.Key(t.name),
			int64(t.steps))
	}
	if t.pieces[checkpoint.Key] != nil {
		if t.key, err = f.number(t.pieces[checkpoint.Key]); err != nil {
			return err
		}
	}
	if t.moments != Q8 {
		return nil
	}
	for from := int64(0); from < t.n; from += run {
		n := min(run, t.n-from)
		s, err := f.codes(t, from, n)
		if err != nil {
			return err
		}
		err = checkpoint.CheckBlocks(checkpoint.M, checkpoint.Memory(s.M8), s.MScale)
		if err != nil {
			return fmt.Errorf("%q from %d on: %w", checkpoint.M.Key(t.name), from, err)
		}
		err = checkpoint.CheckBlocks(checkpoint.V, checkpoint.Memory(s.V8), s.VScale)
		if err != nil {
			return fmt.Errorf("%q from %d on: %w", checkpoint.V.Key(t.name), from, err)
		}
	}
	return nil
}

// convert returns what the new file has.
func (f *file) convert(options *Options, report *Report) (data []checkpoint.Data, err error) {
	for _, name := range options.Names {
		if t := f.tensors[name]; t == nil {
			return nil, fmt.Errorf("there is no tensor %q", name)
		} else if t.pieces[checkpoint.M].DType == checkpoint.Float64s {
			return nil, fmt.Errorf("%q is of float64, which stays as it is", name)
		}
	}
	for i := range f.info.Groups {
		g := &f.info.Groups[i]
		for _, name := range g.Params {
			t := f.tensors[name]
			report.Tensors++
			if t.moments == "" || options.Names != nil && !slices.Contains(options.Names, name) {
				data = append(data, f.copies(t, func(checkpoint.Piece) bool { return true })...)
				continue
			}
			c := change{f, t, options.Moments, options.Params}
			if c.moments == "" {
				c.moments = t.moments
			}
			if c.params == "" {
				c.params = t.params
			}
			switch {
			case c.moments == Q8 && g.Config.AMSGrad:
				return nil, fmt.Errorf("%q: AMSGrad has no maximum of 8 bits: use %s", name, BF16)
			case c.params != t.params && t.params == "":
				return nil, fmt.Errorf("%q: the parameters are not in the file: save them with "+
					"Options.SaveParams", name)
			}
			if t.pieces[checkpoint.Key] == nil {
				t.key = adam.NewState16(adam.Param16{Name: name}, adam.Storage{}, options.Seed,
					adam.Config{}).Key
			}
			if c.moments != t.moments || c.params != t.params {
				report.Changed = append(report.Changed, name)
			}
			data = append(data, c.data(report)...)
		}
	}
	checkpoint.Sort(data)
	return data, nil
}

// copies returns the pieces of t that are to stay as they are.
func (f *file) copies(t *tensor, stays func(p checkpoint.Piece) bool) (data []checkpoint.Data) {
	for p, entry := range t.pieces {
		if entry == nil || !stays(checkpoint.Piece(p)) {
			continue
		}
		d := checkpoint.Data{Tensor: *entry}
		d.Source = f.head.Source(f.r, entry)
		data = append(data, d)
	}
	return data
}

// number reads one of 64 bits.
func (f *file) number(t *safetensors.Tensor) (uint64, error) {
	var b [8]byte
	err := f.bytes(b[:], t, 0)
	return binary.LittleEndian.Uint64(b[:]), err
}

// bytes reads data of t, from one of its bytes on.
func (f *file) bytes(b []byte, t *safetensors.Tensor, from int64) error {
	n, err := f.r.ReadAt(b, f.head.DataAt+t.From+from)
	if n == len(b) {
		return nil
	}
	if err == nil || err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return err
}
