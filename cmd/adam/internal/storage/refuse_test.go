package storage

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/fusedadam/adam"
	"github.com/fusedadam/adam/internal/checkpoint"
)

// Only the tensors that are named are changed, and never those of float64.
func TestSome(t *testing.T) {
	o := optimizer(t, adam.Group{Config: adam.DefaultW(),
		Params: []adam.Param{{Name: "a", Value: []float32{1}},
			{Name: "b", Value: []float32{2, 3}}},
		Params64: []adam.Param64{{Name: "c", Value: []float64{4}}}})
	file := saved(t, o)
	names := func(options Options) []string {
		_, report := converted(t, file, options)
		if report.Tensors != 3 {
			t.Errorf("%+v", report)
		}
		return report.Changed
	}
	same(t, "all", []string{"a", "b"}, names(Options{Moments: BF16}))
	same(t, "one", []string{"b"}, names(Options{Moments: BF16, Names: []string{"b"}}))
	refuses(t, file, Options{Moments: BF16, Names: []string{"d"}}, ErrStorage, `no tensor "d"`)
	refuses(t, file, Options{Moments: BF16, Names: []string{"c"}}, ErrStorage, `"c" is of float64`)
	out, _ := converted(t, file, Options{Moments: BF16, Names: []string{"b"}})
	mixed := optimizer(t, adam.Group{Config: adam.Default(),
		Params: []adam.Param{{Name: "a", Value: []float32{0}}},
	}, adam.Group{Config: adam.Default(), Storage: adam.Storage{Moments: adam.BF16Moments},
		Params16: []adam.Param16{{Name: "b", Value: []float32{0, 0}}},
	}, adam.Group{Config: adam.Default(),
		Params64: []adam.Param64{{Name: "c", Value: []float64{0}}}})
	load(t, mixed, out)
	if v := mixed.Groups[1].Params16[0].Value; v[1] != 3 {
		t.Errorf("%v", v)
	}

	// Without parameters in the file there is nothing to make others of.
	o.Options.SaveParams = false
	refuses(t, saved(t, o), Options{Params: Split}, ErrStorage, `"a"`, "SaveParams")
	converted(t, saved(t, o), Options{Moments: Q8})

	// A key that only the parameters need stays where they are not in the file.
	alone := of16(t, adam.Storage{Master: adam.NoMaster}, BF16, false)
	alone.Options.SaveParams = false
	file = saved(t, alone)
	out, _ = converted(t, file, Options{Moments: Float32})
	same(t, "the file", file, out)
}

// NaN become what all other NaN are, and infinite moments stay so in bfloat16.
func TestNaN(t *testing.T) {
	var values []float32
	for _, b := range []uint32{0x7f800001, 0x7fffffff, 0xffffffff, 0xff800001, 0x7f800000,
		0x3f800000} {
		values = append(values, math.Float32frombits(b))
	}
	o := optimizer(t, adam.Group{Config: adam.Default(),
		Params: []adam.Param{{Name: "a", Value: make([]float32, len(values))}}})
	copy(o.State("a").M, values)
	copy(o.State("a").V, values)
	into := func(m adam.Moments) *adam.State16 {
		for name, x := range storages {
			if x == m {
				out, _ := converted(t, saved(t, o), Options{Moments: name})
				return load(t, optimizer(t, adam.Group{Config: adam.Default(),
					Storage:  adam.Storage{Moments: m},
					Params16: []adam.Param16{{Name: "a", Value: make([]float32, len(values))}},
				}), out).State16("a")
			}
		}
		return nil
	}
	want := []adam.BF16{0x7fc0, 0x7fc0, 0xffc0, 0xffc0, 0x7f80, 0x3f80}
	s := into(adam.BF16Moments)
	same(t, "M16", want, s.M16)
	same(t, "V16", want, s.V16)
	if s := into(adam.Q8Moments); s.MScale[0] != 255 || s.VScale[0] != 255 || s.M8[5] != 1 {
		t.Errorf("%+v", s)
	}
}

