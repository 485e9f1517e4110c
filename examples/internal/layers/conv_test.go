package layers

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/blas/blas32"
)

func TestConvGradients(t *testing.T) {
	for _, test := range []struct {
		in                Image
		size, stride, out int
	}{
		{Image{4, 5, 2}, 3, 1, 3},
		{Image{5, 4, 2}, 3, 2, 3},
		{Image{3, 2, 3}, 1, 1, 2},
		{Image{2, 3, 1}, 5, 2, 2}, // patches larger than the image
	} {
		t.Run(fmt.Sprint(test), func(t *testing.T) {
			const images = 2
			rng := rand.New(rand.NewPCG(1, 0))
			m := NewMemory(ConvSize(test.size, test.in.Channels, test.out))
			// with room for one more
			l := NewConv(m, rng, "conv", images+1, test.in, test.size, test.stride, test.out)
			Normal(rng, m.Values, 1)
			x, dx, z := NewMatrix(images, l.In.Size()), NewMatrix(images, l.In.Size()),
				NewMatrix(images, l.Out.Size())
			Normal(rng, x.Data, 1)
			Normal(rng, dx.Data, 1) // to be set, not added to
			checkLayer(t, m, x, dx, z, 1e-3, func() { l.Forward(x, z) }, func(dz blas32.General) {
				l.Backward(dz)
				l.BackwardInput(dz, dx)
			})
		})
	}
}

// Each pixel of the output is the sum that defines a convolution, also after a call with more
// images.
func TestConvForward(t *testing.T) {
	for _, stride := range []int{1, 2, 3} {
		const size, out = 3, 2
		in := Image{5, 7, 3}
		rng := rand.New(rand.NewPCG(1, 0))
		m := NewMemory(ConvSize(size, in.Channels, out))
		l := NewConv(m, rng, "conv", 3, in, size, stride, out)
		Normal(rng, m.Values, 1)
		x := NewMatrix(3, in.Size())
		Normal(rng, x.Data, 1)
		l.Forward(x, NewMatrix(3, l.Out.Size()))
		Normal(rng, x.Data, 1)
		x = Head(x, 2)
		z := NewMatrix(2, l.Out.Size())
		l.Forward(x, z)

		weights, bias := m.Params()[0].Value, m.Params()[1].Value
		if want := (Image{(5 + stride - 1) / stride, (7 + stride - 1) / stride,
			out}); l.Out != want {
			t.Fatalf("stride %d: output of the shape %v, want %v", stride, l.Out, want)
		}
		for i, got := range z.Data {
			o, pixel := i%out, i/out
			column, row, image := pixel%l.Out.Width, pixel/l.Out.Width%l.Out.Height,
				pixel/l.Out.Width/l.Out.Height
			want := bias[o]
			for ky := range size {
				for kx := range size {
					iy, ix := row*stride+ky-1, column*stride+kx-1
					for c := range in.Channels {
						if iy >= 0 && iy < in.Height && ix >= 0 && ix < in.Width {
							w := weights[((ky*size+kx)*in.Channels+c)*out+o]
							want += Row(x, image)[(iy*in.Width+ix)*in.Channels+c] * w
						}
					}
				}
			}
			if d := got - want; d > 1e-4 || d < -1e-4 {
				t.Fatalf("stride %d, image %d, pixel %d, %d, channel %d is %v, want %v", stride,
					image, row, column, o, got, want)
			}
		}
	}
}
