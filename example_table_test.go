package adam_test

import (
	"fmt"

	"github.com/fusedadam/adam"
)

// The embedding is a table, and the output layer a tensor like any other. The step clips by the
// norm of both and moves the rows that the batch has used.
func ExampleTable() {
	const words, width = 5, 2
	embedding := make([]float32, words*width)
	out, dout := []float32{0.5, -0.5}, make([]float32, 2)
	opt, err := adam.New(adam.Options{MaxNorm: 1}, adam.Group{
		Config: adam.Default(),
		Params: []adam.Param{{Name: "out", Value: out, Grad: dout}},
		Tables: []adam.Table{{Name: "embedding", Width: width, Value: embedding}},
	})
	if err != nil {
		panic(err)
	}
	table := &opt.Groups[0].Tables[0]
	table.Rows, table.Grad = []int32{1, 3}, []float32{3, 0, 0, -4} // of the words 1 and 3
	stats, err := opt.Step()
	if err != nil {
		panic(err)
	}
	fmt.Printf("norm %.1f, table %.3f\n", stats.GradNorm, embedding)
	// Output: norm 5.0, table [0.000 0.000 -0.001 0.000 0.000 0.000 0.000 0.001 0.000 0.000]
}

// A tensor of float64 beside one of float32.
func ExampleParam64() {
	weights, dweights := make([]float32, 2), []float32{1, -1}
	scale, dscale := []float64{1}, []float64{2}
	opt, err := adam.New(adam.Options{ZeroGrad: true}, adam.Group{
		Config:   adam.Default(),
		Params:   []adam.Param{{Name: "weights", Value: weights, Grad: dweights}},
		Params64: []adam.Param64{{Name: "scale", Value: scale, Grad: dscale}},
	})
	if err != nil {
		panic(err)
	}
	if _, err := opt.Step(); err != nil {
		panic(err)
	}
	fmt.Printf("%.4f %.12f, %v steps\n", weights, scale, opt.State64("scale").T)
	// Output: [-0.0010 0.0010] [0.999000000005], 1 steps
}
