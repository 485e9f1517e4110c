package storage

import (
	"math"
	"testing"

	"github.com/fusedadam/adam"
)

// In every form the optimizer leads the parameters of a network of float32 to where those of
// float32 get, and gives the network what it stores.
func TestForms(t *testing.T) {
	const n, steps = 300, 400
	for _, f := range Forms {
		t.Run(f.Name, func(t *testing.T) {
			if again, err := Named(f.Name); err != nil || again != f {
				t.Fatalf("Named: %v, %v", again, err)
			}
			value, grad := make([]float32, n), make([]float32, n)
			for i := range value {
				value[i] = 1 + float32(i)/n
			}
			c := adam.Default()
			c.LR = 0.01
			o, err := New(f, adam.Options{}, []adam.Group{{Config: c,
				Params: []adam.Param{{Name: "w", Value: value, Grad: grad}}}})
			if err != nil {
				t.Fatal(err)
			}
			defer o.Close()
			for range steps {
				for i, x := range value {
					grad[i] = x - 0.5
				}
				if _, err := o.Step(); err != nil {
					t.Fatal(err)
				}
			}
			if o.T != steps {
				t.Errorf("T is %d", o.T)
			}
			for i, x := range value {
				if math.Abs(float64(x)-0.5) > 0.05 {
					t.Fatalf("element %d is %v, want about 0.5", i, x)
				}
				if f.Half && adam.ToBF16(x).Float32() != x {
					t.Fatalf("element %d is %v, which is no bfloat16", i, x)
				}
			}
		})
	}
	if _, err := Named("float8"); err == nil {
		t.Error("float8 has a form")
	}
}

// The bytes are those of the slices in a state.
func TestBytes(t *testing.T) {
	const n = 6400
	for _, f := range Forms {
		p := adam.Param16{BF16: make([]adam.BF16, n)}
		if !f.Half {
			p = adam.Param16{Value: make([]float32, n)}
		}
		s := adam.NewState16(p, f.Storage, 0, adam.Default())
		bytes := 4*len(s.M) + 4*len(s.V) + 2*len(s.M16) + 2*len(s.V16) + len(s.M8) + len(s.V8) +
			len(s.MScale) + len(s.VScale) + 2*len(s.Rest)
		if got := f.BytesPerParameter(); got != float64(bytes)/n {
			t.Errorf("%s: %v bytes, want %v", f.Name, got, float64(bytes)/n)
		}
	}
}
