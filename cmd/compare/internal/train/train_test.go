package train

import (
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/fusedadam/adam"
	"github.com/fusedadam/adam/cmd/compare/internal/result"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

var tasks = sync.OnceValues(func() ([]*Task, error) {
	d, err := Digits("")
	if err != nil {
		return nil, err
	}
	c, err := Characters("")
	return []*Task{d, c}, err
})

func mustTasks(t *testing.T) []*Task {
	t.Helper()
	list, err := tasks()
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func optimizer(t *testing.T, name string) Optimizer {
	t.Helper()
	i := slices.IndexFunc(Optimizers, func(o Optimizer) bool { return o.Name == name })
	if i < 0 {
		t.Fatalf("no optimizer %q", name)
	}
	return Optimizers[i]
}

func mustTrainer(t *testing.T, task *Task, o Optimizer, lr float64, seed uint64,
	steps int) *Trainer {
	t.Helper()
	tr, err := NewTrainer(task, o, lr, seed, steps)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tr.Close)
	return tr
}

// product is x·w+b of one row.
func product(x, w, b []float64) []float64 {
	z := slices.Clone(b)
	for i, v := range x {
		for j := range z {
			z[j] += v * w[i*len(b)+j]
		}
	}
	return z
}

func apply(x []float64, f func(float64) float64) []float64 {
	for i, v := range x {
		x[i] = f(v)
	}
	return x
}

// plain computes the loss of one example without a graph.
func plain(task *Task, p [][]float64, x []float64, label int) float64 {
	relu := func(v float64) float64 { return max(v, 0) }
	var z []float64
	if task.Name == "digits" {
		h := apply(product(x, p[0], p[1]), relu)
		z = product(apply(product(h, p[2], p[3]), relu), p[4], p[5])
	} else {
		width := task.Layers[0].Shape[1]
		var e []float64
		for row := range slices.Chunk(x, task.Classes) {
			e = append(e, p[0][slices.Index(row, 1)*width:][:width]...)
		}
		z = product(apply(product(e, p[1], p[2]), math.Tanh), p[3], p[4])
	}
	sum := 0.0
	for _, v := range z {
		sum += math.Exp(v)
	}
	return math.Log(sum) - z[label]
}

// The loss is the mean of what plain code computes, and the gradients are its central differences:
// of some parameters of each layer, those with the largest gradients among them.
func TestGradients(t *testing.T) {
	const batch, h = 6, 1e-6
	for _, task := range mustTasks(t) {
		params := task.initial(3)
		rng := rand.New(rand.NewPCG(4, 0))
		for _, p := range params { // biases begin with 0
			for i := range p.Float32s() {
				p.Float32s()[i] += float32(0.1 * rng.NormFloat64())
			}
		}
		g, err := task.newGraph(params, batch, true)
		if err != nil {
			t.Fatal(err)
		}
		examples := rng.Perm(1000)[:batch]
		got, err := g.run(task.Train, examples)
		if err != nil {
			t.Fatal(err)
		}
		var doubles [][]float64
		for _, p := range params {
			d := make([]float64, p.Size())
			for i, v := range p.Float32s() {
				d[i] = float64(v)
			}
			doubles = append(doubles, d)
		}
		loss := func() float64 {
			sum := 0.0
			for _, example := range examples {
				x := make([]float32, g.width)
				label := task.Train.Fill(example, x)
				d := make([]float64, len(x))
				for i, v := range x {
					d[i] = float64(v)
				}
				sum += plain(task, doubles, d, label)
			}
			return sum / batch
		}
		if want := loss(); math.Abs(got-want) > 1e-5*want {
			t.Errorf("%s: loss %v, want %v", task.Name, got, want)
		}
		for i, l := range task.Layers {
			v, err := g.params[i].Grad()
			if err != nil {
				t.Fatal(err)
			}
			grads := v.(*tensor.Dense).Float32s()
			chosen := append(rng.Perm(len(grads))[:min(10, len(grads))], largest(grads),
				len(grads)-1)
			for _, j := range chosen {
				p := &doubles[i][j]
				at := *p
				*p = at + h
				up := loss()
				*p = at - h
				want := (up - loss()) / (2 * h)
				*p = at
				if math.Abs(float64(grads[j])-want) > 1e-6+1e-4*math.Abs(want) {
					t.Errorf("%s: gradient of %s[%d] is %v, want %v", task.Name, l.Name, j,
						grads[j], want)
				}
			}
		}
		if err := g.machine.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func largest(x []float32) int {
	best := 0
	for i, v := range x {
		if math.Abs(float64(v)) > math.Abs(float64(x[best])) {
			best = i
		}
	}
	return best
}

// All optimizers begin with the same parameters and see the same batches, others with another seed;
// and a run can be repeated to the bit, whatever else the machine does.
func TestSameStart(t *testing.T) {
	for _, task := range mustTasks(t) {
		digests := map[uint64]uint32{}
		starts := map[uint64][]float32{}
		for _, seed := range []uint64{1, 2} {
			var first [][]float32
			for _, o := range Optimizers {
				tr := mustTrainer(t, task, o, 1e-3, seed, 4)
				var params [][]float32
				for _, p := range tr.params {
					params = append(params, slices.Clone(p.Float32s()))
				}
				if first == nil {
					first = params
				}
				for i := range params {
					if !slices.Equal(params[i], first[i]) {
						t.Errorf("%s, seed %d, %s: other initial %s", task.Name, seed, o.Name,
							task.Layers[i].Name)
					}
				}
				if _, err := tr.Train(4); err != nil {
					t.Fatal(err)
				}
				if d, ok := digests[seed]; ok && d != tr.Digest() {
					t.Errorf("%s, seed %d, %s: other parameters or batches", task.Name, seed,
						o.Name)
				}
				digests[seed], starts[seed] = tr.Digest(), first[0]
				if slices.Equal(tr.params[0].Float32s(), first[0]) {
					t.Errorf("%s, %s: no parameter has changed", task.Name, o.Name)
				}
			}
		}
		if digests[1] == digests[2] {
			t.Errorf("%s: two seeds have one digest", task.Name)
		}
		if slices.Equal(starts[1], starts[2]) {
			t.Errorf("%s: two seeds begin with the same parameters", task.Name)
		}
		var ends [2][]float32
		var wait sync.WaitGroup
		for i := range ends {
			tr := mustTrainer(t, task, Optimizers[0], 1e-3, 1, 30)
			wait.Go(func() {
				if _, err := tr.Train(30); err != nil {
					t.Error(err)
				}
				ends[i] = tr.params[0].Float32s()
			})
		}
		wait.Wait()
		if !slices.Equal(ends[0], ends[1]) {
			t.Errorf("%s: two runs with one seed end in different parameters", task.Name)
		}
	}
}

// Both tasks are learnt, and the score is that of the parameters as they are: by class it adds up
// to the whole.
func TestTrain(t *testing.T) {
	want := map[string]float64{"digits": 0.85, "characters": 0.22}
	for _, task := range mustTasks(t) {
		tr := mustTrainer(t, task, optimizer(t, result.Adam), 3e-3, 1, 200)
		before, err := tr.Evaluate(task.Test, 500)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tr.Train(200); err != nil {
			t.Fatal(err)
		}
		after, err := tr.Evaluate(task.Test, 1000)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: loss %.3f to %.3f, accuracy %.3f to %.3f", task.Name, before.Loss, after.Loss,
			before.Accuracy, after.Accuracy)
		if after.Loss > before.Loss*0.75 || after.Accuracy < want[task.Name] {
			t.Errorf("%s: loss %v to %v, accuracy %v", task.Name, before.Loss, after.Loss,
				after.Accuracy)
		}
		sum, n := 0.0, 0
		for c, l := range after.ByClass {
			if after.Examples[c] > 0 {
				sum, n = sum+l*float64(after.Examples[c]), n+after.Examples[c]
			}
		}
		if n != 1000 || math.Abs(sum/1000-after.Loss) > 1e-6 {
			t.Errorf("%s: the classes have %d examples and a mean loss of %v, want 1000 and %v",
				task.Name, n, sum/1000, after.Loss)
		}
		if tr.Step != 200 || tr.SolverTime <= 0 || tr.SolverTime >= tr.Time {
			t.Errorf("%s: %d steps in %v, %v of it in the solver", task.Name, tr.Step, tr.Time,
				tr.SolverTime)
		}
		if all := tr.Moments(); len(all) != len(task.Layers) ||
			len(all[0].Rate) != tr.params[0].Size() {
			t.Errorf("%s: moments of %d layers", task.Name, len(all))
		}
	}
}

// A learning rate that is far too large ends the run with a loss that is not finite, before its
// end.
func TestDivergence(t *testing.T) {
	tr := mustTrainer(t, mustTasks(t)[0], optimizer(t, result.SGD), 1e6, 1, 50)
	loss, err := tr.Train(50)
	if err != nil || !math.IsNaN(loss) && !math.IsInf(loss, 0) || tr.Step >= 50 {
		t.Errorf("loss %v after %d steps, error %v", loss, tr.Step, err)
	}
}

// recorder is a solver that only keeps the learning rates it is given.
type recorder struct{ rates []float64 }

func (r *recorder) SetLR(lr float64)                { r.rates = append(r.rates, lr) }
func (r *recorder) Step([]gorgonia.ValueGrad) error { return nil }

// The learning rate falls along half a cosine.
func TestSchedule(t *testing.T) {
	r := new(recorder)
	tr := mustTrainer(t, mustTasks(t)[1], Optimizer{New: func() Solver { return r }}, 0.5, 1, 9)
	for range 3 {
		if _, err := tr.Train(3); err != nil {
			t.Fatal(err)
		}
	}
	for i, got := range r.rates {
		if want := 0.25 * (1 + math.Cos(math.Pi*float64(i)/9)); math.Abs(got-want) > 1e-12 {
			t.Errorf("step %d: learning rate %v, want %v", i, got, want)
		}
	}
	if len(r.rates) != 9 {
		t.Errorf("%d learning rates", len(r.rates))
	}
}

// Examples are evaluated once each, spread over the set.
func TestEvaluate(t *testing.T) {
	task := mustTasks(t)[0]
	tr := mustTrainer(t, task, Optimizers[0], 1e-3, 1, 1)
	var filled []int
	set := Set{3000,
		func(i int, x []float32) int { filled = append(filled, i); return task.Test.Fill(i, x) }}
	if _, err := tr.Evaluate(set, 1000); err != nil {
		t.Fatal(err)
	}
	for i, got := range filled {
		if got != 3*i {
			t.Fatalf("example %d is %d of the set, want %d", i, got, 3*i)
		}
	}
	if len(filled) != 1000 {
		t.Errorf("%d examples", len(filled))
	}
}

// The parts of a task have no example in common, and labels and inputs are what they say.
func TestParts(t *testing.T) {
	list := mustTasks(t)
	if d := list[0]; d.Train.N != 55000 || d.Validation.N != 5000 || d.Test.N != 10000 {
		t.Errorf("digits: %d, %d and %d examples", d.Train.N, d.Validation.N, d.Test.N)
	}
	c := list[1]
	for i, gap := range []int{0, 8} { // a context of the text belongs to one part only
		task := list[i]
		second := task.Train.N + gap
		for part, at := range map[*Set]int{&task.Validation: second, &task.Test: second +
			task.Validation.N + gap} {
			if i == 0 && part == &task.Test {
				continue // from files of its own
			}
			x := make([]float32, max(784, 8*c.Classes))
			y := slices.Clone(x)
			if a, b := part.Fill(3, x), task.Train.Fill(at+3, y); a != b || !slices.Equal(x, y) {
				t.Errorf("%s: a part does not begin at example %d", task.Name, at)
			}
		}
	}
	symbol := func(row []float32) string { return c.Symbols[slices.Index(row, 1)] }
	read := func(s Set, i int) (text string) {
		x := make([]float32, 8*c.Classes)
		label := s.Fill(i, x)
		for row := range slices.Chunk(x, c.Classes) {
			text += symbol(row)
		}
		return text + "→" + c.Symbols[label]
	}
	if got := read(c.Train, 0); got != "Produced→ " {
		t.Errorf("the first example is %q", got)
	}
	total := c.Train.N + c.Validation.N + c.Test.N
	if total != 567038-3*8 {
		t.Errorf("%d characters are predicted", total)
	}
	sum := 0
	for _, n := range c.Counts {
		sum += n
	}
	if sum != c.Train.N {
		t.Errorf("the counts add up to %d, want %d", sum, c.Train.N)
	}
}

// A parameter's own learning rate and its step over LR are those by which adam moves it.
func TestMoments(t *testing.T) {
	c := adam.Default()
	c.LR = 0.02
	s := adam.NewState(3, c)
	p := []float32{1, 1, 1}
	for _, g := range [][]float32{{1, 0, 0.01}, {3, 0, -0.02}} {
		if err := s.Step(p, g, c); err != nil {
			t.Fatal(err)
		}
	}
	before := slices.Clone(p)
	if err := s.Step(p, []float32{2, 0, 0.05}, c); err != nil {
		t.Fatal(err)
	}
	m := moments(Layer{}, s, c, c.LR)
	for i := range p {
		if moved := math.Abs(float64(p[i]-before[i])) / c.LR; math.Abs(moved-m.Moved[i]) > 1e-4 {
			t.Errorf("parameter %d: moved %v of LR, want %v", i, m.Moved[i], moved)
		}
	}
	for i, want := range []float64{0.02 / math.Sqrt((0.998001*1+0.999*9+4)/(1+0.999+0.998001)),
		math.Inf(1)} {
		if got := m.Rate[i]; got != want && math.Abs(got-want) > 1e-5 {
			t.Errorf("parameter %d: rate %v, want %v", i, got, want)
		}
	}
}
