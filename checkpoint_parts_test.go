package adam

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"

	"github.com/fusedadam/adam/internal/checkpoint"
	"github.com/fusedadam/adam/internal/operands"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A cutModel is a model that is made several times: as one optimizer of whole tensors, and as
// several that share the tensors in parts.
type cutModel struct {
	options Options
	configs []Config // of the groups
	tensors []cutTensor
}

type cutTensor struct {
	name         string
	n, group     int
	list         list // of an optimizer that has all of it: params, params64 or tables
	cut          bool // it is in parts where there are several optimizers
	state, eager bool // State and EMA are given
}

// memoryOf is what a process has of a tensor: floats of one type.
type memoryOf struct {
	value, m, v, vmax, ema []float32
	value64, ema64         []float64
	m64, v64, vmax64       []float64
}

// randomCut returns a model of a few tensors, many of them longer than a tile.
func randomCut(r *rand.Rand) *cutModel {
	m := &cutModel{options: Options{Workers: 1, SaveParams: r.IntN(3) > 0}}
	if r.IntN(2) == 0 {
		m.options.EMADecay = 0.75
	}
	if r.IntN(2) == 0 {
		m.options.MaxValue = 0.5
	}
	for range 1 + r.IntN(3) {
		c := DefaultW()
		c.LR, c.AMSGrad, c.EpsUncorrected = r.Float64(), r.IntN(2) == 0, r.IntN(4) == 0
		m.configs = append(m.configs, c)
	}
	lengths := []int{0, 1, 5, Tile - 1, Tile, Tile + 1, 2 * Tile, 3*Tile + 7, 5*Tile - 3}
	for i := range r.IntN(9) {
		t := cutTensor{name: fmt.Sprint("é.", r.IntN(5), ".", i), n: lengths[r.IntN(len(lengths))],
			group: r.IntN(len(m.configs)), list: list(r.IntN(3)), state: r.IntN(4) == 0,
			eager: r.IntN(5) == 0}
		t.cut = t.list != tables && r.IntN(6) > 0
		m.tensors = append(m.tensors, t)
	}
	// As the optimizers of parts have them: whole ones before those that are cut.
	slices.SortStableFunc(m.tensors, func(a, b cutTensor) int {
		return int(b2f(a.cut) - b2f(b.cut))
	})
	return m
}

