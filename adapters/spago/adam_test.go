package adamspago_test

import (
	"bytes"
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/nlpodyssey/spago/mat"
	"github.com/nlpodyssey/spago/nn"
	"github.com/nlpodyssey/spago/nn/linear"
	"github.com/nlpodyssey/spago/optimizers"
	spagoadam "github.com/nlpodyssey/spago/optimizers/adam"
	"github.com/nlpodyssey/spago/optimizers/gradclipper"

	"github.com/fusedadam/adam"
	adamspago "github.com/fusedadam/adam/adapters/spago"
)

type float interface{ float32 | float64 }

// matrix returns a matrix of normal random numbers times scale.
func matrix(rng *rand.Rand, scale float64, shape ...int) *mat.Dense[float32] {
	return matrixOf[float32](rng, scale, shape...)
}

func matrixOf[F float](rng *rand.Rand, scale float64, shape ...int) *mat.Dense[F] {
	m := mat.NewDense[F](mat.WithShape(shape...))
	for i, data := 0, mat.Data[F](m); i < len(data); i++ {
		data[i] = F(scale * rng.NormFloat64())
	}
	return m
}

// values returns the slice in which the matrix of p is stored.
func values(p *nn.Param) []float32 { return mat.Data[float32](p.Value()) }

func sameBits(a, b []float32) bool {
	return slices.EqualFunc(
		a, b, func(x, y float32) bool { return math.Float32bits(x) == math.Float32bits(y) })
}

func sameState(a, b *adam.State) bool {
	return a.T == b.T && sameBits(a.M, b.M) && sameBits(a.V, b.V) && sameBits(a.VMax, b.VMax)
}

// A strategy makes the step of adam.State, in the memory of the matrix, under a Config that
// changes, and drops the gradient.
func TestOptimizeParams(t *testing.T) {
	amsgrad := adam.Default()
	amsgrad.AMSGrad = true
	for _, c := range []struct {
		name   string
		config adam.Config
		shape  []int
	}{
		{"Adam", adam.Default(), []int{7, 5}},
		{"AdamW", adam.DefaultW(), []int{1, 20001}},
		{"AMSGrad", amsgrad, []int{3}},
		{"empty", adam.Default(), []int{0, 4}},
	} {
		t.Run(c.name, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(1, 0))
			p := nn.NewParam(matrix(rng, 1, c.shape...))
			data := values(p)
			want, state := slices.Clone(data), adam.NewState(len(data), c.config)
			strategy := &adamspago.Adam{Config: c.config}
			for step := range 20 {
				grad := matrix(rng, 0.1, c.shape...)
				p.AccGrad(grad)
				strategy.Config.LR = 0.01 / float64(1+step)
				if err := strategy.OptimizeParams(p); err != nil {
					t.Fatal(err)
				}
				if err := state.Step(want, mat.Data[float32](grad), strategy.Config); err != nil {
					t.Fatal(err)
				}
				if p.HasGrad() {
					t.Fatal("the gradient is still there")
				}
			}
			if unsafe.SliceData(values(p)) != unsafe.SliceData(data) {
				t.Error("the parameter has moved")
			}
			if !sameBits(data, want) || !sameState(p.State.(*adam.State), state) {
				t.Error("not as adam.State steps")
			}
		})
	}
}

// A step does not allocate, once there is a State.
func TestAllocations(t *testing.T) {
	t.Run("float32", allocations[float32])
	t.Run("float64", allocations[float64])
}

func allocations[F float](t *testing.T) {
	p := withGrad[F](kept[F]{mat.NewDense[F](mat.WithShape(100, 200))}, 100, 200)
	strategy := &adamspago.Adam{Config: adam.DefaultW()}
	allocations := testing.AllocsPerRun(10, func() { // after a first run that does not count
		if err := strategy.OptimizeParams(p); err != nil {
			t.Fatal(err)
		}
	})
	if allocations != 0 {
		t.Errorf("%v allocations a step", allocations)
	}
}

