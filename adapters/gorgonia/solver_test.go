package adamgorgonia_test

import (
	"errors"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/fusedadam/adam"
	adamgorgonia "github.com/fusedadam/adam/adapters/gorgonia"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// leaf is a tensor of a model without a graph.
type leaf struct {
	name        string
	value, grad gorgonia.Value
}

func (l *leaf) Name() string                  { return l.name }
func (l *leaf) Value() gorgonia.Value         { return l.value }
func (l *leaf) Grad() (gorgonia.Value, error) { return l.grad, nil }

// dense returns a tensor with numbers of the normal distribution, *gorgonia.F32 if the shape is empty.
func dense(r *rand.Rand, shape ...int) gorgonia.Value {
	x := make([]float32, tensor.Shape(shape).TotalSize())
	for i := range x {
		x[i] = float32(r.NormFloat64())
	}
	if len(shape) == 0 {
		return gorgonia.NewF32(x[0])
	}
	return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(x))
}

// floats returns a copy of the elements of v.
func floats(v gorgonia.Value) []float32 {
	if x, ok := v.Data().([]float32); ok {
		return slices.Clone(x)
	}
	return []float32{v.Data().(float32)}
}

// newModel returns a model of tensors of several shapes, the same for each seed.
func newModel(seed uint64) []gorgonia.ValueGrad {
	r := rand.New(rand.NewPCG(seed, 1))
	var model []gorgonia.ValueGrad
	for _, t := range []struct {
		name  string
		shape []int
	}{{"matrix", []int{7, 5}}, {"bias", []int{5}}, {"scalar", nil}, {"kernel", []int{4, 3, 3, 3}}, {"column", []int{6, 1}}, {"one", []int{1, 1}}, {"large", []int{40, 257}}} {
		model = append(model, &leaf{t.name, dense(r, t.shape...), dense(r, t.shape...)})
	}
	return model
}

// recorded are the gradients of newModel in 300 steps, by step and tensor: noise around a mean of each element's
// own, with magnitudes from 1e-4 to 10. Some elements are always zero, some nearly always.
var recorded = sync.OnceValue(func() [][][]float32 {
	steps := make([][][]float32, 300)
	for i, n := range newModel(1) {
		elements := len(floats(n.Value()))
		r := rand.New(rand.NewPCG(uint64(i), 7))
		for step := range steps {
			steps[step] = append(steps[step], make([]float32, elements))
		}
		for j := range elements {
			magnitude, mean, kind := math.Pow(10, -4+5*r.Float64()), r.NormFloat64(), r.IntN(20)
			for step := range steps {
				if kind > 1 || kind == 1 && step%10 == 0 {
					steps[step][i][j] = float32(magnitude * (mean + r.NormFloat64()))
				}
			}
		}
	}
	return steps
})

// setGrads writes the gradients of a step into the model.
func setGrads(model []gorgonia.ValueGrad, step [][]float32) {
	for i, n := range model {
		switch g := n.(*leaf).grad.(type) {
		case *gorgonia.F32:
			*g = gorgonia.F32(step[i][0])
		case *tensor.Dense:
			copy(g.Float32s(), step[i])
		}
	}
}

// distance returns the largest |a-b|/max(|b|, lr) of the values of two models; NaN is Inf.
func distance(a, b []gorgonia.ValueGrad, lr float64) float64 {
	largest := 0.0
	for i := range a {
		x, y := floats(a[i].Value()), floats(b[i].Value())
		for j := range x {
			d := math.Abs(float64(x[j])-float64(y[j])) / max(math.Abs(float64(y[j])), lr)
			if math.IsNaN(d) {
				return math.Inf(1)
			}
			largest = max(largest, d)
		}
	}
	return largest
}

// asRounded changes LR and Eps such that they make good what Gorgonia takes for 1-β: that of float32(β).
func asRounded(c adam.Config) adam.Config {
	m := float64(1-float32(c.Beta1)) / (1 - c.Beta1)
	v := math.Sqrt(float64(1-float32(c.Beta2)) / (1 - c.Beta2))
	c.LR, c.Eps = c.LR*m/v, c.Eps/v
	return c
}

