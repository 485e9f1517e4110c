// Package safetensors writes and reads the headers of safetensors files, strictly: whatever is not
// as the format says, or is there twice, is an error. The data are left to the caller, who streams
// them.
//
// A file is the length of the header (8 bytes, little-endian), the header (JSON), and the data of
// the tensors without gaps.
package safetensors

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
)

// Prefix is the size of what stands before the header: its length.
const Prefix = 8

// A Tensor is an entry of the header. Its data are the bytes [From, To) behind the header.
type Tensor struct {
	Name     string
	DType    string
	Shape    []int64
	From, To int64
}

// Meta is an entry of the header's __metadata__.
type Meta struct {
	Key, Value string
	At         int // where Value stands in the header as it is, without escapes; -1 if it does not
}

// sizes of the elements of all types but those of less than a byte.
var sizes = map[string]int64{
	"BOOL": 1, "U8": 1, "I8": 1, "F8_E5M2": 1, "F8_E4M3": 1, "F8_E8M0": 1,
	"U16": 2, "I16": 2, "F16": 2, "BF16": 2,
	"U32": 4, "I32": 4, "F32": 4,
	"U64": 8, "I64": 8, "F64": 8, "C64": 8,
}

// maxDimensions is what numpy and PyTorch can hold.
const maxDimensions = 64

// size returns the number of bytes of t's data.
func (t *Tensor) size() (int64, error) {
	size, ok := sizes[t.DType]
	if !ok {
		return 0, fmt.Errorf("dtype %s is not known", Quote(t.DType))
	}
	if len(t.Shape) > maxDimensions {
		return 0, dimensionsError(len(t.Shape))
	}
	for _, n := range t.Shape {
		if n < 0 || n > 0 && size > math.MaxInt64/n {
			return 0, fmt.Errorf("shape %v of %s does not fit into a file", t.Shape, t.DType)
		}
		size *= n
	}
	return size, nil
}

func dimensionsError(n int) error {
	return fmt.Errorf("shape of %d dimensions, want at most %d", n, maxDimensions)
}

// Encode returns the beginning of a file up to its data: the prefix and the header, which is padded
// with spaces to a multiple of 8 bytes. Metadata and tensors stand in the order given, and so do
// the data: Encode sets From and To.
func Encode(metadata []Meta, tensors []Tensor) ([]byte, error) {
	b := bytes.NewBuffer(make([]byte, Prefix))
	separator := "{"
	if len(metadata) > 0 {
		separator = ","
		b.WriteString(`{"__metadata__":{`)
		for i, m := range metadata {
			if i > 0 {
				b.WriteByte(',')
			}
			writeJSON(b, m.Key)
			b.WriteByte(':')
			writeJSON(b, m.Value)
		}
		b.WriteByte('}')
	}
	at := int64(0)
	for i := range tensors {
		t := &tensors[i]
		size, err := t.size()
		if err == nil && size > math.MaxInt64-at {
			err = errors.New("too much data for a file")
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", Quote(t.Name), err)
		}
		t.From, t.To = at, at+size
		at = t.To
		b.WriteString(separator)
		separator = ","
		writeJSON(b, t.Name)
		b.WriteString(`:{"dtype":`)
		writeJSON(b, t.DType)
		b.WriteString(`,"shape":`)
		writeJSON(b, append([]int64{}, t.Shape...)) // not null
		b.WriteString(`,"data_offsets":`)
		writeJSON(b, [2]int64{t.From, t.To})
		b.WriteByte('}')
	}
	if separator == "{" {
		b.WriteByte('{')
	}
	b.WriteByte('}')
	for b.Len()%8 != 0 {
		b.WriteByte(' ')
	}
	binary.LittleEndian.PutUint64(b.Bytes(), uint64(b.Len()-Prefix))
	return b.Bytes(), nil
}

func writeJSON(b *bytes.Buffer, v any) {
	j, err := json.Marshal(v)
	if err != nil {
		panic(err) // of a string or integers
	}
	b.Write(j)
}

