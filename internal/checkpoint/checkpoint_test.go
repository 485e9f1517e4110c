package checkpoint

import (
	"bytes"
	"encoding/binary"
	"io"
	"math"
	"strings"
	"testing"

	"github.com/fusedadam/adam/internal/safetensors"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestKeys(t *testing.T) {
	for _, name := range []string{"a", "", "h.0.step", "param.x", "state.x.exp_avg", "é."} {
		for p := range Piece(Pieces) {
			got, tensor, ok := ParseKey(p.Key(name))
			assert.True(t, ok)
			assert.Equal(t, p, got)
			assert.Equal(t, name, tensor)
		}
	}
	for _, key := range []string{
		"", "a", "state.", "state.a", "state.a.", "state.a.param", "states.a.step"} {
		_, _, ok := ParseKey(key)
		assert.False(t, ok, key)
	}
}

// What stands in another file is copied from there, whatever the shape, and what has been written
// is read without an optimizer.
func TestWithoutAnOptimizer(t *testing.T) {
	const n = 300_000 // more than a buffer
	large := make([]float32, n)
	other := []byte("before")
	for i := range large {
		large[i] = float32(i)
		other = binary.LittleEndian.AppendUint32(other, math.Float32bits(large[i]))
	}
	config := Config{LR: 1e-3, Betas: [2]float64{0.9, 0.999}, Eps: 1e-8, AMSGrad: true}
	info := Info{
		T: math.MaxUint64, GradScale: 0.5, Metadata: map[string]string{"k": "v"},
		Groups: []Group{{config, []string{"a"}}, {Config: Config{}}},
	}
	source := Data{
		Tensor: safetensors.Tensor{Name: V.Key("a"), DType: Float32s, Shape: []int64{n / 4, 4}},
		Source: &Source{File: bytes.NewReader(other), At: 6},
	}
	data := []Data{FloatsOf(M.Key("a"), large), source, CountOf(Step.Key("a"), 7)}
	Sort(data)
	head, err := Encode(&info, data)
	require.NoError(t, err)
	assert.Equal(t, 2, info.Format, "it has metadata")
	var file bytes.Buffer
	require.NoError(t, Write(&file, head, data))

	r, err := NewReader(bytes.NewReader(file.Bytes()), Limits{Tensors: -1})
	require.NoError(t, err)
	info.Groups[1].Params = r.Groups[1].Params // nil or empty
	assert.Equal(t, info, r.Info)
	require.Len(t, r.Tensors, 3)
	count, err := r.Count()
	require.NoError(t, err)
	assert.EqualValues(t, 7, count)
	assert.Equal(t, M.Key("a"), r.Tensors[1].Name)
	require.NoError(t, r.Skip(4*n))
	assert.Equal(t, []int64{n / 4, 4}, r.Tensors[2].Shape)
	got := make([]float32, n)
	require.NoError(t, r.Floats(Memory(got), Float32s))
	assert.Equal(t, large, got)
	require.NoError(t, r.Close())

	// A source that ends early.
	source.Source.File = strings.NewReader("before")
	assert.ErrorIs(t, Write(io.Discard, head, data), io.ErrUnexpectedEOF)
	// A bit that has changed in what is skipped.
	bad := file.Bytes()
	bad[len(bad)-4*n-1] ^= 1
	r, err = NewReader(bytes.NewReader(bad), Limits{Tensors: -1})
	require.NoError(t, err)
	for _, s := range r.Tensors {
		require.NoError(t, r.Skip(s.To-s.From))
	}
	assert.ErrorIs(t, r.Close(), ErrSum)
	// An end that is too early.
	r, err = NewReader(bytes.NewReader(bad[:len(bad)-1]), Limits{Tensors: -1})
	require.NoError(t, err)
	for _, s := range r.Tensors[:2] {
		require.NoError(t, r.Skip(s.To-s.From))
	}
	assert.ErrorIs(t, r.Skip(4*n), io.ErrUnexpectedEOF)
}
