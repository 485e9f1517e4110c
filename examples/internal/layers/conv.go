package layers

import (
	"math/rand/v2"

	"gonum.org/v1/gonum/blas/blas32"
)

// Image is the shape of the images that are the rows of a matrix: pixels row by row, each with its
// channels one after the other.
type Image struct{ Height, Width, Channels int }

// Size is the number of elements of an image.
func (i Image) Size() int { return i.Height * i.Width * i.Channels }

// Conv is a two-dimensional convolution: a [Dense] layer that reads the square patch around every
// stride-th pixel and writes one pixel. Beyond the edges of the image there are zeros.
//
// A Conv keeps the patches of the last Forward for Backward.
type Conv struct {
	In, Out Image

	size, stride int
	dense        *Dense // (size·size·channels of In) × channels of Out
	// a row for each pixel of Out of each image; 0 beyond the edges, where nothing writes
	patches  blas32.General
	dpatches blas32.General
}

// ConvSize is the number of parameters of a convolution with patches of size × size pixels.
func ConvSize(size, in, out int) int { return DenseSize(size*size*in, out) }

// NewConv returns a convolution of at most so many images of the shape in, with patches of size ×
// size pixels, an odd number, to out channels. Height and width of its output are those of its
// input divided by stride, rounded up. Parameters are initialized and named as by [NewDense].
func NewConv(m *Memory, rng *rand.Rand, name string, images int, in Image, size, stride,
	out int) *Conv {
	l := &Conv{In: in, Out: Image{(in.Height + stride - 1) / stride,
		(in.Width + stride - 1) / stride, out}, size: size, stride: stride}
	patch := size * size * in.Channels
	l.dense = NewDense(m, rng, name, patch, out)
	l.patches = NewMatrix(images*l.Out.Height*l.Out.Width, patch)
	l.dpatches = NewMatrix(images*l.Out.Height*l.Out.Width, patch)
	return l
}

// Forward sets the images z to the convolution of the images x.
func (l *Conv) Forward(x, z blas32.General) {
	patches := Head(l.patches, x.Rows*l.Out.Height*l.Out.Width)
	l.runs(x, patches, func(image, patch []float32) { copy(patch, image) })
	l.dense.Forward(patches, l.pixels(z))
}

// Backward sets the gradients of the parameters, for the x of the last Forward.
func (l *Conv) Backward(dz blas32.General) {
	dz = l.pixels(dz)
	l.dense.Backward(Head(l.patches, dz.Rows), dz)
}

// BackwardInput sets dx.
func (l *Conv) BackwardInput(dz, dx blas32.General) {
	dz = l.pixels(dz)
	dpatches := Head(l.dpatches, dz.Rows)
	l.dense.BackwardInput(dz, dpatches)
	clear(dx.Data)
	l.runs(dx, dpatches, func(image, patch []float32) {
		for i, d := range patch {
			image[i] += d
		}
	})
}

// pixels returns the images z, of the shape Out, as a matrix with a row for each pixel.
func (l *Conv) pixels(z blas32.General) blas32.General {
	c := l.Out.Channels
	return blas32.General{Rows: z.Rows * l.Out.Height * l.Out.Width, Cols: c, Stride: c,
		Data: z.Data}
}

// runs calls f for each row of each patch, with the part of it that lies within the image:
// neighbours in both.
func (l *Conv) runs(x, patches blas32.General, f func(image, patch []float32)) {
	c, margin, row := l.In.Channels, l.size/2, 0
	for i := range x.Rows {
		image := Row(x, i)
		for top := -margin; top < l.In.Height-margin; top += l.stride {
			for left := -margin; left < l.In.Width-margin; left += l.stride {
				patch := Row(patches, row)
				row++
				from, to := max(left, 0), min(left+l.size, l.In.Width)
				for y := max(top, 0); y < min(top+l.size, l.In.Height); y++ {
					at := ((y-top)*l.size + from - left) * c
					f(image[(y*l.In.Width+from)*c:(y*l.In.Width+to)*c], patch[at:at+(to-from)*c])
				}
			}
		}
	}
}
