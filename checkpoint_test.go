package adam

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fusedadam/adam/internal/checkpoint"
	"github.com/fusedadam/adam/internal/operands"
	"github.com/fusedadam/adam/internal/safetensors"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A savedTensor is a tensor of the optimizers of these tests.
type savedTensor struct {
	name  string
	n     int
	class int // tensors of one class have one config
}

var savedTensors = []savedTensor{{"wte.weight", 33, 0}, {"ln.\"bias\"", 5, 1}, {"empty", 0, 0},
	{"h.0.é", 17, 1}, {"x", 1, 0}, {"x.step", 2, 0}}

// seeded returns a source of its own for each step and name.
func seeded(step int, name string) *rand.Rand {
	return rand.New(rand.NewPCG(uint64(step), uint64(crc32.ChecksumIEEE([]byte(name)))))
}

func normals(r *rand.Rand, n int) []float32 {
	s := make([]float32, n)
	for i := range s {
		s[i] = operands.Normal(r)
	}
	return s
}

// newSaved returns an optimizer of the tensors in one group per class, at the beginning of its
// training.
func newSaved(t testing.TB, options Options, configs [2]Config, tensors []savedTensor) *Optimizer {
	t.Helper()
	groups := []Group{{Config: configs[0]}, {Config: DefaultW()},
		{Config: configs[1]}} // the second stays empty
	for _, s := range tensors {
		g := &groups[2*s.class]
		g.Params = append(g.Params, Param{Name: s.name, Value: normals(seeded(0, s.name), s.n)})
	}
	o, err := New(options, groups...)
	require.NoError(t, err)
	t.Cleanup(func() { _ = o.Close() })
	return o
}

// newOther returns an optimizer of the same tensors as another process may have it: other memory,
// order and grouping, other configs, zeros for parameters.
func newOther(t testing.TB, options Options, tensors []savedTensor) *Optimizer {
	t.Helper()
	groups := make([]Group, 4)
	for i := range groups {
		groups[i].Config = Default()
	}
	for i := range tensors {
		s := tensors[len(tensors)-1-i]
		g := &groups[s.class+2*(i%2)]
		g.Params = append(g.Params, Param{Name: s.name, Value: make([]float32, s.n)})
	}
	o, err := New(options, groups...)
	require.NoError(t, err)
	t.Cleanup(func() { _ = o.Close() })
	return o
}

func eachParam(o *Optimizer, f func(g *Group, p *Param)) {
	for j := range o.Groups {
		for k := range o.Groups[j].Params {
			f(&o.Groups[j], &o.Groups[j].Params[k])
		}
	}
}

// train makes the steps from, …, to-1, and returns what they said. Gradients depend on step and
// name alone; some are missing, one is not finite.
func train(t testing.TB, o *Optimizer, from, to int) []Stats {
	t.Helper()
	var all []Stats
	for step := from; step < to; step++ {
		eachParam(o, func(_ *Group, p *Param) {
			r := seeded(step, p.Name)
			p.Grad = nil
			if r.IntN(4) > 0 {
				p.Grad = normals(r, len(p.Value))
				for i := range p.Grad {
					p.Grad[i] *= float32(o.GradScale)
				}
				if step%4 == 2 && len(p.Grad) == 5 && o.Options.SkipNonFinite {
					p.Grad[4] = float32(math.Inf(1))
				}
			}
		})
		stats, err := o.Step()
		require.NoError(t, err)
		all = append(all, stats)
	}
	return all
}

