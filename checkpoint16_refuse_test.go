package adam

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"github.com/fusedadam/adam/internal/safetensors"
	"github.com/stretchr/testify/require"
)

// everything16 returns all of an optimizer that Load could have changed, with the places of the
// slices.
func everything16(o *Optimizer) string {
	var b strings.Builder
	fmt.Fprint(&b, everything(o))
	each16(o, func(p *Param16, _, _ int) {
		s := o.State16(p.Name)
		fmt.Fprintf(&b, "%+v %+v %v", *p, *s, s.written(p, p.Name, nil))
	})
	return b.String()
}

// small16 is a model of one tensor of at most 65 elements.
func small16(moments Moments, value string) model16 {
	name := map[string]string{"Value": "x", "split": "x.exp_avg", "BF16": "one"}[value]
	return model16{moments: moments, options: smallOptions, only: name}
}

// refuses16 checks that Load gives an error with the given words, and LoadWith of a part an error,
// and that they leave the optimizer as it was.
func refuses16(t testing.TB, o *Optimizer, file []byte, words ...string) {
	t.Helper()
	before := everything16(o)
	err := o.Load(bytes.NewReader(file))
	require.ErrorIs(t, err, ErrCheckpoint)
	for _, w := range words {
		require.ErrorContains(t, err, w)
	}
	require.Equal(t, before, everything16(o))
	_, err = o.LoadWith(bytes.NewReader(file), LoadOptions{Partial: true, KeepConfigs: true})
	if err != nil {
		require.ErrorIs(t, err, ErrCheckpoint)
		require.Equal(t, before, everything16(o))
	}
}

// A checkpoint of another storage is an error that says what was expected, what is there and what
// to do. Names are the same throughout.
func TestCheckpoint16OtherStorage(t *testing.T) {
	name := func(string) string { return "w" }
	dtypes := map[Moments]string{Float32Moments: "F32", BF16Moments: "BF16", Q8Moments: "I8"}
	model := func(moments Moments, value string) (model16, *Optimizer) {
		m := small16(moments, value)
		m.rename = name
		for i := range saved16 {
			if saved16[i].name == m.only {
				defer func(n int) { saved16[i].n = n }(saved16[i].n)
				saved16[i].n = 65
			}
		}
		o := m.optimizer(t)
		for i := range o.Groups {
			o.Groups[i].Config.AMSGrad = false
		}
		return m, o
	}
	values := []string{"Value", "split", "BF16"}
	for a := Float32Moments; a <= Q8Moments; a++ {
		for b := Float32Moments; b <= Q8Moments; b++ {
			for _, x := range values {
				for _, y := range values {
					_, from := model(a, x)
					_, to := model(b, y)
					train16(t, 1, 2, from)
					file := saved(t, from)
					if a == b && x == y {
						require.NoError(t, to.Load(bytes.NewReader(file)))
						continue
					}
					words := []string{"adam convert"}
					if a != b && x == y {
						words = append(words, fmt.Sprintf(
							"dtype %s and shape [65], want %s and [65]", dtypes[a], dtypes[b]))
					}
					refuses16(t, to, file, words...)
				}
			}
			_, from := model(a, "Value")
			if a != Float32Moments {
				plain, err := New(smallOptions, Group{Config: Default(),
					Params: []Param{{Name: "w", Value: make([]float32, 65)}}})
				require.NoError(t, err)
				refuses16(t, plain, saved(t, from), dtypes[a], "want F32", "adam convert")
			}
		}
	}
}

// put changes data of a piece, from one of its bytes on.
func put(t testing.TB, file []byte, key string, at int, data ...byte) []byte {
	t.Helper()
	end := 8 + binary.LittleEndian.Uint64(file)
	_, tensors, err := decoded(file[8:end])
	require.NoError(t, err)
	for _, s := range tensors {
		if s.Name == key {
			file = bytes.Clone(file)
			copy(file[end:][s.From:s.To][at:], data)
			return seal(file)
		}
	}
	t.Fatalf("no %s", key)
	return nil
}

