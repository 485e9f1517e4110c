package checkpoint

import (
	"errors"
	"fmt"
	"io"
	"math"
	"strings"

	"github.com/fusedadam/adam/internal/safetensors"
)

// KeyShapes is the metadata with the shapes of parameters that have not one dimension in torch, as
// JSON: {NAME: shape}.
const KeyShapes = "torch.shapes"

// A Head is the header of a safetensors file, a checkpoint or not.
type Head struct {
	Tensors  []safetensors.Tensor // in the order of their data
	Metadata map[string]string
	DataAt   int64 // where the data begin in the file
}

// ReadHead reads the header of any safetensors file, and checks that the file ends where its data
// do.
func ReadHead(r io.ReaderAt) (*Head, error) {
	header, err := readHeader(io.NewSectionReader(r, 0, MaxHeader+safetensors.Prefix), 0)
	if err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	h := &Head{Metadata: map[string]string{}, DataAt: int64(safetensors.Prefix + len(header))}
	h.Tensors, err = safetensors.Decode(header, -1, func(m safetensors.Meta) error {
		if len(h.Metadata) == MaxMetadata {
			return fmt.Errorf("more than %d metadata", MaxMetadata)
		}
		h.Metadata[strings.Clone(m.Key)] = strings.Clone(m.Value)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	end := h.DataAt
	if n := len(h.Tensors); n > 0 {
		end += h.Tensors[n-1].To
	}
	var last [2]byte // of the file, and one that must not be there
	switch n, err := r.ReadAt(last[:], max(end-1, 0)); {
	case n == 0 && err == io.EOF:
		return nil, io.ErrUnexpectedEOF
	case n == len(last):
		return nil, errors.New("the file goes on where its data should end")
	case err != io.EOF:
		return nil, err
	}
	return h, nil
}

// Source returns the data of a tensor of the file.
func (h *Head) Source(r io.ReaderAt, t *safetensors.Tensor) *Source {
	return &Source{File: r, At: h.DataAt + t.From}
}

// Verify reads a checkpoint to its end, which proves its checksum, and returns what it has read and
// the header.
func Verify(r io.ReaderAt, limits Limits) (*Reader, *Head, error) {
	c, err := NewReader(io.NewSectionReader(r, 0, math.MaxInt64), limits)
	if err != nil {
		return nil, nil, err
	}
	for _, t := range c.Tensors {
		if err := c.Skip(t.To - t.From); err != nil {
			return nil, nil, fmt.Errorf("%s: %w", safetensors.Quote(t.Name), err)
		}
	}
	if err := c.Close(); err != nil {
		return nil, nil, err
	}
	head, err := ReadHead(r)
	return c, head, err
}
