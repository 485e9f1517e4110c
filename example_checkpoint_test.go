package adam_test

import (
	"bytes"
	"fmt"
	"strconv"

	"github.com/fusedadam/adam"
)

// saveTo returns the checkpoint of opt.
func saveTo(opt *adam.Optimizer) *bytes.Buffer {
	var file bytes.Buffer
	if err := opt.Save(&file); err != nil {
		panic(err)
	}
	return &file
}

// What else the run needs to go on is in the same file, and so never of another step.
func ExampleOptimizer_Save_metadata() {
	opt := newOptimizer(tensor("w", 4))
	defer opt.Close()
	opt.Metadata = map[string]string{"epoch": strconv.Itoa(7), "data": "corpus-3"}
	file := saveTo(opt)

	resumed := newOptimizer(tensor("w", 4))
	defer resumed.Close()
	if err := resumed.Load(file); err != nil {
		panic(err)
	}
	epoch, err := strconv.Atoi(resumed.Metadata["epoch"])
	fmt.Println(epoch, err, resumed.Metadata["data"])
	// Output: 7 <nil> corpus-3
}

// The model's tensors have other names than when the checkpoint was saved.
func ExampleOptimizer_LoadWith() {
	old := newOptimizer(tensor("w", 4))
	defer old.Close()
	opt, err := adam.New(adam.Options{},
		adam.Group{Config: adam.Default(), Params: []adam.Param{tensor("module.w", 4)}})
	if err != nil {
		panic(err)
	}
	defer opt.Close()
	loaded, err := opt.LoadWith(saveTo(old), adam.LoadOptions{
		Name: func(saved string) string { return "module." + saved },
	})
	if err != nil {
		panic(err)
	}
	fmt.Println(loaded.Restored, opt.T)
	// Output: [module.w] 10
}

// A pretrained body gets a larger head, with a learning rate of its own. The checkpoint's head is
// left out, as it has another size, and the new one begins at its first step.
func ExampleOptimizer_LoadWith_grownHead() {
	old := newOptimizer(tensor("body", 4), tensor("head", 2))
	defer old.Close()
	gently := adam.Default()
	gently.LR /= 10
	opt, err := adam.New(adam.Options{},
		adam.Group{Config: gently, Params: []adam.Param{tensor("body", 4)}},
		adam.Group{Config: adam.Default(), Params: []adam.Param{tensor("head", 3)}})
	if err != nil {
		panic(err)
	}
	defer opt.Close()
	loaded, err := opt.LoadWith(saveTo(old), adam.LoadOptions{
		Name: func(saved string) string {
			if saved == "head" {
				return ""
			}
			return saved
		},
		Partial:     true,
		KeepConfigs: true,
	})
	if err != nil {
		panic(err)
	}
	fmt.Println("restored", loaded.Restored, "new", loaded.New, "left out", loaded.Left)
	fmt.Println(opt.State("body").T, opt.State("head").T, opt.Groups[0].Config.LR)
	// Output:
	// restored [body] new [head] left out [head]
	// 10 0 0.0001
}
