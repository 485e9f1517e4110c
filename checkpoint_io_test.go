package adam

import (
	"bytes"
	"errors"
	"io"
	"math"
	"path/filepath"
	"testing"
	"testing/iotest"

	"github.com/fusedadam/adam/internal/checkpoint"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Readers may give as little as they like, and their errors come out.
func TestCheckpointReaders(t *testing.T) {
	source := newSmall(t)
	file := saved(t, source)
	for name, wrap := range map[string]func(io.Reader) io.Reader{"one byte": iotest.OneByteReader,
		"half": iotest.HalfReader, "data with EOF": iotest.DataErrReader} {
		o := newTarget(t, smallOptions)
		require.NoError(t, o.Load(wrap(bytes.NewReader(file))), name)
		require.Empty(t, differ(source, o), name)
	}
	o := newTarget(t, smallOptions)
	before := everything(o)
	broken := errors.New("cable pulled")
	for i := range len(file) + 1 { // also where the end should be
		r := io.MultiReader(bytes.NewReader(file[:i]), iotest.ErrReader(broken))
		require.ErrorIs(t, refuses(t, o, before, r), broken, "after %d bytes", i)
	}
}

// failing is a writer that fails after so many bytes.
type failing struct {
	left int
	err  error // nil: it writes less than asked and does not say so
}

func (f *failing) Write(b []byte) (int, error) {
	n := min(f.left, len(b))
	f.left -= n
	if n < len(b) {
		return n, f.err
	}
	return n, nil
}

func TestCheckpointWriters(t *testing.T) {
	o := newSmall(t)
	before := everything(o)
	size := len(saved(t, o))
	full := errors.New("disk full")
	for i := range size {
		require.ErrorIs(t, o.Save(&failing{i, full}), full, "after %d bytes", i)
		require.ErrorIs(t, o.Save(&failing{i, nil}), io.ErrShortWrite, "after %d bytes", i)
	}
	require.NoError(t, o.Save(&failing{size, full}))
	require.Equal(t, before, everything(o))

	big, err := New(
		Options{},
		Group{Config: Default(), Params: []Param{{Name: "w", Value: make([]float32,
			300<<10)}}},
	) // goes past the buffer
	require.NoError(t, err)
	size = len(saved(t, big))
	for _, i := range []int{0, 1 << 10, checkpoint.BufferSize, checkpoint.BufferSize + 1,
		checkpoint.ChunkSize, 1 << 20, size - 1} {
		require.ErrorIs(t, big.Save(&failing{i, full}), full, "after %d bytes", i)
		require.ErrorIs(t, big.Save(&failing{i, nil}), io.ErrShortWrite, "after %d bytes", i)
	}
}

// Save refuses what Load would not take.
func TestCheckpointSaveErrors(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(o *Optimizer)
		want  error
	}{
		"T":         {func(o *Optimizer) { o.State("a").T = math.MaxInt64 + 1 }, ErrCheckpoint},
		"config":    {func(o *Optimizer) { o.Groups[1].Config.Beta1 = 1 }, ErrConfig},
		"scale":     {func(o *Optimizer) { o.GradScale = 0 }, ErrConfig},
		"M":         {func(o *Optimizer) { o.State("a").M = nil }, ErrLength},
		"V":         {func(o *Optimizer) { o.State("a").V = nil }, ErrLength},
		"VMax":      {func(o *Optimizer) { o.State("a").VMax = nil }, ErrLength},
		"VMax of b": {func(o *Optimizer) { o.State("b").VMax = make([]float32, 2) }, ErrLength},
		"Value":     {func(o *Optimizer) { o.Groups[0].Params[0].Value = nil }, ErrLength},
		"name":      {func(o *Optimizer) { o.Groups[0].Params[0].Name = "z" }, ErrParams},
		"group":     {func(o *Optimizer) { o.Groups = o.Groups[:2] }, ErrParams},
		"more":      {func(o *Optimizer) { o.Groups = append(o.Groups, o.Groups[0]) }, ErrParams},
	} {
		o := newSmall(t)
		c.spoil(o)
		var b bytes.Buffer
		require.ErrorIs(t, o.Save(&b), c.want, name)
		assert.Zero(t, b.Len(), name)
		path := filepath.Join(t.TempDir(), "checkpoint")
		require.ErrorIs(t, o.SaveFile(path), c.want, name)
		assert.NoFileExists(t, path+".tmp")
		assert.NoFileExists(t, path)
	}
	o := newSmall(t)
	o.State("a").T = math.MaxInt64
	file := saved(t, o)
	require.NoError(t, o.Load(bytes.NewReader(file)))
	assert.EqualValues(t, uint64(math.MaxInt64), o.State("a").T)
}
