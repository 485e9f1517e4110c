package torchstate_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/fusedadam/adam"
	"github.com/fusedadam/adam/internal/safetensors"
	"github.com/fusedadam/adam/torchstate"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A tensor is one of a file by hand.
type tensor struct {
	key, dtype string
	shape      []int64
	data       []byte
}

func floats(key string, shape []int64, values ...float32) tensor {
	var b []byte
	for _, x := range values {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
	}
	return tensor{key, "F32", shape, b}
}

type words map[string]string

// A torchFile is a state of torch by hand.
type torchFile struct {
	words   words
	tensors []tensor
}

func (f *torchFile) bytes(t testing.TB) []byte {
	t.Helper()
	var metadata []safetensors.Meta
	for _, key := range slices.Sorted(maps.Keys(f.words)) {
		metadata = append(metadata, safetensors.Meta{Key: key, Value: f.words[key]})
	}
	var tensors []safetensors.Tensor
	var data []byte
	for _, s := range f.tensors {
		tensors = append(tensors, safetensors.Tensor{Name: s.key, DType: s.dtype, Shape: s.shape})
		data = append(data, s.data...)
	}
	file, err := safetensors.Encode(metadata, tensors)
	require.NoError(t, err)
	return append(file, data...)
}

// parse is the inverse of bytes.
func parse(t *testing.T, file []byte) torchFile {
	t.Helper()
	f := torchFile{words: words{}}
	end := safetensors.Prefix + binary.LittleEndian.Uint64(file)
	tensors, err := safetensors.Decode(string(file[safetensors.Prefix:end]), -1,
		func(m safetensors.Meta) error {
			f.words[m.Key] = m.Value
			return nil
		})
	require.NoError(t, err)
	for _, s := range tensors {
		f.tensors = append(f.tensors, tensor{s.Name, s.DType, append([]int64{}, s.Shape...),
			file[end:][s.From:s.To]})
	}
	return f
}

const groupsJSON = `[
	{"lr": 0.01, "betas": [0.9, 0.99], "eps": 1e-08, "weight_decay": 0.1, "amsgrad": false,
	 "maximize": true, "foreach": null, "capturable": false, "initial_lr": 0.5, "params": [0, 1]},
	{"lr": 0.001, "betas": [0.8, 0.999], "eps": 1e-06, "weight_decay": 0, "amsgrad": true,
	 "name": "no <decay>", "params": [2]}]`

// aFile returns a state that has all that a state may have.
func aFile() torchFile {
	nan := math.Float32frombits(0xffc12345)
	return torchFile{
		words{"param_groups": groupsJSON, "optimizer": "AdamW", "mine": "kept"},
		[]tensor{
			floats("param.0", []int64{2, 3}, 1, 2, 3, 4, 5, 6),
			floats("param.1", []int64{}, 7),
			floats("param.2", []int64{2}, 8, 9),
			floats("state.0.exp_avg", []int64{2, 3}, 0.1, -0.2, nan, 1e-42, 0,
				float32(math.Inf(-1))),
			floats("state.0.exp_avg_sq", []int64{2, 3}, 1, 2, 3, 4, float32(math.Copysign(0, -1)),
				nan),
			floats("state.0.step", []int64{}, 41),
			floats("state.2.exp_avg", []int64{2}, 1, 2),
			floats("state.2.exp_avg_sq", []int64{2}, 3, 4),
			floats("state.2.max_exp_avg_sq", []int64{2}, 5, 6),
			floats("state.2.step", []int64{}, 40),
		},
	}
}

func from(t *testing.T, f torchFile, names ...string) (checkpoint []byte,
	report torchstate.Report) {
	t.Helper()
	var b bytes.Buffer
	report, err := torchstate.FromTorch(&b, bytes.NewReader(f.bytes(t)), names)
	require.NoError(t, err)
	return b.Bytes(), report
}

func optimizer(t *testing.T) *adam.Optimizer {
	t.Helper()
	o, err := adam.New(adam.Options{SaveParams: true},
		adam.Group{Config: adam.Default(), Params: []adam.Param{
			{Name: "a", Value: make([]float32, 6)}, {Name: "b", Value: make([]float32, 1)}}},
		adam.Group{Config: adam.Default(),
			Params: []adam.Param{{Name: "c", Value: make([]float32, 2)}}})
	require.NoError(t, err)
	return o
}

