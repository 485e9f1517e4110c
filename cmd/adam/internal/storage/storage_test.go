package storage

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/fusedadam/adam"
	"github.com/fusedadam/adam/internal/checkpoint"
)

// of16 returns an optimizer of tensors of all sizes, stored in one way.
func of16(t *testing.T, s adam.Storage, params string, amsgrad bool) *adam.Optimizer {
	t.Helper()
	config := adam.DefaultW()
	config.AMSGrad = amsgrad
	g := adam.Group{Config: config, Storage: s}
	for _, tensor := range tensors {
		value := normals(tensor.n, tensor.name)
		p := adam.Param16{Name: tensor.name, Value: value}
		if params != Float32 {
			p.Value, p.BF16 = nil, make([]adam.BF16, tensor.n)
			for i, x := range value {
				p.BF16[i] = adam.ToBF16(x)
			}
		}
		g.Params16 = append(g.Params16, p)
	}
	return optimizer(t, g)
}

var tensors = []struct {
	name string
	n    int
}{{"large", 9*run + 100}, {"x", 65}, {"x.exp_avg", 1}, {"none", 0}, {"scale", 8192}}

func optimizer(t *testing.T, groups ...adam.Group) *adam.Optimizer {
	t.Helper()
	o, err := adam.New(adam.Options{SaveParams: true, Workers: 1, Seed: 5}, groups...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = o.Close() })
	return o
}

func normals(n int, seed string) []float32 {
	r := rand.New(rand.NewPCG(uint64(len(seed)), uint64(n)))
	s := make([]float32, n)
	for i := range s {
		s[i] = float32(math.Ldexp(r.NormFloat64(), -r.IntN(30)))
	}
	return s
}

func step(t *testing.T, o *adam.Optimizer) {
	t.Helper()
	for i := range o.Groups {
		for j := range o.Groups[i].Params16 {
			p := &o.Groups[i].Params16[j]
			p.Grad = normals(max(len(p.Value), len(p.BF16)), fmt.Sprint(o.T, p.Name))
		}
	}
	if _, err := o.Step(); err != nil {
		t.Fatal(err)
	}
}

func saved(t *testing.T, o *adam.Optimizer) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := o.Save(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func converted(t *testing.T, file []byte, options Options) ([]byte, Report) {
	t.Helper()
	var b bytes.Buffer
	report, err := Convert(&b, bytes.NewReader(file), options)
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), report
}

// load loads a file that has one storage into an optimizer of it.
func load(t *testing.T, o *adam.Optimizer, file []byte) *adam.Optimizer {
	t.Helper()
	if err := o.Load(bytes.NewReader(file)); err != nil {
		t.Fatal(err)
	}
	return o
}

func same[E comparable](t *testing.T, what string, want, got []E) {
	t.Helper()
	if !slices.Equal(want, got) {
		t.Fatalf("%s differs", what)
	}
}

func bits(s []float32) []uint32 {
	b := make([]uint32, len(s))
	for i, x := range s {
		b[i] = math.Float32bits(x)
	}
	return b
}

var storages = map[string]adam.Moments{Float32: adam.Float32Moments, BF16: adam.BF16Moments,
	Q8: adam.Q8Moments}

