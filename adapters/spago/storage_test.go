package adamspago_test

import (
	"bytes"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/nlpodyssey/spago/mat"
	"github.com/nlpodyssey/spago/nn"

	"github.com/fusedadam/adam"
	adamspago "github.com/fusedadam/adam/adapters/spago"
)

// With a Storage, parameters of float32 make the steps of adam.State16, those of float64 the steps
// of adam.State64; saved and loaded, they go on to the same bits.
func TestStorage(t *testing.T) {
	config := adam.DefaultW()
	for _, storage := range []adam.Storage{
		{Moments: adam.BF16Moments}, {Moments: adam.Q8Moments, Master: adam.NoMaster},
	} {
		strategy := &adamspago.Adam{Config: config, Storage: storage}
		m, plain := newPair(), newPair()
		var s *adam.State16
		for step := range uint64(10) {
			accumulate(step, m.params())
			accumulate(step, plain.params())
			if err := strategy.Optimize(nn.Parameters(m)); err != nil {
				t.Fatal(err)
			}
			p := adam.Param16{Value: mat.Data[float32](plain.Single),
				Grad: mat.Data[float32](plain.Single.Grad().(mat.Matrix))}
			if s == nil {
				s = adam.NewState16(p, adam.Storage{Moments: storage.Moments}, 0, config)
				s.Key = m.Single.State.(*adam.State16).Key
			}
			if err := s.Step(p, config); err != nil {
				t.Fatal(err)
			}
			plain.Single.ZeroGrad()
			if step == 4 { // goes on from what was saved
				var file bytes.Buffer
				if err := nn.Dump(m, &file); err != nil {
					t.Fatal(err)
				}
				loaded, err := nn.Load[*pair](&file)
				if err != nil {
					t.Fatal(err)
				}
				m = loaded
			}
		}
		if !reflect.DeepEqual(m.Single.State, s) ||
			!sameBits(values(m.Single), values(plain.Single)) {
			t.Errorf("%v: not the steps of a State16", storage)
		}
		if _, ok := m.Double.State.(*adam.State64); !ok {
			t.Errorf("%v: the state of float64 is a %T", storage, m.Double.State)
		}
	}
}

// Parameters that begin with other values are rounded by other words.
func TestKeys(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 0))
	params := []*nn.Param{nn.NewParam(matrix(rng, 1, 9)), nn.NewParam(matrix(rng, 1, 9))}
	strategy := &adamspago.Adam{Config: adam.Default(),
		Storage: adam.Storage{Moments: adam.BF16Moments}}
	accumulate(0, params)
	if err := strategy.Optimize(nn.StreamParams(params)); err != nil {
		t.Fatal(err)
	}
	a, b := params[0].State.(*adam.State16), params[1].State.(*adam.State16)
	if a.Key == b.Key {
		t.Error("two parameters have one Key")
	}
	for _, spoil := range []func(){
		func() { a.V16 = a.V16[1:] }, func() { a.M16, a.V16, a.M8 = nil, nil, make([]int8, 9) },
	} {
		spoil()
		accumulate(1, params)
		if err := strategy.Optimize(nn.StreamParams(params)); err == nil || b.T != 1 {
			t.Errorf("error %v of a bad State, and the other parameter has made %d steps", err, b.T)
		}
	}
}