// What torch has comes back from a checkpoint that an Optimizer has loaded and saved.
func TestRoundTrip(t *testing.T) {
	f := aFile()
	saved, report := from(t, f, "a", "b", "c")
	assert.Equal(t, torchstate.Report{Names: []string{"a", "b", "c"},
		Options: []string{"initial_lr", "name"}}, report)
	o := optimizer(t)
	require.NoError(t, o.Load(bytes.NewReader(saved)))
	assert.EqualValues(t, 41, o.T)
	assert.Equal(t, adam.Config{LR: 0.01, Beta1: 0.9, Beta2: 0.99, Eps: 1e-8, WeightDecay: 0.1,
		Decoupled: true, Maximize: true},
		o.Groups[0].Config)
	assert.Equal(t, adam.Config{LR: 0.001, Beta1: 0.8, Beta2: 0.999, Eps: 1e-6, AMSGrad: true,
		Decoupled: true}, o.Groups[1].Config)
	assert.EqualValues(t, 41, o.State("a").T)
	assert.Equal(t, uint32(0xffc12345), math.Float32bits(o.State("a").M[2]))
	assert.Zero(t, o.State("b").T)
	assert.Equal(t, []float32{0}, o.State("b").M)
	assert.EqualValues(t, 40, o.State("c").T)
	assert.Equal(t, []float32{5, 6}, o.State("c").VMax)
	assert.Equal(t, []float32{7}, o.Groups[0].Params[1].Value)
	assert.Equal(t, "kept", o.Metadata["mine"])

	var again, b bytes.Buffer
	require.NoError(t, o.Save(&again))
	require.Equal(t, saved, again.Bytes(), "as Save writes it")
	report, err := torchstate.ToTorch(&b, bytes.NewReader(again.Bytes()))
	require.NoError(t, err)
	assert.Equal(t, torchstate.Report{Names: []string{"a", "b", "c"}}, report)
	back := parse(t, b.Bytes())
	want := append(slices.Clone(f.tensors[:6]), // the moments before the first step, too
		floats("state.1.exp_avg", []int64{}, 0), floats("state.1.exp_avg_sq", []int64{}, 0),
		floats("state.1.step", []int64{}, 0))
	want = append(want, f.tensors[6:]...)
	assert.Equal(t, want, back.tensors)
	assert.Equal(t, []string{"AdamW", "kept"},
		[]string{back.words["optimizer"], back.words["mine"]})
	assert.Len(t, back.words, 3)
	assert.JSONEq(t, `[
		{"lr": 0.01, "betas": [0.9, 0.99], "eps": 1e-08, "weight_decay": 0.1, "amsgrad": false,
		 "maximize": true, "foreach": null, "capturable": false, "initial_lr": 0.5,
		 "decoupled_weight_decay": true,
		 "params": [0, 1], "param_names": ["a", "b"]},
		{"lr": 0.001, "betas": [0.8, 0.999], "eps": 1e-06, "weight_decay": 0, "amsgrad": true,
		 "maximize": false, "name": "no <decay>", "decoupled_weight_decay": true,
		 "params": [2], "param_names": ["c"]}]`, back.words["param_groups"])
	twice, _ := from(t, back)
	assert.Equal(t, saved, twice)
}

// A checkpoint without anything of torch's comes back to the same bytes.
func TestThereAndBack(t *testing.T) {
	o := optimizer(t)
	o.T = 3
	for _, name := range []string{"a", "b", "c"} {
		o.State(name).T = 3
	}
	var saved bytes.Buffer
	require.NoError(t, o.Save(&saved))
	back, report := from(t, to(t, o))
	assert.Equal(t, torchstate.Report{Names: []string{"a", "b", "c"}}, report)
	assert.Equal(t, saved.Bytes(), back)
}

