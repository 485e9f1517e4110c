package main

import (
	"math"

	"github.com/fusedadam/adam/examples/internal/digits"
	"github.com/fusedadam/adam/examples/internal/layers"
	"github.com/fusedadam/adam/internal/stats"
	"gonum.org/v1/gonum/blas/blas32"
)

// The network sees the canvas as a grid of cells × cells. The cell in which the centre of a digit
// lies answers for it; where that is true of two digits, for the first. Its outputs are logits of
const (
	presence = 0 // the probability that it has a digit
	offset   = 1 // the centre of the digit, x and y, as shares of the cell
	extent   = 3 // width and height, as logarithms of multiples of typical
	class    = 5 // the class, one for each

	outputs = class + digits.Classes
	cells   = 8
	cell    = canvas / cells // pixels
	typical = 16             // pixels
)

// spot is a box as a cell describes it.
type spot struct {
	row, column   int
	x, y          float64 // centre, in [0, 1) of the cell
	width, height float64 // logarithms
}

func encode(b box) spot {
	x, y := (b.x0+b.x1)/2/cell, (b.y0+b.y1)/2/cell
	row, column := math.Floor(y), math.Floor(x)
	width, height := math.Log((b.x1-b.x0)/typical), math.Log((b.y1-b.y0)/typical)
	return spot{int(row), int(column), x - column, y - row, width, height}
}

func (s spot) decode() box {
	x, y := (float64(s.column)+s.x)*cell, (float64(s.row)+s.y)*cell
	w, h := typical*math.Exp(s.width), typical*math.Exp(s.height)
	return box{x - w/2, y - h/2, x + w/2, y + h/2}
}

// spotOf returns what the outputs z of a cell say.
func spotOf(row, column int, z []float32) spot {
	return spot{row, column, sigmoid(z[offset]), sigmoid(z[offset+1]), float64(z[extent]),
		float64(z[extent+1])}
}

func sigmoid(x float32) float64 { return 1 / (1 + math.Exp(-float64(x))) }

const (
	leastScore = 0.01 // of a detection
	// two detections with a larger IoU are of the same digit: the boxes of two digits have less
	sameDigit = 0.4
)

// detect returns what the outputs z of the network for one scene say, the best first: for each cell
// its box and its most probable class, without repetitions of a better one.
func detect(z []float32) []detection {
	var found []detection
	for i := range cells * cells {
		z := z[i*outputs:][:outputs]
		label := stats.Argmax(z[class:])
		sum := 0.0
		for _, a := range z[class:] {
			sum += math.Exp(float64(a) - float64(z[class+label]))
		}
		if score := sigmoid(z[presence]) / sum; score >= leastScore {
			b := spotOf(i/cells, i%cells, z).decode()
			b = box{max(b.x0, 0), max(b.y0, 0), min(b.x1, canvas), min(b.y1, canvas)}
			found = append(found, detection{object{b, label}, score})
		}
	}
	return suppress(found, sameDigit)
}

// loss is the mean over scenes of the three parts of the loss of a scene.
type loss struct{ presence, box, class float64 }

func (l loss) sum() float64 { return l.presence + l.box + l.class }

func (l *loss) add(m loss) {
	l.presence += m.presence
	l.box += m.box
	l.class += m.class
}

const (
	emptyWeight = 0.5 // of the cells without a digit, which are 25 times as many
	boxWeight   = 2
	bend        = 0.1 // where the smooth L1 distance turns from a parabola into a line
)

// sceneLoss returns the loss of one scene, times scale, and sets dz to its derivative by the
// outputs z:
//
//	Σ over the cells without a digit   emptyWeight · -log(1-p)
//	+ Σ over those with one            -log p - log softmax(class logits)[class] + boxWeight · D
//
// where p is the sigmoid of z[presence], and D the sum of the smooth L1 distances (Girshick, 2015)
// of four numbers from the truth: centre x and y, each in widths or heights of the digit, and the
// logarithms of width and height. So an error of a pixel weighs more for a small digit, as it does
// in the IoU.
func sceneLoss(z []float32, truth []object, scale float64, dz []float32) loss {
	clear(dz)
	var l loss
	var taken [cells * cells]bool
	for _, o := range truth {
		want := encode(o.box)
		i := want.row*cells + want.column
		if taken[i] {
			continue
		}
		taken[i] = true
		z, dz := z[i*outputs:][:outputs], dz[i*outputs:][:outputs]
		l.presence += scale * logistic(-z[presence])
		dz[presence] = float32(scale * (sigmoid(z[presence]) - 1))

		got := spotOf(want.row, want.column, z)
		// the derivative of the difference by the output
		distance := func(output int, difference, derivative float64) {
			d, slope := smoothL1(difference)
			l.box += scale * boxWeight * d
			dz[output] = float32(scale * boxWeight * slope * derivative)
		}
		// in cells
		width, height := typical*math.Exp(want.width)/cell, typical*math.Exp(want.height)/cell
		distance(offset, (got.x-want.x)/width, got.x*(1-got.x)/width)
		distance(offset+1, (got.y-want.y)/height, got.y*(1-got.y)/height)
		distance(extent, got.width-want.width, 1)
		distance(extent+1, got.height-want.height, 1)

		logits := func(z []float32) blas32.General {
			return blas32.General{Rows: 1, Cols: digits.Classes, Stride: digits.Classes,
				Data: z[class:]}
		}
		l.class += scale * layers.CrossEntropy(logits(z), []int{o.class}, logits(dz))
		for j := range digits.Classes {
			dz[class+j] *= float32(scale)
		}
	}
	for i, digit := range taken {
		if !digit {
			p := z[i*outputs+presence]
			l.presence += scale * emptyWeight * logistic(p)
			dz[i*outputs+presence] = float32(scale * emptyWeight * sigmoid(p))
		}
	}
	return l
}

// logistic returns log(1+eˣ), -log of sigmoid(-x).
func logistic(x float32) float64 {
	return max(float64(x), 0) + math.Log1p(math.Exp(-math.Abs(float64(x))))
}

// smoothL1 returns x²/2bend within ±bend and |x| - bend/2 beyond, and its derivative.
func smoothL1(x float64) (distance, slope float64) {
	if math.Abs(x) < bend {
		return x * x / (2 * bend), x / bend
	}
	return math.Abs(x) - bend/2, math.Copysign(1, x)
}