// differ returns how the state of two optimizers of the same tensors differs, "" if it does not.
func differ(a, b *Optimizer) string {
	if a.T != b.T || a.GradScale != b.GradScale || a.Options.EMADecay > 0 && begun(a) != begun(b) {
		return fmt.Sprintf("T %d and %d, GradScale %v and %v, averaged %v and %v", a.T, b.T,
			a.GradScale, b.GradScale, begun(a), begun(b))
	}
	type half struct {
		config Config
		slices [5][]float32
		t      uint64
	}
	collect := func(o *Optimizer) map[string]half {
		all := map[string]half{}
		eachParam(o, func(g *Group, p *Param) {
			s := o.State(p.Name)
			all[p.Name] = half{g.Config, [5][]float32{p.Value, s.M, s.V, s.VMax, o.EMA(p.Name)},
				s.T}
		})
		return all
	}
	x, y := collect(a), collect(b)
	if len(x) != len(y) {
		return fmt.Sprintf("%d and %d tensors", len(x), len(y))
	}
	for name, h := range x {
		if y[name].config != h.config || y[name].t != h.t {
			return fmt.Sprintf("%q: T %d and %d, configs %+v and %+v", name, h.t, y[name].t,
				h.config, y[name].config)
		}
		for i, s := range h.slices {
			if other := y[name].slices[i]; len(other) != len(s) ||
				!bytes.Equal(bytesOf(s), bytesOf(other)) {
				return fmt.Sprintf("%q: slices %d (Value, M, V, VMax, EMA): %v and %v", name, i, s,
					other)
			}
		}
	}
	return ""
}

// everything returns all of an optimizer that Load could have changed, with the places of the
// slices.
func everything(o *Optimizer) string {
	var b strings.Builder
	fmt.Fprint(&b, o.T, o.GradScale, begun(o), o.Options, o.Metadata)
	for j, g := range o.Groups {
		fmt.Fprint(&b, j, g.Config)
	}
	eachParam(o, func(_ *Group, p *Param) {
		s := o.State(p.Name)
		fmt.Fprintf(&b, "%q %d", p.Name, s.T)
		for _, x := range [][]float32{p.Value, s.M, s.V, s.VMax, o.EMA(p.Name)} {
			fmt.Fprintf(&b, "%p", x)
			b.Write(bytesOf(x))
		}
	})
	return b.String()
}

func saved(t testing.TB, o *Optimizer) []byte {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, o.Save(&b))
	return b.Bytes()
}

// seal puts the right checksum into a file, if there is a place for it. It counts it out in another
// way than Load does.
func seal(file []byte) []byte {
	file = bytes.Clone(file)
	if len(file) < 8 {
		return file
	}
	mark := []byte(`"adam.crc32":"`)
	at := bytes.Index(file, mark) + len(mark)
	if at < len(mark) || len(file) < at+8 {
		return file
	}
	copy(file[at:], "00000000")
	sum := crc32.NewIEEE()
	_, _ = sum.Write(file[8:])
	copy(file[at:], fmt.Sprintf("%08x", sum.Sum32()))
	return file
}

// edit replaces what stands once in the header of a file, and seals the result.
func edit(t testing.TB, file []byte, before, after string) []byte {
	t.Helper()
	end := 8 + binary.LittleEndian.Uint64(file)
	header := string(file[8:end])
	require.Equal(t, 1, strings.Count(header, before), "%s in %s", before, header)
	header = strings.Replace(header, before, after, 1)
	out := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return seal(append(append(out, header...), file[end:]...))
}

// What was trained, saved, loaded by an optimizer made anew and trained on has the same bits as
// what was trained in one go, with every combination of the options and configs.
func TestCheckpointResumes(t *testing.T) {
	sharedOut(t)
	combinations := 0
	for _, clip := range []Options{{}, {MaxNorm: 3}, {MaxValue: 0.25}} {
		for bits := range 32 {
			options := clip
			options.SkipNonFinite, options.ZeroGrad = bits&1 != 0, bits&2 != 0
			options.SaveParams = bits&4 != 0
			if bits&8 != 0 {
				options.EMADecay = 0.9
			}
			options.Workers = 1 + bits>>4
			for kind := range 24 {
				a := Config{LR: 1e-2, Beta1: 0.9, Beta2: 0.99, Eps: 1e-8, AMSGrad: kind&1 != 0,
					Maximize: kind&2 != 0}
				a.WeightDecay, a.Decoupled = []float64{0, 0.1, 0.1}[kind%3], kind%3 == 2
				b := Config{LR: 0.1 + 0.2, Beta1: 0.85, Beta2: 1.0 / 3, Eps: 1e-30,
					WeightDecay: 0.01, Decoupled: !a.Decoupled, AMSGrad: !a.AMSGrad,
					EpsUncorrected: kind&4 != 0}
				scale := []float64{1, 1e3 / 3.0}[kind/12]
				testResume(t, options, [2]Config{a, b}, scale, combinations%5)
				combinations++
				if t.Failed() {
					t.Fatalf("options %+v, config %+v, scale %v", options, a, scale)
				}
			}
		}
	}
	assert.Equal(t, 3*32*24, combinations)
}

