package adam

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Flipping any bit of a file, or ending it anywhere, or adding to it is an error, and changes
// nothing.
func TestCheckpointDamage(t *testing.T) {
	file := saved(t, newSmall(t))
	for _, save := range []bool{true, false} {
		options := smallOptions
		options.SaveParams = save
		o := newTarget(t, options)
		before := everything(o)
		damaged := bytes.Clone(file)
		for i := range damaged {
			for bit := range 8 {
				if !save && bit != i%8 {
					continue
				}
				damaged[i] ^= 1 << bit
				refuses(t, o, before, bytes.NewReader(damaged))
				damaged[i] ^= 1 << bit
			}
			err := refuses(t, o, before, bytes.NewReader(file[:i]))
			require.ErrorIs(t, err, io.ErrUnexpectedEOF, "%d bytes", i)
		}
		for _, more := range []string{"\x00", " ", string(file)} {
			refuses(t, o, before, strings.NewReader(string(file)+more), "goes on")
		}
		require.NoError(t, o.Load(bytes.NewReader(file)), "and the file itself is good")
	}
}

// What the header says is checked against itself and against the optimizer; errors name what is
// wrong.
func TestCheckpointRefuses(t *testing.T) {
	source := newSmall(t)
	file := saved(t, source)
	o := newTarget(t, smallOptions)
	before := everything(o)
	const m = `"state.a.exp_avg":{"dtype":"F32","shape":[3],`
	step := `"state.a.step":{"dtype":"I64","shape":[],"data_offsets":[0,8]}`
	for _, c := range []struct {
		name, before, after string
		words               []string
	}{
		{"shape", m, `"state.a.exp_avg":{"dtype":"F32","shape":[1,3],`,
			[]string{"state.a.exp_avg", "[1 3]", "[3]"}},
		{"shape of another size", m, `"state.a.exp_avg":{"dtype":"F32","shape":[4],`,
			[]string{"state.a.exp_avg", "16 bytes"}},
		{"dtype", m, `"state.a.exp_avg":{"dtype":"I32","shape":[3],`,
			[]string{"state.a.exp_avg", "I32", "F32"}},
		{"dtype of another size", m, `"state.a.exp_avg":{"dtype":"F64","shape":[3],`,
			[]string{"state.a.exp_avg", "24 bytes"}},
		{"unknown dtype", m, `"state.a.exp_avg":{"dtype":"F31","shape":[3],`,
			[]string{"state.a.exp_avg", "F31"}},
		{"no dtype", m, `"state.a.exp_avg":{"shape":[3],`, []string{"dtype", "missing"}},
		{"unknown member", m, m + `"strides":[1],`, []string{"strides"}},
		{"member twice", m, m + `"shape":[3],`, []string{"shape", "twice"}},
		{"member in other case", m, `"state.a.exp_avg":{"dtype":"F32","Shape":[3],`,
			[]string{"Shape"}},
		{"overflow", m, `"state.a.exp_avg":{"dtype":"F32","shape":[3,4611686018427387904],`,
			[]string{"does not fit"}},
		{"overflow to the right size", m,
			`"state.a.exp_avg":{"dtype":"F32","shape":[3,4294967296,4294967296],`,
			[]string{"does not fit"}},
		{"many dimensions", m, `"state.a.exp_avg":{"dtype":"F32","shape":[3` +
			strings.Repeat(",1", 100) + `],`, []string{"101 dimensions"}},
		{"negative dimension", m, `"state.a.exp_avg":{"dtype":"F32","shape":[-3],`, []string{"-3"}},
		{"fractional dimension", m, `"state.a.exp_avg":{"dtype":"F32","shape":[3.0],`,
			[]string{"3.0"}},
		{"huge dimension", m, `"state.a.exp_avg":{"dtype":"F32","shape":[` +
			strings.Repeat("9", 100000) + `],`, []string{"99999"}},
		{"huge exponent", m, `"state.a.exp_avg":{"dtype":"F32","shape":[1e999999999],`,
			[]string{"1e999999999"}},
		{"null", m, `"state.a.exp_avg":{"dtype":null,"shape":[3],`, []string{"a string"}},
		{"deep nesting", m, `"state.a.exp_avg":{"dtype":"F32","shape":` +
			strings.Repeat("[", 9000) + strings.Repeat("]", 9000) + `,`, []string{"number"}},
		{"deeper nesting", m, `"state.a.exp_avg":{"dtype":"F32","shape":` +
			strings.Repeat("[", 100000) + strings.Repeat("]", 100000) + `,`, []string{"JSON"}},
		{"overlap", `"data_offsets":[0,8]`, `"data_offsets":[8,16]`,
			[]string{"begin at 8", "end at 0"}},
		{"hole", `"data_offsets":[8,16]`, `"data_offsets":[9,17]`,
			[]string{"begin at 9", "end at 8"}},
		{"backwards", `"data_offsets":[8,16]`, `"data_offsets":[16,8]`, []string{"[16 8]"}},
		{"one offset", `"data_offsets":[8,16]`, `"data_offsets":[8]`, []string{"1 data_offsets"}},
		{"three offsets", `"data_offsets":[8,16]`, `"data_offsets":[8,16,16]`,
			[]string{"3 data_offsets"}},
		{"huge offset", `"data_offsets":[8,16]`, `"data_offsets":[8,18446744073709551615]`,
			[]string{"18446744073709551615"}},
		{"list for an object", step, `"state.a.step":["dtype","shape"]`, []string{"{"}},
		{"shape of step", `"state.a.step":{"dtype":"I64","shape":[]`,
			`"state.a.step":{"dtype":"I64","shape":[1]`, []string{"state.a.step", "[1]"}},
		{"name twice", `"state.b.step"`, `"state.a.step"`, []string{"state.a.step", "twice"}},
		{"unknown tensor", `"state.b.step"`, `"state.c.step"`,
			[]string{"state.c.step", "not known"}},
		{"unknown part", `"state.b.step"`, `"state.b.stop"`, []string{"state.b.stop", "not known"}},
		{"param as part", `"param.b"`, `"state.b.param"`, []string{"state.b.param", "not known"}},
		{"foreign tensor", `"state.b.step"`, `"b"`, []string{`"b"`, "not known"}},
		{"long name", `"state.b.step"`, `"state.` + strings.Repeat("b", 100000) + `.step"`,
			[]string{"bbb…", "not known"}},
		{"missing part", `"param.b"`, `"state.b.max_exp_avg_sq"`, []string{"param.b", "missing"}},
		{"no maximum", `"state.a.max_exp_avg_sq":{"dtype":"F32","shape":[3]`,
			`"state.b.max_exp_avg_sq":{"dtype":"F32","shape":[3]`,
			[]string{"state.b.max_exp_avg_sq", "[3]"}},
		{"wants a maximum", `\"amsgrad\":false,\"maximize\":false},\"params\":[\"b\"]`,
			`\"amsgrad\":true,\"maximize\":false},\"params\":[\"b\"]`,
			[]string{"state.b.max_exp_avg_sq", "missing"}},
		{"other tensors in groups", `[\"b\"]`, `[\"c\"]`, []string{`"c"`, "does not have"}},
		{"tensor in no group", `[\"b\"]`, `[]`, []string{`"state.b.step"`, "no group"}},
		{"more tensors in groups", `[\"b\"]`, `[\"b\",\"c\"]`, []string{`"c"`, "does not have"}},
		{"tensor in two groups", `[\"b\"]`, `[\"b\",\"a\"]`, []string{`"a"`, "group 0", "group 2"}},
		{"tensor in a group twice", `[\"b\"]`, `[\"b\",\"b\"]`, []string{`"b"`, "group 2"}},
		{"config out of range", `[{\"config\":{\"lr\":0.001`, `[{\"config\":{\"lr\":-0.001`,
			[]string{"group 0", "LR", "-0.001"}},
		{"config out of range of float64", `[{\"config\":{\"lr\":0.001`,
			`[{\"config\":{\"lr\":1e999`, []string{"1e999"}},
		{"config as string", `[{\"config\":{\"lr\":0.001`, `[{\"config\":{\"lr\":\"0.001\"`,
			[]string{"a number"}},
		{"one beta", `[{\"config\":{\"lr\":0.001,\"betas\":[0.9,0.999]`,
			`[{\"config\":{\"lr\":0.001,\"betas\":[0.9]`, []string{"1 betas"}},
		{"no lr", `[{\"config\":{\"lr\":0.001,`, `[{\"config\":{`, []string{"lr", "missing"}},
		{"lr twice", `[{\"config\":{\"lr\":0.001,`, `[{\"config\":{\"lr\":0.001,\"lr\":0.001,`,
			[]string{"lr", "twice"}},
		{"LR", `[{\"config\":{\"lr\":0.001,`, `[{\"config\":{\"LR\":0.001,`, []string{"LR"}},
		{"more in a config", `[{\"config\":{\"lr\":0.001,`,
			`[{\"config\":{\"lr\":0.001,\"foreach\":true,`, []string{"foreach"}},
		{"groups are no list", `"adam.groups":"`, `"adam.groups":"{}","x":"`,
			[]string{"adam.groups"}},
		{"groups are cut off", `\"params\":[\"b\"]}]`, `\"params\":[\"b\"]}`,
			[]string{"adam.groups", "JSON"}},
		{"groups go on", `\"params\":[\"b\"]}]`, `\"params\":[\"b\"]}]]`,
			[]string{"adam.groups", "JSON"}},
		{"format", `"adam.format":"1"`, `"adam.format":"4"`,
			[]string{"adam.format", `"4"`, `"1", "2" or "3"`}},
		{"newer format", `"adam.format":"1"`, `"adam.format":"4","adam.zzz":"new"`,
			[]string{"adam.zzz", "newer"}},
		{"no format", `"adam.format":"1",`, ``, []string{"adam.format"}},
		{"no step", `,"adam.step":"3"`, ``, []string{"adam.step", "missing"}},
		{"metadata twice", `"adam.step":"3"`, `"adam.step":"3","adam.step":"3"`,
			[]string{"adam.step", "twice"}},
		{"metadata that is a number", `"adam.step":"3"`, `"adam.step":3`, []string{"a string"}},
		{"unknown metadata", `"adam.step":"3"`, `"adam.step":"3","adam.loss":"1"`,
			[]string{"adam.loss", "not known"}},
		{"step", `"adam.step":"3"`, `"adam.step":"03"`, []string{"adam.step", `"03"`}},
		{"negative step", `"adam.step":"3"`, `"adam.step":"-3"`, []string{"adam.step", `"-3"`}},
		{"huge step", `"adam.step":"3"`, `"adam.step":"18446744073709551616"`,
			[]string{"adam.step"}},
		{"scale 0", `"adam.grad_scale":"2"`, `"adam.grad_scale":"0"`,
			[]string{"adam.grad_scale", "GradScale = 0"}},
		{"scale NaN", `"adam.grad_scale":"2"`, `"adam.grad_scale":"NaN"`,
			[]string{"adam.grad_scale", "NaN"}},
		{"scale in hexadecimal", `"adam.grad_scale":"2"`, `"adam.grad_scale":"0x2p0"`,
			[]string{"0x2p0"}},
		{"scale and a space", `"adam.grad_scale":"2"`, `"adam.grad_scale":" 2"`, []string{`" 2"`}},
		{"scale null", `"adam.grad_scale":"2"`, `"adam.grad_scale":"null"`, []string{`"null"`}},
		{"scale too large", `"adam.grad_scale":"2"`, `"adam.grad_scale":"1e300"`,
			[]string{"GradScale = 1e+300"}},
		{"no checksum", `"adam.crc32"`, `"crc32"`, []string{"adam.crc32", "missing"}},
		{"no metadata", `"__metadata__"`, `"__metadata"`, []string{"dtype"}},
		{"all metadata twice", `"__metadata__":{`, `"__metadata__":{},"__metadata__":{`,
			[]string{"__metadata__", "twice"}},
		{"half of a pair", `"adam.step":"3"`, `"adam.step":"3","x":"\ud800"`,
			[]string{"surrogate", "JSON"}},
		{"bytes that are no text", `"adam.step":"3"`, "\"adam.step\":\"3\",\"x\":\"\xff\"",
			[]string{"UTF-8"}},
		{"more JSON", `"adam.step":"3"`, `"adam.step":"3"}}{"x":{"y":"z"`, []string{"JSON"}},
		{"a comma", `"adam.step":"3"`, `"adam.step":"3",`, []string{"JSON"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			refuses(t, o, before, bytes.NewReader(edit(t, file, c.before, c.after)), c.words...)
		})
	}

	t.Run("negative count", func(t *testing.T) {
		bad := bytes.Clone(file)
		bad[8+binary.LittleEndian.Uint64(file)+7] |= 0x80
		refuses(t, o, before, bytes.NewReader(seal(bad)), "state.a.step", "-922337203685477580")
	})
	t.Run("checksum with an escape", func(t *testing.T) {
		sum := fmt.Sprintf("%08x", checksumOf(file))
		escaped := bytes.Replace(file, []byte(sum), fmt.Appendf(nil, `\u%04x%s`, sum[0], sum[1:]),
			1)
		binary.LittleEndian.PutUint64(escaped, binary.LittleEndian.Uint64(file)+5)
		refuses(t, o, before, bytes.NewReader(escaped), "adam.crc32", "escapes")
	})
	t.Run("checksum in capitals", func(t *testing.T) {
		for i := 0; ; i++ { // until the sum has a letter
			other := edit(t, file, `"adam.step":"3"`, fmt.Sprintf(`"adam.step":"%d"`, i))
			sum := []byte(fmt.Sprintf("%08x", checksumOf(other)))
			if capitals := bytes.ToUpper(sum); !bytes.Equal(capitals, sum) {
				refuses(t, o, before, bytes.NewReader(bytes.Replace(other, sum, capitals, 1)),
					"checksum", string(sum), string(capitals))
				return
			}
		}
	})
	t.Run("configs of one group", func(t *testing.T) {
		o, err := New(
			smallOptions,
			Group{Config: Default(), Params: []Param{{Name: "b", Value: make([]float32, 1)},
				{Name: "a", Value: make([]float32, 3)}}},
		)
		require.NoError(t, err)
		refuses(t, o, everything(o), bytes.NewReader(file), `"a"`, `"b"`, "different configs")
	})
	t.Run("other length", func(t *testing.T) {
		o, err := New(
			smallOptions,
			Group{Config: Default(), Params: []Param{{Name: "a", Value: make(
				[]float32,
				4,
			)}}},
			Group{Config: Default(), Params: []Param{{Name: "b", Value: make([]float32, 1)}}},
		)
		require.NoError(t, err)
		refuses(t, o, everything(o), bytes.NewReader(file), `param.a`, "[3]", "[4]")
	})
	t.Run("average that nobody wants", func(t *testing.T) {
		o := newTarget(t, Options{SaveParams: true})
		refuses(t, o, everything(o), bytes.NewReader(file), "moving average", "EMADecay")
	})
	t.Run("parameters of some", func(t *testing.T) {
		o := newTarget(t, Options{EMADecay: 0.5}) // although nobody wants them
		some := edit(t, file, `"param.b"`, `"state.b.max_exp_avg_sq"`)
		refuses(t, o, everything(o), bytes.NewReader(some), "param.b", "missing")
	})
	t.Run("no parameters", func(t *testing.T) {
		s := newSaved(t, Options{EMADecay: 0.5}, smallConfigs(), smallTensors)
		refuses(t, o, before, bytes.NewReader(saved(t, s)), "no parameters", "SaveParams")
	})
	t.Run("no file at all", func(t *testing.T) {
		assert.ErrorIs(t, refuses(t, o, before, strings.NewReader("")), io.ErrUnexpectedEOF)
	})
}