// Moments become what State16.SetFloat32 makes of what State16.Float32 returns, by the words of the
// tensor. Nothing else changes, and the other optimizer takes it and goes on.
func TestMoments(t *testing.T) {
	for from, a := range storages {
		for to, b := range storages {
			for _, params := range []string{Float32, Split, BF16} {
				master := adam.SplitMaster
				if params == BF16 {
					master = adam.NoMaster
				}
				source := of16(t, adam.Storage{Moments: a, Master: master}, params, false)
				for _, tensor := range tensors { // as if it had had another name
					if a != adam.Float32Moments || params == BF16 {
						source.State16(tensor.name).Key ^= 1 << 63
					}
				}
				step(t, source)
				step(t, source)
				file := saved(t, source)
				out, report := converted(t, file, Options{Moments: to, Seed: 5})
				if from == to {
					same(t, "the file", file, out)
					if len(report.Changed) != 0 {
						t.Fatalf("%+v", report)
					}
					continue
				}
				if report.Tensors != len(tensors) || len(report.Changed) != len(tensors) ||
					report.Left != nil {
					t.Fatalf("%+v", report)
				}
				o := load(t, of16(t, adam.Storage{Moments: b, Master: master}, params, false), out)
				for i, p := range source.Groups[0].Params16 {
					s, got := source.State16(p.Name), o.State16(p.Name)
					n := tensors[i].n
					m, v := make([]float32, n), make([]float32, n)
					if err := s.Float32(m, v); err != nil {
						t.Fatal(err)
					}
					want := adam.NewState16(p, adam.Storage{Moments: b, Master: master}, 5,
						adam.Config{})
					want.T, want.Key = 2, s.Key
					if err := want.SetFloat32(m, v); err != nil {
						t.Fatal(err)
					}
					same(t, p.Name+".M16", want.M16, got.M16)
					same(t, p.Name+".V16", want.V16, got.V16)
					same(t, p.Name+".M8", want.M8, got.M8)
					same(t, p.Name+".V8", want.V8, got.V8)
					same(t, p.Name+".MScale", want.MScale, got.MScale)
					same(t, p.Name+".VScale", want.VScale, got.VScale)
					same(t, p.Name+".M", bits(want.M), bits(got.M))
					same(t, p.Name+".V", bits(want.V), bits(got.V))
					same(t, p.Name+".Rest", s.Rest, got.Rest)
					same(t, p.Name+".Value", bits(p.Value), bits(o.Groups[0].Params16[i].Value))
					same(t, p.Name+".BF16", p.BF16, o.Groups[0].Params16[i].BF16)
					if rounds := b != adam.Float32Moments || params == BF16; got.T != 2 ||
						rounds && got.Key != s.Key {
						t.Fatalf("%s: T %d, Key %x, want 2, %x", p.Name, got.T, got.Key, s.Key)
					}
				}
				same(t, "what is saved again", out, saved(t, o))
				step(t, o)
			}
		}
	}
}

// What is read in several runs is what is read at once.
func TestReadAt(t *testing.T) {
	o := of16(t, adam.Storage{}, Float32, false)
	step(t, o)
	f, err := read(bytes.NewReader(saved(t, o)))
	if err != nil {
		t.Fatal(err)
	}
	for piece, size := range map[checkpoint.Piece]int{checkpoint.M: 1, checkpoint.V: 1,
		checkpoint.MScale: 1, checkpoint.VScale: 1, checkpoint.Value: 2, checkpoint.Rest: 2} {
		c := &changed{&change{f, f.tensors["large"], Q8, Split}, piece}
		n := size * piece.Len(tensors[0].n)
		whole, runs := make([]byte, n), make([]byte, n)
		if k, err := c.ReadAt(whole, 0); k != n || err != nil {
			t.Fatal(k, err)
		}
		for at := 0; at < n; at += 1024 {
			if _, err := c.ReadAt(runs[at:min(at+1024, n)], int64(at)); err != nil {
				t.Fatal(err)
			}
		}
		same(t, fmt.Sprint("piece ", piece), whole, runs)
	}
}

// Bytes that are in the wrong order on a machine are in the right one in the file.
func TestEndian(t *testing.T) {
	o := of16(t, adam.Storage{}, Float32, false)
	step(t, o)
	file := saved(t, o)
	for _, options := range []Options{{Moments: Q8}, {Moments: BF16, Params: Split}} {
		want, _ := converted(t, file, options)
		checkpoint.BigEndian = !checkpoint.BigEndian
		got, _ := converted(t, file, options)
		checkpoint.BigEndian = !checkpoint.BigEndian
		same(t, "the file", want, got)
	}
}

