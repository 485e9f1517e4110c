package storage_test

import (
	"math"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/fusedadam/adam"
	"github.com/fusedadam/adam/examples/internal/storage"
)

// groups returns two tensors and their groups.
func groups() []adam.Group {
	rng := rand.New(rand.NewPCG(1, 0))
	param := func(name string, n int) adam.Param {
		p := adam.Param{Name: name, Value: make([]float32, n), Grad: make([]float32, n)}
		for i := range p.Value {
			p.Value[i], p.Grad[i] = float32(rng.NormFloat64()), float32(rng.NormFloat64())
		}
		return p
	}
	return []adam.Group{{Config: adam.DefaultW(), Params: []adam.Param{param("a", 300)}},
		{Config: adam.Default(), Params: []adam.Param{param("b", 70)}}}
}

// The layers have what the optimizer's parameters decode to, and the optimizer the gradients of the
// layers: exactly where both are float32, rounded to bfloat16 elsewhere. A split master begins at
// the float32 values. Steps move the layers' parameters.
func TestTensors(t *testing.T) {
	bytes := map[string]float64{"float32": 8, "bf16-moments": 4, "split": 6, "bf16": 4,
		"q8": 2 + 2*float64(5+2)/370, "split-q8": 4 + 2*float64(5+2)/370}
	for _, k := range storage.Kinds {
		before, layers := groups(), groups()
		list, tensors := k.Groups(layers, 1)
		if got := tensors.Bytes(); math.Abs(got-bytes[k.Name]) > 1e-9 {
			t.Errorf("%s: %v bytes, want %v", k.Name, got, bytes[k.Name])
		}
		o, err := adam.New(adam.Options{}, list...)
		if err != nil {
			t.Fatalf("%s: %v", k.Name, err)
		}
		tensors.Grads()
		for i, g := range list {
			p, of, was := g.Params16[0], layers[i].Params[0], before[i].Params[0]
			whole := make([]float32, len(of.Value))
			if p.State.Rest != nil {
				if err := adam.JoinFloat32(whole, p.BF16, p.State.Rest); err != nil {
					t.Fatal(err)
				}
			}
			for j, v := range was.Value {
				switch {
				case !k.Halve:
					if p.Value[j] != v || p.Grad[j] != was.Grad[j] {
						t.Fatalf("%s: %v and %v, want %v and %v", k.Name, p.Value[j], p.Grad[j], v,
							was.Grad[j])
					}
				case p.State.Rest != nil && whole[j] != v || math.Abs(float64(p.BF16[j].Float32()-
					v)) > math.Abs(float64(v))/256 || of.Value[j] != p.BF16[j].Float32() ||
					p.GradBF16[j] != adam.ToBF16(was.Grad[j]):
					t.Fatalf("%s: element %d: %v of %v, in the layer %v, gradient %v of %v", k.Name,
						j, p.BF16[j].Float32(), v, of.Value[j], p.GradBF16[j].Float32(),
						was.Grad[j])
				}
			}
		}
		for range 20 {
			if _, err := o.Step(); err != nil {
				t.Fatal(err)
			}
			tensors.Values()
		}
		for i, g := range layers {
			moved := 0
			for j, v := range g.Params[0].Value {
				if (v < before[i].Params[0].Value[j]) == (before[i].Params[0].Grad[j] > 0) {
					moved++
				}
			}
			if n := len(g.Params[0].Value); moved < n*9/10 {
				t.Errorf("%s: %d of %d parameters moved against their gradients", k.Name, moved, n)
			}
		}
	}
}

func TestNames(t *testing.T) {
	var k storage.Kind
	for _, want := range storage.Kinds {
		if err := k.UnmarshalText([]byte(want.Name)); err != nil || k != want {
			t.Errorf("%s: %v, %v", want.Name, k, err)
		}
		if k.Float32() != (want.Name == "float32") {
			t.Errorf("%s: Float32 is %v", want.Name, k.Float32())
		}
	}
	if k.UnmarshalText([]byte("fp4")) == nil {
		t.Error("there is no fp4")
	}
}

func TestRecords(t *testing.T) {
	path := filepath.Join(t.TempDir(), "runs")
	runs := []storage.Run{{Example: "a", Training: storage.Means([]float64{1, 3, 5, 7, 9}, 2)},
		{Example: "b", Seed: 2, Training: storage.Means([]float64{1}, 2)}}
	if want := [][]float64{{2, 7}, {1}}; !reflect.DeepEqual(
		[][]float64{runs[0].Training, runs[1].Training}, want) {
		t.Errorf("%v, %v, want %v", runs[0].Training, runs[1].Training, want)
	}
	for _, r := range runs {
		if err := storage.Append(path, r); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := storage.Read[storage.Run](path); err != nil || !reflect.DeepEqual(got, runs) {
		t.Errorf("%v, %v", got, err)
	}
}

// Time takes the least of all steps of each storage, which take turns, and closes all.
func TestTime(t *testing.T) {
	path := filepath.Join(t.TempDir(), "time")
	var turns []string
	closed := 0
	if err := storage.Time("a", path, func(k storage.Kind) (storage.Clock, error) {
		steps := 0
		return storage.Clock{
			Step: func() (time.Duration, error) {
				turns = append(turns, k.Name)
				steps++
				return time.Duration(1000*(5+steps%7+len(k.Name))) * time.Nanosecond, nil
			},
			Close: func() error { closed++; return nil },
		}, nil
	}); err != nil {
		t.Fatal(err)
	}
	list, err := storage.Read[storage.Timing](path)
	if err != nil || len(list) != 1 || closed != len(storage.Kinds) {
		t.Fatalf("%v, %v, %d closed", list, err, closed)
	}
	r := list[0]
	for i, k := range storage.Kinds {
		if want := float64(5 + len(k.Name)); r.Micros[k.Name] != want || turns[i] != k.Name ||
			turns[i+len(storage.Kinds)] != k.Name {
			t.Errorf("%s: %v µs, want %v; turns %v", k.Name, r.Micros[k.Name], want,
				turns[:2*len(storage.Kinds)])
		}
	}
	if r.Steps*len(storage.Kinds) != len(turns) || r.Kernel != adam.Kernel() {
		t.Errorf("%+v after %d steps in all", r, len(turns))
	}
}
