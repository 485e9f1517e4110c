package replay

import (
	"math/rand/v2"
	"testing"

	"github.com/fusedadam/adam"
)

func TestMain(m *testing.M) { Main(m) }

func TestCheck(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 0))
	param := func(name string, n int) adam.Param {
		p := adam.Param{Name: name, Value: make([]float32, n), Grad: make([]float32, n)}
		for i := range p.Value {
			p.Value[i] = float32(rng.NormFloat64())
		}
		return p
	}
	groups := []adam.Group{
		{Config: adam.DefaultW(), Params: []adam.Param{param("a", enough), param("b", 3)}},
		{Config: adam.Default(), Params: []adam.Param{param("c", 5)}},
	}
	options := adam.Options{MaxNorm: 1, ZeroGrad: true}
	o, err := adam.New(options, groups...)
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	r := New(options, o.Groups)
	for step := range 5 {
		for i := range o.Groups {
			o.Groups[i].Config.LR = 1e-3 * float64(step+1)
			for _, p := range o.Groups[i].Params {
				for j := range p.Grad {
					p.Grad[j] = float32(rng.NormFloat64())
				}
			}
		}
		r.Add(o.Groups)
		if _, err := o.Step(); err != nil {
			t.Fatal(err)
		}
	}
	r.Check(t, o.Groups)

	// A small change of what one step was given must end elsewhere.
	for name, spoil := range map[string]func(){
		"gradient":      func() { r.Steps[2].Grads[1][1] *= 1 + 1e-6 },
		"learning rate": func() { r.Steps[2].Configs[1].LR *= 1.01 },
	} {
		before, err := r.run(1)
		if err != nil {
			t.Fatal(err)
		}
		spoil()
		after, err := r.run(1)
		if err != nil {
			t.Fatal(err)
		}
		if sum(before) == sum(after) {
			t.Errorf("another %s ends in the same bits", name)
		}
	}
}