// The Configs of README.md do what the options of gorgonia.AdamSolver do: in 300 steps the parameters stay within
// k·max(|p|, LR).
func TestAgainstAdamSolver(t *testing.T) {
	withL2 := adam.Default()
	withL2.WeightDecay = 0.1
	withL2AndBatch := adam.Default()
	withL2AndBatch.WeightDecay = 0.1 / 32
	others := adam.Config{LR: 0.02, Beta1: 0.8, Beta2: 0.99, Eps: 1e-3}
	for _, test := range []struct {
		name    string
		host    []gorgonia.SolverOpt
		config  adam.Config
		options adam.Options
		scale   float64
		k       float64
	}{
		{"defaults", nil, adam.Default(), adam.Options{}, 1, 3e-3},
		{"defaults, rounded", nil, asRounded(adam.Default()), adam.Options{}, 1, 2e-4},
		{"others", []gorgonia.SolverOpt{gorgonia.WithLearnRate(0.02), gorgonia.WithBeta1(0.8), gorgonia.WithBeta2(0.99), gorgonia.WithEps(1e-3)},
			asRounded(others), adam.Options{}, 1, 2e-4},
		{"L2", []gorgonia.SolverOpt{gorgonia.WithL2Reg(0.1)}, asRounded(withL2), adam.Options{}, 1, 2e-4},
		{"batch", []gorgonia.SolverOpt{gorgonia.WithBatchSize(32)}, asRounded(adam.Default()), adam.Options{}, 32, 2e-4},
		{"batch and L2", []gorgonia.SolverOpt{gorgonia.WithBatchSize(32), gorgonia.WithL2Reg(0.1)}, asRounded(withL2AndBatch), adam.Options{}, 32, 2e-4},
		{"batch and clip", []gorgonia.SolverOpt{gorgonia.WithBatchSize(2), gorgonia.WithClip(0.5)}, asRounded(adam.Default()), adam.Options{MaxValue: 0.5}, 2, 2e-4},
	} {
		t.Run(test.name, func(t *testing.T) {
			theirs, ours := newModel(1), newModel(1)
			host := gorgonia.NewAdamSolver(test.host...)
			solver := adamgorgonia.New(test.config, test.options)
			defer solver.Close()
			if err := solver.Bind(ours); err != nil {
				t.Fatal(err)
			}
			solver.Optimizer().GradScale = test.scale
			largest := 0.0
			for _, step := range recorded() {
				setGrads(theirs, step)
				setGrads(ours, step)
				if err := host.Step(theirs); err != nil {
					t.Fatal(err)
				}
				if err := solver.Step(ours); err != nil {
					t.Fatal(err)
				}
				largest = max(largest, distance(ours, theirs, test.config.LR))
			}
			t.Logf("largest difference: %.3g·max(|p|, LR)", largest)
			if largest > test.k {
				t.Errorf("largest difference %.3g·max(|p|, LR), want at most %.3g", largest, test.k)
			}
			for i := range ours {
				g, err := ours[i].Grad()
				if err != nil || slices.ContainsFunc(floats(g), func(x float32) bool { return x != 0 }) {
					t.Errorf("gradient of %s is not zero after the step", ours[i].(*leaf).name)
				}
			}
		})
	}
}

// vector returns a tensor of one dimension.
func vector(x ...float32) *tensor.Dense {
	return tensor.New(tensor.WithShape(len(x)), tensor.WithBacking(x))
}