func b2f(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// whole returns the model as one optimizer.
func (m *cutModel) whole(t testing.TB) *Optimizer { return m.ranks(t, 0, nil)[0] }

// ranks returns the model as so many optimizers that share it, as rank deals it out; with 0 as one
// of whole tensors.
func (m *cutModel) ranks(t testing.TB, ranks int, r *rand.Rand) []*Optimizer {
	t.Helper()
	groups := make([][]Group, max(ranks, 1))
	for i := range groups {
		for _, c := range m.configs {
			groups[i] = append(groups[i], Group{Config: c})
		}
	}
	for _, s := range m.tensors {
		if s.list == params64 {
			deal(s, groups, ranks, r, func(g *Group, p Param64, at int, cut bool) {
				if cut {
					g.Parts64 = append(g.Parts64, Part64{p, at, s.n})
				} else {
					g.Params64 = append(g.Params64, p)
				}
			}, func(name string, value, ema []float64, m [][]float64) Param64 {
				p := Param64{Name: name, Value: value, EMA: ema}
				if m != nil {
					p.State = &State64{M: m[0], V: m[1], VMax: m[2]}
				}
				return p
			})
			continue
		}
		deal(s, groups, ranks, r, func(g *Group, p Param, at int, cut bool) {
			switch {
			case cut:
				g.Parts = append(g.Parts, Part{p, at, s.n})
			case s.list == tables:
				g.Tables = append(g.Tables, Table{Name: p.Name, Width: 1, Value: p.Value,
					State: p.State, EMA: p.EMA})
			default:
				g.Params = append(g.Params, p)
			}
		}, func(name string, value, ema []float32, m [][]float32) Param {
			p := Param{Name: name, Value: value, EMA: ema}
			if m != nil {
				p.State = &State{M: m[0], V: m[1], VMax: m[2]}
			}
			return p
		})
	}
	var all []*Optimizer
	for _, g := range groups {
		o, err := New(m.options, g...)
		require.NoError(t, err)
		t.Cleanup(func() { _ = o.Close() })
		all = append(all, o)
	}
	return all
}

// deal gives each rank what it has of a tensor: all of it, runs of tiles, or an empty part.
func deal[F float, P any](s cutTensor, groups [][]Group, ranks int, r *rand.Rand,
	add func(g *Group, p P, at int, cut bool),
	param func(name string, value, ema []F, moments [][]F) P) {
	give := func(rank, from, to int, cut bool) {
		seed := seeded(0, s.name)
		value := make([]F, s.n)
		for i := range value {
			value[i] = F(operands.Normal(seed))
		}
		value = slices.Clip(slices.Clone(value[from:to]))
		var ema []F
		if s.eager {
			ema = make([]F, to-from)
			for i := range ema {
				ema[i] = F(from + i)
			}
		}
		var m [][]F
		if s.state {
			m = [][]F{make([]F, to-from), make([]F, to-from), make([]F, to-from)}
		}
		add(&groups[rank][s.group], param(s.name, value, ema, m), from, cut)
	}
	if ranks == 0 || !s.cut {
		for i := range groups {
			give(i, 0, s.n, false)
		}
		return
	}
	has := make([]bool, ranks)
	for from := 0; from < s.n; {
		to := min(from+Tile*(1+r.IntN(3)), s.n)
		rank := r.IntN(ranks)
		give(rank, from, to, true)
		has[rank] = true
		from = to
	}
	for i := range has {
		if !has[i] {
			give(i, 0, 0, true)
		}
	}
}

// stepCut makes the steps from, …, to-1, of which the gradients depend on step, name and position.
func stepCut(t testing.TB, from, to int, all ...*Optimizer) {
	t.Helper()
	for _, o := range all {
		for step := from; step < to; step++ {
			for i := range o.Groups {
				g := &o.Groups[i]
				for j := range g.Params {
					p := &g.Params[j]
					p.Grad = cutGrad[float32](step, p.Name, 0, len(p.Value), len(p.Value))
				}
				for j := range g.Params64 {
					p := &g.Params64[j]
					p.Grad = cutGrad[float64](step, p.Name, 0, len(p.Value), len(p.Value))
				}
				for j := range g.Tables {
					p := &g.Tables[j]
					p.Rows = nil
					if len(p.Value) > 2 {
						p.Rows = []int32{int32(step % 3), int32(len(p.Value) - 1)}[:1+step%2]
					}
					p.Grad = cutGrad[float32](step, p.Name, 0, len(p.Rows), len(p.Rows))
				}
				for j := range g.Parts {
					p := &g.Parts[j]
					p.Grad = cutGrad[float32](step, p.Name, p.At, p.At+len(p.Value), p.Of)
				}
				for j := range g.Parts64 {
					p := &g.Parts64[j]
					p.Grad = cutGrad[float64](step, p.Name, p.At, p.At+len(p.Value), p.Of)
				}
			}
			_, err := o.Step()
			require.NoError(t, err)
		}
	}
}

// cutGrad returns the elements [from, to) of a gradient of n, or nil in one of four steps.
func cutGrad[F float](step int, name string, from, to, n int) []F {
	r := seeded(step, name)
	if r.IntN(4) == 0 {
		return nil
	}
	g := make([]F, n)
	for i := range g {
		g[i] = F(operands.Normal(r))
	}
	return g[from:to]
}

// A memoryFile is a file in memory.
type memoryFile struct {
	b    []byte
	ends []int64 // of what has been written, in the order of writing
}

func (f *memoryFile) WriteAt(b []byte, at int64) (int, error) {
	if more := at + int64(len(b)) - int64(len(f.b)); more > 0 {
		f.b = append(f.b, make([]byte, more)...)
	}
	f.ends = append(f.ends, at+int64(len(b)))
	return copy(f.b[at:], b), nil
}

// savedParts returns the file that optimizers write together.
func savedParts(t testing.TB, all []*Optimizer) []byte {
	t.Helper()
	var f memoryFile
	var head []byte
	var pieces []Piece
	for i, o := range all {
		f.ends = nil
		h, p, err := o.SaveParts(&f)
		require.NoError(t, err)
		require.True(t, slices.IsSorted(f.ends), "%v", f.ends)
		if i > 0 {
			require.Equal(t, head, h)
		}
		head, pieces = h, append(pieces, p...)
	}
	rand.Shuffle(len(pieces), func(i, j int) { pieces[i], pieces[j] = pieces[j], pieces[i] })
	before := bytes.Clone(head)
	require.NoError(t, FinishParts(&f, head, pieces))
	require.Equal(t, before, head)
	return f.b
}

// However a model is cut, its file is that of the whole, and optimizers that are cut otherwise go
// on from it to the same bits.
func TestPartsCheckpoint(t *testing.T) {
	const models = 40
	for i := range uint64(models) {
		r := rand.New(rand.NewPCG(i, 12))
		m := randomCut(r)
		whole, parts := m.whole(t), m.ranks(t, 1+int(i)%5, r)
		all := append(parts, whole)
		settle := func(f func(o *Optimizer)) {
			for _, o := range all {
				f(o)
			}
		}
		if i%3 == 0 {
			settle(func(o *Optimizer) { o.Metadata = map[string]string{"epoch": "7", "é": "\n"} })
		}
		settle(func(o *Optimizer) { o.GradScale = 1 + float64(i%2) })
		stepCut(t, 0, int(i)%4, all...)
		if i%4 == 1 { // maxima that are kept
			settle(func(o *Optimizer) { o.Groups[0].Config.AMSGrad = false })
			stepCut(t, 4, 5, all...)
		}
		file := saved(t, whole)
		sameFile(t, file, savedParts(t, parts), "model %d: %+v", i, m)

		checkpoint.BigEndian = !checkpoint.BigEndian
		turned := savedParts(t, parts)
		sameFile(t, saved(t, whole), turned, "model %d", i)
		checkpoint.BigEndian = !checkpoint.BigEndian

		for _, ranks := range []int{0, 1 + r.IntN(5)} {
			resumed := m.ranks(t, ranks, r)
			stepCut(t, 7, 8, resumed...)
			for _, o := range resumed {
				o.Groups[0].Config = Default()
				if o.Groups[0].size() == 0 { // it keeps its own
					o.Groups[0].Config = whole.Groups[0].Config
				}
				require.NoError(t, o.LoadParts(bytes.NewReader(file)))
			}
			sameFile(t, file, savedOf(t, ranks, resumed), "model %d: %+v", i, m)
			on := m.whole(t) // trained like resumed, as the file may have no parameters
			stepCut(t, 7, 8, on)
			require.NoError(t, on.Load(bytes.NewReader(file)))
			on.Groups[0].Config = whole.Groups[0].Config
			stepCut(t, 10, 12, append(resumed, on)...)
			for _, o := range append(resumed, on) {
				o.Options.SaveParams = true
			}
			sameFile(t, saved(t, on), savedOf(t, ranks, resumed), "model %d: %+v", i, m)
		}
	}
}

// sameFile is require.Equal, without a dump of the files.
func sameFile(t testing.TB, want, got []byte, format string, args ...any) {
	t.Helper()
	if !bytes.Equal(want, got) {
		at := 0
		for at < min(len(want), len(got)) && want[at] == got[at] {
			at++
		}
		t.Fatalf("files of %d and %d bytes differ from %d on: %s", len(want), len(got), at,
			fmt.Sprintf(format, args...))
	}
}

// savedOf is savedParts, or with 0 ranks saved.
func savedOf(t testing.TB, ranks int, all []*Optimizer) []byte {
	if ranks == 0 {
		return saved(t, all[0])
	}
	return savedParts(t, all)
}

// Where ranks do not share a file system, one of them writes what the others send.
func TestPartsStream(t *testing.T) {
	m := randomCut(rand.New(rand.NewPCG(3, 12)))
	ranks := m.ranks(t, 3, rand.New(rand.NewPCG(1, 1)))
	whole := m.whole(t)
	stepCut(t, 0, 2, append(ranks, whole)...)
	var f memoryFile
	var head []byte
	var pieces []Piece
	for i, o := range ranks {
		sent := make(chan message)
		failed := make(chan error)
		var own []Piece
		go func() { // another process
			var err error
			head, own, err = o.SaveParts(sender{sent})
			close(sent)
			failed <- err
		}()
		for m := range sent {
			_, err := f.WriteAt(m.bytes, m.at)
			require.NoError(t, err, "rank %d", i)
		}
		require.NoError(t, <-failed)
		pieces = append(pieces, own...)
	}
	require.NoError(t, FinishParts(&f, head, pieces))
	sameFile(t, saved(t, whole), f.b, "streamed")
}

type message struct {
	at    int64
	bytes []byte
}

type sender struct{ to chan<- message }

func (s sender) WriteAt(b []byte, at int64) (int, error) {
	s.to <- message{at, bytes.Clone(b)}
	return len(b), nil
}

// failingAt is failing as an io.WriterAt.
type failingAt struct{ failing }

func (f *failingAt) WriteAt(b []byte, _ int64) (int, error) { return f.Write(b) }

// Errors of the writer come out, and so does what it leaves unwritten.
func TestPartsWriters(t *testing.T) {
	m := &cutModel{options: smallOptions, configs: []Config{DefaultW()},
		tensors: []cutTensor{{name: "a", n: 3, cut: true}, {name: "b", n: Tile * 12, cut: true}}}
	o := m.ranks(t, 1, rand.New(rand.NewPCG(1, 2)))[0]
	var f memoryFile
	head, pieces, err := o.SaveParts(&f)
	require.NoError(t, err)
	size := len(f.b) - len(head)
	full := errors.New("disk full")
	for _, i := range []int{0, 1, 11, checkpoint.BufferSize, size / 2, size - 1} {
		for _, c := range [][2]error{{full, full}, {nil, io.ErrShortWrite}} {
			h, p, err := o.SaveParts(&failingAt{failing{i, c[0]}})
			require.ErrorIs(t, err, c[1], "after %d bytes", i)
			require.NotErrorIs(t, err, ErrCheckpoint)
			require.Nil(t, h)
			require.Nil(t, p)
			err = FinishParts(&failingAt{failing{min(i, len(head)-1), c[0]}}, head, pieces)
			require.ErrorIs(t, err, c[1])
			require.NotErrorIs(t, err, ErrCheckpoint)
		}
	}
	require.NoError(t, FinishParts(&failingAt{failing{len(head), full}}, head, pieces))
}

// The state is not copied for saving, and loading takes room for what is kept alone.
func TestPartsMemory(t *testing.T) {
	const n, small = 64 * Tile, 500 << 10 // what buffers and headers take
	own, err := New(Options{Workers: 1}, Group{Config: Default(), Parts: []Part{
		{Param{Name: "a", Value: make([]float32, n/8)}, n / 2, n}}})
	require.NoError(t, err)
	assert.Less(t, allocated(func() {
		_, _, err = own.SaveParts(sender2{})
	}), float64(small))
	require.NoError(t, err)
	whole, err := New(Options{}, Group{Config: Default(),
		Params: []Param{{Name: "a", Value: make([]float32, n)}}})
	require.NoError(t, err)
	file := saved(t, whole)
	assert.Less(t, allocated(func() { err = own.LoadParts(bytes.NewReader(file)) }),
		float64(2*4*n/8+small))
	require.NoError(t, err)
}

type sender2 struct{}

func (sender2) WriteAt(b []byte, _ int64) (int, error) { return len(b), nil }

// Parts are loaded by all the ways, and what was done is told by tensor.
func TestPartsLoadWith(t *testing.T) {
	m := &cutModel{options: Options{SaveParams: true, EMADecay: 0.5}, configs: []Config{DefaultW()},
		tensors: []cutTensor{{name: "a", n: 12 * Tile, cut: true}, {name: "b", n: 7, cut: true}}}
	whole := m.whole(t)
	stepCut(t, 0, 3, whole)
	path := filepath.Join(t.TempDir(), "checkpoint")
	require.NoError(t, whole.SaveFile(path))
	file := saved(t, whole)

	ranks := m.ranks(t, 2, rand.New(rand.NewPCG(1, 1)))
	require.NotEmpty(t, slices.DeleteFunc(slices.Clone(ranks), func(o *Optimizer) bool {
		return len(o.tensors) < 3
	}), "one has several parts of a tensor")
	for _, o := range ranks {
		require.NoError(t, o.LoadFile(path))
	}
	sameFile(t, file, savedParts(t, ranks), "LoadFile")

	// The tensor c takes the place of a; b stays as it is.
	m.tensors[0].name = "c"
	m.options.EMADecay = 0
	m.configs[0].AMSGrad = true
	for _, o := range m.ranks(t, 2, rand.New(rand.NewPCG(1, 1))) {
		o.Groups[0].Config.LR = 42
		before := map[string]string{}
		for _, x := range o.tensors {
			before[x.title()] = string(x.memory(checkpoint.M))
		}
		loaded, err := o.LoadWith(bytes.NewReader(file), LoadOptions{Partial: true,
			KeepConfigs: true, Name: func(name string) string {
				return map[string]string{"a": "c"}[name]
			}})
		require.NoError(t, err)
		require.Equal(t, Loaded{Restored: []string{"c"}, New: []string{"b"}, Left: []string{"b"},
			NewMaxima: []string{"c"}, SkippedAverages: true, KeptConfigs: []int{0}}, loaded)
		for _, x := range o.tensors {
			want := before[x.title()]
			if x.name == "c" {
				want = string(whole.tensor("a").memory(checkpoint.M)[4*x.from:][:4*x.n])
				require.EqualValues(t, *whole.tensor("a").count(), *x.count())
			}
			require.Equal(t, want, string(x.memory(checkpoint.M)), x.title())
		}
	}
}
