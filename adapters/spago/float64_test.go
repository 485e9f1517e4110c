package adamspago_test

import (
	"bytes"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"unsafe"

	"github.com/nlpodyssey/spago/mat"
	"github.com/nlpodyssey/spago/nn"

	"github.com/fusedadam/adam"
	adamspago "github.com/fusedadam/adam/adapters/spago"
)

// A State that is a nil pointer is none: the parameter begins.
func TestNilState(t *testing.T) {
	single := withGrad[float32](mat.NewDense[float32](mat.WithShape(3)), 3)
	double := withGrad[float64](mat.NewDense[float64](mat.WithShape(3)), 3)
	single.State, double.State = (*adam.State)(nil), (*adam.State64)(nil)
	params := []*nn.Param{single, double}
	strategy := &adamspago.Adam{Config: adam.Default()}
	if err := strategy.Optimize(nn.StreamParams(params)); err != nil {
		t.Fatal(err)
	}
	if single.State.(*adam.State).T != 1 || double.State.(*adam.State64).T != 1 {
		t.Error("a parameter has not begun")
	}
}

// pair is a model of both types.
type pair struct {
	nn.Module
	Single, Double *nn.Param
}

func newPair() *pair {
	rng := rand.New(rand.NewPCG(8, 0))
	return &pair{
		Single: nn.NewParam(matrixOf[float32](rng, 1, 30, 70)),
		Double: nn.NewParam(matrixOf[float64](rng, 1, 50, 40)),
	}
}

func (m *pair) params() []*nn.Param { return []*nn.Param{m.Single, m.Double} }

// Parameters of both types make the steps of adam.State and adam.State64, in the memory of their
// matrices, each by OptimizeParams and both by Optimize; saved and loaded, they go on to the same
// bits.
func TestMixed(t *testing.T) {
	amsgrad := adam.DefaultW()
	amsgrad.AMSGrad = true
	lowerShare(t)
	for _, config := range []adam.Config{adam.Default(), amsgrad} {
		strategy := &adamspago.Adam{Config: config}
		together, apart, plain := newPair(), newPair(), newPair()
		single, double := mat.Data[float32](plain.Single), mat.Data[float64](plain.Double)
		memory := unsafe.SliceData(mat.Data[float64](together.Double.Value().(mat.Matrix)))
		s, d := adam.NewState(len(single), config), adam.NewState64(len(double), config)
		for step := range uint64(20) {
			for _, m := range []*pair{together, apart, plain} {
				accumulate(step, m.params())
			}
			if err := strategy.Optimize(nn.Parameters(together)); err != nil {
				t.Fatal(err)
			}
			for _, p := range apart.params() {
				if err := strategy.OptimizeParams(p); err != nil {
					t.Fatal(err)
				}
			}
			gs, gd := plain.Single.Grad().(mat.Matrix), plain.Double.Grad().(mat.Matrix)
			if err := s.Step(single, mat.Data[float32](gs), config); err != nil {
				t.Fatal(err)
			}
			if err := d.Step(double, mat.Data[float64](gd), config); err != nil {
				t.Fatal(err)
			}
			nn.ZeroGrad(plain)
			if slices.ContainsFunc(append(together.params(), apart.params()...),
				(*nn.Param).HasGrad) {
				t.Fatal("a gradient is still there")
			}
			if step == 10 {
				if unsafe.SliceData(mat.Data[float64](together.Double)) != memory {
					t.Error("the parameter has moved")
				}
				var file bytes.Buffer
				if err := nn.Dump(together, &file); err != nil {
					t.Fatal(err)
				}
				var err error
				if together, err = nn.Load[*pair](&file); err != nil {
					t.Fatal(err)
				}
			}
		}
		for name, m := range map[string]*pair{"Optimize": together, "OptimizeParams": apart} {
			if !slices.Equal(mat.Data[float32](m.Single), single) ||
				!reflect.DeepEqual(m.Single.State, s) {
				t.Errorf("%s: not as adam.State steps", name)
			}
			if !slices.Equal(mat.Data[float64](m.Double), double) ||
				!reflect.DeepEqual(m.Double.State, d) {
				t.Errorf("%s: not as adam.State64 steps", name)
			}
		}
	}
}
