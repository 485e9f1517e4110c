package adam

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/fusedadam/adam/internal/checkpoint"
	"github.com/fusedadam/adam/internal/safetensors"
	"github.com/stretchr/testify/require"
)

// Whatever the bytes, Load does not panic, leaves the optimizer alone on an error, and what it
// takes is what was in the file.
func FuzzLoad(f *testing.F) {
	file := saved(f, newSmall(f))
	plain := saved(f, newSaved(f, Options{}, smallConfigs(), smallTensors))
	uncorrected := newSmall(f)
	uncorrected.Groups[0].Config.EpsUncorrected = true
	keras := saved(f, uncorrected)
	for flags := range byte(32) {
		f.Add(file, flags)
		f.Add(keras, flags)
		f.Add(plain, flags)
		f.Add(file[:len(file)-1], flags)
		f.Add([]byte("\x02\x00\x00\x00\x00\x00\x00\x00{}"), flags)
		f.Add(edit(f, file, `"adam.step":"3"`,
			`"adam.step":"18446744073709551615","note":"\ud800"`), flags)
		f.Add(edit(f, file, `"data_offsets":[0,8]`, `"data_offsets":[8,16]`), flags)
		f.Add(edit(f, file, `[\"b\"]`, `[\"b\",\"b\"]`), flags)
		f.Add(edit(f, file, `"param.b"`, `"state.b.max_exp_avg_sq"`), flags)
	}
	f.Fuzz(func(t *testing.T, file []byte, flags byte) {
		if flags&1 != 0 {
			file = seal(file)
		}
		options := smallOptions
		if flags&2 != 0 {
			options = Options{Workers: 1}
		}
		o := newTarget(t, options)
		before := everything(o)
		load := LoadOptions{Partial: flags&4 != 0, KeepConfigs: flags&8 != 0}
		if flags&16 != 0 {
			load.Name = func(name string) string { return strings.TrimPrefix(name, "b") }
		}
		loaded, errWith := o.LoadWith(bytes.NewReader(file), load)
		if errWith != nil {
			require.ErrorIs(t, errWith, ErrCheckpoint)
			require.Equal(t, before, everything(o))
		} else {
			require.Len(t, slices.Concat(loaded.Restored, loaded.New), 2)
			o = newTarget(t, options)
			before = everything(o)
		}
		if err := o.Load(bytes.NewReader(file)); err != nil {
			require.ErrorIs(t, err, ErrCheckpoint)
			require.Equal(t, before, everything(o))
			return
		}
		require.True(t, errWith == nil || load.KeepConfigs || load.Name != nil, "%v", errWith)
		again := saved(t, o)
		other := newTarget(t, options)
		if !options.SaveParams {
			copyValues(other, o)
		}
		require.NoError(t, other.Load(bytes.NewReader(again)))
		require.Empty(t, differ(o, other))
		require.Equal(t, again, saved(t, other))

		want, wantMeta := contents(t, file)
		got, gotMeta := contents(t, again)
		for key := range want {
			if _, ok := got[key]; !ok && (options.SaveParams || !strings.HasPrefix(key, "param.")) {
				t.Errorf("%q is not saved", key)
			}
		}
		for key, data := range got {
			require.Equal(t, want[key], data, key)
		}
		require.Equal(t, wantMeta[checkpoint.KeyStep], gotMeta[checkpoint.KeyStep])
		var a, b float64
		require.NoError(t, json.Unmarshal([]byte(wantMeta[checkpoint.KeyScale]), &a))
		require.NoError(t, json.Unmarshal([]byte(gotMeta[checkpoint.KeyScale]), &b))
		require.Equal(t, a, b)
		configs := map[string]checkpoint.Config{}
		var groups []checkpoint.Group
		require.NoError(t, json.Unmarshal([]byte(wantMeta[checkpoint.KeyGroups]), &groups))
		for _, g := range groups {
			for _, name := range g.Params {
				configs[name] = g.Config
			}
		}
		require.NoError(t, json.Unmarshal([]byte(gotMeta[checkpoint.KeyGroups]), &groups))
		for _, g := range groups {
			for _, name := range g.Params {
				require.Equal(t, configs[name], g.Config, name)
			}
		}
	})
}

func copyValues(to, from *Optimizer) {
	eachParam(from, func(_ *Group, p *Param) {
		eachParam(to, func(_ *Group, q *Param) {
			if q.Name == p.Name {
				copy(q.Value, p.Value)
			}
		})
	})
}

// decoded is what the header of a file says.
func decoded(header []byte) (metadata []safetensors.Meta, tensors []safetensors.Tensor, err error) {
	tensors, err = safetensors.Decode(string(header), -1, func(m safetensors.Meta) error {
		metadata = append(metadata, m)
		return nil
	})
	return metadata, tensors, err
}

// bytesOf returns the bits of s.
func bytesOf(s []float32) (b []byte) {
	for _, x := range s {
		b = binary.NativeEndian.AppendUint32(b, math.Float32bits(x))
	}
	return b
}

// reverse changes the order of each 4 bytes of b, in place.
func reverse(b []byte) {
	for ; len(b) >= 4; b = b[4:] {
		slices.Reverse(b[:4])
	}
}

// contents returns the data and the metadata of a file.
func contents(t testing.TB, file []byte) (map[string][]byte, map[string]string) {
	end := 8 + binary.LittleEndian.Uint64(file)
	metadata, tensors, err := decoded(file[8:end])
	require.NoError(t, err)
	data, values := map[string][]byte{}, map[string]string{}
	for _, s := range tensors {
		data[s.Name] = file[end:][s.From:s.To]
	}
	for _, m := range metadata {
		values[m.Key] = m.Value
	}
	return data, values
}
