package main

import (
	"time"

	"github.com/fusedadam/adam"
	"github.com/fusedadam/adam/examples/internal/storage"
	"gorgonia.org/tensor"
)

// beside is an optimizer whose tensors have fewer bits than Gorgonia's, which are float32.
type beside struct {
	*adam.Optimizer
	tensors *storage.Tensors
	grads   [][]float32 // of the parameters, as Tensors reads them
}

func newBeside(t *trainer, o adam.Options) (*beside, error) {
	b := new(beside)
	weights, biases := adam.Group{Config: adam.DefaultW()}, adam.Group{Config: adam.DefaultW()}
	biases.Config.WeightDecay = 0
	for _, p := range t.params {
		grad := make([]float32, p.value.Size())
		b.grads = append(b.grads, grad)
		param := adam.Param{Name: p.name, Value: p.value.Float32s(), Grad: grad}
		if isBias(p.name) {
			biases.Params = append(biases.Params, param)
		} else {
			weights.Params = append(weights.Params, param)
		}
	}
	var groups []adam.Group
	groups, b.tensors = t.storage.Groups([]adam.Group{weights, biases}, t.seed)
	var err error
	b.Optimizer, err = adam.New(o, groups...)
	return b, err
}

// update makes one step. The gradients in Gorgonia, to which it adds, are 0 afterwards, as a Solver
// leaves them.
func (b *beside) update(t *trainer) error {
	for i, node := range t.net.params {
		grad, err := node.Grad()
		if err != nil {
			return err
		}
		from := grad.(*tensor.Dense).Float32s()
		copy(b.grads[i], from)
		clear(from)
	}
	b.tensors.Grads()
	for i := range b.Groups {
		b.Groups[i].Config.LR = t.learningRate()
	}
	start := time.Now()
	_, err := b.Step()
	t.solverTime += time.Since(start)
	b.tensors.Values()
	return err
}

// bytes returns those of the optimizer for each parameter, also where it is Gorgonia's solver.
func (b *beside) bytes() float64 {
	if b == nil {
		return (*storage.Tensors)(nil).Bytes()
	}
	return b.tensors.Bytes()
}
