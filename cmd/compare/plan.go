package main

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"sync"

	"github.com/fusedadam/adam/cmd/compare/internal/result"
	"github.com/fusedadam/adam/cmd/compare/internal/train"
	"github.com/fusedadam/adam/internal/progress"
	"github.com/fusedadam/adam/internal/stats"
)

// plan says how much is trained.
type plan struct {
	share       int // the steps of a task are divided by it
	rates, more int // learning rates of the grid, and how far it may be extended
	seeds       int // of the runs with the best learning rate
	points      int // of their curves
	validated   int // examples of the validation part
	tested      int // and of the test part that are evaluated at each point
}

var (
	full  = plan{share: 1, rates: 5, more: 4, seeds: 3, points: 25, validated: 5000, tested: 10000}
	brief = plan{share: 50, rates: 3, seeds: 1, points: 2, validated: 500, tested: 500}
)

// run trains all tasks. The sweeps of different optimizers run at once, on all cores. The runs with
// the best learning rates are for the clock as well: one after the other, all optimizers with one
// seed, then with the next.
func (p plan) run(j *journal, tasks ...*train.Task) ([]*result.Task, error) {
	optimizers := len(train.Optimizers)
	bar := progress.New(len(tasks)*optimizers*(p.rates+p.seeds), "")
	defer bar.Clear()
	var results []*result.Task
	for _, task := range tasks {
		t := &result.Task{
			Name: task.Name, Title: task.Title, Classes: task.Classes,
			Parameters: task.Parameters(),
			Batch:      task.Batch, Steps: task.Steps / p.share, Examples: task.Train.N,
		}
		results = append(results, t)
		bar.Name(task.Name + ", sweeps")
		best, err := p.sweeps(j, task, t, bar)
		if err != nil {
			return nil, err
		}
		for seed := range uint64(p.seeds) {
			for i, o := range train.Optimizers {
				bar.Name(task.Name + ", " + o.Name)
				r := &result.Run{Optimizer: o.Name, LR: rate(best[i]), Seed: seed + 1,
					Part: result.Test}
				if err := j.do(t.Name, r,
					func() error { return p.test(task, t.Steps, o, r) }); err != nil {
					return nil, err
				}
				t.Runs = append(t.Runs, *r)
				bar.Add(1)
			}
		}
	}
	return results, nil
}

// sweeps appends the runs of the sweeps to t and returns the best learning rate of each optimizer
// as k of rate.
func (p plan) sweeps(j *journal, task *train.Task, t *result.Task, bar *progress.Bar) (best []int,
	err error) {
	n := len(train.Optimizers)
	best = make([]int, n)
	runs, errs := make([][]result.Run, n), make([]error, n)
	var wait sync.WaitGroup
	free := make(chan struct{}, runtime.GOMAXPROCS(0))
	for i, o := range train.Optimizers {
		wait.Go(func() {
			free <- struct{}{}
			defer func() { <-free }()
			best[i], errs[i] = sweep(o.Usual, p.rates, p.more, func(k int) (float64, error) {
				r := &result.Run{Optimizer: o.Name, LR: rate(k), Part: result.Validation}
				if err := j.do(t.Name, r,
					func() error { return p.validate(task, t.Steps, o, r) }); err != nil {
					return 0, err
				}
				runs[i] = append(runs[i], *r)
				if len(runs[i]) > p.rates {
					bar.Grow(1)
				}
				bar.Add(1)
				return r.Final(), nil
			})
		})
	}
	wait.Wait()
	for i := range runs {
		t.Runs = append(t.Runs, runs[i]...)
	}
	return best, errors.Join(errs...)
}

// validate makes a run of a sweep.
func (p plan) validate(task *train.Task, steps int, o train.Optimizer, r *result.Run) error {
	tr, err := train.NewTrainer(task, o, r.LR, r.Seed, steps)
	if err != nil {
		return err
	}
	defer tr.Close()
	_, err = p.advance(tr, r, steps, task.Validation, p.validated)
	return err
}

