package adam

import (
	"bytes"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// trained returns an optimizer of one group per tensor, of 3 elements each, after two steps.
func trained(t testing.TB, options Options, config Config, names ...string) *Optimizer {
	var groups []Group
	for _, name := range names {
		groups = append(
			groups,
			Group{Config: config, Params: []Param{{Name: name, Value: normals(seeded(0, name),
				3)}}},
		)
	}
	o, err := New(options, groups...)
	require.NoError(t, err)
	t.Cleanup(func() { _ = o.Close() })
	for step := range 2 {
		for j := range o.Groups {
			p := &o.Groups[j].Params[0]
			p.Grad = normals(seeded(step, p.Name), len(p.Value))
		}
		_, err := o.Step()
		require.NoError(t, err)
	}
	return o
}

// stateOf returns a copy of all that a checkpoint has of a tensor.
func stateOf(o *Optimizer, name string) (all [5][]float32, count uint64) {
	s := o.State(name)
	for i, x := range [][]float32{s.M, s.V, s.VMax, o.EMA(name),
		*typedOf[float32](o.tensor(name).kind).at.value} {
		all[i] = slices.Clone(x)
	}
	return all, s.T
}

// same checks that the tensor x of a is the tensor y of b.
func same(t *testing.T, a *Optimizer, x string, b *Optimizer, y string) {
	t.Helper()
	s, m := stateOf(a, x)
	r, n := stateOf(b, y)
	assert.Equal(t, s, r)
	assert.Equal(t, m, n)
}

func loadWith(t *testing.T, o *Optimizer, file []byte, options LoadOptions) Loaded {
	t.Helper()
	loaded, err := o.LoadWith(bytes.NewReader(file), options)
	require.NoError(t, err)
	_, err = o.Step()
	require.NoError(t, err)
	_, err = o.LoadWith(bytes.NewReader(file), options)
	require.NoError(t, err)
	return loaded
}

// refusesWith checks that LoadWith gives an error with the given words and leaves the optimizer as
// it was.
func refusesWith(t *testing.T, o *Optimizer, file []byte, options LoadOptions, words ...string) {
	t.Helper()
	before := everything(o)
	loaded, err := o.LoadWith(bytes.NewReader(file), options)
	require.ErrorIs(t, err, ErrCheckpoint)
	for _, w := range words {
		assert.ErrorContains(t, err, w)
	}
	assert.Equal(t, 1, strings.Count(err.Error(), "adam:"), err)
	assert.Zero(t, loaded)
	require.Equal(t, before, everything(o))
}

var all = Options{Workers: 1, EMADecay: 0.5, SaveParams: true}

// Where nothing differs, LoadWith is Load.
func TestLoadWithNothing(t *testing.T) {
	source := newSmall(t)
	source.Metadata = map[string]string{"epoch": "3"}
	file := saved(t, source)
	a, b := newTarget(t, smallOptions), newTarget(t, smallOptions)
	require.NoError(t, a.Load(bytes.NewReader(file)))
	loaded, err := b.LoadWith(bytes.NewReader(file), LoadOptions{})
	require.NoError(t, err)
	assert.Equal(t, Loaded{Restored: []string{"b", "a"}}, loaded)
	assert.Empty(t, differ(a, b))
	assert.Equal(t, source.Metadata, b.Metadata)
	_, err = new(Optimizer).LoadWith(bytes.NewReader(file), LoadOptions{})
	assert.ErrorIs(t, err, ErrParams)
}

// Tensors have other names than in the file, or are left out.
func TestLoadWithNames(t *testing.T) {
	source := trained(t, all, DefaultW(), "a", "b")
	file := saved(t, source)
	o := trained(t, all, Default(), "module.b", "module.a")
	refusesWith(t, o, file, LoadOptions{}, `group 0 holds "a", which`,
		"LoadOptions.Partial or Name")
	refuses(t, o, everything(o), bytes.NewReader(file), `"a"`, "LoadWith",
		"LoadOptions.Partial or Name")
	module := func(name string) string { return "module." + name }
	loaded := loadWith(t, o, file, LoadOptions{Name: module})
	assert.Equal(t, Loaded{Restored: []string{"module.b", "module.a"}}, loaded)
	same(t, source, "a", o, "module.a")
	same(t, source, "b", o, "module.b")
	assert.Equal(t, DefaultW(), o.Groups[1].Config)

	single := trained(t, all, Default(), "module.a")
	refusesWith(t, single, file, LoadOptions{Name: module}, `"b" ("module.b"), which`)
	loaded = loadWith(t, single, file, LoadOptions{Name: func(name string) string {
		if name == "b" {
			return ""
		}
		return module(name)
	}})
	assert.Equal(t, Loaded{Restored: []string{"module.a"}, Left: []string{"b"}}, loaded)
	same(t, source, "a", single, "module.a")
	for _, partial := range []bool{false, true} {
		one := LoadOptions{Name: func(string) string { return "module.a" }, Partial: partial}
		refusesWith(t, single, file, one, `"a" and "b"`, "LoadOptions.Name", `"module.a"`)
	}
	// Names may change places.
	swapped := trained(t, all, Default(), "a", "b")
	loadWith(t, swapped, file, LoadOptions{Name: func(name string) string {
		return map[string]string{"a": "b", "b": "a"}[name]
	}})
	same(t, source, "a", swapped, "b")
	same(t, source, "b", swapped, "a")
}

// File and optimizer have only some tensors in common.
func TestLoadWithPartial(t *testing.T) {
	source := trained(t, all, DefaultW(), "a", "b")
	source.GradScale, source.Metadata = 8, map[string]string{"k": "v"}
	file := saved(t, source)
	o := trained(t, all, Default(), "c", "b", "d")
	refusesWith(t, o, file, LoadOptions{}, `"a"`)
	new1, _ := stateOf(o, "c")
	partial := LoadOptions{Partial: true}
	loaded, err := o.LoadWith(bytes.NewReader(file), partial)
	require.NoError(t, err)
	assert.Equal(t, Loaded{Restored: []string{"b"}, New: []string{"c", "d"}, Left: []string{"a"}},
		loaded)
	same(t, source, "b", o, "b")
	new2, count := stateOf(o, "c")
	assert.Equal(t, new1, new2, "what the file does not have stays as it is")
	assert.EqualValues(t, 2, count)
	assert.Equal(t, []Config{Default(), DefaultW(), Default()},
		[]Config{o.Groups[0].Config, o.Groups[1].Config, o.Groups[2].Config})
	assert.EqualValues(t, 2, o.T)
	assert.EqualValues(t, 8, o.GradScale)
	assert.Equal(t, source.Metadata, o.Metadata)
	_, err = o.Step()
	require.NoError(t, err)

	grown := trained(t, all, Default(), "a", "b", "c")
	refusesWith(t, grown, file, LoadOptions{}, `tensor "c" is in no group`, "LoadOptions.Partial")
	assert.Equal(t, []string{"c"}, loadWith(t, grown, file, partial).New)
	shrunk := trained(t, all, Default(), "a")
	refuses(t, shrunk, everything(shrunk), bytes.NewReader(saved(t, grown)),
		"more than 10 tensors", "LoadOptions.Partial")
	assert.Equal(t, []string{"b"}, loadWith(t, shrunk, file, partial).Left)
	same(t, source, "a", shrunk, "a")

	// Another size is an error, unless it is left out.
	other, err := New(all, Group{Config: Default(), Params: []Param{
		{Name: "a", Value: make([]float32, 3)}, {Name: "b", Value: make([]float32, 4)}}})
	require.NoError(t, err)
	refusesWith(t, other, file, partial, `"param.b"`, "[3]", "[4]", "LoadOptions.Name and Partial")
	loaded = loadWith(t, other, file, LoadOptions{Partial: true, Name: func(name string) string {
		return strings.TrimPrefix(name, "b")
	}})
	assert.Equal(t, Loaded{Restored: []string{"a"}, New: []string{"b"}, Left: []string{"b"}},
		loaded)
	// Nothing in common.
	stranger := trained(t, all, Default(), "z")
	loaded = loadWith(t, stranger, file, partial)
	assert.Equal(t, Loaded{New: []string{"z"}, Left: []string{"a", "b"}}, loaded)
}

// Averages, maxima and parameters that the file does not have begin anew or stay, and those that
// are not wanted are skipped.
func TestLoadWithPieces(t *testing.T) {
	amsgrad := Default()
	amsgrad.AMSGrad = true
	bare := trained(t, Options{Workers: 1}, Default(), "a")
	partial := LoadOptions{Partial: true, KeepConfigs: true}
	o := trained(t, all, amsgrad, "a")
	before, _ := stateOf(o, "a")
	refusesWith(t, o, saved(t, bare), LoadOptions{}, "no parameters", "SaveParams",
		"LoadOptions.Partial")
	loaded, err := o.LoadWith(bytes.NewReader(saved(t, bare)), partial)
	require.NoError(t, err)
	names := []string{"a"}
	assert.Equal(t, Loaded{Restored: names, NewAverages: names, NewMaxima: names, KeptValues: names,
		KeptConfigs: []int{0}}, loaded)
	after, _ := stateOf(o, "a")
	assert.Equal(t, before[4], after[4], "parameters stay")
	assert.Equal(t, before[4], after[3], "the average begins at them")
	assert.Equal(t, make([]float32, 3), after[2], "and the maximum at zero")
	assert.Equal(t, bare.State("a").M, after[0])
	_, err = o.Step()
	require.NoError(t, err)
	assert.Equal(t, o.Groups[0].Params[0].Value, o.EMA("a"))
	assert.Equal(t, o.State("a").V, o.State("a").VMax)

	full := trained(t, all, amsgrad, "a")
	file := saved(t, full)
	o = trained(t, Options{Workers: 1}, Default(), "a")
	refuses(t, o, everything(o), bytes.NewReader(file), "EMADecay", "use LoadWith")
	before, _ = stateOf(o, "a")
	loaded = loadWith(t, o, file, LoadOptions{})
	assert.Equal(t, Loaded{Restored: names, SkippedAverages: true, SkippedParams: true}, loaded)
	assert.Nil(t, o.EMA("a"))
	assert.Equal(t, full.State("a").VMax, o.State("a").VMax)
	assert.NotEqual(t, full.Groups[0].Params[0].Value, o.Groups[0].Params[0].Value)

	// Steps and moments are never missing.
	cut := edit(t, file, `"state.a.exp_avg":`, `"state.b.exp_avg":`)
	refusesWith(t, o, edit(t, cut, `[\"a\"]`, `[\"a\",\"b\"]`), partial, "state.a.exp_avg",
		"missing")
}

// The optimizer's Configs stay where that is wanted.
func TestLoadWithConfigs(t *testing.T) {
	own := Default()
	own.LR = 42
	source := trained(t, all, DefaultW(), "a", "b")
	source.Groups[1].Config = own
	file := saved(t, source)
	together := Group{Config: Default()} // neither tensor's
	for _, name := range []string{"a", "b"} {
		together.Params = append(together.Params, Param{Name: name, Value: make([]float32, 3)})
	}
	o, err := New(all, together)
	require.NoError(t, err)
	refusesWith(t, o, file, LoadOptions{Partial: true}, `"a" and "b"`, "different configs",
		"LoadOptions.KeepConfigs")
	loaded := loadWith(t, o, file, LoadOptions{KeepConfigs: true})
	assert.Equal(t, Loaded{Restored: []string{"a", "b"}, KeptConfigs: []int{0}}, loaded)
	assert.Equal(t, Default(), o.Groups[0].Config)

	o = trained(t, all, own, "a", "b")
	loaded = loadWith(t, o, file, LoadOptions{KeepConfigs: true})
	assert.Equal(t, []int{0}, loaded.KeptConfigs, "only the first is another")
	assert.Equal(t, own, o.Groups[0].Config)
	same(t, source, "a", o, "a")

	amsgrad := own
	amsgrad.AMSGrad = true
	o = trained(t, all, amsgrad, "a", "b")
	refusesWith(t, o, file, LoadOptions{KeepConfigs: true}, "state.a.max_exp_avg_sq", "missing",
		"LoadOptions.Partial")
	bad := edit(t, file, `[{\"config\":{\"lr\":0.001`, `[{\"config\":{\"lr\":-0.001`)
	_, err = o.LoadWith(bytes.NewReader(bad), LoadOptions{KeepConfigs: true})
	assert.ErrorIs(t, err, ErrConfig)
	refusesWith(t, o, bad, LoadOptions{KeepConfigs: true}, "group 0: LR = -0.001")
}

// Averages of some tensors only make a file of format 2.
func TestCheckpointSomeAverages(t *testing.T) {
	o := trained(t, all, Default(), "a")
	assert.Contains(t, string(saved(t, o)), `"adam.format":"1"`)
	more := Param{Name: "b", Value: make([]float32, 3)}
	require.NoError(t, o.Regroup(append(slices.Clone(o.Groups),
		Group{Config: Default(), Params: []Param{more}})...))
	file := saved(t, o)
	assert.Contains(t, string(file), `"adam.format":"2"`)
	other := trained(t, all, Default(), "b", "a")
	require.NoError(t, other.Load(bytes.NewReader(file)))
	same(t, o, "a", other, "a")
	assert.Equal(t, make([]float32, 3), other.EMA("b"), "the parameter, where it begins")
	assert.Equal(t, file, saved(t, regrouped(t, other, "a", "b")))
	refuses(t, other, everything(other), bytes.NewReader(edit(t, file, `"adam.format":"2"`,
		`"adam.format":"1"`)),
		"state.b.ema", "missing")
}

// regrouped returns o with its groups, of a tensor each, in the given order.
func regrouped(t *testing.T, o *Optimizer, names ...string) *Optimizer {
	var groups []Group
	for _, name := range names {
		i := slices.IndexFunc(o.Groups, func(g Group) bool { return g.Params[0].Name == name })
		groups = append(groups, o.Groups[i])
	}
	require.NoError(t, o.Regroup(groups...))
	return o
}

// Whatever is flipped or cut off, LoadWith takes nothing.
func TestLoadWithDamage(t *testing.T) {
	file := saved(t, newSmall(t))
	o := newTarget(t, Options{Workers: 1})
	before := everything(o)
	options := LoadOptions{Partial: true, KeepConfigs: true, Name: func(name string) string {
		return strings.TrimPrefix(name, "b") // left out, and so skipped, not read
	}}
	for i := range file {
		damaged := bytes.Clone(file)
		damaged[i] ^= 1 << (i % 8)
		for _, f := range [][]byte{damaged, file[:i]} {
			if _, err := o.LoadWith(bytes.NewReader(f), options); err == nil {
				t.Fatalf("byte %d: no error", i)
			}
		}
		require.Equal(t, before, everything(o), i)
	}
	loaded, err := o.LoadWith(bytes.NewReader(file), options)
	require.NoError(t, err)
	assert.Equal(t, Loaded{Restored: []string{"a"}, New: []string{"b"}, Left: []string{"b"},
		SkippedAverages: true, SkippedParams: true, KeptConfigs: loaded.KeptConfigs}, loaded)
	long := trained(t, Options{Workers: 1, SaveParams: true}, Default(), "a", "b")
	require.NoError(t, long.Regroup(Group{Config: Default(), Params: []Param{
		{Name: "a", Value: make([]float32, 3)}, {Name: "b",
			Value: normals(seeded(1, "b"), 200_000)}}}))
	loaded, err = o.LoadWith(bytes.NewReader(saved(t, long)),
		options) // more than a buffer is skipped
	require.NoError(t, err)
	assert.Equal(t, []string{"b"}, loaded.Left)
}

// The memory of Param.State and Param.EMA is written where it lies, whatever the file has.
func TestLoadIntoTheCallersMemory(t *testing.T) {
	amsgrad := Default()
	amsgrad.AMSGrad = true
	own, average := NewState(3, amsgrad), make([]float32, 3)
	param := Param{Name: "a", Value: make([]float32, 3), State: own, EMA: average}
	o, err := New(all, Group{Config: amsgrad, Params: []Param{param}})
	require.NoError(t, err)
	m, v, vmax := own.M, own.V, own.VMax
	for _, c := range []Config{amsgrad, Default()} {
		copy(vmax, []float32{7, 7, 7})
		source := trained(t, all, c, "a")
		require.NoError(t, o.Load(bytes.NewReader(saved(t, source))))
		assert.Same(t, own, o.State("a"))
		for _, x := range [][2][]float32{{m, own.M}, {v, own.V}, {vmax, own.VMax},
			{average, o.EMA("a")}} {
			assert.Equal(t, address(x[0]), address(x[1]))
		}
		want := source.State("a").VMax
		if !c.AMSGrad {
			want = make([]float32, 3)
		}
		assert.Equal(t, want, vmax)
		assert.Equal(t, source.State("a").M, m)
		assert.Equal(t, source.State("a").V, v)
		assert.Equal(t, source.EMA("a"), average)
	}
	file := saved(t, trained(t, all, amsgrad, "a"))
	own.VMax = nil
	require.NoError(t, o.Load(bytes.NewReader(file)))
	assert.Len(t, own.VMax, 3)
	own.M, own.T = m[:2], 5
	r := bytes.NewReader(file)
	require.ErrorIs(t, o.Load(r), ErrLength)
	assert.Equal(t, len(file), r.Len())
	assert.EqualValues(t, 5, own.T)
	own.M, own.V = m, append(v, 1)
	require.ErrorIs(t, o.Load(r), ErrLength)
}

// Errors say "adam:" once, whatever they wrap.
func TestCheckpointErrorsSayItOnce(t *testing.T) {
	file := saved(t, newSmall(t))
	o := newTarget(t, smallOptions)
	for _, bad := range [][]byte{
		file[:9], {}, edit(t, file, `[{\"config\":{\"lr\":0.001`, `[{\"config\":{\"lr\":-0.001`),
		edit(t, file, `"adam.grad_scale":"2"`, `"adam.grad_scale":"0"`),
	} {
		err := o.Load(bytes.NewReader(bad))
		require.ErrorIs(t, err, ErrCheckpoint)
		assert.Equal(t, 1, strings.Count(err.Error(), "adam:"), err)
	}
	o.State("a").T = math.MaxUint64
	err := o.Save(&bytes.Buffer{})
	require.ErrorIs(t, err, ErrCheckpoint)
	assert.Equal(t, 1, strings.Count(err.Error(), "adam:"), err)
	o.Groups[0].Config.LR = -1
	err = o.Load(bytes.NewReader(edit(t, file, `[{\"config\":{\"lr\":0.001`,
		`[{\"config\":{\"lr\":-0.001`)))
	assert.ErrorIs(t, err, ErrConfig)
}
