package adam_test

import (
	"fmt"

	"github.com/fusedadam/adam"
)

// Two optimizers share a tensor, as two ranks would that have its gradient: each has the moments of
// its part only, and both clip by the norm of the whole. The sums would be sent from rank to rank.
func ExamplePart() {
	const n, first = 3*adam.Tile + 5, 2 * adam.Tile
	value, grad := make([]float32, n), make([]float32, n)
	grad[0], grad[n-1] = 3, 4
	part := func(from, to int) *adam.Optimizer {
		opt, err := adam.New(adam.Options{MaxNorm: 1}, adam.Group{
			Config: adam.Default(),
			Parts: []adam.Part{{
				Param: adam.Param{Name: "weights", Value: value[from:to], Grad: grad[from:to]},
				At:    from, Of: n,
			}},
		})
		if err != nil {
			panic(err)
		}
		return opt
	}
	ranks := []*adam.Optimizer{part(0, first), part(first, n)}

	sum, nonFinite := 0.0, ""
	for _, opt := range ranks { // whose parts follow each other
		tiles, name, err := opt.Squares()
		if err != nil {
			panic(err)
		}
		for _, s := range tiles {
			sum += s
		}
		if nonFinite == "" {
			nonFinite = name
		}
	}
	for _, opt := range ranks {
		stats, err := opt.StepWith(sum, nonFinite, nil, nil)
		if err != nil {
			panic(err)
		}
		fmt.Println("norm", stats.GradNorm)
	}
	fmt.Printf("%.4f %.4f\n", value[0], value[n-1])
	// Output:
	// norm 5
	// norm 5
	// -0.0010 -0.0010
}
