package adamgorgonia_test

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"sync"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// leaf is a tensor of a model without a graph.
type leaf struct {
	name        string
	value, grad gorgonia.Value
}

func (l *leaf) Name() string                  { return l.name }
func (l *leaf) Value() gorgonia.Value         { return l.value }
func (l *leaf) Grad() (gorgonia.Value, error) { return l.grad, nil }

// dense returns a tensor with numbers of the normal distribution, *gorgonia.F32 if the shape is
// empty.
func dense(r *rand.Rand, shape ...int) gorgonia.Value {
	x := make([]float32, tensor.Shape(shape).TotalSize())
	for i := range x {
		x[i] = float32(r.NormFloat64())
	}
	if len(shape) == 0 {
		return gorgonia.NewF32(x[0])
	}
	return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(x))
}

// floats returns a copy of the elements of v.
func floats(v gorgonia.Value) []float32 {
	if x, ok := v.Data().([]float32); ok {
		return slices.Clone(x)
	}
	return []float32{v.Data().(float32)}
}

// wide returns a copy of v in float64.
func wide(v gorgonia.Value) gorgonia.Value {
	if x := doubles(v); v.Shape().IsScalar() {
		return gorgonia.NewF64(x[0])
	} else {
		return tensor.New(tensor.WithShape(v.Shape()...), tensor.WithBacking(x))
	}
}

// doubles returns a copy of the elements of v, of either type, in float64.
func doubles(v gorgonia.Value) (all []float64) {
	switch x := v.Data().(type) {
	case []float64:
		return slices.Clone(x)
	case float64:
		return []float64{x}
	}
	for _, x := range floats(v) {
		all = append(all, float64(x))
	}
	return all
}

// newModel64 is newModel in float64.
func newModel64(seed uint64) []gorgonia.ValueGrad {
	model := newModel(seed)
	for _, n := range model {
		l := n.(*leaf)
		l.value, l.grad = wide(l.value), wide(l.grad)
	}
	return model
}

// newModel returns a model of tensors of several shapes, the same for each seed.
func newModel(seed uint64) []gorgonia.ValueGrad {
	r := rand.New(rand.NewPCG(seed, 1))
	var model []gorgonia.ValueGrad
	for _, t := range []struct {
		name  string
		shape []int
	}{
		{"matrix", []int{7, 5}}, {"bias", []int{5}}, {"scalar", nil}, {"kernel", []int{4, 3, 3, 3}},
		{"column", []int{6, 1}}, {"one", []int{1, 1}}, {"large", []int{40, 257}},
	} {
		model = append(model, &leaf{t.name, dense(r, t.shape...), dense(r, t.shape...)})
	}
	return model
}

// recorded are the gradients of newModel in 300 steps, by step and tensor: noise around a mean of
// each element's own, with magnitudes from 1e-4 to 10. Some elements are always zero, some nearly
// always.
var recorded = sync.OnceValue(func() [][][]float32 {
	steps := make([][][]float32, 300)
	for i, n := range newModel(1) {
		elements := len(floats(n.Value()))
		r := rand.New(rand.NewPCG(uint64(i), 7))
		for step := range steps {
			steps[step] = append(steps[step], make([]float32, elements))
		}
		for j := range elements {
			magnitude, mean, kind := math.Pow(10, -4+5*r.Float64()), r.NormFloat64(), r.IntN(20)
			for step := range steps {
				if kind > 1 || kind == 1 && step%10 == 0 {
					steps[step][i][j] = float32(magnitude * (mean + r.NormFloat64()))
				}
			}
		}
	}
	return steps
})

// setGrads writes the gradients of a step into the model.
func setGrads(model []gorgonia.ValueGrad, step [][]float32) {
	for i, n := range model {
		switch g := n.(*leaf).grad.(type) {
		case *gorgonia.F32:
			*g = gorgonia.F32(step[i][0])
		case *gorgonia.F64:
			*g = gorgonia.F64(step[i][0])
		case *tensor.Dense:
			for j, x := range step[i] {
				if g.Dtype() == tensor.Float64 {
					g.Float64s()[j] = float64(x)
				} else {
					g.Float32s()[j] = x
				}
			}
		}
	}
}

// distance returns the largest |a-b|/max(|b|, lr) of the values of two models; NaN is Inf.
func distance(a, b []gorgonia.ValueGrad, lr float64) float64 {
	largest := 0.0
	for i := range a {
		x, y := doubles(a[i].Value()), doubles(b[i].Value())
		for j := range x {
			d := math.Abs(x[j]-y[j]) / max(math.Abs(y[j]), lr)
			if math.IsNaN(d) {
				return math.Inf(1)
			}
			largest = max(largest, d)
		}
	}
	return largest
}

// vector returns a tensor of one dimension.
func vector(x ...float32) *tensor.Dense {
	return tensor.New(tensor.WithShape(len(x)), tensor.WithBacking(x))
}

// withoutGrad is a leaf before backpropagation.
type withoutGrad struct{ *leaf }

func (withoutGrad) Grad() (gorgonia.Value, error) { return nil, errors.New("no gradient yet") }

// withoutName is a tensor of a model that is no gorgonia.Namer.
type withoutName struct{ value, grad gorgonia.Value }

func (w withoutName) Value() gorgonia.Value         { return w.value }
func (w withoutName) Grad() (gorgonia.Value, error) { return w.grad, nil }
