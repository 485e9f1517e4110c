package main

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/fusedadam/adam/examples/internal/digits"
	"github.com/fusedadam/adam/examples/internal/gradcheck"
	"github.com/fusedadam/adam/examples/internal/layers"
)

func near(a, b box) bool {
	const most = 1e-4
	return math.Abs(a.x0-b.x0) < most && math.Abs(a.y0-b.y0) < most && math.Abs(a.x1-b.x1) < most &&
		math.Abs(a.y1-b.y1) < most
}

func TestEncode(t *testing.T) {
	for _, test := range []struct {
		b           box
		row, column int
	}{
		{box{0, 0, 1, 1}, 0, 0},
		{box{0, 0, 16, 20}, 1, 1}, // its centre is on the border of two columns
		{box{7, 3, 8, 4.99}, 0, 0},
		{box{0, 40, 64, 64}, 6, 4},
		{box{61, 44, 64, 64}, 6, 7},
	} {
		s := encode(test.b)
		if s.row != test.row || s.column != test.column || s.x < 0 || s.x >= 1 || s.y < 0 ||
			s.y >= 1 {
			t.Errorf("%v is at %+v, want row %d, column %d", test.b, s, test.row, test.column)
		}
		if got := s.decode(); !near(got, test.b) {
			t.Errorf("%v is decoded as %v", test.b, got)
		}
	}
}

// outputsOf returns outputs of a network that are sure of the given objects.
func outputsOf(truth []object) []float32 {
	z := make([]float32, cells*cells*outputs)
	for i := range cells * cells {
		z[i*outputs+presence] = -20
	}
	for _, o := range truth {
		s := encode(o.box)
		z := z[(s.row*cells+s.column)*outputs:][:outputs]
		z[presence] = 20
		z[offset], z[offset+1] = float32(math.Log(s.x/(1-s.x))), float32(math.Log(s.y/(1-s.y)))
		z[extent], z[extent+1] = float32(s.width), float32(s.height)
		z[class+o.class] = 20
	}
	return z
}

var truth = []object{{box{3, 5, 20, 25}, 7}, {box{40, 0, 43, 15}, 1}, {box{41, 44, 63, 64}, 0}}

// What the outputs are sure of has no loss, and is detected.
func TestPerfectOutputs(t *testing.T) {
	z := outputsOf(truth)
	if l := sceneLoss(z, truth, 1, make([]float32, len(z))); !(l.sum() < 1e-5) {
		t.Errorf("loss %+v", l)
	}
	found := detect(z)
	if len(found) != len(truth) {
		t.Fatalf("%d detections, want %d", len(found), len(truth))
	}
	for _, o := range truth {
		seen := false
		for _, d := range found {
			seen = seen || d.class == o.class && near(d.box, o.box) && d.score > 0.999
		}
		if !seen {
			t.Errorf("%v is not among %v", o, found)
		}
	}
}

// The score is the product of two probabilities, boxes end at the edge of the canvas, and
// neighbouring cells that see the same digit are one detection.
func TestDetect(t *testing.T) {
	z := outputsOf([]object{{box{-4, 10, 12, 24}, 3}})
	cell := z[(2*cells+0)*outputs:][:outputs]
	cell[presence] = 0 // probability 1/2
	for i := range digits.Classes {
		cell[class+i] = 5
	}
	cell[class+3] = 5 + float32(math.Log(9)) // 9/18
	weaker := z[(2*cells+1)*outputs:][:outputs]
	copy(weaker, cell)
	// its centre is a little beyond the border of the cells
	weaker[offset], weaker[presence] = -4, -1
	found := detect(z)
	if len(found) != 1 || found[0].class != 3 || math.Abs(found[0].score-0.25) > 1e-6 ||
		!near(found[0].box, box{0, 10, 12, 24}) {
		t.Errorf("%+v, want a 3 with a score of 0.25 from x = 0 to y = 24", found)
	}
}

// Of two digits in one cell, the first counts.
func TestSharedCell(t *testing.T) {
	two := []object{{box{16, 16, 20, 36}, 1}, {box{20, 16, 24, 34}, 4}}
	z := make([]float32, cells*cells*outputs)
	rng := rand.New(rand.NewPCG(1, 0))
	layers.Normal(rng, z, 1)
	dz1, dz2 := make([]float32, len(z)), make([]float32, len(z))
	if one, both := sceneLoss(z, two[:1], 1, dz1), sceneLoss(z, two, 1, dz2); one != both {
		t.Errorf("loss %v, of the first alone %v", both, one)
	}
}

func TestLossGradients(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 0))
	for _, deviation := range []float64{0.05, 1} { // both branches of the smooth L1 distance
		z := outputsOf(truth)
		dz := make([]float32, len(z))
		layers.Normal(rng, dz, 1) // to be set, not added to
		for i := range z {
			z[i] = max(-3, min(z[i], 3)) + float32(deviation*rng.NormFloat64())
		}
		loss := func() float64 { return sceneLoss(z, truth, 0.5, dz).sum() }
		gradcheck.Check(t, fmt.Sprintf("%g off", deviation), z, dz, 1.0/1024, 1e-4, loss,
			func() { loss() })
	}
}