// Hostile files of 8 bits.
func TestCheckpoint16Blocks(t *testing.T) {
	m := small16(Q8Moments, "Value") // of 65 elements
	source := m.optimizer(t)
	train16(t, 1, 3, source)
	file := saved(t, source)
	m.other = true
	o := m.optimizer(t)
	const mCodes, vCodes = "state.x.exp_avg", "state.x.exp_avg_sq"
	minus := byte(0x80)
	for _, c := range []struct {
		key   string
		at    int
		data  byte
		words []string
	}{
		{mCodes + ".scale", 0, 15,
			[]string{`"state.x.exp_avg"`, "block 0", "scale 15", "least 16"}},
		{mCodes + ".scale", 1, 1, []string{"block 1", "scale 1", "least 16"}},
		{vCodes + ".scale", 0, 31, []string{`"state.x.exp_avg_sq"`, "scale 31", "least 32"}},
		{mCodes + ".scale", 0, 0, []string{"block 0 has scale 0 and code"}},
		{vCodes + ".scale", 1, 0, []string{"block 1 has scale 0 and code"}},
		{mCodes + ".scale", 0, 255, []string{"block 0 has scale 255 and code"}},
		{vCodes + ".scale", 0, 255, []string{"block 0 has scale 255 and code"}},
		{mCodes, 64, minus, []string{"block 1", "code -128", "from -127 to 127"}},
	} {
		refuses16(t, o, put(t, file, c.key, c.at, c.data), c.words...)
	}
	good := put(t, file, vCodes, 64, minus) // the smallest second moment
	require.NoError(t, o.Load(bytes.NewReader(good)))
	poison := put(t, put(t, file, mCodes, 64, 1), mCodes+".scale", 1, 255)
	require.NoError(t, o.Load(bytes.NewReader(poison)))
	require.Equal(t, poison, saved(t, o))

	// A new state has scales of 0.
	m.other = false
	fresh := saved(t, m.optimizer(t))
	require.NoError(t, o.Load(bytes.NewReader(fresh)))
	require.Equal(t, fresh, saved(t, o))
	refuses16(t, o, put(t, fresh, vCodes, 3, 1), "block 0 has scale 0 and code 1")
}

// What a header says of a tensor of fewer bits is checked as everything else is.
func TestCheckpoint16Refuses(t *testing.T) {
	type change struct {
		before, after string
		words         []string
	}
	const key = "state.x.rounding_key"
	for _, c := range []struct {
		moments Moments
		value   string
		changes []change
	}{
		{Q8Moments, "Value", []change{
			{`"state.x.exp_avg.scale":{"dtype":"U8","shape":[2]`,
				`"state.x.exp_avg.scale":{"dtype":"U8","shape":[2,1]`, []string{"[2 1]", "[2]"}},
			{`"state.x.exp_avg.scale":{"dtype":"U8"`, `"state.x.exp_avg.scale":{"dtype":"I8"`,
				[]string{"I8", "want U8"}},
			{`"state.x.exp_avg.scale"`, `"state.x.exp_avg.scales"`, []string{"is not known"}},
			{`"state.x.exp_avg.scale"`, `"state.x.param_rest"`, []string{"no such thing"}},
			{`"state.x.exp_avg.scale"`, `"state.x.max_exp_avg_sq"`, []string{"no such thing"}},
			{`"state.x.exp_avg.scale"`, `"state.y.exp_avg.scale"`, []string{"no group holds it"}},
			{`\"amsgrad\":false`, `\"amsgrad\":true`, []string{"AMSGrad"}},
			{`"` + key + `":{"dtype":"I64"`, `"` + key + `":{"dtype":"U64"`,
				[]string{"U64", "want I64"}},
			{`"` + key + `":{"dtype":"I64","shape":[]`, `"` + key + `":{"dtype":"I64","shape":[1]`,
				[]string{"[1]", "[]"}},
			{`"adam.format":"3"`, `"adam.format":"4"`, []string{`"1", "2" or "3"`}},
		}},
		{BF16Moments, "split", []change{
			{`"dtype":"I16"`, `"dtype":"BF16"`, []string{"param_rest", "want I16"}},
			{`"state.x.exp_avg.exp_avg":{"dtype":"BF16"`,
				`"state.x.exp_avg.exp_avg":{"dtype":"F16"`,
				[]string{"F16", "want BF16", "adam convert"}},
			{`"param.x.exp_avg":{"dtype":"BF16"`, `"param.x.exp_avg":{"dtype":"I16"`,
				[]string{"param.x.exp_avg", "want BF16"}},
			{`"state.x.exp_avg.param_rest"`, `"state.x.exp_avg.exp_avg.scale"`,
				[]string{"exp_avg.scale"}},
		}},
	} {
		m := small16(c.moments, c.value)
		source := m.optimizer(t)
		train16(t, 1, 3, source)
		file := saved(t, source)
		m.other = true
		o := m.optimizer(t)
		for _, x := range c.changes {
			bad := file
			if strings.HasPrefix(x.before, `\"amsgrad`) { // in each of the groups
				end := 8 + binary.LittleEndian.Uint64(bad)
				header := strings.ReplaceAll(string(bad[8:end]), x.before, x.after)
				bad = append(binary.LittleEndian.AppendUint64(nil, uint64(len(header))),
					append([]byte(header), bad[end:]...)...)
				bad = seal(bad)
			} else {
				bad = edit(t, bad, x.before, x.after)
			}
			refuses16(t, o, bad, x.words...)
		}
		require.NoError(t, o.Load(bytes.NewReader(file)), "and the file itself is good")
	}
}