// Without a gradient nothing happens, not even a State is made.
func TestWithoutGradient(t *testing.T) {
	p := nn.NewParam(mat.Scalar[float32](3))
	err := (&adamspago.Adam{Config: adam.DefaultW()}).OptimizeParams(p)
	if err != nil || p.State != nil || values(p)[0] != 3 {
		t.Errorf("error %v, State %v, value %v", err, p.State, values(p)[0])
	}
}

// foreign is a matrix of another type than Dense.
type foreign struct{ *mat.Dense[float32] }

func (f foreign) Value() mat.Tensor { return f }

// mixed has a gradient of another type than its value.
type mixed struct {
	*mat.Dense[float32]
	grad *mat.Dense[float64]
}

func (m mixed) Grad() mat.Tensor { return m.grad }

// withGrad returns a parameter with a gradient of the given shape.
func withGrad[T float](value mat.Matrix, shape ...int) *nn.Param {
	p := &nn.Param{Matrix: value}
	p.SetRequiresGrad(true)
	p.AccGrad(mat.NewDense[T](mat.WithShape(shape...)).OnesLike())
	return p
}

// An error says what is wrong with which parameter, and nothing has changed: neither by
// OptimizeParams nor by Optimize, where a good parameter comes first.
func TestErrors(t *testing.T) {
	double := mat.NewDense[float64](mat.WithShape(2, 3))
	dense := func() *mat.Dense[float32] { return mat.NewDense[float32](mat.WithShape(2, 3)) }
	bad, amsgrad := adam.Default(), adam.Default()
	bad.LR = math.NaN()
	amsgrad.AMSGrad = true
	hosts := withGrad[float32](dense(), 2, 3)
	if err := spagoadam.New(spagoadam.NewDefaultConfig()).OptimizeParams(hosts); err != nil {
		t.Fatal(err)
	}
	frozen := withGrad[float32](dense(), 2, 3)
	frozen.SetRequiresGrad(false)
	float64s := withGrad[float64](double, 2, 3).Matrix
	x := make([]float32, 12)
	withState := func(state any) *nn.Param {
		p := withGrad[float32](dense(), 2, 3)
		p.State = state
		return p
	}
	for _, c := range []struct {
		name   string
		param  *nn.Param
		config adam.Config
		is     error
		says   string
	}{
		{"matrix", withGrad[float32](foreign{dense()}, 2, 3), adam.Default(), adam.ErrParams,
			"value is a adamspago_test.foreign, " +
				"want a *mat.Dense[float32] or a *mat.Dense[float64]"},
		{"gradient", withGrad[float32](mixed{dense(), double}, 2, 3), adam.Default(),
			adam.ErrParams, "gradient is a *mat.Dense[float64]"},
		{"shape", withGrad[float32](dense(), 3, 2), adam.Default(), adam.ErrParams,
			"gradient has the shape [3 2]"},
		{"frozen", frozen, adam.Default(), adam.ErrParams, "does not require one"},
		{"spago's Adam", withState(hosts.State), adam.Default(), adam.ErrParams,
			"State is a *adam.State of package \"github.com/nlpodyssey/spago/optimizers/adam\""},
		{"State64", withState(adam.NewState64(6, adam.Default())), adam.Default(), adam.ErrParams,
			"State is a *adam.State64 of package \"github.com/fusedadam/adam\""},
		{"State of float64", &nn.Param{Matrix: float64s, State: adam.NewState(6, adam.Default())},
			adam.Default(), adam.ErrParams, "State is a *adam.State of package"},
		{"M of float64", &nn.Param{Matrix: float64s, State: &adam.State64{}}, adam.Default(),
			adam.ErrLength, "M 0, V 0"},
		{"any State", withState(7), adam.Default(), adam.ErrParams, "State is a int"},
		{"M", withState(&adam.State{M: x[:5], V: x[6:]}), adam.Default(),
			adam.ErrLength, "M 5, V 6"},
		{"V", withState(&adam.State{M: x[:6], V: x[6:8]}), adam.Default(),
			adam.ErrLength, "M 6, V 2"},
		{"AMSGrad", withState(adam.NewState(6, adam.Default())), amsgrad, adam.ErrLength, "VMax 0"},
		{"steps", withState(&adam.State{T: math.MaxUint64, M: x[:6], V: x[6:]}), adam.Default(),
			adam.ErrSteps, "T = 18446744073709551615"},
		{"config", withGrad[float32](dense(), 2, 3), bad, adam.ErrConfig, "LR = NaN"},
	} {
		t.Run(c.name, func(t *testing.T) {
			strategy := &adamspago.Adam{Config: c.config}
			good := withGrad[float32](dense(), 2, 3)
			value, grad := c.param.Value().(mat.Matrix).Clone(), c.param.Grad().(mat.Matrix).Clone()
			state := c.param.State
			for name, optimize := range map[string]func() error{
				"OptimizeParams": func() error { return strategy.OptimizeParams(c.param) },
				"Optimize": func() error {
					return strategy.Optimize(nn.StreamParams([]*nn.Param{good, c.param, good}))
				},
			} {
				var before, after bytes.Buffer
				if err := nn.Dump(state, &before); state != nil && err != nil {
					t.Fatal(err)
				}
				err := optimize()
				if !errors.Is(err, c.is) || strings.Count(err.Error(), c.says) != 1 {
					t.Errorf("%s: error %v, want %v with %q once", name, err, c.is, c.says)
				}
				if c.is != adam.ErrConfig && !strings.Contains(err.Error(), "shape [2 3]") {
					t.Errorf("%s: error %v does not say which parameter", name, err)
				}
				if err := nn.Dump(c.param.State, &after); state != nil && err != nil {
					t.Fatal(err)
				}
				if !mat.Equal(c.param.Value(), value) || c.param.State != state ||
					!bytes.Equal(after.Bytes(), before.Bytes()) {
					t.Errorf("%s: the value or the State has changed", name)
				}
				if !c.param.HasGrad() || !mat.Equal(c.param.Grad(), grad) {
					t.Errorf("%s: the gradient has changed", name)
				}
			}
			if good.State != nil || !good.HasGrad() || !mat.Equal(good.Value(), dense()) {
				t.Error("Optimize has stepped another parameter")
			}
		})
	}
}