// shortest is the length of the shortest entry of a header:
// "":{"dtype":"U8","shape":[],"data_offsets":[0,0]},
const shortest = 50

// ErrMore is wrapped by the errors for what exceeds a limit that the caller has set.
var ErrMore = errors.New("more than")

// Decode reads a header, which begins behind the prefix. It returns the tensors in the order of
// their data, at most as many as given if that is not negative, and calls keep with the metadata.
// It allocates less than three times the header's size, beside what keep allocates.
func Decode(header string, most int, keep func(m Meta) error) ([]Tensor, error) {
	room := len(header)/shortest + 1
	if most >= 0 {
		room = min(room, most)
	}
	d := decoder{
		tensors: make([]Tensor, 0, min(room, strings.Count(header, `"data_offsets"`))),
		shapes:  len(header)/8 + maxDimensions,
	}
	hasMetadata := false
	err := Parse(header, func(p *Parser) error {
		return p.members(func(name string) error {
			if name == "__metadata__" {
				if hasMetadata {
					return p.twice(name)
				}
				hasMetadata = true
				return p.Object(nil, func(key string) error {
					value, err := p.String()
					if err != nil {
						return err
					}
					return keep(Meta{key, value, p.raw})
				})
			}
			if len(d.tensors) == most {
				return p.fault("%s: there are %w %d tensors", Quote(name), ErrMore, most)
			}
			return d.tensor(p, name)
		})
	})
	if err != nil {
		return nil, err
	}
	tensors := d.tensors
	slices.SortFunc(tensors, func(a, b Tensor) int { return cmp.Compare(a.Name, b.Name) })
	for i := 1; i < len(tensors); i++ {
		if name := tensors[i].Name; name == tensors[i-1].Name {
			return nil, fmt.Errorf("key %s is there twice", Quote(name))
		}
	}
	slices.SortFunc(tensors, func(a, b Tensor) int {
		return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To),
			cmp.Compare(a.Name, b.Name))
	})
	at := int64(0)
	for _, t := range tensors {
		if t.From != at {
			return nil, fmt.Errorf("%s: data begin at %d, those before end at %d", Quote(t.Name),
				t.From, at)
		}
		at = t.To
	}
	return tensors, nil
}

// A decoder holds the tensors of a header.
type decoder struct {
	tensors []Tensor
	shapes  int                  // dimensions that all the others together may have
	shape   [maxDimensions]int64 // of one tensor, as are
	offsets [2]int64
}

var members = []string{"dtype", "shape", "data_offsets"}

func (d *decoder) tensor(p *Parser, name string) error {
	t := Tensor{Name: name}
	var dimensions, ends int
	err := p.Object(members, func(key string) (err error) {
		switch key {
		case "dtype":
			t.DType, err = p.String()
		case "shape":
			t.Shape, dimensions, err = p.Integers(d.shape[:0], maxDimensions)
		default:
			_, ends, err = p.Integers(d.offsets[:0], len(d.offsets))
		}
		return err
	})
	d.shapes -= dimensions
	if err == nil && dimensions > maxDimensions {
		err = dimensionsError(dimensions)
	}
	if err == nil && d.shapes < 0 {
		err = errors.New("the shapes have more dimensions than a header of this length is good for")
	}
	t.Shape = append([]int64(nil), t.Shape...)
	var size int64
	if err == nil {
		size, err = t.size()
	}
	if err == nil && ends != 2 {
		err = fmt.Errorf("%d data_offsets, want 2", ends)
	}
	if from, to := d.offsets[0], d.offsets[1]; err == nil && (from > to || to-from != size) {
		err = fmt.Errorf("data_offsets %v, but %s of shape %v takes %d bytes", d.offsets, t.DType,
			t.Shape, size)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", Quote(name), err)
	}
	t.From, t.To = d.offsets[0], d.offsets[1]
	d.tensors = append(d.tensors, t)
	return nil
}
