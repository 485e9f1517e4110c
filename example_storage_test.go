package adam_test

import (
	"fmt"

	"github.com/fusedadam/adam"
)

// A model in bfloat16: the optimizer keeps the other halves of float32 parameters beside it, so
// that steps far below the last place of a bfloat16 are not lost.
func ExampleParam16() {
	type bfloat16 uint16                  // a framework's own
	weights := []bfloat16{0x3f80, 0x4000} // 1 and 2
	grads := []bfloat16{0x3f80, 0xbf80}   // 1 and -1
	config := adam.Default()
	config.LR = 1e-4
	opt, err := adam.New(adam.Options{}, adam.Group{
		Config:  config,
		Storage: adam.Storage{Moments: adam.BF16Moments},
		Params16: []adam.Param16{{Name: "weights", BF16: adam.AsBF16(weights),
			GradBF16: adam.AsBF16(grads)}},
	})
	if err != nil {
		panic(err)
	}
	defer opt.Close()
	for range 200 {
		if _, err := opt.Step(); err != nil {
			panic(err)
		}
	}
	master := make([]float32, 2)
	err = adam.JoinFloat32(master, adam.AsBF16(weights), opt.State16("weights").Rest)
	fmt.Printf("%.3f %v\n", master, err)
	// Output:
	// [0.980 2.020] <nil>
}