// Names are those given, else torch's, else the numbers.
func TestNames(t *testing.T) {
	f := aFile()
	_, report := from(t, f)
	assert.Equal(t, []string{"0", "1", "2"}, report.Names)
	var b bytes.Buffer
	numbers, _ := from(t, f)
	_, err := torchstate.ToTorch(&b, bytes.NewReader(numbers))
	require.NoError(t, err)
	assert.NotContains(t, parse(t, b.Bytes()).words["param_groups"], "param_names")

	f.words["param_groups"] = strings.NewReplacer("[0, 1]",
		`[0, 1], "param_names": ["x.weight", "x.bias"]`,
		"[2]", `[2], "param_names": ["\u00e9"]`).Replace(groupsJSON)
	_, report = from(t, f)
	assert.Equal(t, []string{"x.weight", "x.bias", "é"}, report.Names)
	_, report = from(t, f, "r", "s", "t")
	assert.Equal(t, []string{"r", "s", "t"}, report.Names)

	// As torch.distributed has it.
	f.words["param_groups"] = strings.NewReplacer("[0, 1]", `["x.weight", "x.bias"]`, "[2]",
		`["y"]`).Replace(groupsJSON)
	for i := range f.tensors {
		f.tensors[i].key = strings.NewReplacer(".0", ".x.weight", ".1", ".x.bias", ".2",
			".y").Replace(f.tensors[i].key)
	}
	_, report = from(t, f)
	assert.Equal(t, []string{"x.weight", "x.bias", "y"}, report.Names)
}

// A parameter that torch has not stepped, and whose size is not known, is left out.
func TestNotStepped(t *testing.T) {
	f := aFile()
	f.tensors = f.tensors[3:]
	saved, report := from(t, f, "a", "b", "c")
	assert.Equal(t, torchstate.Report{
		Names: []string{"a", "c"}, Left: []string{"b"}, Options: []string{"initial_lr", "name"},
	}, report)
	o := optimizer(t)
	loaded, err := o.LoadWith(bytes.NewReader(saved), adam.LoadOptions{Partial: true})
	require.NoError(t, err)
	assert.Equal(t, []string{"a", "c"}, loaded.Restored)
	assert.Equal(t, []string{"b"}, loaded.New)
}

// The optimizer's class is that of the group (torch 2.7 on), else that of the file.
func TestDecoupled(t *testing.T) {
	for _, c := range []struct {
		class, option string
		want          [2]bool
		back          string
	}{
		{"Adam", "", [2]bool{false, false}, "Adam"},
		{"AdamW", "", [2]bool{true, true}, "AdamW"},
		// the second has no decay
		{"", `"decoupled_weight_decay": true, `, [2]bool{true, false}, "AdamW"},
		{"Adam", `"decoupled_weight_decay": true, `, [2]bool{true, false}, "AdamW"},
		{"Adam and AdamW", `"decoupled_weight_decay": false, `, [2]bool{false, false}, "Adam"},
	} {
		f := aFile()
		f.words["optimizer"] = c.class
		f.words["param_groups"] = strings.Replace(groupsJSON, `"params": [0`,
			c.option+`"params": [0`, 1)
		saved, _ := from(t, f, "a", "b", "c")
		o := optimizer(t)
		require.NoError(t, o.Load(bytes.NewReader(saved)))
		assert.Equal(t, c.want, [2]bool{o.Groups[0].Config.Decoupled, o.Groups[1].Config.Decoupled},
			"%+v", c)
		var b bytes.Buffer
		_, err := torchstate.ToTorch(&b, bytes.NewReader(saved))
		require.NoError(t, err)
		assert.Equal(t, c.back, parse(t, b.Bytes()).words["optimizer"], "%+v", c)
	}
	o := optimizer(t)
	a, b := &o.Groups[0].Config, &o.Groups[1].Config
	a.WeightDecay, b.WeightDecay, b.Decoupled = 0.1, 0.1, true
	assert.Equal(t, "Adam and AdamW", to(t, o).words["optimizer"])
	a.WeightDecay, b.WeightDecay, a.Decoupled = 0, 0, true
	assert.Equal(t, "AdamW", to(t, o).words["optimizer"])
}

// to returns the state of an optimizer as torch has it.
func to(t *testing.T, o *adam.Optimizer) torchFile {
	t.Helper()
	var saved, b bytes.Buffer
	require.NoError(t, o.Save(&saved))
	_, err := torchstate.ToTorch(&b, bytes.NewReader(saved.Bytes()))
	require.NoError(t, err)
	return parse(t, b.Bytes())
}