// testResume saves after the given number of steps.
func testResume(t *testing.T, options Options, configs [2]Config, scale float64, steps int) {
	through := newSaved(t, options, configs, savedTensors)
	defer through.Close()
	through.GradScale = scale
	train(t, through, 0, steps)
	file := saved(t, through)
	require.Equal(t, file, saved(t, through), "Save gives the same bytes again")

	resumed := newOther(t, options, savedTensors)
	defer resumed.Close()
	if !options.SaveParams {
		copyValues(resumed, through)
	}
	require.NoError(t, resumed.Load(bytes.NewReader(file)))
	if options.EMADecay > 0 && steps == 0 { // there the average is what New was given
		eachParam(resumed, func(_ *Group, p *Param) {
			require.Equal(t, p.Value,
				resumed.EMA(p.Name))
		})
	}
	if d := differ(through, resumed); d != "" {
		t.Errorf("after Load: %s", d)
	}
	want, got := train(t, through, steps, steps+3), train(t, resumed, steps, steps+3)
	if options.MaxNorm == 0 && !options.SkipNonFinite {
		require.Equal(t, want, got)
	}
	for i := range want {
		require.Equal(t, want[i].T, got[i].T)
		require.Equal(t, want[i].Skipped, got[i].Skipped)
		require.Equal(t, math.Float64bits(want[i].GradNorm), math.Float64bits(got[i].GradNorm))
	}
	if d := differ(through, resumed); d != "" {
		t.Errorf("after training on: %s", d)
	}
}

// smallOptions and newSmall make an optimizer whose file is small and has everything in it.
var smallOptions = Options{Workers: 1, EMADecay: 0.5, SaveParams: true}

var smallTensors = []savedTensor{{"a", 3, 0}, {"b", 1, 1}}

func smallConfigs() [2]Config {
	c := [2]Config{DefaultW(), Default()}
	c[0].AMSGrad = true
	return c
}

func newSmall(t testing.TB) *Optimizer {
	o := newSaved(t, smallOptions, smallConfigs(), smallTensors)
	o.GradScale = 2
	train(t, o, 1, 4)
	return o
}

// newTarget returns an optimizer that has been trained otherwise, for loading into it.
func newTarget(t testing.TB, options Options) *Optimizer {
	o := newOther(t, options, smallTensors)
	train(t, o, 7, 10)
	return o
}

// refuses checks that Load gives an error with the given words and leaves the optimizer as it was.
func refuses(t testing.TB, o *Optimizer, before string, r io.Reader, words ...string) error {
	t.Helper()
	err := o.Load(r)
	if err == nil || !errors.Is(err, ErrCheckpoint) {
		t.Fatalf("Load: %v, want an error that wraps ErrCheckpoint", err)
	}
	for _, w := range words {
		assert.ErrorContains(t, err, w)
	}
	if len(err.Error()) > 2000 {
		t.Errorf("error of %d bytes", len(err.Error()))
	}
	if before != everything(o) {
		t.Fatalf("Load has changed the optimizer, and returned %v", err)
	}
	return err
}