// test makes a run with the best learning rate. With the first seed and our Adam it also looks at
// the moments, early and at the end.
func (p plan) test(task *train.Task, steps int, o train.Optimizer, r *result.Run) error {
	tr, err := train.NewTrainer(task, o, r.LR, r.Seed, steps)
	if err != nil {
		return err
	}
	defer tr.Close()
	early := (p.points + 9) / 10
	var score *train.Score
	for i := 1; i <= p.points && !r.Diverged; i++ {
		if score, err = p.advance(tr, r, steps*i/p.points, task.Test, p.tested); err != nil {
			return err
		}
		if o.Name == result.Adam && r.Seed == 1 && !r.Diverged && (i == early || i == p.points) {
			moments := tr.Moments()
			r.Layers = append(r.Layers, layers(moments, tr.Step)...)
			if i == p.points && task.Symbols != nil {
				r.Symbols = symbols(task, moments[0])
			}
		}
	}
	if task.Symbols != nil && !r.Diverged {
		r.Groups = groups(task.Counts, score)
	}
	return nil
}

// advance trains until the given number of steps has been made and appends a point to r, unless it
// diverges.
func (p plan) advance(tr *train.Trainer, r *result.Run, steps int, set train.Set,
	examples int) (*train.Score, error) {
	loss, err := tr.Train(steps - tr.Step)
	if err != nil {
		return nil, err
	}
	r.Digest = fmt.Sprintf("%08x", tr.Digest())
	r.Seconds, r.SolverSeconds = result.Round(tr.Time.Seconds()),
		result.Round(tr.SolverTime.Seconds())
	score, err := tr.Evaluate(set, examples)
	if err != nil {
		return nil, err
	}
	if !finite(loss) || !finite(score.Loss) {
		r.Diverged = true
		return score, nil
	}
	r.Points = append(r.Points, result.Point{
		Step: tr.Step, Seconds: r.Seconds,
		Training: result.Round(loss), Loss: result.Round(score.Loss),
		Accuracy: result.Round(score.Accuracy),
	})
	return score, nil
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }

// layers summarizes moments after so many steps.
func layers(all []train.Moments, step int) []result.Layer {
	var list []result.Layer
	for _, m := range all {
		l := result.Layer{Name: m.Name, Step: step}
		var rates, moved []float64
		for i, r := range m.Rate {
			if finite(r) {
				rates, moved = append(rates, r), append(moved, m.Moved[i])
			}
		}
		l.Still = result.Round(1 - float64(len(rates))/float64(len(m.Rate)))
		if len(rates) > 0 {
			l.Rate, l.Moved = quantiles(rates), quantiles(moved)
		}
		list = append(list, l)
	}
	return list
}

// quantiles returns those of result.Probabilities.
func quantiles(x []float64) []float64 {
	q := stats.Quantiles(x, result.Probabilities...)
	for i := range q {
		q[i] = result.Round(q[i])
	}
	return q
}

// symbols returns the classes whose row of the first layer has had a gradient.
func symbols(task *train.Task, first train.Moments) []result.Symbol {
	width := first.Shape[1]
	var list []result.Symbol
	for i, text := range task.Symbols {
		if median := stats.Median(first.Rate[i*width:][:width]); finite(median) {
			list = append(list, result.Symbol{Text: text, Count: task.Counts[i],
				Rate: result.Round(median)})
		}
	}
	return list
}

// groups splits the examples of a score by the share that their label has of the training examples.
func groups(counts []int, score *train.Score) []result.Group {
	all := 0
	for _, n := range counts {
		all += n
	}
	list := []result.Group{{From: 0.01, To: 1}, {From: 0.001, To: 0.01}, {From: 0, To: 0.001}}
	for i := range list {
		g := &list[i]
		for c, n := range counts {
			if share := float64(n) / float64(all); share >= g.From && share < g.To &&
				score.Examples[c] > 0 {
				g.Classes++
				g.Examples += score.Examples[c]
				g.Loss += score.ByClass[c] * float64(score.Examples[c])
			}
		}
		if g.Examples > 0 {
			g.Loss = result.Round(g.Loss / float64(g.Examples))
		}
	}
	return list
}
