package torchstate_test

import (
	"bytes"
	"fmt"
	"log"

	"github.com/fusedadam/adam"
	"github.com/fusedadam/adam/torchstate"
)

// A checkpoint goes to torch and comes back.
func Example() {
	value, grad := []float32{1, 2}, []float32{0.1, -0.1}
	o, err := adam.New(adam.Options{}, adam.Group{
		Config: adam.DefaultW(),
		Params: []adam.Param{{Name: "bias", Value: value, Grad: grad}},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer o.Close()
	if _, err := o.Step(); err != nil {
		log.Fatal(err)
	}

	var saved, torch, back bytes.Buffer
	if err := o.Save(&saved); err != nil {
		log.Fatal(err)
	}
	// Into the file that load_optimizer reads in Python.
	if _, err := torchstate.ToTorch(&torch, bytes.NewReader(saved.Bytes())); err != nil {
		log.Fatal(err)
	}
	// From the file that save_optimizer has written in Python.
	report, err := torchstate.FromTorch(&back, bytes.NewReader(torch.Bytes()), nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(report.Names, o.Load(&back), o.State("bias").T)
	// Output: [bias] <nil> 1
}
