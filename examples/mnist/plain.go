package main

import (
	"math"

	"github.com/fusedadam/adam"
)

// plain is AdamW as one writes it in Go without this package: a loop over the elements, compiled to
// scalar instructions. It steps its own copy of the parameters.
type plain struct {
	t       int
	p, m, v []float32
}

func newPlain(p []float32) *plain {
	return &plain{p: append([]float32(nil), p...), m: make([]float32, len(p)), v: make([]float32, len(p))}
}

// step does what adam.State.Step does with c.Decoupled.
func (s *plain) step(g []float32, c adam.Config) {
	s.t++
	lr, b1, b2, eps := float32(c.LR), float32(c.Beta1), float32(c.Beta2), float32(c.Eps)
	bias1 := float32(1 - math.Pow(c.Beta1, float64(s.t)))
	bias2 := float32(1 - math.Pow(c.Beta2, float64(s.t)))
	decay := float32(1 - c.LR*c.WeightDecay)
	// Cut to one length, so that the compiler leaves out the bounds checks in the loop.
	p, m, v := s.p[:len(g)], s.m[:len(g)], s.v[:len(g)]
	for i, gi := range g {
		m[i] = b1*m[i] + (1-b1)*gi
		v[i] = b2*v[i] + (1-b2)*gi*gi
		mHat := m[i] / bias1
		vHat := v[i] / bias2
		p[i] = decay*p[i] - lr*mHat/(float32(math.Sqrt(float64(vHat)))+eps)
	}
}
