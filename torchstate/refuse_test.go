package torchstate_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/fusedadam/adam"
	"github.com/fusedadam/adam/internal/checkpoint"
	"github.com/fusedadam/adam/torchstate"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What is not a state of Adam is an error that says what is wrong, and nothing is written.
func TestFromRefused(t *testing.T) {
	group := func(old, new string) func(*torchFile) {
		return func(f *torchFile) {
			f.words["param_groups"] = strings.Replace(groupsJSON, old, new, 1)
		}
	}
	set := func(i int, s tensor) func(*torchFile) { return func(f *torchFile) { f.tensors[i] = s } }
	drop := func(i int) func(*torchFile) {
		return func(f *torchFile) { f.tensors = slices.Delete(f.tensors, i, i+1) }
	}
	add := func(s tensor) func(
		*torchFile) {
		return func(f *torchFile) { f.tensors = append(f.tensors, s) }
	}
	given := func(names ...string) []string { return names }
	for _, c := range []struct {
		change func(f *torchFile)
		names  []string
		want   string
	}{
		{func(f *torchFile) { delete(f.words, "param_groups") }, nil,
			`metadata "param_groups" is missing`},
		{func(f *torchFile) { f.words["optimizer"] = "RAdam" }, nil,
			`"optimizer" is "RAdam", want "Adam" or "AdamW"`},
		{func(f *torchFile) { delete(f.words, "optimizer") }, nil,
			`group 0: neither "decoupled_weight_decay" nor the metadata "optimizer"`},
		{func(f *torchFile) { f.words["adam.format"] = "1" }, nil,
			"checkpoint of package adam already"},
		{func(f *torchFile) { f.words["adam.x"] = "1" }, nil, `metadata "adam.x"`},
		{group("[\n", "{\n"), nil, "want"},
		{group(`"lr": 0.01, `, ``), nil, `group 0: "lr" is missing`},
		{group(`"amsgrad": true,`, ``), nil, `group 1: "amsgrad" is missing`},
		{group(`0.01`, `-1`), nil, "group 0: LR = -1"},
		{group(`0.01`, `NaN`), nil, `group 0: "lr": `},
		{group(`0.99]`, `1.0]`), nil, "group 0: Beta2 = 1"},
		{group(`0.99]`, `0.99, 0.9]`), nil, "3 betas"},
		{group(`"maximize": true`, `"maximize": 1`), nil, `"maximize": `},
		{group(`"foreach": null`, `"bias_correction": false`), nil, `"bias_correction": "false"`},
		{group(`"foreach": null`, `"lr": 1`), nil, `"lr" is there twice`},
		{group(`[0, 1]`, `[0, 2]`), nil, `parameter "2" is in group 0 and in group 1`},
		{group(`[0, 1]`, `[0, 0]`), nil, `parameter "0" is in group 0 and in group 0`},
		{group(`[0, 1]`, `[0, 1.5]`), nil, `parameter "1.5"`},
		{group(`[0, 1]`, `[0, 01]`), nil, `byte`},
		{group(`[0, 1]`, `[0, -1]`), nil, `parameter "-1"`},
		{group(`[0, 1]`, `[1]`), nil, `no group holds "0"`},
		{group(`[0, 1]`, `[0, 1], "param_names": ["a"]`), nil, "1 param_names for 2 params"},
		{group(`[0, 1]`, `[0, 1], "param_names": ["a", "b"]`), nil,
			"param_names are there for 2 of 3"},
		{nil, given("a", "b"), "2 names are given for 3"},
		{nil, given("a", "b", "a"), `name "a" is not unique`},
		{nil, given("a", "b", "\xff"), `name "\xff" is not unique or not UTF-8`},
		{add(floats("weight", []int64{1}, 1)), nil, `"weight" is not known`},
		{add(floats("state.0.mu_product", []int64{}, 1)), nil, `"state.0.mu_product" is not known`},
		{add(floats("state.0.ema", []int64{2, 3}, 1, 2, 3, 4, 5, 6)), nil,
			`"state.0.ema": torch's Adam has no such`},
		{add(floats("state.0.exp_avg.scale", []int64{1}, 1)), nil,
			`"state.0.exp_avg.scale": torch's Adam has no such`},
		{add(floats("state.0.param_rest", []int64{2, 3}, 1, 2, 3, 4, 5, 6)), nil,
			`"state.0.param_rest": torch's Adam has no such`},
		{add(floats("state.3.step", []int64{}, 1)), nil, `no group holds "3"`},
		{add(floats("state.1.exp_avg", []int64{}, 1)), nil, `"state.1.exp_avg_sq" is missing`},
		{drop(0), nil, `"param.0" is missing: want all parameters or none`},
		{drop(4), nil, `"state.0.exp_avg_sq" is missing`},
		{drop(5), nil, `"state.0.step" is missing`},
		{drop(8), nil, `"state.2.max_exp_avg_sq" is missing`},
		{set(3, tensor{"state.0.exp_avg", "BF16", []int64{2, 3}, make([]byte, 12)}), nil,
			`"state.0.exp_avg" is of dtype BF16, want F32`},
		{set(3, floats("state.0.exp_avg", []int64{3, 2}, 1, 2, 3, 4, 5, 6)), nil,
			`"state.0.exp_avg_sq" has shape [2 3], and "state.0.exp_avg" has [3 2]`},
		{set(2, floats("param.2", []int64{1}, 1)), nil,
			`"param.2" has shape [1], and "state.2.exp_avg" has [2]`},
		{set(4, floats("state.0.exp_avg_sq", []int64{2, 3}, 1, 2, 3, 4, 5, -1e-30)), nil,
			`"state.0.exp_avg_sq" holds -1e-30`},
		{set(8, floats("state.2.max_exp_avg_sq", []int64{2}, 1, float32(math.Inf(-1)))), nil,
			`"state.2.max_exp_avg_sq" holds -Inf`},
		{set(5, floats("state.0.step", []int64{}, 1.5)), nil, `"state.0.step": 1.5 steps`},
		{set(5, floats("state.0.step", []int64{}, -1)), nil, `"state.0.step": -1 steps`},
		{set(5, floats("state.0.step", []int64{}, float32(math.NaN()))), nil,
			`"state.0.step": NaN steps`},
		{set(5, floats("state.0.step", []int64{}, 1<<63)), nil, `"state.0.step": 9.2`},
		{set(5, floats("state.0.step", []int64{2}, 1, 1)), nil,
			`"state.0.step": shape [2], want a scalar`},
		{set(5, tensor{"state.0.step", "F16", []int64{}, make([]byte, 2)}), nil,
			`"state.0.step": dtype F16`},
		{set(5, tensor{"state.0.step", "I64", []int64{}, bytes.Repeat([]byte{255}, 8)}), nil,
			`"state.0.step": -1 steps`},
	} {
		f := aFile()
		if c.change != nil {
			c.change(&f)
		}
		var b bytes.Buffer
		_, err := torchstate.FromTorch(&b, bytes.NewReader(f.bytes(t)), c.names)
		require.ErrorContains(t, err, c.want)
		assert.ErrorIs(t, err, torchstate.ErrState)
		assert.Equal(t, 1, strings.Count(err.Error(), "adam: "), "%v", err)
		assert.Equal(t, strings.Contains(c.want, " = "), errors.Is(err, adam.ErrConfig), "%v", err)
		assert.Zero(t, b.Len(), "%v", err)
	}
}