// What README.md says of Gorgonia's own solvers.
func TestGorgoniasSolvers(t *testing.T) {
	t.Run("AdamW does not step", func(t *testing.T) {
		w := gorgonia.NewVector(gorgonia.NewGraph(), tensor.Float32, gorgonia.WithShape(2), gorgonia.WithName("w"), gorgonia.WithValue(vector(1, 2)))
		loss := gorgonia.Must(gorgonia.Sum(gorgonia.Must(gorgonia.Square(w))))
		if _, err := gorgonia.Grad(loss, w); err != nil {
			t.Fatal(err)
		}
		vm := gorgonia.NewTapeMachine(w.Graph(), gorgonia.BindDualValues(w))
		defer vm.Close()
		solver := gorgonia.NewAdamW(gorgonia.WithLearnRate(0.1))
		for range 3 {
			if err := vm.RunAll(); err != nil {
				t.Fatal(err)
			}
			if err := solver.Step(gorgonia.NodesToValueGrads(gorgonia.Nodes{w})); err != nil {
				t.Fatal(err)
			}
			vm.Reset()
		}
		if got := floats(w.Value()); !slices.Equal(got, []float32{1, 2}) {
			t.Errorf("values are %v", got)
		}
	})
	t.Run("AdamSolver panics at the second step of a tensor without dimensions", func(t *testing.T) {
		model := []gorgonia.ValueGrad{&leaf{"s", tensor.New(tensor.FromScalar(float32(1))), tensor.New(tensor.FromScalar(float32(1)))}}
		solver := gorgonia.NewAdamSolver()
		if err := solver.Step(model); err != nil {
			t.Fatal(err)
		}
		defer func() {
			if recover() == nil {
				t.Error("no panic")
			}
		}()
		_ = solver.Step(model)
	})
	t.Run("an error leaves a half step", func(t *testing.T) {
		model := []gorgonia.ValueGrad{&leaf{"a", vector(1), vector(1)}, withoutGrad{&leaf{"b", vector(1), nil}}}
		if err := gorgonia.NewAdamSolver().Step(model); err == nil {
			t.Error("no error")
		}
		if got := floats(model[0].Value()); got[0] == 1 {
			t.Error("the first tensor has not been stepped")
		}
	})
	t.Run("WithClip clips the sum of gradient and L2 term", func(t *testing.T) {
		theirs := []gorgonia.ValueGrad{&leaf{"a", vector(-10), vector(1)}}
		ours := []gorgonia.ValueGrad{&leaf{"a", vector(-10), vector(1)}}
		host := gorgonia.NewAdamSolver(gorgonia.WithL2Reg(0.2), gorgonia.WithClip(1)) // 1 - 0.2·10 = -1
		c := adam.Default()
		c.WeightDecay = 0.2
		solver := adamgorgonia.New(c, adam.Options{MaxValue: 1})
		for _, g := range []float32{1, 5} {
			theirs[0].(*leaf).grad, ours[0].(*leaf).grad = vector(g), vector(g)
			if err := host.Step(theirs); err != nil {
				t.Fatal(err)
			}
			if err := solver.Step(ours); err != nil {
				t.Fatal(err)
			}
		}
		// Gorgonia has seen -1 and 1, this package -1 twice.
		up, down := floats(ours[0].Value())[0], floats(theirs[0].Value())[0]
		if math.Abs(float64(up)-(-10+0.002)) > 1e-5 || math.Abs(float64(down)-(-10+0.001-0.0000526)) > 1e-5 {
			t.Errorf("Gorgonia %v, this package %v", down, up)
		}
	})
}

// withoutGrad is a leaf before backpropagation.
type withoutGrad struct{ *leaf }

func (withoutGrad) Grad() (gorgonia.Value, error) { return nil, errors.New("no gradient yet") }

// All four kinds of scalars have the same bits as a vector of one.
func TestScalars(t *testing.T) {
	without := func() gorgonia.Value { return tensor.New(tensor.FromScalar(float32(1))) }
	f32 := func() gorgonia.Value { return gorgonia.NewF32(1) }
	model := []gorgonia.ValueGrad{
		&leaf{"vector", vector(1), vector(1)},
		&leaf{"F32", f32(), f32()}, &leaf{"Dense", without(), without()},
		&leaf{"F32 with Dense", f32(), without()}, &leaf{"Dense with F32", without(), f32()},
	}
	solver := adamgorgonia.New(adam.DefaultW(), adam.Options{})
	for range 5 {
		for _, n := range model {
			switch g := n.(*leaf).grad.(type) {
			case *gorgonia.F32:
				*g += 0.5
			case *tensor.Dense:
				g.Float32s()[0] += 0.5
			}
		}
		if err := solver.Step(model); err != nil {
			t.Fatal(err)
		}
	}
	want := floats(model[0].Value())[0]
	for _, n := range model {
		if got := floats(n.Value())[0]; got != want || got == 1 {
			t.Errorf("%s: %v, want %v", n.(*leaf).name, got, want)
		}
	}
}

// device is an engine whose memory Go cannot access.
type device struct{ tensor.StdEng }

func (device) AllocAccessible() bool { return false }

// snapshot returns all that a step may change.
func snapshot(solver *adamgorgonia.Solver, model []gorgonia.ValueGrad) (s [][]float32, t []uint64) {
	for _, n := range model {
		l := n.(*leaf)
		s = append(s, floats(l.value), floats(l.grad))
		if o := solver.Optimizer(); o != nil {
			state := o.State(l.name)
			s = append(s, slices.Clone(state.M), slices.Clone(state.V))
			t = append(t, state.T, o.T)
		}
	}
	return s, t
}

