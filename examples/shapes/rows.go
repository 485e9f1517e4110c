package main

// Slices of slices: tensor i is params[i], and its gradient grads[i].
//
// Before, m[i] and v[i] lay beside them, two loops over i and j made the step, and encoding/gob
// wrote the four to a file, with the counter of the steps and the place in the data.
//
// Now the optimizer has the moments. Rows have no names, so their index is the name. A checkpoint
// holds parameters, moments, counters and the program's Metadata; a run that is resumed ends in the
// same bits. Norm shows a bad batch before it does harm.

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strconv"

	"github.com/fusedadam/adam"
	"github.com/fusedadam/adam/examples/internal/checksum"
)

const points = 64 // of a batch

type rows struct {
	params, grads [][]float32
	opt           *adam.Optimizer
}

func newRows(workers int, sizes ...int) (*rows, error) {
	rng := rand.New(rand.NewPCG(2, 0))
	r := &rows{}
	group := adam.Group{Config: adam.Default()}
	group.Config.LR = 0.01
	for i, n := range sizes {
		p, g := make([]float32, n), make([]float32, n)
		uniform(rng, p, 0.5)
		r.params, r.grads = append(r.params, p), append(r.grads, g)
		group.Params = append(group.Params, adam.Param{Name: strconv.Itoa(i), Value: p, Grad: g})
	}
	var err error
	r.opt, err = adam.New(adam.Options{SaveParams: true, ZeroGrad: true, Workers: workers}, group)
	if err == nil {
		r.opt.GradScale = points // the gradients are added up over the batch
	}
	return r, err
}

// learn adds up the gradients of a batch: which points lie in a circle? Some batches are bad.
func (r *rows) learn(batch int) (loss float64) {
	var net network
	for i := 0; i < len(r.params); i += 2 {
		net = append(net, layer{r.params[i], r.params[i+1], r.grads[i], r.grads[i+1]})
	}
	rng := rand.New(rand.NewPCG(3, uint64(batch)))
	for range points {
		x, want := make([]float32, 2), []float32{-1}
		uniform(rng, x, 1)
		if float32(x[0]*x[0])+float32(x[1]*x[1]) < 0.5 {
			want[0] = 1
		}
		if batch%100 == 50 {
			want[0] = 1e6
		}
		loss += net.learn(x, want) / points
	}
	return loss
}

// trainRows stops after some batches, and goes on as another process would.
func trainRows(workers, stop int) (r result, err error) {
	sizes := []int{24 * 2, 24, 24 * 24, 24, 24, 1} // 2 inputs, 24, 24, 1 output
	a, err := newRows(workers, sizes...)
	if err != nil {
		return r, err
	}
	defer func() { a.opt.Close() }()
	left := 0
	for batch := 0; batch < 800; batch++ {
		loss := a.learn(batch)
		norm, err := a.opt.Norm()
		if err != nil {
			return r, err
		}
		if norm > 1000 {
			left++
			err = a.opt.ZeroGrad()
		} else {
			r.see(loss)
			_, err = a.opt.Step()
		}
		if err != nil {
			return r, err
		}
		if batch+1 == stop {
			var file bytes.Buffer
			a.opt.Metadata = map[string]string{"batch": strconv.Itoa(batch)}
			if err := a.opt.Save(&file); err != nil {
				return r, err
			}
			a.opt.Close()
			if a, err = newRows(workers, sizes...); err != nil {
				return r, err
			}
			if err := a.opt.Load(&file); err != nil {
				return r, err
			}
			if batch, err = strconv.Atoi(a.opt.Metadata["batch"]); err != nil {
				return r, err
			}
		}
	}
	r.sum, r.note = checksum.Of(a.params...), fmt.Sprintf("left out %d batches", left)
	return r, nil
}