// The bytes are the same on all machines, and what docs/CHECKPOINTS.md says.
func TestCheckpointBytes(t *testing.T) {
	c := DefaultW()
	c.AMSGrad = true
	w := []float32{1, -2}
	o, err := New(Options{EMADecay: 0.5, SaveParams: true},
		Group{Config: c, Params: []Param{{Name: "w", Value: w, Grad: []float32{0.5,
			0.25}}}}, Group{Config: Default()})
	require.NoError(t, err)
	_, err = o.Step()
	require.NoError(t, err)
	file := saved(t, o)
	length := binary.LittleEndian.Uint64(file)
	require.Zero(t, length%8)
	header := strings.TrimRight(string(file[8:8+length]), " ")
	assert.Equal(t, `{"__metadata__":{"adam.crc32":"`+fmt.Sprintf("%08x",
		checksumOf(file))+`","adam.format":"1","adam.grad_scale":"1","adam.groups":"`+
		`[{\"config\":{\"lr\":0.001,\"betas\":[0.9,0.999],\"eps\":1e-8,`+
		`\"weight_decay\":0.01,\"decoupled\":true,\"amsgrad\":true,\"maximize\":false},`+
		`\"params\":[\"w\"]},`+
		`{\"config\":{\"lr\":0.001,\"betas\":[0.9,0.999],\"eps\":1e-8,`+
		`\"weight_decay\":0,\"decoupled\":false,\"amsgrad\":false,\"maximize\":false},`+
		`\"params\":[]}]`+
		`","adam.step":"1"},"state.w.step":{"dtype":"I64","shape":[],"data_offsets":[0,8]},`+
		`"param.w":{"dtype":"F32","shape":[2],"data_offsets":[8,16]},`+
		`"state.w.ema":{"dtype":"F32","shape":[2],"data_offsets":[16,24]},`+
		`"state.w.exp_avg":{"dtype":"F32","shape":[2],"data_offsets":[24,32]},`+
		`"state.w.exp_avg_sq":{"dtype":"F32","shape":[2],"data_offsets":[32,40]},`+
		`"state.w.max_exp_avg_sq":{"dtype":"F32","shape":[2],"data_offsets":[40,48]}}`, header)
	s := o.State("w")
	want := []byte{1, 0, 0, 0, 0, 0, 0, 0}
	for _, list := range [][]float32{w, w, s.M, s.V, s.VMax} {
		for _, x := range list {
			want = binary.LittleEndian.AppendUint32(want, math.Float32bits(x))
		}
	}
	assert.Equal(t, want, file[8+length:])
	assert.Equal(t, uint32(0xa2119b36), crc32.ChecksumIEEE(file), "of the whole file")
}

// checksumOf is the checksum that a file should have.
func checksumOf(file []byte) uint32 {
	mark := `"adam.crc32":"`
	blank := bytes.Clone(file[8:])
	copy(blank[bytes.Index(blank, []byte(mark))+len(mark):], "00000000")
	return crc32.ChecksumIEEE(blank)
}

// On a machine of the other byte order, floats are turned round in the file, and nothing else is.
func TestCheckpointByteOrder(t *testing.T) {
	o := newSmall(t)
	file := saved(t, o)
	checkpoint.BigEndian = !checkpoint.BigEndian
	defer func() { checkpoint.BigEndian = !checkpoint.BigEndian }()
	turned := saved(t, o)
	end := 8 + int(binary.LittleEndian.Uint64(file))
	require.Equal(t, file[:8+30], turned[:8+30])
	require.Equal(t, file[end:end+16], turned[end:end+16], "the step counts")
	reverse(turned[end+16:])
	require.Equal(t, file[end:], turned[end:])
	reverse(turned[end+16:])
	other := newTarget(t, smallOptions)
	require.NoError(t, other.Load(bytes.NewReader(turned)))
	require.Empty(t, differ(o, other))
}