// Two parameters must not have one State.
func TestSharedState(t *testing.T) {
	dense := func() *mat.Dense[float32] { return mat.NewDense[float32](mat.WithShape(2, 3)) }
	a, b := withGrad[float32](dense(), 2, 3), withGrad[float32](dense(), 2, 3)
	state := adam.NewState(6, adam.Default())
	a.State, b.State = state, state
	err := (&adamspago.Adam{Config: adam.Default()}).Optimize(nn.StreamParams([]*nn.Param{a, b}))
	if !errors.Is(err, adam.ErrParams) || !strings.Contains(err.Error(), "another parameter") {
		t.Errorf("error %v, want adam.ErrParams", err)
	}
	if state.T != 0 || !a.HasGrad() || !mat.Equal(a.Value(), dense()) {
		t.Error("a parameter has been stepped")
	}
}

// parameters returns parameters of many sizes, the same for every call.
func parameters() []*nn.Param { return parametersOf[float32]() }

func parametersOf[F float]() []*nn.Param {
	rng := rand.New(rand.NewPCG(2, 0))
	var params []*nn.Param
	for _, shape := range [][]int{
		{30, 50}, {1}, {500}, {77, 3}, {20000}, {0, 2}, {1, 1000}, {64, 64},
	} {
		params = append(params, nn.NewParam(matrixOf[F](rng, 1, shape...)))
	}
	return params
}