// What cannot be stepped is an error that names it, and nothing has changed: values, gradients and moments stay, and
// the next step goes as if nothing had been.
func TestErrors(t *testing.T) {
	float64s := tensor.New(tensor.WithShape(4, 3), tensor.WithBacking(make([]float64, 12)))
	wide := tensor.New(tensor.WithShape(4, 6), tensor.WithBacking(make([]float32, 24)))
	view, err := wide.Slice(nil, tensor.S(1, 4))
	if err != nil {
		t.Fatal(err)
	}
	transposed := tensor.New(tensor.WithShape(3, 4), tensor.WithBacking(make([]float32, 12)))
	if err := transposed.T(); err != nil {
		t.Fatal(err)
	}
	columns := tensor.New(tensor.WithShape(4, 3), tensor.AsFortran(make([]float32, 12)))
	masked := tensor.New(tensor.WithShape(4, 3), tensor.WithBacking(make([]float32, 12)), tensor.WithMask(make([]bool, 12)))
	far := tensor.New(tensor.WithShape(4, 3), tensor.WithBacking(make([]float32, 12)), tensor.WithEngine(device{}))
	other := tensor.New(tensor.WithShape(3, 4), tensor.WithBacking(make([]float32, 12)))
	set := func(value bool, v gorgonia.Value) func(model []gorgonia.ValueGrad) []gorgonia.ValueGrad {
		return func(model []gorgonia.ValueGrad) []gorgonia.ValueGrad {
			last := *model[len(model)-1].(*leaf)
			if value {
				last.value = v
			} else {
				last.grad = v
			}
			return append(slices.Clone(model[:len(model)-1]), &last)
		}
	}
	type test struct {
		name, want string
		spoil      func(model []gorgonia.ValueGrad) []gorgonia.ValueGrad
		later      bool // no error in the first step
	}
	tests := []test{
		{"no gradient", "no gradient yet", func(m []gorgonia.ValueGrad) []gorgonia.ValueGrad {
			return append(slices.Clone(m[:len(m)-1]), withoutGrad{m[len(m)-1].(*leaf)})
		}, false},
		{"shorter model", "the model has 2 tensors, it had 3", func(m []gorgonia.ValueGrad) []gorgonia.ValueGrad { return m[:2] }, true},
		{"longer model", "the model has 4 tensors, it had 3", func(m []gorgonia.ValueGrad) []gorgonia.ValueGrad { return append(slices.Clone(m), m[0]) }, true},
		{"other order", `tensor "b" of the model was "a"`, func(m []gorgonia.ValueGrad) []gorgonia.ValueGrad {
			return []gorgonia.ValueGrad{m[1], m[0], m[2]}
		}, true},
		{"shape of the value", `the value of "c" has shape (3, 4), it had (4, 3)`, set(true, other), true},
		{"shape of the gradient", `the gradient of "c" has shape (3, 4), its value (4, 3)`, set(false, other), false},
		{"one gradient for two", `Grad of "b"`, func(m []gorgonia.ValueGrad) []gorgonia.ValueGrad {
			b := *m[1].(*leaf)
			b.grad = m[0].(*leaf).grad
			return []gorgonia.ValueGrad{m[0], &b, m[2]}
		}, false},
	}
	for _, kind := range []struct {
		name, want string
		v          gorgonia.Value
	}{
		{"missing", "is missing", nil},
		{"float64", "is of float64, want float32", float64s},
		{"F64", "is a *gorgonia.F64, want *tensor.Dense or *gorgonia.F32", gorgonia.NewF64(1)},
		{"view", "is not row-major and contiguous", view.(*tensor.Dense)},
		{"transposed", "is not row-major and contiguous", transposed},
		{"column-major", "is not row-major and contiguous", columns},
		{"masked", "has a mask", masked},
		{"device", "lies in memory that Go cannot access", far},
	} {
		tests = append(tests, test{"value: " + kind.name, `the value of "c" ` + kind.want, set(true, kind.v), false},
			test{"gradient: " + kind.name, `the gradient of "c" ` + kind.want, set(false, kind.v), false})
	}
	fresh := func() []gorgonia.ValueGrad {
		r := rand.New(rand.NewPCG(3, 3))
		return []gorgonia.ValueGrad{&leaf{"a", dense(r, 2, 2), dense(r, 2, 2)}, &leaf{"b", dense(r, 2, 2), dense(r, 2, 2)}, &leaf{"c", dense(r, 4, 3), dense(r, 4, 3)}}
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for _, before := range []int{0, 2} {
				if before == 0 && test.later {
					continue
				}
				model, solver := fresh(), adamgorgonia.New(adam.DefaultW(), adam.Options{})
				undisturbed, witness := fresh(), adamgorgonia.New(adam.DefaultW(), adam.Options{})
				step := func(s *adamgorgonia.Solver, model []gorgonia.ValueGrad) {
					if err := s.Step(model); err != nil {
						t.Fatal(err)
					}
					for _, n := range model {
						copy(n.(*leaf).grad.(*tensor.Dense).Float32s(), []float32{1, 2, 3, 4})
					}
				}
				for range before {
					step(solver, model)
					step(witness, undisturbed)
				}
				values, counts := snapshot(solver, model)
				err := solver.Step(test.spoil(model))
				if err == nil || !strings.Contains(err.Error(), test.want) {
					t.Fatalf("error %v, want %q", err, test.want)
				}
				if !errors.Is(err, adam.ErrParams) && !errors.Is(err, adam.ErrOverlap) {
					t.Errorf("error %v wraps neither ErrParams nor ErrOverlap", err)
				}
				if before > 0 {
					values2, counts2 := snapshot(solver, model)
					if !slices.EqualFunc(values, values2, slices.Equal) || !slices.Equal(counts, counts2) {
						t.Error("the failed step has changed something")
					}
				}
				step(solver, model)
				step(witness, undisturbed)
				values, counts = snapshot(solver, model)
				values2, counts2 := snapshot(witness, undisturbed)
				if !slices.EqualFunc(values, values2, slices.Equal) || !slices.Equal(counts, counts2) {
					t.Error("the step after the error is another than without it")
				}
			}
		})
	}
}