// What may be otherwise: foreign metadata, spaces, escapes, the order of everything.
func TestCheckpointAccepts(t *testing.T) {
	source := newSmall(t)
	file := saved(t, source)
	for _, c := range [][2]string{
		{`"adam.step":"3"`, `"adam.step":"3","epoch":"7","":"","x\"adam.crc32":"12345678"`},
		{`"state.a.step":{"dtype":"I64","shape":[],"data_offsets":[0,8]}`,
			"\n\"state.\\u0061.step\" :\t{ \"shape\": [ ], \"data_offsets\": [0, 8], " +
				"\"dtype\":\"I64\"}"},
		{`"adam.grad_scale":"2"`, `"adam.grad_scale":"2.0"`},
		{`\"lr\":0.001,\"betas\":[0.9,0.999],\"eps\":1e-8,\"weight_decay\":0.01,` +
			`\"decoupled\":true,\"amsgrad\":true`,
			`\"amsgrad\":true,\"betas\":[0.9,0.999],\"eps\":0.00000001,` +
				`\"weight_decay\":1E-2,\"decoupled\":true,\"lr\":1.0e-3`},
		// Not the checksum, though its bytes are there.
		{`"__metadata__":{`, `"__metadata__":{"x\"adam.crc32":"12345678",`},
	} {
		o := newTarget(t, smallOptions)
		changed := edit(t, file, c[0], c[1])
		if strings.HasSuffix(c[1], ",") { // seal has taken the wrong one
			changed = bytes.Replace(changed, fmt.Appendf(nil, "%08x", checksumOf(changed)),
				[]byte("12345678"), 1)
			at := bytes.LastIndex(changed, []byte(`"adam.crc32":"`)) + 14
			copy(changed[at:], "00000000")
			copy(changed[at:], fmt.Sprintf("%08x", crc32.ChecksumIEEE(changed[8:])))
		}
		require.NoError(t, o.Load(bytes.NewReader(changed)), "%s", c[1])
		require.Empty(t, differ(source, o), "%s", c[1])
	}

	// The data in another order: that of the header backwards.
	end := 8 + binary.LittleEndian.Uint64(file)
	metadata, tensors, err := decoded(file[8:end])
	require.NoError(t, err)
	var data []byte
	var backwards []safetensors.Tensor
	for i := range tensors {
		s := tensors[len(tensors)-1-i]
		data = append(data, file[end:][s.From:s.To]...)
		backwards = append(backwards, s)
	}
	head, err := safetensors.Encode(metadata, backwards)
	require.NoError(t, err)
	o := newTarget(t, smallOptions)
	require.NoError(t, o.Load(bytes.NewReader(seal(append(head, data...)))))
	require.Empty(t, differ(source, o))
}

