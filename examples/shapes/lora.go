package main

// Low-rank adaptation (LoRA; Hu et al., 2021): the weights of a trained network are frozen, and
// each layer gets two small matrices, y = W·x + B·(A·x).
//
// Before, the loop over all tensors asked each whether it was frozen, allocated moments for all of
// them, and looked a learning rate up by the tensor's name.
//
// Now a frozen tensor is in no group: it has no moments and no gradient. A learning rate belongs to
// a group, and may follow a schedule. Here the B, which begin at zero, learn faster than the A, as
// in LoRA+ (Hayou et al., 2024).

import (
	"fmt"
	"math/rand/v2"

	"github.com/fusedadam/adam"
	"github.com/fusedadam/adam/examples/internal/checksum"
	"github.com/fusedadam/adam/schedule"
)

const loraWidth, loraRank = 16, 2

// A loraLayer is square. There is no gradient of W.
type loraLayer struct{ w, a, b, da, db []float32 }

func newLoraLayer(rng *rand.Rand, w []float32) *loraLayer {
	const n = loraWidth * loraRank
	var s [4][]float32
	for i := range s {
		s[i] = make([]float32, n)
	}
	uniform(rng, s[0], 0.3)
	return &loraLayer{w, s[0], s[1], s[2], s[3]}
}

func (l *loraLayer) forward(x []float32) (y, ax []float32) {
	y, ax = make([]float32, loraWidth), make([]float32, loraRank)
	product(ax, l.a, x)
	product(y, l.w, x)
	product(y, l.b, ax)
	return y, ax
}

func (l *loraLayer) backward(dy, x, ax []float32) (dx []float32) {
	dx, dax := make([]float32, loraWidth), make([]float32, loraRank)
	outer(l.db, dy, ax)
	transposed(dax, l.b, dy)
	outer(l.da, dax, x)
	transposed(dx, l.a, dax)
	transposed(dx, l.w, dy)
	return dx
}

// trainLoRA adapts a network of two layers to a task that is the same network with a small matrix
// of that rank added to each W.
func trainLoRA(workers int) (r result, err error) {
	const batch, steps = 32, 400
	rng := rand.New(rand.NewPCG(5, 0))
	as, bs := adam.Group{Config: adam.DefaultW()}, adam.Group{Config: adam.DefaultW()}
	var model, task [2]*loraLayer
	var trained [][]float32
	for i := range model {
		w := make([]float32, loraWidth*loraWidth)
		uniform(rng, w, 0.5)
		task[i] = newLoraLayer(rng, w)
		uniform(rng, task[i].b, 0.3)
		l := newLoraLayer(rng, w)
		as.Params = append(as.Params, adam.Param{Name: fmt.Sprint(i, ".A"), Value: l.a, Grad: l.da})
		bs.Params = append(bs.Params, adam.Param{Name: fmt.Sprint(i, ".B"), Value: l.b, Grad: l.db})
		model[i], trained = l, append(trained, l.a, l.b)
	}
	opt, err := adam.New(adam.Options{ZeroGrad: true, Workers: workers}, as, bs)
	if err != nil {
		return r, err
	}
	defer opt.Close()
	opt.GradScale = batch
	rate := schedule.Cosine(0.005, 0, steps)
	for opt.T < steps {
		loss := 0.0
		for range batch {
			x := make([]float32, loraWidth)
			uniform(rng, x, 1)
			want, _ := task[0].forward(x)
			relu(want)
			want, _ = task[1].forward(want)

			h, ax := model[0].forward(x)
			relu(h)
			y, ah := model[1].forward(h)
			dy, l := difference(y, want)
			dh := model[1].backward(dy, h, ah)
			reluGrad(dh, h)
			model[0].backward(dh, x, ax)
			loss += l / batch
		}
		opt.Groups[0].Config.LR = rate(opt.T)
		opt.Groups[1].Config.LR = 4 * rate(opt.T)
		if _, err := opt.Step(); err != nil {
			return r, err
		}
		r.see(loss)
	}
	r.sum = checksum.Of(trained...)
	r.note = fmt.Sprintf("%d parameters trained, %d frozen",
		len(trained)*loraWidth*loraRank, len(model)*loraWidth*loraWidth)
	return r, nil
}