// A tensor that is reshaped where it lies has another shape than at first.
func TestReshaped(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	l := &leaf{"w", dense(r, 4, 3), dense(r, 4, 3)}
	solver := adamgorgonia.New(adam.Default(), adam.Options{})
	if err := solver.Step([]gorgonia.ValueGrad{l}); err != nil {
		t.Fatal(err)
	}
	for _, v := range []gorgonia.Value{l.value, l.grad} {
		if err := v.(*tensor.Dense).Reshape(3, 4); err != nil {
			t.Fatal(err)
		}
	}
	if err := solver.Step([]gorgonia.ValueGrad{l}); !errors.Is(err, adam.ErrParams) {
		t.Errorf("error %v, want ErrParams", err)
	}
}

func TestBadConfig(t *testing.T) {
	model := newModel(1)
	solver := adamgorgonia.New(adam.Config{LR: -1}, adam.Options{})
	if err := solver.Step(model); !errors.Is(err, adam.ErrConfig) {
		t.Errorf("error %v, want ErrConfig", err)
	}
	solver.Config = adam.Default()
	if err := solver.Step(model); err != nil {
		t.Fatal(err)
	}
	solver.Config.Beta1 = 1
	if err := solver.Step(model); !errors.Is(err, adam.ErrConfig) {
		t.Errorf("error %v, want ErrConfig", err)
	}
}

func TestClose(t *testing.T) {
	solver := adamgorgonia.New(adam.Default(), adam.Options{})
	solver.Close()
	model := newModel(1)
	if err := solver.Step(model); err != nil {
		t.Fatal(err)
	}
	solver.Close()
	solver.Close()
	if err := solver.Step(model); !errors.Is(err, adam.ErrClosed) {
		t.Errorf("error %v, want ErrClosed", err)
	}
}