// Parameters go from float32 to halves and back without a loss, and to bfloat16 alone by the words
// of the tensor.
func TestParams(t *testing.T) {
	source := of16(t, adam.Storage{Moments: adam.BF16Moments}, Float32, false)
	step(t, source)
	file := saved(t, source)
	split, report := converted(t, file, Options{Params: Split})
	if len(report.Changed) != len(tensors) {
		t.Fatalf("%+v", report)
	}
	o := load(t, of16(t, adam.Storage{Moments: adam.BF16Moments}, Split, false), split)
	for i, p := range source.Groups[0].Params16 {
		hi, lo := make([]adam.BF16, len(p.Value)), make([]int16, len(p.Value))
		if err := adam.SplitFloat32(hi, lo, p.Value); err != nil {
			t.Fatal(err)
		}
		same(t, "BF16", hi, o.Groups[0].Params16[i].BF16)
		same(t, "Rest", lo, o.State16(p.Name).Rest)
	}
	same(t, "what is saved again", split, saved(t, o))
	back, _ := converted(t, split, Options{Params: Float32})
	same(t, "the file, there and back", file, back)

	for _, from := range [][]byte{file, split} {
		alone, _ := converted(t, from, Options{Params: BF16})
		o := load(t, of16(t, adam.Storage{Moments: adam.BF16Moments, Master: adam.NoMaster}, BF16,
			false), alone)
		for i, p := range source.Groups[0].Params16 {
			n := len(p.Value)
			want := &adam.State16{T: 1, Key: source.State16(p.Name).Key,
				M16: make([]adam.BF16, n), V16: make([]adam.BF16, n)}
			if err := want.SetFloat32(p.Value, make([]float32, n)); err != nil {
				t.Fatal(err)
			}
			same(t, "BF16", want.M16, o.Groups[0].Params16[i].BF16)
		}
		same(t, "what is saved again", alone, saved(t, o))
		// As a split master they begin without a rest, in float32 they are the same.
		again, _ := converted(t, alone, Options{Params: Split})
		halves := load(t, of16(t, adam.Storage{Moments: adam.BF16Moments}, Split, false), again)
		single, _ := converted(t, again, Options{Params: Float32})
		direct, _ := converted(t, alone, Options{Params: Float32})
		same(t, "in float32", single, direct)
		for _, p := range halves.Groups[0].Params16 {
			if slices.ContainsFunc(halves.State16(p.Name).Rest,
				func(x int16) bool { return x != 0 }) {
				t.Fatal("there is a rest")
			}
		}
	}
}

// The maximum of AMSGrad is rounded as the second moment is. Where 8 bits have none it is left out
// if nothing uses it.
func TestMaximum(t *testing.T) {
	source := of16(t, adam.Storage{}, Float32, true)
	step(t, source)
	file := saved(t, source)
	out, _ := converted(t, file, Options{Moments: BF16})
	o := load(t, of16(t, adam.Storage{Moments: adam.BF16Moments}, Float32, true), out)
	for _, tensor := range tensors {
		s := o.State16(tensor.name)
		same(t, "VMax16", s.V16, s.VMax16) // after one step they are the same
	}
	if s := o.State16("x"); s.VMax16[0] == 0 {
		t.Fatal("no maximum")
	}
	back, _ := converted(t, out, Options{Moments: Float32})
	single := load(t, of16(t, adam.Storage{}, Float32, true), back)
	for i, x := range o.State16("x").VMax16 { // it is exact
		if single.State16("x").VMax[i] != x.Float32() {
			t.Fatal("VMax differs")
		}
	}
	refuses(t, file, Options{Moments: Q8}, ErrStorage, "AMSGrad", "use bf16")
	source.Groups[0].Config.AMSGrad = false
	_, report := converted(t, saved(t, source), Options{Moments: Q8})
	if len(report.Left) != len(tensors) ||
		!slices.Contains(report.Left, "state.x.max_exp_avg_sq") {
		t.Fatalf("%+v", report)
	}
}

func refuses(t *testing.T, file []byte, options Options, kind error, words ...string) {
	t.Helper()
	var b bytes.Buffer
	_, err := Convert(&b, bytes.NewReader(file), options)
	if !errors.Is(err, kind) || b.Len() > 0 {
		t.Fatalf("%v, %d bytes written", err, b.Len())
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%v, want %q", err, w)
		}
	}
}