// A file that ends early, goes on, or has an impossible header is an error, and nothing is written.
func TestDamaged(t *testing.T) {
	f := aFile()
	file := f.bytes(t)
	o := optimizer(t)
	require.NoError(t, o.Load(bytes.NewReader(first(from(t, f, "a", "b", "c")))))
	var saved bytes.Buffer
	require.NoError(t, o.Save(&saved))
	for _, what := range []struct {
		name    string
		file    []byte
		convert func(w io.Writer, r io.ReaderAt) error
		want    error
	}{
		{"from", file, func(w io.Writer, r io.ReaderAt) error {
			_, err := torchstate.FromTorch(w, r, nil)
			return err
		}, torchstate.ErrState},
		{"to", saved.Bytes(), func(w io.Writer, r io.ReaderAt) error {
			_, err := torchstate.ToTorch(w, r)
			return err
		}, adam.ErrCheckpoint},
	} {
		check := func(file []byte) {
			t.Helper()
			var b bytes.Buffer
			err := what.convert(&b, bytes.NewReader(file))
			require.ErrorIs(t, err, what.want, what.name)
			require.Equal(t, 1, strings.Count(err.Error(), "adam: "), "%v", err)
			require.Zero(t, b.Len(), what.name)
		}
		for n := range what.file {
			check(what.file[:n])
		}
		check(append(slices.Clone(what.file), 0))
		for _, length := range []uint64{math.MaxUint64, math.MaxInt64, 1 << 40} {
			check(append(binary.LittleEndian.AppendUint64(nil, length), what.file[8:]...))
		}
		// A size that no file has.
		header := `{"__metadata__":{"param_groups":"[]"},"state.0.exp_avg":{"dtype":"U8",` +
			`"shape":[9223372036854775807],"data_offsets":[0,9223372036854775807]}}`
		check(append(binary.LittleEndian.AppendUint64(nil, uint64(len(header))), header...))
	}
	for i := range saved.Bytes() { // The checksum proves each byte.
		damaged := slices.Clone(saved.Bytes())
		damaged[i] ^= 1
		var b bytes.Buffer
		_, err := torchstate.ToTorch(&b, bytes.NewReader(damaged))
		require.ErrorIs(t, err, adam.ErrCheckpoint, "byte %d", i)
		require.Zero(t, b.Len())
	}
}

func first(b []byte, _ torchstate.Report) []byte { return b }