// A tensor may lie elsewhere at every step, in a view of rows as well.
func TestMovingTensors(t *testing.T) {
	still, moving := newModel(1), newModel(1)
	a, b := adamgorgonia.New(adam.DefaultW(), adam.Options{}), adamgorgonia.New(adam.DefaultW(), adam.Options{})
	for _, step := range recorded()[:5] {
		for i, n := range moving {
			l := *n.(*leaf)
			for _, v := range []*gorgonia.Value{&l.value, &l.grad} {
				d, ok := (*v).(*tensor.Dense)
				if !ok {
					*v = gorgonia.NewF32(floats(*v)[0])
					continue
				}
				rows := d.Shape()[0]
				shape := append([]int{rows + 2}, d.Shape()[1:]...)
				larger := tensor.New(tensor.WithShape(shape...), tensor.Of(tensor.Float32))
				view, err := larger.Slice(tensor.S(1, rows+1))
				if err != nil {
					t.Fatal(err)
				}
				moved := view.(*tensor.Dense)
				copy(moved.Float32s(), d.Float32s())
				if !moved.Shape().Eq(d.Shape()) { // the slice of one row has lost a dimension
					moved = d.Clone().(*tensor.Dense)
				}
				*v = moved
			}
			moving[i] = &l
		}
		setGrads(still, step)
		setGrads(moving, step)
		if err := a.Step(still); err != nil {
			t.Fatal(err)
		}
		if err := b.Step(moving); err != nil {
			t.Fatal(err)
		}
	}
	if d := distance(still, moving, 1); d != 0 {
		t.Errorf("the values differ, by up to %v", d)
	}
}

func TestNames(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	model := []gorgonia.ValueGrad{&leaf{"w", dense(r, 2), dense(r, 2)}, &leaf{"w", dense(r, 3), dense(r, 3)}, &leaf{"w#2", dense(r, 4), dense(r, 4)},
		&leaf{"w", dense(r, 5), dense(r, 5)}, &leaf{"b", dense(r, 6), dense(r, 6)}, withoutName{dense(r, 2), dense(r, 2)}}
	var asked []string
	solver := adamgorgonia.New(adam.Default(), adam.Options{})
	solver.NoDecay = func(name string) bool { asked = append(asked, name); return name == "w" || name == "b" }
	if err := solver.Step(model); err != nil {
		t.Fatal(err)
	}
	want := []string{"w", "w#3", "w#2", "w#4", "b", "tensor"}
	if !slices.Equal(asked, want) {
		t.Errorf("names %q, want %q", asked, want)
	}
	for i, name := range want {
		state := solver.Optimizer().State(name)
		if state == nil || len(state.M) != len(floats(model[i].Value())) {
			t.Errorf("no state, or another tensor's, for %q", name)
		}
	}
}

// withoutName is a tensor of a model that is no gorgonia.Namer.
type withoutName struct{ value, grad gorgonia.Value }

func (w withoutName) Value() gorgonia.Value         { return w.value }
func (w withoutName) Grad() (gorgonia.Value, error) { return w.grad, nil }

// A tensor of NoDecay is stepped as if WeightDecay were 0, the others as without NoDecay, also when Config changes.
func TestNoDecay(t *testing.T) {
	c := adam.DefaultW()
	c.WeightDecay = 0.5
	run := func(noDecay func(string) bool, decay float64) []gorgonia.ValueGrad {
		c := c
		c.WeightDecay = decay
		model := newModel(1)
		solver := adamgorgonia.New(c, adam.Options{})
		solver.NoDecay = noDecay
		if err := solver.Bind(model); err != nil {
			t.Fatal(err)
		}
		if got := solver.Optimizer().Groups[1].Config.WeightDecay; got != 0 {
			t.Errorf("Groups[1] has a WeightDecay of %v", got)
		}
		for i, step := range recorded()[:10] {
			setGrads(model, step)
			solver.Config.LR = 0.01 / float64(i+1)
			if err := solver.Step(model); err != nil {
				t.Fatal(err)
			}
		}
		return model
	}
	isBias := func(name string) bool { return name == "bias" || name == "scalar" }
	mixed, all, none := run(isBias, 0.5), run(nil, 0.5), run(nil, 0)
	for i, n := range mixed {
		want, other := all[i], none[i]
		if isBias(n.(*leaf).name) {
			want, other = other, want
		}
		if got := floats(n.Value()); !slices.Equal(got, floats(want.Value())) || slices.Equal(got, floats(other.Value())) {
			t.Errorf("%s is not as it must be", n.(*leaf).name)
		}
	}
}

