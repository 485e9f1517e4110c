package main

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/fusedadam/adam"
	"github.com/fusedadam/adam/schedule"
)

// maxNorm is the largest norm of the gradients: larger ones, in most steps after the first
// hundred, are scaled down to it.
const maxNorm = 0.02

// A trainer trains a model, either by the rows that a batch uses or with the whole tables.
type trainer struct {
	options
	uses  *uses
	model *model
	opt   *adam.Optimizer
	rate  schedule.Schedule

	learn func(samples []sample) float64 // sets the gradients, and returns the sum of the losses

	steps, elements int           // made, and of the gradients in them
	time            time.Duration // of the optimizer in them
}

// newTrainer returns one that begins as every other of the same options does.
func newTrainer(u *uses, o options, dense bool) (t *trainer, err error) {
	m := newModel(u, o.width, o.negatives, o.seed)
	t = &trainer{options: o, uses: u, model: m}
	group := adam.Group{Config: adam.Default()}
	if dense {
		files := adam.Param{Name: "files", Value: m.files, Grad: make([]float32, len(m.files))}
		names := adam.Param{Name: "names", Value: m.names, Grad: make([]float32, len(m.names))}
		group.Params = []adam.Param{files, names}
		t.learn = func(samples []sample) float64 {
			return m.learn(samples,
				func(id int32) []float32 { return row(files.Grad, m.width, id).Data },
				func(id int32) []float32 { return row(names.Grad, m.width, id).Data })
		}
	} else {
		group.Tables = []adam.Table{{Name: "files", Width: m.width, Value: m.files},
			{Name: "names", Width: m.width, Value: m.names}}
		files, names := rows{width: m.width}, rows{width: m.width}
		var ids [2][]int32
		t.learn = func(samples []sample) float64 {
			ids[0], ids[1] = ids[0][:0], ids[1][:0]
			for _, s := range samples {
				ids[0], ids[1] = append(ids[0], s.file), append(ids[1], s.name)
			}
			files.begin(ids[0])
			names.begin(ids[1])
			tables := t.opt.Groups[0].Tables
			tables[0].Rows, tables[0].Grad = files.ids, files.grads
			tables[1].Rows, tables[1].Grad = names.ids, names.grads
			return m.learn(samples, files.grad, names.grad)
		}
	}
	t.opt, err = adam.New(adam.Options{MaxNorm: maxNorm, ZeroGrad: true}, group)
	if err != nil {
		return nil, err
	}
	t.rate = schedule.Linear(o.lr, 0, o.epochs*o.batches(u))
	return t, nil
}

// batches is the number of steps of an epoch.
func (o options) batches(u *uses) int { return (len(u.train) + o.batch - 1) / o.batch }

// epoch goes through all pairs once, in an order and with negatives that the seed and the number of
// the epoch decide. It returns the mean loss.
func (t *trainer) epoch(number int) (float64, error) {
	rng := rand.New(rand.NewPCG(t.seed, uint64(2+number)))
	order := rng.Perm(len(t.uses.train))
	sum := 0.0
	var samples []sample
	for len(order) > 0 {
		n := min(t.batch, len(order))
		samples = samples[:0]
		for _, i := range order[:n] {
			samples = t.add(samples, rng, t.uses.train[i])
		}
		order = order[n:]
		sum += t.learn(samples)
		if err := t.step(len(samples)); err != nil {
			return 0, err
		}
	}
	return sum / float64(len(t.uses.train)*(1+t.negatives)), nil
}

// add appends a pair and its negatives.
func (t *trainer) add(samples []sample, rng *rand.Rand, p pair) []sample {
	samples = append(samples, sample{p, true})
	for range t.negatives {
		name := t.uses.train[rng.IntN(len(t.uses.train))].name
		samples = append(samples, sample{pair{p.file, name}, false})
	}
	return samples
}

// step makes one step with the gradients of so many samples.
func (t *trainer) step(samples int) error {
	group := &t.opt.Groups[0]
	for _, p := range group.Params {
		t.elements += len(p.Grad)
	}
	for _, p := range group.Tables {
		t.elements += len(p.Grad)
	}
	group.Config.LR = t.rate(t.opt.T)
	t.opt.GradScale = float64(samples)
	began := time.Now()
	_, err := t.opt.Step()
	t.time += time.Since(began)
	t.steps++
	return err
}

// heldOut returns the mean loss over the pairs held out, with negatives that are the same in every
// call, and the share of negatives with a lower score than the pair that they were drawn for: 1/2
// for a model that knows nothing.
func (t *trainer) heldOut() (loss, lower float64) {
	rng := rand.New(rand.NewPCG(t.seed, 0))
	var samples []sample
	for _, p := range t.uses.held {
		samples = t.add(samples[:0], rng, p)
		used := t.model.score(p)
		for _, s := range samples {
			l, _ := t.model.loss(s)
			loss += l
			if !s.used && t.model.score(s.pair) < used {
				lower++
			}
		}
	}
	n := float64(len(t.uses.held))
	return loss / (n * float64(1+t.negatives)), lower / (n * float64(t.negatives))
}

// often is in how many files a name must be to be recommended.
const often = 30

// recommend returns n names that the file does not use and that fit it best.
func (t *trainer) recommend(file int32, n int) (names []string) {
	count := make([]int, len(t.uses.names))
	for _, p := range slices.Concat(t.uses.train, t.uses.held) {
		count[p.name]++
		if p.file == file {
			count[p.name] = math.MinInt
		}
	}
	var ids []int32
	for id, c := range count {
		if c >= often {
			ids = append(ids, int32(id))
		}
	}
	slices.SortStableFunc(ids, func(a, b int32) int {
		return cmp.Compare(t.model.score(pair{file, b}), t.model.score(pair{file, a}))
	})
	for _, id := range ids[:min(n, len(ids))] {
		names = append(names, t.uses.names[id])
	}
	return names
}