// What torch cannot hold is an error or left out.
func TestToRefused(t *testing.T) {
	for _, c := range []struct {
		change func(o *adam.Optimizer)
		want   string
	}{
		{func(o *adam.Optimizer) { o.State("b").T = 1<<24 + 1 }, `"b" has made 16777217 steps`},
		{func(o *adam.Optimizer) { o.Groups[1].Config = adam.Config{EpsUncorrected: true} },
			"group 1 has EpsUncorrected"},
		{func(o *adam.Optimizer) { o.Metadata = words{"param_groups": ""} },
			`metadata "param_groups"`},
		{func(o *adam.Optimizer) { o.Metadata = words{"torch.shapes": "1"} },
			`metadata "torch.shapes"`},
		{func(o *adam.Optimizer) { o.Metadata = words{"torch.options": "1"} },
			`metadata "torch.options"`},
	} {
		o := optimizer(t)
		c.change(o)
		var saved, b bytes.Buffer
		require.NoError(t, o.Save(&saved))
		_, err := torchstate.ToTorch(&b, bytes.NewReader(saved.Bytes()))
		require.ErrorContains(t, err, c.want)
		assert.ErrorIs(t, err, torchstate.ErrState)
		assert.Zero(t, b.Len())
	}

	o := optimizer(t)
	o.State("b").T = 1 << 40
	// 2^64 + 2
	for _, shape := range []string{"[1, 2, 2]", "[-1, -2]", "[3, 6148914691236517206]"} {
		o.Metadata = words{"torch.shapes": `{"c": ` + shape + `}`}
		assert.Contains(t, to(t, o).tensors, floats("state.2.exp_avg", []int64{2}, 0, 0), shape)
	}
	o.Metadata = words{
		"torch.shapes":  `{"a": [3, 2], "b": [2], "gone": [1]}`, // of a only
		"torch.options": `{"a": {"lr": 7, "params": [], "param_names": [], "x": 1}, "z": {"y": 1}}`,
	}
	f := to(t, o)
	var shapes [][]int64
	for _, s := range f.tensors {
		if strings.HasSuffix(s.key, "exp_avg") {
			shapes = append(shapes, s.shape)
		}
	}
	assert.Equal(t, [][]int64{{3, 2}, {1}, {2}}, shapes)
	assert.Contains(t, f.words["param_groups"], `"lr":0.001`)
	assert.Contains(t, f.words["param_groups"],
		`"param_names":["a","b"],"params":[0,1],"weight_decay":0,"x":1}`)
	assert.NotContains(t, f.words["param_groups"], `"y"`)
}

// A checkpoint that Load would not take is an error, even if its checksum is right.
func TestToBadCheckpoint(t *testing.T) {
	group := checkpoint.Group{Config: checkpoint.Config{LR: 1}, Params: []string{"a"}}
	step := checkpoint.CountOf("state.a.step", 1)
	one := func(p checkpoint.Piece) checkpoint.Data {
		return checkpoint.FloatsOf(p.Key("a"), []float32{1})
	}
	m, v, vmax := one(checkpoint.M), one(checkpoint.V), one(checkpoint.VMax)
	ema, value := one(checkpoint.EMA), one(checkpoint.Value)
	scalar := func(d checkpoint.Data) checkpoint.Data {
		d.Shape = nil
		return d
	}
	bad, two := group, group
	bad.Config.Eps, two.Params = -1, []string{"a", "b"}
	for _, c := range []struct {
		group checkpoint.Group
		data  []checkpoint.Data
		want  string
	}{
		{group, []checkpoint.Data{step, m, v}, ""},
		{group, []checkpoint.Data{step, m}, "data for less"},
		{two, []checkpoint.Data{step, m, v, vmax, ema, value}, `"state.b.exp_avg" is missing`},
		{group, []checkpoint.Data{m, v, vmax}, `"state.a.step" is missing`},
		{group, []checkpoint.Data{step, scalar(m), scalar(v)},
			`"state.a.exp_avg" has shape [], want one dimension`},
		{bad, []checkpoint.Data{step, m, v}, "group 0: Eps = -1"},
		{checkpoint.Group{Config: group.Config}, []checkpoint.Data{step}, `no group holds "a"`},
	} {
		info := checkpoint.Info{GradScale: 1, Groups: []checkpoint.Group{c.group}}
		var saved, b bytes.Buffer
		head, err := checkpoint.Encode(&info, c.data)
		require.NoError(t, err)
		require.NoError(t, checkpoint.Write(&saved, head, c.data))
		_, err = torchstate.ToTorch(&b, bytes.NewReader(saved.Bytes()))
		if c.want == "" {
			require.NoError(t, err)
			continue
		}
		require.ErrorContains(t, err, c.want)
		assert.ErrorIs(t, err, adam.ErrCheckpoint)
		assert.Equal(t, 1, strings.Count(err.Error(), "adam: "), "%v", err)
		assert.Zero(t, b.Len())
	}
}
