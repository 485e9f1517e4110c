package layers

import (
	"math"

	"gonum.org/v1/gonum/blas/blas32"
)

// LayerNorm is layer normalization (Ba et al., 2016): each row is brought to mean 0 and variance 1,
// and each column then multiplied by a gain and shifted by a bias.
type LayerNorm struct {
	Gain, DGain []float32
	Bias, DBias []float32
}

// LayerNormSize is the number of parameters of a layer normalization.
func LayerNormSize(width int) int { return 2 * width }

// NewLayerNorm returns a layer with gains of 1 and biases of 0. Its tensors are name.gain and
// name.bias.
func NewLayerNorm(m *Memory, name string, width int) *LayerNorm {
	l := &LayerNorm{}
	l.Gain, l.DGain = m.Take(name+".gain", width)
	l.Bias, l.DBias = m.Take(name+".bias", width)
	for i := range l.Gain {
		l.Gain[i] = 1
	}
	return l
}

// moments returns the mean of a row and the reciprocal of its standard deviation.
func moments(x []float32) (mean, scale float32) {
	for _, a := range x {
		mean += a
	}
	n := float32(len(x))
	mean /= n
	variance := float32(0)
	for _, a := range x {
		variance += (a - mean) * (a - mean)
	}
	const epsilon = 1e-5 // of GPT-2
	return mean, float32(1 / math.Sqrt(float64(variance/n)+epsilon))
}

// Forward sets z to the normalized rows of x.
func (l *LayerNorm) Forward(x, z blas32.General) {
	for i := range x.Rows {
		x, z := Row(x, i), Row(z, i)
		mean, scale := moments(x)
		for j, a := range x {
			z[j] = (a-mean)*scale*l.Gain[j] + l.Bias[j]
		}
	}
}

// Backward sets the gradients of the parameters, and adds the derivative by x to dx: where a
// residual goes past the layer, dx already has a part.
func (l *LayerNorm) Backward(x, dz, dx blas32.General) {
	clear(l.DGain)
	clear(l.DBias)
	for i := range x.Rows {
		x, dz, dx := Row(x, i), Row(dz, i), Row(dx, i)
		mean, scale := moments(x)
		// of dy, and of dy·y, where y is the row before gain and bias
		sum, product := float32(0), float32(0)
		for j, d := range dz {
			y := (x[j] - mean) * scale
			l.DGain[j] += d * y
			l.DBias[j] += d
			dy := d * l.Gain[j]
			sum += dy
			product += dy * y
		}
		n := float32(len(x))
		sum, product = sum/n, product/n
		for j, d := range dz {
			y := (x[j] - mean) * scale
			dx[j] += scale * (d*l.Gain[j] - sum - y*product)
		}
	}
}