// accumulate gives gradients to the parameters, the same for the same seed.
func accumulate(seed uint64, params []*nn.Param) {
	rng := rand.New(rand.NewPCG(3, seed))
	for _, p := range params {
		if _, ok := p.Value().(*mat.Dense[float64]); ok {
			p.AccGrad(matrixOf[float64](rng, 0.1, p.Shape()...))
		} else {
			p.AccGrad(matrix(rng, 0.1, p.Shape()...))
		}
	}
}

// wantSame fails if the parameters and their States have not the same bits.
func wantSame(t *testing.T, got, want []*nn.Param) {
	t.Helper()
	for i := range want {
		if !sameBits(values(got[i]), values(want[i])) {
			t.Errorf("parameter %d of shape %v: other values", i, want[i].Shape())
		}
		a, b := got[i].State, want[i].State
		if (a == nil) != (b == nil) || a != nil && !sameState(a.(*adam.State), b.(*adam.State)) {
			t.Errorf("parameter %d of shape %v: another State", i, want[i].Shape())
		}
	}
}

// Optimize gives the bits of OptimizeParams on each parameter. Those without a gradient stay as
// they are, and those that come twice, themselves or by their matrix, are stepped once.
func TestOptimize(t *testing.T) {
	lowerShare(t)
	got, want := parameters(), parameters()
	strategy := &adamspago.Adam{Config: adam.DefaultW()}
	tied := &nn.Param{Matrix: got[0].Matrix}
	for step := range uint64(10) {
		stepped := 4 + int(step)%2
		accumulate(step, got[:stepped])
		accumulate(step, want[:stepped])
		all := append(slices.Clone(got), got[4], tied)
		if err := strategy.Optimize(nn.StreamParams(all)); err != nil {
			t.Fatal(err)
		}
		for _, p := range want[:stepped] {
			if err := strategy.OptimizeParams(p); err != nil {
				t.Fatal(err)
			}
		}
		for i, p := range got {
			if p.HasGrad() {
				t.Errorf("parameter %d has kept its gradient", i)
			}
		}
	}
	wantSame(t, got, want)
	if state := got[4].State.(*adam.State); state.T != 5 {
		t.Errorf("a parameter with a gradient in every other of 10 steps has counted %d", state.T)
	}
}

// lowerShare lets goroutines share out any step, until the test ends.
func lowerShare(t *testing.T) {
	before := *adamspago.Share
	*adamspago.Share = 1
	t.Cleanup(func() { *adamspago.Share = before })
}

// meeting is a matrix whose step ends only when another such step is about to end, and, unless the
// goroutine that called Optimize makes it, when late is closed.
type meeting struct {
	*mat.Dense[float32]
	arrived, other, late chan bool
}

func (m meeting) ZeroGrad() {
	close(m.arrived)
	wait(m.other, 10*time.Second)
	if !onCaller() {
		wait(m.late, 100*time.Millisecond)
	}
	m.Dense.ZeroGrad()
}

func wait(c chan bool, atMost time.Duration) {
	select {
	case <-c:
	case <-time.After(atMost):
	}
}

// onCaller reports whether the goroutine is the one that called Optimize.
func onCaller() bool {
	var pcs [64]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(0, pcs[:])])
	for {
		frame, more := frames.Next()
		if strings.HasSuffix(frame.Function, ".(*Adam).Optimize") {
			return true
		}
		if !more {
			return false
		}
	}
}

// More than one goroutine takes part in Optimize, and it waits for all.
func TestOptimizeShares(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2))
	lowerShare(t)
	a, b, late := make(chan bool), make(chan bool), make(chan bool)
	params := []*nn.Param{
		withGrad[float32](meeting{mat.Scalar[float32](1), a, b, late}, 1, 1),
		withGrad[float32](meeting{mat.Scalar[float32](1), b, a, late}, 1, 1),
	}
	began := time.Now()
	strategy := &adamspago.Adam{Config: adam.Default()}
	if err := strategy.Optimize(nn.StreamParams(params)); err != nil {
		t.Fatal(err)
	}
	if params[0].HasGrad() || params[1].HasGrad() {
		t.Error("Optimize has not waited for all steps")
	}
	close(late)
	if time.Since(began) > 10*time.Second {
		t.Error("one parameter was stepped after the other")
	}
}