// Options work over all tensors of the model together.
func TestOptions(t *testing.T) {
	model := newModel(1)
	setGrads(model, recorded()[0])
	sum := 0.0
	for _, g := range recorded()[0] {
		for _, x := range g {
			sum += float64(x) * float64(x)
		}
	}
	solver := adamgorgonia.New(adam.Default(), adam.Options{MaxNorm: 1, SkipNonFinite: true, EMADecay: 0.9})
	if err := solver.Step(model); err != nil {
		t.Fatal(err)
	}
	if want := math.Sqrt(sum); math.Abs(solver.Stats.GradNorm-want) > 1e-6*want || solver.Stats.T != 1 {
		t.Errorf("Stats %+v, want a norm of %v", solver.Stats, want)
	}
	if got := solver.Optimizer().EMA("large"); !slices.Equal(got, floats(model[6].Value())) {
		t.Error("the average after the first step is not the parameters")
	}
	setGrads(model, recorded()[1])
	*model[2].(*leaf).grad.(*gorgonia.F32) = gorgonia.F32(math.NaN())
	before := floats(model[0].Value())
	if err := solver.Step(model); err != nil {
		t.Fatal(err)
	}
	if !solver.Stats.Skipped || !slices.Equal(before, floats(model[0].Value())) {
		t.Errorf("the step with a NaN has not been skipped: %+v", solver.Stats)
	}
	if g := floats(model[6].(*leaf).grad); slices.ContainsFunc(g, func(x float32) bool { return x != 0 }) {
		t.Error("the skipped step has left gradients")
	}
}

// A run that is saved, and loaded by a new solver of a new model before its first step, ends with the same bits.
func TestCheckpoint(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run.safetensors")
	options := adam.Options{SaveParams: true}
	run := func(solver *adamgorgonia.Solver, model []gorgonia.ValueGrad, steps [][][]float32) {
		for _, step := range steps {
			setGrads(model, step)
			if err := solver.Step(model); err != nil {
				t.Fatal(err)
			}
		}
	}
	isBias := func(name string) bool { return name == "bias" }
	first, solver := newModel(1), adamgorgonia.New(adam.DefaultW(), options)
	solver.NoDecay = isBias
	run(solver, first, recorded()[:20])
	if err := solver.Optimizer().SaveFile(path); err != nil {
		t.Fatal(err)
	}
	run(solver, first, recorded()[20:40])

	second, resumed := newModel(2), adamgorgonia.New(adam.DefaultW(), options)
	resumed.NoDecay = isBias
	if err := resumed.Bind(newModel(3)); err != nil {
		t.Fatal(err)
	}
	if err := resumed.Bind(second); err != nil { // the values that are loaded into
		t.Fatal(err)
	}
	if err := resumed.Optimizer().LoadFile(path); err != nil {
		t.Fatal(err)
	}
	run(resumed, second, recorded()[20:40])
	if d := distance(second, first, 1); d != 0 || resumed.Optimizer().T != 40 {
		t.Errorf("after %d steps the values differ by up to %v", resumed.Optimizer().T, d)
	}
	if err := resumed.Bind(second[1:]); !errors.Is(err, adam.ErrParams) {
		t.Errorf("Bind of another model: %v, want ErrParams", err)
	}
}

func TestAllocations(t *testing.T) {
	g := gorgonia.NewGraph()
	w := gorgonia.NewMatrix(g, tensor.Float32, gorgonia.WithShape(300, 900), gorgonia.WithName("w"), gorgonia.WithInit(gorgonia.GlorotU(1)))
	b := gorgonia.NewScalar(g, tensor.Float32, gorgonia.WithName("b"), gorgonia.WithValue(float32(1)))
	loss := gorgonia.Must(gorgonia.Mean(gorgonia.Must(gorgonia.Square(gorgonia.Must(gorgonia.Mul(w, b))))))
	if _, err := gorgonia.Grad(loss, w, b); err != nil {
		t.Fatal(err)
	}
	vm := gorgonia.NewTapeMachine(g, gorgonia.BindDualValues(w, b))
	defer vm.Close()
	if err := vm.RunAll(); err != nil {
		t.Fatal(err)
	}
	model := gorgonia.NodesToValueGrads(gorgonia.Nodes{w, b})
	solver := adamgorgonia.New(adam.DefaultW(), adam.Options{MaxNorm: 1})
	defer solver.Close()
	if n := testing.AllocsPerRun(100, func() {
		if err := solver.Step(model); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations per step, want 0", n)
	}
}
