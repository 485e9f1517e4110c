package train

import (
	"math"
	"math/rand/v2"
	"time"

	"github.com/fusedadam/adam"
	"github.com/fusedadam/adam/internal/stats"
	"github.com/fusedadam/adam/schedule"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// evaluated is the number of examples that are evaluated at once.
const evaluated = 500

// Trainer trains a network with one optimizer. All trainers of one task and seed begin with the
// same parameters and see the same batches.
type Trainer struct {
	Step          int           // completed steps
	Time          time.Duration // of all steps
	SolverTime    time.Duration // the solver's part of it
	task          *Task
	steps         int
	lr            float64
	rate          schedule.Schedule
	solver        Solver
	rng           *rand.Rand
	params        []*tensor.Dense
	model         []gorgonia.ValueGrad
	train, assess *graph
	digest        digest
	examples      []int
}

// NewTrainer returns a trainer for so many steps, in which the learning rate falls from lr to 0
// along a cosine.
func NewTrainer(task *Task, o Optimizer, lr float64, seed uint64, steps int) (*Trainer, error) {
	t := &Trainer{
		task: task, steps: steps, lr: lr, rate: schedule.Cosine(1, 0, steps), solver: o.New(),
		rng: rand.New(rand.NewPCG(seed, 1)), params: task.initial(seed),
		examples: make([]int, task.Batch),
	}
	for _, p := range t.params {
		for _, x := range p.Float32s() {
			t.digest.add(math.Float32bits(x))
		}
	}
	var err error
	if t.train, err = task.newGraph(t.params, task.Batch, true); err != nil {
		return nil, err
	}
	if t.assess, err = task.newGraph(t.params, evaluated, false); err != nil {
		return nil, err
	}
	t.model = gorgonia.NodesToValueGrads(t.train.params)
	return t, nil
}

// Close frees what t has.
func (t *Trainer) Close() {
	t.train.machine.Close()
	t.assess.machine.Close()
	if s, ok := t.solver.(ours); ok {
		s.Close()
	}
}

// Train makes n steps and returns the mean of the losses of their batches. A batch is drawn at
// random, with replacement. If a loss is NaN or Inf it returns that at once.
func (t *Trainer) Train(n int) (loss float64, err error) {
	for range n {
		start := time.Now()
		for i := range t.examples {
			t.examples[i] = t.rng.IntN(t.task.Train.N)
			t.digest.add(uint32(t.examples[i]))
		}
		l, err := t.train.run(t.task.Train, t.examples)
		if err != nil || math.IsNaN(l) || math.IsInf(l, 0) {
			return l, err
		}
		loss += l / float64(n)
		t.solver.SetLR(t.lr * t.rate(uint64(t.Step)))
		solving := time.Now()
		if err := t.solver.Step(t.model); err != nil {
			return 0, err
		}
		end := time.Now()
		t.SolverTime += end.Sub(solving)
		t.Time += end.Sub(start)
		t.Step++
	}
	return loss, nil
}

// Digest is a checksum of the initial parameters and of the examples of all batches so far.
func (t *Trainer) Digest() uint32 { return t.digest.sum }

// Score is how well the network does on a set.
type Score struct {
	Loss     float64 // mean cross entropy, in nats
	Accuracy float64
	ByClass  []float64 // mean loss of the examples with each label, NaN where there are none
	Examples []int     // with each label
}

// Evaluate scores the network on n examples, a multiple of 500, spread evenly over the set.
func (t *Trainer) Evaluate(set Set, n int) (*Score, error) {
	classes := t.task.Classes
	s := &Score{ByClass: make([]float64, classes), Examples: make([]int, classes)}
	right := 0
	examples := make([]int, evaluated)
	for from := 0; from < n; from += evaluated {
		for i := range examples {
			examples[i] = (from + i) * set.N / n
		}
		if _, err := t.assess.run(set, examples); err != nil {
			return nil, err
		}
		logp := t.assess.logp.(*tensor.Dense).Float32s()
		for i, label := range t.assess.labels {
			row := logp[i*classes:][:classes]
			s.Loss -= float64(row[label])
			s.ByClass[label] -= float64(row[label])
			s.Examples[label]++
			if stats.Argmax(row) == label {
				right++
			}
		}
	}
	s.Loss /= float64(n)
	s.Accuracy = float64(right) / float64(n)
	for c := range s.ByClass {
		s.ByClass[c] /= float64(s.Examples[c])
	}
	return s, nil
}

// Moments is what Adam knows of a layer.
type Moments struct {
	Layer
	// Rate is LR/(√v̂+ε) of each parameter, its own learning rate, with LR as it was before the
	// schedule. Moved is |m̂|/(√v̂+ε), the length of its last step over LR. Parameters whose
	// gradient has always been 0 have v̂ = 0: their Rate is +Inf and Moved 0.
	Rate, Moved []float64
}

// Moments returns those of all layers after at least one step of this project's Adam.
func (t *Trainer) Moments() []Moments {
	s := t.solver.(ours)
	var all []Moments
	for _, l := range t.task.Layers {
		all = append(all, moments(l, s.Optimizer().State(l.Name), s.Config, t.lr))
	}
	return all
}

func moments(l Layer, s *adam.State, c adam.Config, lr float64) Moments {
	m := Moments{Layer: l}
	m1, m2 := 1-math.Pow(c.Beta1, float64(s.T)), 1-math.Pow(c.Beta2, float64(s.T))
	for i, v := range s.V {
		rate := math.Inf(1)
		moved := 0.0
		if v > 0 {
			d := math.Sqrt(float64(v)/m2) + c.Eps
			rate, moved = lr/d, math.Abs(float64(s.M[i]))/m1/d
		}
		m.Rate, m.Moved = append(m.Rate, rate), append(m.Moved, moved)
	}
	return m
}
