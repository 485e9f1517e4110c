package zero_test

import (
	"fmt"

	"github.com/fusedadam/adam"
	"github.com/fusedadam/adam/zero"
)

// alone is the engine of a single rank. Package zero/mpi has one for many.
type alone struct{}

func (alone) Rank() int                                      { return 0 }
func (alone) Size() int                                      { return 1 }
func (alone) Send(int, []byte)                               {}
func (alone) Receive(int, []byte)                            {}
func (alone) Wait(int) error                                 { return nil }
func (alone) Gather(own []uint64, _ []int) ([]uint64, error) { return own, nil }

// The batch of a step is cut into four leaves. With one rank or four, the sum and all that follows
// have the same bits.
func Example() {
	w, dw := []float32{1, 2}, make([]float32, 2)
	options := zero.Options{Leaves: 4}
	options.MaxNorm, options.ZeroGrad = 1, true
	z, err := zero.New(alone{}, options,
		adam.Group{Config: adam.DefaultW(), Params: []adam.Param{{Name: "w", Value: w, Grad: dw}}})
	if err != nil {
		panic(err)
	}
	defer z.Close()
	z.GradScale = 4 // of leaves whose gradients are means
	for z.T < 3 {
		from, to := z.Leaves()
		for k := from; k < to; k++ {
			dw[0] += w[0] - float32(k) // what the k-th part of the batch gives
			dw[1] += w[1] + float32(k)
			if err := z.Add(); err != nil {
				panic(err)
			}
		}
		stats, err := z.Step()
		if err != nil {
			panic(err)
		}
		fmt.Printf("step %d: norm %.4f\n", stats.T, stats.GradNorm)
	}
	// Output:
	// step 1: norm 3.5355
	// step 2: norm 3.5344
	// step 3: norm 3.5332
}