// Load looks at the optimizer before it reads anything.
func TestCheckpointLoadArguments(t *testing.T) {
	file := saved(t, newSmall(t))
	for name, c := range map[string]struct {
		spoil func(o *Optimizer)
		want  error
	}{
		"Value": {func(o *Optimizer) { p := &o.Groups[0].Params[0]; p.Value = append(p.Value, 1) },
			ErrLength},
		"name":  {func(o *Optimizer) { o.Groups[0].Params[0].Name = "z" }, ErrParams},
		"group": {func(o *Optimizer) { o.Groups = o.Groups[:2] }, ErrParams},
	} {
		o := newSmall(t)
		c.spoil(o)
		r := bytes.NewReader(file)
		require.ErrorIs(t, o.Load(r), c.want, name)
		assert.Equal(t, len(file), r.Len(), name)
	}
}

// A file that lies about its header makes Load take no more memory than there is to read.
func TestCheckpointMemory(t *testing.T) {
	o := newTarget(t, smallOptions)
	before := everything(o)
	for _, length := range []uint64{1 << 20, 1<<20 + 9000, 1 << 30, 1 << 40, 1<<63 - 1, 1 << 63,
		math.MaxUint64} {
		for _, rest := range []string{"", "{", `{"__metadata__":{}}`} {
			file := binary.LittleEndian.AppendUint64(nil, length)
			file = append(file, rest...)
			var m1, m2 runtime.MemStats
			runtime.ReadMemStats(&m1)
			err := o.Load(bytes.NewReader(file))
			runtime.ReadMemStats(&m2)
			require.ErrorIs(t, err, ErrCheckpoint)
			assert.Less(t, m2.TotalAlloc-m1.TotalAlloc, uint64(200<<10), "header of %d, %q", length,
				rest)
		}
	}
	// A header as long as allowed, but not one byte of data: no more than the optimizer's own size
	// and the header.
	refuses(t, o, before, bytes.NewReader(append(binary.LittleEndian.AppendUint64(nil, 1<<21),
		make([]byte, 1<<21)...)), "length")
	refuses(t, o, before, bytes.NewReader(append(binary.LittleEndian.AppendUint64(nil, 1<<20),
		make([]byte, 1<<20)...)), "JSON")
}