// Steps may be counted in each of the types that torch has had.
func TestStepTypes(t *testing.T) {
	number := binary.LittleEndian.AppendUint64
	for _, step := range []tensor{
		floats("state.0.step", []int64{1}, 41),
		{"state.0.step", "I64", []int64{}, number(nil, 41)},
		{"state.0.step", "F64", []int64{}, number(nil, math.Float64bits(41))},
	} {
		f := aFile()
		f.tensors[5] = step
		saved, _ := from(t, f, "a", "b", "c")
		o := optimizer(t)
		require.NoError(t, o.Load(bytes.NewReader(saved)))
		assert.EqualValues(t, 41, o.State("a").T, step.dtype)
	}
}

// Moving averages are left out, and said to be.
func TestAverages(t *testing.T) {
	o, err := adam.New(adam.Options{EMADecay: 0.9},
		adam.Group{Config: adam.Default(), Params: []adam.Param{
			{Name: "a", Value: []float32{1}, Grad: []float32{1}}}})
	require.NoError(t, err)
	_, err = o.Step()
	require.NoError(t, err)
	var saved, b bytes.Buffer
	require.NoError(t, o.Save(&saved))
	report, err := torchstate.ToTorch(&b, bytes.NewReader(saved.Bytes()))
	require.NoError(t, err)
	assert.Equal(t, torchstate.Report{Names: []string{"a"}, Left: []string{"state.a.ema"}}, report)
	assert.Len(t, parse(t, b.Bytes()).tensors, 3)
}

type brokenWriter struct{ err error }

func (w brokenWriter) Write(b []byte) (int, error) { return 0, w.err }

func TestWriterError(t *testing.T) {
	f := aFile()
	full := errors.New("disk full")
	_, err := torchstate.FromTorch(brokenWriter{full}, bytes.NewReader(f.bytes(t)), nil)
	assert.ErrorIs(t, err, full)
	assert.NotErrorIs(t, err, torchstate.ErrState)
	saved, _ := from(t, f)
	_, err = torchstate.ToTorch(brokenWriter{full}, bytes.NewReader(saved))
	assert.ErrorIs(t, err, full)
	assert.NotErrorIs(t, err, adam.ErrCheckpoint)
	_, err = torchstate.FromTorch(brokenWriter{}, bytes.NewReader(f.bytes(t)), nil)
	assert.ErrorIs(t, err, io.ErrShortWrite)
}

// A changing file gives other bytes after some reads.
type changing struct {
	io.ReaderAt
	reads int
}

func (c *changing) ReadAt(b []byte, at int64) (int, error) {
	n, err := c.ReaderAt.ReadAt(b, at)
	if c.reads--; c.reads < 0 && n > 0 {
		b[0] ^= 1
	}
	return n, err
}

// No file that changes while it is read becomes a checkpoint with a wrong checksum.
func TestChanging(t *testing.T) {
	f := aFile()
	f.words["optimizer"], f.tensors = "Adam", f.tensors[3:6]
	f.words["param_groups"] = strings.Replace(groupsJSON, "[2]", "[]", 1)
	file := f.bytes(t)
	changed := 0
	for reads := range 100 {
		c := &changing{bytes.NewReader(file), reads}
		var b bytes.Buffer
		_, err := torchstate.FromTorch(&b, c, nil)
		if c.reads >= 0 {
			require.Positive(t, changed)
			return
		}
		if err == nil { // It changed before the data were read first.
			_, err := torchstate.ToTorch(io.Discard, bytes.NewReader(b.Bytes()))
			require.NoError(t, err)
			continue
		}
		require.ErrorIs(t, err, torchstate.ErrState)
		if strings.HasSuffix(err.Error(), "changed while it was read") {
			changed++
		}
	}
	t.Fatal("more than 100 reads")
}

// The data of large tensors stream through.
func TestStreams(t *testing.T) {
	const n = 4 << 20
	data := make([]byte, 4*n)
	f := torchFile{words{"param_groups": strings.Replace(groupsJSON, "[2]", "[2, 3]", 1),
		"optimizer": "Adam"}, nil}
	for _, key := range []string{"param.2", "state.2.exp_avg", "state.2.exp_avg_sq",
		"state.2.max_exp_avg_sq", "param.3"} {
		f.tensors = append(f.tensors, tensor{key, "F32", []int64{n}, data})
	}
	f.tensors = append(f.tensors, floats("state.2.step", nil, 3))
	file := f.bytes(t)
	allocated := func(convert func()) uint64 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		convert()
		runtime.ReadMemStats(&after)
		return after.TotalAlloc - before.TotalAlloc
	}
	assert.Less(t, allocated(func() {
		_, err := torchstate.FromTorch(io.Discard, bytes.NewReader(file), nil)
		require.NoError(t, err)
	}), uint64(n))
	var saved bytes.Buffer
	_, err := torchstate.FromTorch(&saved, bytes.NewReader(file), nil)
	require.NoError(t, err)
	assert.Less(t, allocated(func() {
		_, err := torchstate.ToTorch(io.Discard, bytes.NewReader(saved.Bytes()))
		require.NoError(t, err)
	}), uint64(n))
}