// lacking returns the file without a piece.
func lacking(t testing.TB, file []byte, key string) []byte {
	t.Helper()
	end := 8 + binary.LittleEndian.Uint64(file)
	metadata, tensors, err := decoded(file[8:end])
	require.NoError(t, err)
	var kept []safetensors.Tensor
	var data []byte
	for _, s := range tensors {
		if s.Name != key {
			kept = append(kept, s)
			data = append(data, file[end:][s.From:s.To]...)
		}
	}
	head, err := safetensors.Encode(metadata, kept)
	require.NoError(t, err)
	return seal(append(head, data...))
}

// Every piece is needed. Without its key a tensor may begin anew with its own, if that is asked
// for.
func TestCheckpoint16Lacks(t *testing.T) {
	for _, value := range []string{"split", "BF16"} {
		for moments := Float32Moments; moments <= Q8Moments; moments++ {
			m := small16(moments, value)
			source := m.optimizer(t)
			train16(t, 1, 3, source)
			file := saved(t, source)
			data, _ := contents(t, file)
			m.other = true
			o := m.optimizer(t)
			own := o.State16(m.only).Key
			for key := range data {
				bad := lacking(t, file, key)
				if strings.HasSuffix(key, ".ema") { // it begins anew
					require.NoError(t, o.Load(bytes.NewReader(bad)))
					continue
				}
				o := m.optimizer(t)
				before := everything16(o)
				require.ErrorIs(t, o.Load(bytes.NewReader(bad)), ErrCheckpoint, key)
				require.Equal(t, before, everything16(o))
				_, err := o.LoadWith(bytes.NewReader(bad), LoadOptions{Partial: true})
				switch {
				case strings.HasSuffix(key, ".rounding_key"):
					require.NoError(t, err)
					require.Equal(t, own, o.State16(m.only).Key)
				case strings.HasPrefix(key, "param."), strings.HasSuffix(key, ".max_exp_avg_sq"):
					require.NoError(t, err)
				default:
					require.ErrorContains(t, err, "is missing", key)
					require.Equal(t, before, everything16(o))
				}
			}
		}
	}
}

// No file that is cut off or has a flipped bit passes.
func TestCheckpoint16Damage(t *testing.T) {
	m := small16(Q8Moments, "Value")
	source := m.optimizer(t)
	train16(t, 1, 3, source)
	file := saved(t, source)
	o := m.optimizer(t)
	before := everything16(o)
	for n := range file {
		bad := bytes.Clone(file)
		bad[n] ^= 1 << (n % 8)
		for _, bad := range [][]byte{bad, file[:n]} {
			require.ErrorIs(t, o.Load(bytes.NewReader(bad)), ErrCheckpoint)
		}
	}
	require.Equal(t, before, everything16(o))
	require.NoError(t, o.Load(bytes.NewReader(file)))
}
