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
	for _, name := range []string{"a", "", "h.0.step", "param.x", "state.x.exp_avg", "é.",
		"x.exp_avg", "x.exp_avg.scale", ".scale", "exp_avg_sq", "param_rest"} {
		for p := range Piece(Pieces) {
			got, tensor, ok := ParseKey(p.Key(name))
			assert.True(t, ok)
			assert.Equal(t, p, got)
			assert.Equal(t, name, tensor)
		}
	}
	for _, key := range []string{
		"", "a", "state.", "state.a", "state.a.", "state.a.param", "states.a.step",
		"state.exp_avg.scale", "state.a.scale", "state.a.max_exp_avg_sq.scale", "state.aexp_avg"} {
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

// Scales are one for each block, the last of which may be short.
func TestLen(t *testing.T) {
	for n, want := range map[int]int{0: 0, 1: 1, 63: 1, 64: 1, 65: 2, 128: 2, 8192: 128,
		math.MaxInt: math.MaxInt/64 + 1} {
		assert.Equal(t, want, MScale.Len(n))
		assert.Equal(t, want, VScale.Len(n))
		assert.Equal(t, n, Rest.Len(n))
	}
}

// Elements of all types stand in the file as they are, little-endian, in the order of safetensors'
// own writer, and come back on a machine of either order.
func TestElements(t *testing.T) {
	type bf16 uint16
	halves, rests := []bf16{0x3f80, 0x0102}, []int16{-2, 0x0304}
	codes, scales := []int8{-128, 1}, []uint8{255}
	info := Info{GradScale: 1, Groups: []Group{{Params: []string{"a"}}}}
	const key = 0xfedcba9876543210
	defer func(before bool) { BigEndian = before }(BigEndian)
	for _, other := range []bool{false, true} {
		BigEndian = other
		data := []Data{FloatsOf(VScale.Key("a"), scales), FloatsOf(V.Key("a"), codes),
			FloatsOf(Rest.Key("a"), rests), FloatsOf(M.Key("a"), halves),
			FloatsOf(Value.Key("a"), []float32{1}), FloatsOf(EMA.Key("a"), []float64{1}),
			CountOf(Step.Key("a"), 7), CountOf(Key.Key("a"), key)}
		Sort(data)
		head, err := Encode(&info, data)
		require.NoError(t, err)
		var file bytes.Buffer
		require.NoError(t, Write(&file, head, data))
		r, err := NewReader(bytes.NewReader(file.Bytes()), Limits{Tensors: -1})
		require.NoError(t, err)
		assert.Equal(t, 3, r.Format)
		var types []string
		for _, s := range r.Tensors {
			types = append(types, s.DType)
		}
		assert.Equal(t, []string{"I64", "I64", "F64", "F32", "BF16", "I16", "I8", "U8"}, types)
		n, err := r.Number()
		require.NoError(t, err)
		assert.EqualValues(t, uint64(key), n)
		n, err = r.Count()
		require.NoError(t, err)
		assert.EqualValues(t, 7, n)
		require.NoError(t, r.Skip(12))
		gotHalves, gotRests := make([]bf16, 2), make([]int16, 2)
		gotCodes, gotScales := make([]int8, 2), make([]uint8, 1)
		require.NoError(t, r.Floats(Memory(gotHalves), BFloat16s))
		require.NoError(t, r.Floats(Memory(gotRests), Int16s))
		require.NoError(t, r.Floats(Memory(gotCodes), Int8s))
		require.NoError(t, r.Floats(Memory(gotScales), Uint8s))
		require.NoError(t, r.Close())
		assert.Equal(t, halves, gotHalves)
		assert.Equal(t, rests, gotRests)
		assert.Equal(t, codes, gotCodes)
		assert.Equal(t, scales, gotScales)
		want := []byte{0x80, 0x3f, 2, 1, 0xfe, 0xff, 4, 3, 0x80, 1, 255}
		if other != (binary.NativeEndian.Uint16([]byte{0, 1}) == 1) {
			want = []byte{0x3f, 0x80, 1, 2, 0xff, 0xfe, 3, 4, 0x80, 1, 255}
		}
		assert.Equal(t, want, file.Bytes()[file.Len()-11:])
	}
	// Each of them makes a file one of format 3.
	for _, d := range []Data{FloatsOf(M.Key("a"), halves), FloatsOf(V.Key("a"), codes),
		FloatsOf(Rest.Key("a"), rests), FloatsOf(VScale.Key("a"), scales),
		CountOf(Key.Key("a"), 0)} {
		assert.Equal(t, 3, format(&info, []Data{d}), d.Name)
	}
	assert.Equal(t, 1, format(&info, []Data{CountOf(Step.Key("a"), 0)}))
}