// Optimize leaves no goroutine behind that streams parameters, whether it succeeds or not.
func TestOptimizeCancels(t *testing.T) {
	dense := func() *mat.Dense[float32] { return mat.NewDense[float32](mat.WithShape(2, 3)) }
	good, bad := withGrad[float32](dense(), 2, 3), withGrad[float32](dense(), 3, 2)
	for _, params := range [][]*nn.Param{{good}, {bad, good}} {
		var ctx context.Context
		err := (&adamspago.Adam{Config: adam.Default()}).Optimize(
			func(c context.Context) <-chan *nn.Param {
				ctx = c
				return nn.StreamParams(params)(c)
			})
		if (err != nil) != (params[0] == bad) {
			t.Errorf("error %v", err)
		}
		if ctx.Err() == nil {
			t.Errorf("after error %v the context has not been cancelled", err)
		}
	}
}

// spago's own Optimizer calls the strategy from many goroutines.
func TestSpagoOptimizer(t *testing.T) {
	got, want := parameters(), parameters()
	strategy := &adamspago.Adam{Config: adam.Default()}
	for step := range uint64(10) {
		accumulate(step, got)
		accumulate(step, want)
		if err := optimizers.New(nn.StreamParams(got), strategy).Optimize(); err != nil {
			t.Fatal(err)
		}
		await(t, got)
		if err := strategy.Optimize(nn.StreamParams(want)); err != nil {
			t.Fatal(err)
		}
	}
	wantSame(t, got, want)
}

// await waits until no parameter has a gradient: spago's Optimizer returns before.
func await(t *testing.T, params []*nn.Param) {
	deadline := time.Now().Add(10 * time.Second)
	for slices.ContainsFunc(params, (*nn.Param).HasGrad) {
		if time.Now().After(deadline) {
			t.Fatal("parameters have kept their gradients")
		}
		time.Sleep(10 * time.Microsecond)
	}
}

// strategyFunc is a strategy that calls itself.
type strategyFunc func(*nn.Param) error

func (f strategyFunc) OptimizeParams(p *nn.Param) error { return f(p) }

// network is what spago saves and loads.
type network struct {
	nn.Module
	In, Out *linear.Model
}

func (n *network) params() []*nn.Param { return []*nn.Param{n.In.W, n.In.B, n.Out.W, n.Out.B} }

// A model that was saved and loaded goes on with its State to the bit, wherever in memory the
// loaded values lie. That spago's Adam can be linked into the same program, and save its own State,
// is part of it.
func TestSaveLoad(t *testing.T) {
	amsgrad := adam.DefaultW()
	amsgrad.AMSGrad = true
	for _, config := range []adam.Config{adam.Default(), amsgrad} {
		rng := rand.New(rand.NewPCG(4, 0))
		model := &network{In: linear.New[float32](5, 7), Out: linear.New[float32](7, 300)}
		for _, p := range model.params() {
			p.ReplaceValue(matrix(rng, 1, p.Shape()...))
			p.SetRequiresGrad(true)
		}
		strategy := &adamspago.Adam{Config: config}
		train := func(m *network, from, to uint64) {
			t.Helper()
			for step := from; step < to; step++ {
				accumulate(step, m.params())
				if err := strategy.Optimize(nn.Parameters(m)); err != nil {
					t.Fatal(err)
				}
			}
		}
		train(model, 0, 5)
		var file bytes.Buffer
		if err := nn.Dump(model, &file); err != nil {
			t.Fatal(err)
		}
		loaded, err := nn.Load[*network](&file)
		if err != nil {
			t.Fatal(err)
		}
		wantSame(t, loaded.params(), model.params())
		train(model, 5, 10)
		train(loaded, 5, 10)
		wantSame(t, loaded.params(), model.params())
		if state := loaded.In.W.State.(*adam.State); state.T != 10 {
			t.Errorf("%d steps counted, want 10", state.T)
		}
	}
	p := withGrad[float32](mat.Scalar[float32](1), 1)
	if err := spagoadam.New(spagoadam.NewDefaultConfig()).OptimizeParams(p); err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	if err := nn.Dump(p, &file); err != nil {
		t.Fatal(err)
	}
	loaded, err := nn.Load[*nn.Param](&file)
	if err != nil {
		t.Fatal(err)
	}
	_, ok := loaded.State.(*spagoadam.State)
	if !ok || reflect.TypeOf(loaded.State).String() != "*adam.State" {
		t.Errorf("the State of spago's Adam was loaded as %T", loaded.State)
	}
}