// A group takes the config of its tensors and an empty one keeps its own; averages may begin anew;
// parameters that are not wanted are skipped; States stay where they are and take the new moments.
func TestCheckpointRestores(t *testing.T) {
	source := newSmall(t)
	file := saved(t, source)
	t.Run("configs", func(t *testing.T) {
		o := newTarget(t, smallOptions)
		for j := range o.Groups {
			o.Groups[j].Config.LR = 42
		}
		require.NoError(t, o.Load(bytes.NewReader(file)))
		for _, g := range o.Groups {
			if len(g.Params) == 0 {
				assert.EqualValues(t, 42, g.Config.LR)
			} else {
				assert.EqualValues(t, 1e-3, g.Config.LR)
			}
		}
	})
	t.Run("states", func(t *testing.T) {
		source := newSmall(t)
		o := newTarget(t, smallOptions)
		s, average := o.State("a"), o.EMA("a")
		old := s.M
		require.NoError(t, o.Load(bytes.NewReader(file)))
		assert.Same(t, s, o.State("a"))
		assert.Equal(t, source.State("a").M, s.M)
		assert.NotSame(t, &old[0], &s.M[0])
		assert.NotSame(t, &average[0], &o.EMA("a")[0])
		train(t, source, 4, 5)
		train(t, o, 4, 5)
		assert.Equal(t, source.State("a").M, s.M)
	})
	t.Run("values skipped", func(t *testing.T) {
		o := newTarget(t, Options{EMADecay: 0.5})
		value := bytes.Clone(bytesOf(o.Groups[1].Params[0].Value))
		require.NoError(t, o.Load(bytes.NewReader(file)))
		require.NotEmpty(t, value)
		assert.Equal(t, value, bytesOf(o.Groups[1].Params[0].Value))
		assert.Equal(t, source.EMA("a"), o.EMA("a"))
	})
	t.Run("average begins anew", func(t *testing.T) {
		s := newSaved(t, Options{SaveParams: true}, smallConfigs(), smallTensors)
		train(t, s, 0, 3)
		o := newTarget(t, smallOptions)
		require.NoError(t, o.Load(bytes.NewReader(saved(t, s))))
		var p *Param
		eachParam(o, func(_ *Group, q *Param) {
			if q.Name == "a" {
				p = q
			}
		})
		assert.Equal(t, s.State("a").M, o.State("a").M)
		assert.Equal(t, p.Value, o.EMA("a"), "what Load has restored")
		train(t, o, 3, 4)
		assert.Equal(t, p.Value, o.EMA("a"), "and after the first step, what that has made")
	})
	t.Run("maximum without AMSGrad", func(t *testing.T) {
		s := newSmall(t)
		s.Groups[0].Config.AMSGrad = false
		o := newTarget(t, smallOptions)
		require.NoError(t, o.Load(bytes.NewReader(saved(t, s))))
		assert.Equal(t, s.State("a").VMax, o.State("a").VMax, "it may be needed again")
	})
	t.Run("no maximum", func(t *testing.T) {
		s := newSaved(t, smallOptions, [2]Config{Default(), Default()}, smallTensors)
		train(t, s, 0, 1)
		o := newSaved(t, smallOptions, smallConfigs(), smallTensors)
		require.NoError(t, o.Load(bytes.NewReader(saved(t, s))))
		require.Empty(t, differ(s, o))
		o.Groups[0].Config.AMSGrad = true
		_, err := o.Step()
		assert.ErrorIs(t, err, ErrLength)
	})
	t.Run("closed", func(t *testing.T) {
		o := newTarget(t, smallOptions)
		o.Close()
		require.NoError(t, o.Load(bytes.NewReader(file)))
		other := newTarget(t, smallOptions)
		require.NoError(t, other.Load(bytes.NewReader(saved(t, o))))
		assert.Empty(t, differ(source, other))
	})
	t.Run("nothing", func(t *testing.T) {
		a, err := New(smallOptions)
		require.NoError(t, err)
		a.T = math.MaxUint64
		b, err := New(smallOptions)
		require.NoError(t, err)
		require.NoError(t, b.Load(bytes.NewReader(saved(t, a))))
		assert.EqualValues(t, uint64(math.MaxUint64), b.T)
	})
}

func BenchmarkCheckpoint(b *testing.B) {
	const n = 32 << 20
	p := []Param{{Name: "large", Value: make([]float32, n-64<<10)}}
	for i := range 64 {
		p = append(p, Param{Name: fmt.Sprint("small.", i), Value: make([]float32, 1<<10)})
	}
	o, err := New(Options{}, Group{Config: DefaultW(), Params: p})
	require.NoError(b, err)
	path := filepath.Join(b.TempDir(), "checkpoint")
	for _, c := range []struct {
		name string
		f    func() error
	}{
		{"save=discard", func() error { return o.Save(io.Discard) }},
		{"save=file", func() error { return o.SaveFile(path) }},
		{"load=file", func() error { return o.LoadFile(path) }},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(8 * n)
			for range b.N {
				require.NoError(b, c.f())
			}
		})
	}
}

// begun reports whether the averages of o have begun.
func begun(o *Optimizer) bool { return len(o.tensors) > 0 && o.tensors[0].begun }
