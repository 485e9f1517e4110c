package safetensors

import (
	"encoding/binary"
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What Encode writes, Decode reads.
func TestRoundTrip(t *testing.T) {
	metadata := []Meta{{Key: "first", Value: "plain"}, {Key: "", Value: "\"quoted\" <é\n>"}}
	tensors := []Tensor{
		{Name: "scalar", DType: "I64"},
		{Name: "\\\"é\u2028", DType: "F32", Shape: []int64{2, 3}},
		{Name: "", DType: "BF16", Shape: []int64{0, math.MaxInt64}},
		{Name: "bytes", DType: "U8", Shape: []int64{5}},
	}
	head, err := Encode(metadata, tensors)
	require.NoError(t, err)
	assert.Zero(t, len(head)%8)
	assert.EqualValues(t, len(head)-Prefix, binary.LittleEndian.Uint64(head))
	gotMetadata, gotTensors, err := decode(head[Prefix:])
	require.NoError(t, err)
	for i, m := range gotMetadata {
		assert.Equal(t, metadata[i].Key, m.Key)
		assert.Equal(t, metadata[i].Value, m.Value)
	}
	require.Equal(t, strings.Index(string(head[Prefix:]), "plain"), gotMetadata[0].At)
	assert.Equal(t, -1, gotMetadata[1].At)
	assert.Equal(t, tensors, gotTensors)
	assert.Equal(t, []int64{0, 8, 8, 32, 32, 32, 32, 37}, offsets(gotTensors))
}

func decode(header []byte) (metadata []Meta, tensors []Tensor, err error) {
	tensors, err = Decode(string(header), -1, func(m Meta) error {
		metadata = append(metadata, m)
		return nil
	})
	return metadata, tensors, err
}

func offsets(tensors []Tensor) (list []int64) {
	for _, t := range tensors {
		list = append(list, t.From, t.To)
	}
	return list
}

func TestEmpty(t *testing.T) {
	for _, metadata := range [][]Meta{nil, {{Key: "a", Value: "b"}}} {
		head, err := Encode(metadata, nil)
		require.NoError(t, err)
		_, tensors, err := decode(head[Prefix:])
		require.NoError(t, err, "%s", head)
		assert.Empty(t, tensors)
	}
}

func TestTooLarge(t *testing.T) {
	for _, tensors := range [][]Tensor{
		{{Name: "a", DType: "F32", Shape: []int64{1 << 31, 1 << 31}}},
		{{Name: "a", DType: "F64", Shape: []int64{math.MaxInt64 / 8}},
			{Name: "b", DType: "F64", Shape: []int64{1}}},
		{{Name: "a", DType: "F32", Shape: []int64{-1}}},
		{{Name: "a", DType: "F4", Shape: []int64{1}}},
		{{Name: "a", DType: "U8", Shape: make([]int64, 65)}},
	} {
		_, err := Encode(nil, tensors)
		assert.ErrorContains(t, err, `"`+tensors[len(tensors)-1].Name+`": `, "%v", tensors)
	}
}

// Decode never panics, and what it takes has the offsets and sizes that it should.
func FuzzDecode(f *testing.F) {
	for _, s := range []string{
		`{}`, ` {"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}} `,
		`{"__metadata__":{"a":"b"},"a":{"dtype":"I64","shape":[],"data_offsets":[0,8]}}`,
		`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},` +
			`"a":{"dtype":"F32","shape":[2],"data_offsets":[8,16]}}`,
		`{"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},` +
			`"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`,
		`[]`, `null`, `{"a":null}`, ``, strings.Repeat("4", 400), // JSON, but no float64
		strings.Repeat("[", 100),
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, header []byte) {
		var raw string
		err := Parse(string(header), func(p *Parser) (err error) { raw, err = p.Raw(); return err })
		if err == nil {
			require.True(t, json.Valid([]byte(raw)), "%q", raw)
		} else if known(err.Error(), "twice", "levels", "surrogate", "out of range",
			"UTF-8") == "" {
			require.False(t, json.Valid(header), "%v", err)
		}
		metadata, tensors, err := decode(header)
		if err != nil {
			return
		}
		at := int64(0)
		for i, s := range tensors {
			require.Equal(t, at, s.From)
			at = s.To
			tensors[i].From, tensors[i].To = 0, 0
		}
		for _, m := range metadata {
			if m.At >= 0 {
				require.Equal(t, m.Value, string(header[m.At:m.At+len(m.Value)]))
			}
		}
		head, err := Encode(metadata, tensors)
		require.NoError(t, err)
		_, again, err := decode(head[Prefix:])
		require.NoError(t, err)
		for i := range tensors {
			require.Equal(t, tensors[i].Name, again[i].Name)
		}
	})
}

func known(text string, words ...string) string {
	for _, w := range words {
		if strings.Contains(text, w) {
			return w
		}
	}
	return ""
}

// The parser takes what encoding/json takes, to the same values, and refuses the rest.
func TestParserAgrees(t *testing.T) {
	for _, text := range []string{
		`{}`, `[]`, ` [ 1 , 2 ] `, `[1,]`, `[,1]`, `[1 2]`, `{"a":1,}`,
		`{"a" 1}`, `{a:1}`, `{1:1}`, `[1}`, `{"a":1]`, `[`, `{`, `"`, `"a`,
		`"a\`, `"a\"`, `1`, `-1`, `-`, `01`, `1.`, `.5`, `1.5`, `1e5`,
		`1e`, `1e+`, `1E-5`, `+1`, `0x1`, `1.5.5`, `-0`, `NaN`,
		`true`, `false`, `null`, `tru`, `truee`, `nul`, `True`,
		`""`, `"\"\\\/\b\f\n\r\t"`, `"\x"`, `"\u00e9\ud83d\ude00"`,
		`"\u00g0"`, `"\u00"`, "\"\x01\"", "\"a\\n\x01\"", "\"\u007f\"",
		"1\v", "1 1", "[1]x", "\x00", "1\x00", `"\u+123"`, ``, ` `,
		`{"a":{"b":[{"c":null}]}}`, `["\u0022"]`, "\ufeff1",
	} {
		var raw, got string
		err := Parse(text, func(p *Parser) (err error) { raw, err = p.Raw(); return err })
		require.Equal(t, json.Valid([]byte(text)), err == nil, "%q: %v", text, err)
		if err != nil {
			assert.Contains(t, err.Error(), "JSON", text)
			continue
		}
		assert.Equal(t, strings.TrimSpace(text), raw)
		if err := Parse(text, func(p *Parser) (err error) {
			got,
				err = p.String()
			return err
		}); err == nil {
			var want string
			require.NoError(t, json.Unmarshal([]byte(text), &want))
			assert.Equal(t, want, got)
		}
	}
	for _, text := range []string{`"\ud800"`, `"\ud800x"`, `"\ud800\u0041"`, `"\udc00\ud800"`,
		strings.Repeat("[", 65) + strings.Repeat("]", 65)} {
		err := Parse(text, func(p *Parser) error { _, err := p.Raw(); return err })
		assert.Error(t, err, text)
	}
}