// Nothing panics, and what becomes a checkpoint comes back.
func FuzzConvert(f *testing.F) {
	a := aFile()
	file := a.bytes(f)
	f.Add(file)
	var saved bytes.Buffer
	_, err := torchstate.FromTorch(&saved, bytes.NewReader(file), nil)
	require.NoError(f, err)
	f.Add(saved.Bytes())
	f.Fuzz(func(t *testing.T, file []byte) {
		var saved, back, again bytes.Buffer
		_, err := torchstate.FromTorch(&saved, bytes.NewReader(file), nil)
		if err != nil {
			_, _ = torchstate.ToTorch(&back, bytes.NewReader(file))
			return
		}
		_, err = torchstate.ToTorch(&back, bytes.NewReader(saved.Bytes()))
		if err != nil {
			require.ErrorIs(t, err, torchstate.ErrState) // too many steps
			return
		}
		_, err = torchstate.FromTorch(&again, bytes.NewReader(back.Bytes()), nil)
		require.NoError(t, err)
		require.True(t, json.Valid([]byte(parse(t, back.Bytes()).words["param_groups"])))
	})
}

// Tensors of float64 become a Param64, and are the same when they are back.
func TestFloat64(t *testing.T) {
	double := func(key string, values ...float64) tensor {
		var b []byte
		for _, x := range values {
			b = binary.LittleEndian.AppendUint64(b, math.Float64bits(x))
		}
		return tensor{key, "F64", []int64{2}, b}
	}
	file := func() torchFile {
		f := aFile()
		f.tensors[2] = double("param.2", math.Pi, 1e-300)
		f.tensors[6] = double("state.2.exp_avg", 1e-310, -2)
		f.tensors[7] = double("state.2.exp_avg_sq", 1e200, 3)
		f.tensors[8] = double("state.2.max_exp_avg_sq", 1e200, math.Inf(1))
		return f
	}
	saved, _ := from(t, file(), "a", "b", "c")
	value := make([]float64, 2)
	o, err := adam.New(adam.Options{SaveParams: true},
		adam.Group{Config: adam.Default(), Params: []adam.Param{
			{Name: "a", Value: make([]float32, 6)}, {Name: "b", Value: make([]float32, 1)}}},
		adam.Group{Config: adam.Default(), Params64: []adam.Param64{{Name: "c", Value: value}}})
	require.NoError(t, err)
	require.NoError(t, o.Load(bytes.NewReader(saved)))
	assert.Equal(t, []float64{math.Pi, 1e-300}, value)
	state := o.State64("c")
	assert.Equal(t, []float64{1e-310, -2}, state.M)
	assert.Equal(t, []float64{1e200, 3}, state.V)
	assert.Equal(t, []float64{1e200, math.Inf(1)}, state.VMax)
	assert.EqualValues(t, 40, state.T)

	back := to(t, o)
	want := map[string]tensor{}
	for _, s := range file().tensors {
		want[s.key] = s
	}
	n := 0
	for _, s := range back.tensors {
		if s.dtype == "F64" {
			assert.Equal(t, want[s.key], s)
			n++
		}
	}
	assert.Equal(t, 4, n)

	f := file()
	f.tensors[7] = double("state.2.exp_avg_sq", 1, -1e-300)
	refused(t, f, `"state.2.exp_avg_sq" holds -1e-300`)
	f.tensors[7] = floats("state.2.exp_avg_sq", []int64{2}, 1, 1)
	refused(t, f, `"state.2.exp_avg_sq" is of dtype F32, and "state.2.exp_avg" of F64`)
}

func refused(t *testing.T, f torchFile, part string) {
	t.Helper()
	_, err := torchstate.FromTorch(io.Discard, bytes.NewReader(f.bytes(t)), nil)
	require.ErrorIs(t, err, torchstate.ErrState)
	require.ErrorContains(t, err, part)
}