// Values that do not begin at a multiple of four bytes, as nn.Load leaves them, are stepped to the
// same bits.
func TestUnaligned(t *testing.T) {
	for offset := range 4 {
		rng := rand.New(rand.NewPCG(5, 0))
		const n = 1003
		aligned := nn.NewParam(matrix(rng, 1, n))
		memory := make([]byte, 4*n+8)
		data := unsafe.Slice((*float32)(unsafe.Pointer(&memory[offset])), n)
		copy(data, values(aligned))
		unaligned := &nn.Param{Matrix: mat.NewDense[float32](mat.WithBacking(data))}
		unaligned.SetRequiresGrad(true)
		if &values(unaligned)[0] != &data[0] {
			t.Fatal("spago has copied the values")
		}
		params := []*nn.Param{aligned, unaligned}
		strategy := &adamspago.Adam{Config: adam.DefaultW()}
		for range 5 {
			grad := matrix(rng, 1, n)
			for _, p := range params {
				p.AccGrad(grad)
				if err := strategy.OptimizeParams(p); err != nil {
					t.Fatal(err)
				}
			}
		}
		wantSame(t, params[1:], params[:1])
	}
}

// spago's clippers change the gradients in place, before the step.
func TestClipping(t *testing.T) {
	const maxNorm = 0.5
	got, want := parameters(), parameters()
	strategy := &adamspago.Adam{Config: adam.DefaultW()}
	clipper := &gradclipper.NormClipper{MaxNorm: maxNorm, NormType: 2}
	options := adam.Options{MaxNorm: maxNorm, ZeroGrad: true}
	group := adam.Group{Config: strategy.Config}
	for i, p := range want {
		group.Params = append(
			group.Params,
			adam.Param{Name: string(rune('a' + i)), Value: values(p)},
		)
	}
	optimizer, err := adam.New(options, group)
	if err != nil {
		t.Fatal(err)
	}
	defer optimizer.Close()
	for step := range uint64(5) {
		accumulate(step, got)
		clipper.ClipGradients(nn.StreamParams(got))
		if err := strategy.Optimize(nn.StreamParams(got)); err != nil {
			t.Fatal(err)
		}
		accumulate(step, want)
		for i, p := range want {
			optimizer.Groups[0].Params[i].Grad = mat.Data[float32](p.Grad())
		}
		stats, err := optimizer.Step()
		if err != nil {
			t.Fatal(err)
		}
		if stats.GradNorm < 10*maxNorm {
			t.Fatalf("norm %g of the gradients: there is too little to clip", stats.GradNorm)
		}
	}
	worst := 0.0
	for i := range got {
		for j, x := range values(got[i]) {
			worst = max(worst, math.Abs(float64(x)-float64(values(want[i])[j])))
		}
	}
	t.Logf("largest difference %.2g", worst)
	if worst > 2e-6 {
		t.Errorf("largest difference %.2g from the clipping of adam.Optimizer", worst)
	}
}