// A file that is damaged, or in which what does not go together is there, is refused before
// anything is written.
func TestHostile(t *testing.T) {
	o := of16(t, adam.Storage{Moments: adam.Q8Moments}, Split, false)
	file := saved(t, o)
	for _, n := range []int{0, 7, 8, 100, len(file) / 2, len(file) - 1} {
		refuses(t, file[:n], Options{Moments: BF16}, adam.ErrCheckpoint)
		bad := bytes.Clone(file)
		bad[n] ^= 1
		refuses(t, bad, Options{Moments: BF16}, adam.ErrCheckpoint)
	}
	const n = 65
	step := checkpoint.CountOf("state.a.step", 1)
	key := checkpoint.CountOf("state.a.rounding_key", 1)
	float, half := make([]float32, n), make([]adam.BF16, n)
	codes, scales, rest := make([]int8, n), make([]uint8, 2), make([]int16, n)
	m, v := checkpoint.FloatsOf("state.a.exp_avg", codes), checkpoint.FloatsOf("state.a.exp_avg_sq",
		codes)
	ms, vs := checkpoint.FloatsOf("state.a.exp_avg.scale", scales),
		checkpoint.FloatsOf("state.a.exp_avg_sq.scale", scales)
	of := func(what string, data checkpoint.Data) checkpoint.Data {
		data.Name = what
		return data
	}
	few, many := of(ms.Name, checkpoint.FloatsOf("", scales[:1])),
		of(ms.Name, checkpoint.FloatsOf("", make([]uint8, 3)))
	bad := of(vs.Name, checkpoint.FloatsOf("", []uint8{0, 31}))
	code := of(m.Name, checkpoint.FloatsOf("", append(make([]int8, n-1), 1)))
	negative := checkpoint.CountOf(step.Name, 1<<63)
	for i, c := range []struct {
		data  []checkpoint.Data
		words string
	}{
		{[]checkpoint.Data{step, key, m, v, ms, vs}, ""},
		{[]checkpoint.Data{key, m, v, ms, vs}, `"state.a.step" is missing`},
		{[]checkpoint.Data{step, m, v, ms}, `"state.a.exp_avg_sq.scale" is missing`},
		{[]checkpoint.Data{step, m, v, few, vs}, "[1], want U8 and [2]"},
		{[]checkpoint.Data{step, m, v, many, vs}, "[3], want U8 and [2]"},
		{[]checkpoint.Data{step, m, v, ms, bad}, "block 1 has scale 31"},
		{[]checkpoint.Data{step, code, v, ms, vs}, "scale 0 and code 1"},
		{[]checkpoint.Data{negative, m, v, ms, vs}, "at least 0"},
		{[]checkpoint.Data{step, m, of(v.Name, checkpoint.FloatsOf("", half)), ms, vs},
			"dtype BF16 and shape [65], want I8"},
		{[]checkpoint.Data{step, of(m.Name, checkpoint.FloatsOf("", half)),
			of(v.Name, checkpoint.FloatsOf("", half)), ms}, "does not go with"},
		{[]checkpoint.Data{step, m, v, ms, vs,
			of("state.a.max_exp_avg_sq", checkpoint.FloatsOf("", codes))}, "does not go with"},
		{[]checkpoint.Data{step, m, v, ms, vs, checkpoint.FloatsOf("state.a.param_rest", rest),
			checkpoint.FloatsOf("param.a", float)}, "want BF16"},
		{[]checkpoint.Data{step, m, v, ms, vs, checkpoint.FloatsOf("param.a", rest)}, "I16"},
		{[]checkpoint.Data{step, of(m.Name, checkpoint.FloatsOf("", rest)), v}, "dtype I16"},
		{[]checkpoint.Data{step, m, v, ms, vs, of("state.b.exp_avg", m)}, "is not known"},
		{[]checkpoint.Data{step, m, v, ms, vs, of("moment", m)}, "is not known"},
		{[]checkpoint.Data{step, m, v, ms, vs, of("state.a.rounding_key", m)}, "want I64"},
	} {
		info := checkpoint.Info{GradScale: 1, Groups: []checkpoint.Group{{Params: []string{"a"}}}}
		data := slices.Clone(c.data)
		checkpoint.Sort(data)
		head, err := checkpoint.Encode(&info, data)
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if err := checkpoint.Write(&b, head, data); err != nil {
			t.Fatal(err)
		}
		if c.words == "" {
			converted(t, b.Bytes(), Options{Moments: BF16})
			continue
		}
		t.Run(fmt.Sprint(i, strings.Fields(c.words)[0]), func(t *testing.T) {
			refuses(t, b.Bytes(), Options{Moments: BF16}, adam.ErrCheckpoint, c.words)
		})
	}
}

// The error of a writer is its own.
func TestWriter(t *testing.T) {
	o := of16(t, adam.Storage{Moments: adam.Q8Moments}, Split, false)
	_, err := Convert(broken{}, bytes.NewReader(saved(t, o)), Options{Moments: BF16})
	if err == nil || !strings.Contains(err.Error(), "writing a checkpoint: no room") {
		t.Errorf("%v", err)
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, fmt.Errorf("no room") }
