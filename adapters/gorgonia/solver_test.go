package adamgorgonia_test

import (
	"errors"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fusedadam/adam"
	adamgorgonia "github.com/fusedadam/adam/adapters/gorgonia"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

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

// What cannot be stepped is an error that names it, and nothing has changed: values, gradients and
// moments stay, and the next step goes as if nothing had been.
func TestErrors(t *testing.T) {
	float64s := tensor.New(tensor.WithShape(4, 3), tensor.WithBacking(make([]float64, 12)))
	ints := tensor.New(tensor.WithShape(4, 3), tensor.WithBacking(make([]int, 12)))
	larger := tensor.New(tensor.WithShape(4, 6), tensor.WithBacking(make([]float64, 24)))
	view, err := larger.Slice(nil, tensor.S(1, 4))
	if err != nil {
		t.Fatal(err)
	}
	transposed := tensor.New(tensor.WithShape(3, 4), tensor.WithBacking(make([]float32, 12)))
	if err := transposed.T(); err != nil {
		t.Fatal(err)
	}
	columns := tensor.New(tensor.WithShape(4, 3), tensor.AsFortran(make([]float32, 12)))
	shape, backing := tensor.WithShape(4, 3), tensor.WithBacking(make([]float32, 12))
	masked := tensor.New(shape, backing, tensor.WithMask(make([]bool, 12)))
	far := tensor.New(shape, backing, tensor.WithEngine(device{}))
	other := tensor.New(tensor.WithShape(3, 4), tensor.WithBacking(make([]float32, 12)))
	type model = []gorgonia.ValueGrad
	set := func(value bool, v gorgonia.Value) func(model) model {
		return func(m model) model {
			last := *m[len(m)-1].(*leaf)
			if value {
				last.value = v
			} else {
				last.grad = v
			}
			return append(slices.Clone(m[:len(m)-1]), &last)
		}
	}
	type test struct {
		name, want string
		spoil      func(model) model
		later      bool // no error in the first step
	}
	tests := []test{
		{"no gradient", "no gradient yet", func(m model) model {
			return append(slices.Clone(m[:len(m)-1]), withoutGrad{m[len(m)-1].(*leaf)})
		}, false},
		{
			"shorter model", "the model has 2 tensors, it had 3",
			func(m model) model { return m[:2] }, true,
		},
		{"longer model", "the model has 4 tensors, it had 3", func(m model) model {
			return append(slices.Clone(m), m[0])
		}, true},
		{"other order", `tensor "b" of the model was "a"`, func(m model) model {
			return model{m[1], m[0], m[2]}
		}, true},
		{
			"shape of the value", `the value of "c" has shape (3, 4), it had (4, 3)`,
			set(true, other), true,
		},
		{
			"shape of the gradient", `the gradient of "c" has shape (3, 4), its value (4, 3)`,
			set(false, other), false,
		},
		{
			"type of the value", `the value of "c" has type float64, it had float32`,
			set(true, float64s), true,
		},
		{
			"type of the gradient", `the gradient of "c" has type float64, its value float32`,
			set(false, float64s), false,
		},
		{"one gradient for two", `Grad of "b"`, func(m model) model {
			b := *m[1].(*leaf)
			b.grad = m[0].(*leaf).grad
			return model{m[0], &b, m[2]}
		}, false},
	}
	for _, kind := range []struct {
		name, want string
		v          gorgonia.Value
	}{
		{"missing", "is missing", nil},
		{"int", "is of int, want float32 or float64", ints},
		{
			"I", "is a *gorgonia.I, want *tensor.Dense, *gorgonia.F32 or *gorgonia.F64",
			gorgonia.NewI(1),
		},
		{"view", "is not row-major and contiguous", view.(*tensor.Dense)},
		{"transposed", "is not row-major and contiguous", transposed},
		{"column-major", "is not row-major and contiguous", columns},
		{"masked", "has a mask", masked},
		{"device", "lies in memory that Go cannot access", far},
	} {
		value, gradient := `the value of "c" `+kind.want, `the gradient of "c" `+kind.want
		tests = append(tests,
			test{"value: " + kind.name, value, set(true, kind.v), false},
			test{"gradient: " + kind.name, gradient, set(false, kind.v), false})
	}
	fresh := func() model {
		r := rand.New(rand.NewPCG(3, 3))
		return model{
			&leaf{"a", dense(r, 2, 2), dense(r, 2, 2)}, &leaf{"b", dense(r, 2, 2), dense(r, 2, 2)},
			&leaf{"c", dense(r, 4, 3), dense(r, 4, 3)},
		}
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for _, before := range []int{0, 2} {
				if before == 0 && test.later {
					continue
				}
				model, solver := fresh(), adamgorgonia.New(adam.DefaultW(), adam.Options{})
				undisturbed, witness := fresh(), adamgorgonia.New(adam.DefaultW(), adam.Options{})
				step := func(s *adamgorgonia.Solver, m []gorgonia.ValueGrad) {
					if err := s.Step(m); err != nil {
						t.Fatal(err)
					}
					for _, n := range m {
						copy(n.(*leaf).grad.(*tensor.Dense).Float32s(), []float32{1, 2, 3, 4})
					}
				}
				for range before {
					step(solver, model)
					step(witness, undisturbed)
				}
				values, counts := snapshot(solver, model)
				stats := solver.Stats
				err := solver.Step(test.spoil(model))
				if err == nil || !strings.Contains(err.Error(), test.want) {
					t.Fatalf("error %v, want %q", err, test.want)
				}
				if !errors.Is(err, adam.ErrParams) && !errors.Is(err, adam.ErrOverlap) {
					t.Errorf("error %v wraps neither ErrParams nor ErrOverlap", err)
				}
				if before > 0 {
					values2, counts2 := snapshot(solver, model)
					if !slices.EqualFunc(values, values2, slices.Equal) ||
						!slices.Equal(counts, counts2) {
						t.Error("the failed step has changed something")
					}
				}
				if solver.Stats != stats || stats.T != uint64(before) {
					t.Errorf("Stats are %+v after the error, %+v before it", solver.Stats, stats)
				}
				step(solver, model)
				step(witness, undisturbed)
				values, counts = snapshot(solver, model)
				values2, counts2 := snapshot(witness, undisturbed)
				if !slices.EqualFunc(values, values2, slices.Equal) ||
					!slices.Equal(counts, counts2) {
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
	for _, steps := range []int{0, 1} {
		model, solver := newModel(1), adamgorgonia.New(adam.Default(), adam.Options{})
		for range steps {
			if err := solver.Step(model); err != nil {
				t.Fatal(err)
			}
		}
		bound := solver.Optimizer()
		for range 2 {
			if err := solver.Close(); err != nil {
				t.Errorf("Close after %d steps: error %v", steps, err)
			}
		}
		values, counts := snapshot(solver, model)
		if err := solver.Step(model); !errors.Is(err, adam.ErrClosed) {
			t.Errorf("Step after %d steps: error %v, want ErrClosed", steps, err)
		}
		if err := solver.Bind(model); !errors.Is(err, adam.ErrClosed) {
			t.Errorf("Bind after %d steps: error %v, want ErrClosed", steps, err)
		}
		after, countsAfter := snapshot(solver, model)
		if !slices.EqualFunc(values, after, slices.Equal) || !slices.Equal(counts, countsAfter) {
			t.Error("a closed solver has changed something")
		}
		if solver.Optimizer() != bound {
			t.Error("a closed solver has made an optimizer")
		}
	}
}

// Bind takes a model that has grown, shrunk and been reordered: what it had goes on.
func TestBindAnotherModel(t *testing.T) {
	model, solver := newModel(1), adamgorgonia.New(adam.DefaultW(), adam.Options{EMADecay: 0.9})
	defer solver.Close()
	solver.NoDecay = func(name string) bool { return name == "bias" || name == "new" }
	const matrix, bias = 0, 1
	whole := newModel(1)
	witness := adamgorgonia.New(adam.DefaultW(), adam.Options{EMADecay: 0.9})
	defer witness.Close()
	witness.NoDecay = solver.NoDecay
	step := func(s *adamgorgonia.Solver, all, model []gorgonia.ValueGrad, i int) {
		setGrads(all, recorded()[i])
		if err := s.Step(model); err != nil {
			t.Fatal(err)
		}
	}
	step(solver, model, model, 0)
	step(witness, whole, whole, 0)
	grown := &leaf{"new", vector(1, 2, 3), vector(1, 1, 1)}
	other := []gorgonia.ValueGrad{model[bias], grown, model[matrix]}
	if err := solver.Step(other); !errors.Is(err, adam.ErrParams) {
		t.Errorf("Step of another model: error %v, want ErrParams", err)
	}
	if err := solver.Bind(append(other, other[0])); !errors.Is(err, adam.ErrOverlap) {
		t.Errorf("Bind of a tensor twice: error %v, want ErrOverlap", err)
	}
	if err := solver.Bind(other); err != nil {
		t.Fatal(err)
	}
	step(solver, model, other, 1)
	step(witness, whole, whole, 1)
	for _, i := range []int{matrix, bias} {
		name := model[i].(*leaf).name
		a, b := solver.Optimizer().State(name), witness.Optimizer().State(name)
		if a.T != 2 || !slices.Equal(a.M, b.M) || !slices.Equal(a.V, b.V) ||
			!slices.Equal(floats(model[i].Value()), floats(whole[i].Value())) ||
			!slices.Equal(solver.Optimizer().EMA(name), witness.Optimizer().EMA(name)) {
			t.Errorf("%s has not gone on as in a model that stays", name)
		}
	}
	if s := solver.Optimizer().State("new"); s.T != 1 || floats(grown.value)[0] == 1 {
		t.Errorf("the new tensor has %d steps, want 1", s.T)
	}
	if solver.Optimizer().State("scalar") != nil || solver.Optimizer().T != 2 {
		t.Error("the tensor that is gone has a state, or T has changed")
	}

	bad := []gorgonia.ValueGrad{model[bias], &leaf{"new", gorgonia.NewI(1), nil}}
	if err := solver.Bind(bad); !errors.Is(err, adam.ErrParams) {
		t.Errorf("Bind with an int: error %v, want ErrParams", err)
	}
	solver.Config.LR = -1
	if err := solver.Bind(model); !errors.Is(err, adam.ErrConfig) {
		t.Errorf("Bind with a bad Config: error %v, want ErrConfig", err)
	}
	solver.Config = adam.DefaultW()
	step(solver, model, other, 2) // still the one before the errors
}

// A tensor may lie elsewhere at every step, in a view of rows as well.
func TestMovingTensors(t *testing.T) {
	still, moving := newModel(1), newModel(1)
	a := adamgorgonia.New(adam.DefaultW(), adam.Options{})
	b := adamgorgonia.New(adam.DefaultW(), adam.Options{})
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
	model := []gorgonia.ValueGrad{
		&leaf{"w", dense(r, 2), dense(r, 2)}, &leaf{"w", dense(r, 3), dense(r, 3)},
		&leaf{"w#2", dense(r, 4), dense(r, 4)}, &leaf{"w", dense(r, 5), dense(r, 5)},
		&leaf{"b", dense(r, 6), dense(r, 6)}, withoutName{dense(r, 2), dense(r, 2)},
	}
	var asked []string
	solver := adamgorgonia.New(adam.Default(), adam.Options{})
	solver.NoDecay = func(name string) bool {
		asked = append(asked, name)
		return name == "w" || name == "b"
	}
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

// A tensor of NoDecay is stepped as if WeightDecay were 0, the others as without NoDecay, also when
// Config changes.
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
		got := floats(n.Value())
		if !slices.Equal(got, floats(want.Value())) || slices.Equal(got, floats(other.Value())) {
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
	solver := adamgorgonia.New(
		adam.Default(),
		adam.Options{MaxNorm: 1, SkipNonFinite: true, EMADecay: 0.9},
	)
	if err := solver.Step(model); err != nil {
		t.Fatal(err)
	}
	if want := math.Sqrt(sum); math.Abs(solver.Stats.GradNorm-want) > 1e-6*want ||
		solver.Stats.T != 1 {
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
	if g := floats(model[6].(*leaf).grad); slices.ContainsFunc(
		g,
		func(x float32) bool { return x != 0 },
	) {
		t.Error("the skipped step has left gradients")
	}
}

// A run that is saved, and loaded by a new solver of a new model before its first step, ends with
// the same bits.
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
}

func TestAllocations(t *testing.T) {
	for of, one := range map[tensor.Dtype]any{tensor.Float32: float32(1), tensor.Float64: 1.0} {
		g := gorgonia.NewGraph()
		w := gorgonia.NewMatrix(g, of, gorgonia.WithShape(300, 900), gorgonia.WithName("w"),
			gorgonia.WithInit(gorgonia.GlorotU(1)))
		b := gorgonia.NewScalar(g, of, gorgonia.WithName("b"), gorgonia.WithValue(one))
		must := gorgonia.Must
		loss := must(gorgonia.Mean(must(gorgonia.Square(must(gorgonia.Mul(w, b))))))
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
			t.Errorf("%v: %v allocations per step, want 0", of, n)
		}
	}
}
