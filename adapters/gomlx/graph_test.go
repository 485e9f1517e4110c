package adamgomlx

import (
	"errors"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/fusedadam/adam"
	"github.com/gomlx/gomlx/pkg/core/dtypes"
	"github.com/gomlx/gomlx/pkg/core/graph"
	"github.com/gomlx/gomlx/pkg/core/tensors"
	"github.com/gomlx/gomlx/pkg/ml/context"
	"github.com/gomlx/gomlx/pkg/ml/layers"
	"github.com/gomlx/gomlx/pkg/ml/train"
	"github.com/gomlx/gomlx/pkg/ml/train/losses"
	"github.com/gomlx/gomlx/pkg/ml/train/optimizers"
)

// A step is made in the memory that the next execution reads, wherever GoMLX keeps the variable.
func TestNextExecutionSeesStep(t *testing.T) {
	const shared, local, device = 1, 2, 4
	kept := func(w *tensors.Tensor) (where int) {
		if w.IsShared() {
			return shared
		}
		if w.IsLocal() {
			where |= local
		}
		if w.IsOnAnyDevice() {
			where |= device
		}
		return where
	}
	initial := tensors.FromValue([]float32{1, 2, 3})
	for _, c := range []struct {
		name  string
		make  func(ctx *context.Context) *context.Variable
		place func(v *context.Variable) error // before the step
		want  int
	}{
		{"shared", func(ctx *context.Context) *context.Variable {
			return ctx.VariableWithValue("w", must(initial.LocalClone()))
		}, nil, shared},
		{"device", func(ctx *context.Context) *context.Variable {
			return ctx.VariableWithShape("w", initial.Shape())
		}, nil, device},
		{"device and local", func(ctx *context.Context) *context.Variable {
			return ctx.VariableWithShape("w", initial.Shape())
		}, func(v *context.Variable) error {
			v.MustValue().MaterializeLocal()
			return nil
		}, device | local},
		{"local", func(ctx *context.Context) *context.Variable {
			return ctx.VariableWithShape("w", initial.Shape())
		}, func(v *context.Variable) error {
			return v.SetValue(must(initial.LocalClone()))
		}, local},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx := newContext(t)
			opt := New(with(adam.Default(), func(c *adam.Config) { c.LR = 0.5 }), adam.Options{})
			defer opt.Close()
			exec := context.MustNewExec(
				backend,
				ctx,
				func(ctx *context.Context, x *graph.Node) *graph.Node {
					w := c.make(ctx).ValueGraph(x.Graph())
					opt.UpdateGraph(ctx, x.Graph(), graph.ReduceAllSum(graph.Mul(w, x)))
					return w
				},
			)
			evaluation := context.MustNewExec(
				backend,
				ctx.Reuse(),
				func(ctx *context.Context, g *graph.Graph) *graph.Node {
					return ctx.VariableWithShape("w", initial.Shape()).ValueGraph(g)
				},
			)
			exec.MustExec([]float32{1, 1, 1})
			w := ctx.GetVariable("w")
			if c.place != nil {
				if err := c.place(w); err != nil {
					t.Fatal(err)
				}
			}
			if got := kept(w.MustValue()); got != c.want {
				t.Fatalf("the variable lies in %b, this case is about %b", got, c.want)
			}
			for range 3 {
				want := doubles(w.MustValue())
				for i := range want {
					want[i] -= 0.5
				}
				if _, err := opt.Step(); err != nil {
					t.Fatal(err)
				}
				for _, got := range [][]float64{
					doubles(w.MustValue()), doubles(evaluation.MustExec()[0]),
					doubles(exec.MustExec([]float32{1, 1, 1})[0]),
				} {
					a, b := map[string][]float64{"": got}, map[string][]float64{"": want}
					if d := difference(a, b, 1); !(d < 1e-5) {
						t.Errorf("got %v, want %v", got, want)
					}
				}
			}
			before := w.MustValue()
			at := address(before)
			if _, err := opt.Step(); err != nil {
				t.Fatal(err)
			}
			exec.MustExec([]float32{1, 1, 1})
			if kept(before) != shared || w.MustValue() != before || address(before) != at {
				t.Error("the variable has been moved, want a step in place")
			}
		})
	}
}

// address tells where the elements of w lie.
func address(w *tensors.Tensor) (at *float32) {
	tensors.MustConstFlatData(w, func(flat []float32) { at = &flat[0] })
	return at
}

// What cannot be trained is an error of the execution that builds the graph.
func TestGraphErrors(t *testing.T) {
	scalar := func(ctx *context.Context, name string, value any, x *graph.Node) *graph.Node {
		return ctx.VariableWithValue(name, value).ValueGraph(x.Graph())
	}
	type build = func(ctx *context.Context, opt *Optimizer, x *graph.Node)
	for _, c := range []struct {
		name, message string
		build         build
	}{
		{"loss", "shape (Float32)[2], want a scalar",
			func(ctx *context.Context, opt *Optimizer, x *graph.Node) {
				opt.UpdateGraph(ctx, x.Graph(), graph.Mul(x, scalar(ctx, "w", float32(1), x)))
			}},
		{"int32", `"/v" is of Int32, want Float32, Float64 or BFloat16`,
			func(ctx *context.Context, opt *Optimizer, x *graph.Node) {
				v := graph.ConvertDType(scalar(ctx, "v", int32(1), x), dtypes.Float32)
				y := graph.Mul(v, scalar(ctx, "w", float32(1), x))
				opt.UpdateGraph(ctx, x.Graph(), graph.ReduceAllSum(graph.Mul(x, y)))
			}},
		{"no variable", "no trainable variable",
			func(ctx *context.Context, opt *Optimizer, x *graph.Node) {
				opt.UpdateGraph(ctx, x.Graph(), graph.ReduceAllSum(x))
			}},
		{"clip_step_by_value", "not supported",
			func(ctx *context.Context, opt *Optimizer, x *graph.Node) {
				ctx.SetParam(optimizers.ParamClipStepByValue, 0.1)
				y := graph.Mul(x, scalar(ctx, "w", float32(1), x))
				opt.UpdateGraph(ctx, x.Graph(), graph.ReduceAllSum(y))
			}},
		{"clip_nan", "not supported", func(ctx *context.Context, opt *Optimizer, x *graph.Node) {
			ctx.SetParam(optimizers.ParamClipNaN, true)
			y := graph.Mul(x, scalar(ctx, "w", float32(1), x))
			opt.UpdateGraph(ctx, x.Graph(), graph.ReduceAllSum(y))
		}},
		{"number of gradients", "1 gradients of the 2 trainable variables",
			func(ctx *context.Context, opt *Optimizer, x *graph.Node) {
				v, _ := scalar(ctx, "v", float32(1), x), scalar(ctx, "w", float32(1), x)
				opt.UpdateGraphWithGradients(ctx, []*graph.Node{v}, dtypes.Float32)
			}},
		{"shape of gradient", `gradient of "/v" has shape (Float32)[2]`,
			func(ctx *context.Context, opt *Optimizer, x *graph.Node) {
				scalar(ctx, "v", float32(1), x)
				opt.UpdateGraphWithGradients(ctx, []*graph.Node{x}, dtypes.Float32)
			}},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, opt := newContext(t), New(adam.Default(), adam.Options{})
			exec := context.MustNewExec(
				backend,
				ctx,
				func(ctx *context.Context, x *graph.Node) *graph.Node {
					c.build(ctx, opt, x)
					return x
				},
			)
			if _, err := exec.Exec([]float32{1, 2}); err == nil ||
				!strings.Contains(err.Error(), c.message) {
				t.Errorf("error %v, want one with %s", err, c.message)
			}
			for v := range ctx.InAbsPath(Scope).IterVariablesInScope() {
				t.Errorf("there is a gradient %s", v)
			}
			if _, err := opt.Step(); !errors.Is(err, adam.ErrParams) {
				t.Errorf("Step: error %v, want adam.ErrParams", err)
			}
		})
	}
}

// A graph need not have outputs of its own.
func TestGraphWithoutOutputs(t *testing.T) {
	ctx, opt := newContext(t), New(adam.Default(), adam.Options{})
	defer opt.Close()
	exec := context.MustNewExec(backend, ctx, func(ctx *context.Context, x *graph.Node) {
		w := ctx.VariableWithValue("w", float32(1)).ValueGraph(x.Graph())
		opt.UpdateGraph(ctx, x.Graph(), graph.Mul(w, x))
	})
	for range 3 {
		if _, err := exec.Exec(float32(2)); err != nil {
			t.Fatal(err)
		}
		if _, err := opt.Step(); err != nil {
			t.Fatal(err)
		}
	}
	if got := tensors.ToScalar[float32](ctx.GetVariable("w").MustValue()); math.Abs(
		float64(got)-0.997,
	) > 1e-6 {
		t.Errorf("w = %g, want 0.997", got)
	}
}

// Only what the executed graph computes a gradient of is stepped.
func TestGraphs(t *testing.T) {
	ctx := newContext(t)
	opt := New(adam.DefaultW(), adam.Options{})
	defer opt.Close()
	names := []string{"a"}
	model := func(ctx *context.Context, _ any, inputs []*graph.Node) []*graph.Node {
		y := inputs[0]
		for _, name := range names {
			y = graph.Mul(y, ctx.VariableWithValue(name, float32(1)).ValueGraph(y.Graph()))
		}
		return []*graph.Node{y}
	}
	trainer := train.NewTrainer(backend, ctx, model, losses.MeanSquaredError, opt, nil, nil)
	step := func(spec string) error {
		x := []*tensors.Tensor{tensors.FromValue([]float32{1, 2})}
		y := []*tensors.Tensor{tensors.FromValue([]float32{3, 4})}
		if _, err := trainer.TrainStep(spec, x, y); err != nil {
			return err
		}
		_, err := opt.Step()
		return err
	}
	ctx.Checked(false).VariableWithValue("b", float32(1)) // before the optimizer is bound
	want := map[string]uint64{"/a": 0, "/b": 0}
	expect := func() {
		t.Helper()
		for name, n := range want {
			if got := opt.Optimizer().State(name).T; got != n {
				t.Errorf("%s has %d steps, want %d", name, got, n)
			}
		}
	}
	for _, c := range []struct {
		spec  string
		names []string
	}{
		{"a", []string{"a"}}, {"ab", []string{"a", "b"}},
		{"a", []string{"a"}}, {"b", []string{"b"}},
	} {
		names = c.names
		if err := step(c.spec); err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			want["/"+name]++
		}
		expect()
	}

	// Freezing works as with the host's optimizers: for graphs built from now on.
	ctx.GetVariable("a").SetTrainable(false)
	trainer.ResetComputationGraphs()
	names = []string{"a", "b"}
	if err := step("ab"); err != nil {
		t.Fatal(err)
	}
	want["/b"]++
	expect()

	names = []string{"b", "new"} // a variable that is new begins, the others go on
	if err := step("new"); err != nil {
		t.Fatal(err)
	}
	want["/b"]++
	want["/new"] = 1
	expect()

	bound := opt.Optimizer()
	if err := opt.Clear(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := bound.Step(); !errors.Is(err, adam.ErrClosed) {
		t.Errorf("after Clear the optimizer's goroutines are still there: error %v", err)
	}
	for v := range ctx.InAbsPath(Scope).IterVariablesInScope() {
		t.Errorf("after Clear there is a gradient %s", v)
	}
	trainer.ResetComputationGraphs()
	if err := step("new"); err != nil {
		t.Fatal(err)
	}
	want = map[string]uint64{"/b": 1, "/new": 1}
	expect()
}

// layer is a layer of GoMLX on a batch of images.
type layer func(ctx *context.Context, image *graph.Node) *graph.Node

// execute executes a graph with the gradients of the layer and returns its error.
func (l layer) execute(ctx *context.Context, opt *Optimizer) error {
	exec := context.MustNewExec(backend, ctx, func(ctx *context.Context, image *graph.Node) {
		ctx.SetTraining(image.Graph(), true)
		opt.UpdateGraph(ctx, image.Graph(), graph.ReduceAllSum(graph.Square(l(ctx, image))))
	})
	_, err := exec.Exec(random(rand.New(rand.NewPCG(1, 2)), 1, 2, 4, 4, 3))
	return err
}

// The pure-Go backend computes the gradients of these layers.
func TestLayers(t *testing.T) {
	for _, c := range []struct {
		name  string
		layer layer
	}{
		{"dense", func(ctx *context.Context, image *graph.Node) *graph.Node {
			return layers.Dense(ctx, image, true, 2)
		}},
		{"dropout", func(ctx *context.Context, image *graph.Node) *graph.Node {
			return layers.DropoutStatic(ctx, layers.Dense(ctx, image, true, 2), 0.5)
		}},
		{"layer normalization", func(ctx *context.Context, image *graph.Node) *graph.Node {
			return layers.LayerNormalization(ctx, image, -1).Done()
		}},
		{"embedding", func(ctx *context.Context, image *graph.Node) *graph.Node {
			tokens := graph.ConvertDType(graph.Abs(graph.Reshape(image, -1, 1)), dtypes.Int32)
			return layers.Embedding(ctx, tokens, dtypes.Float32, 5, 4)
		}},
		{"attention", func(ctx *context.Context, image *graph.Node) *graph.Node {
			x := graph.Reshape(image, 2, 16, 3)
			return layers.MultiHeadAttention(ctx, x, x, x, 2, 4).Done()
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, opt := newContext(t), New(adam.Default(), adam.Options{})
			defer opt.Close()
			if err := c.layer.execute(ctx, opt); err != nil {
				t.Fatal(err)
			}
			before := values(ctx)
			if _, err := opt.Step(); err != nil {
				t.Fatal(err)
			}
			if after := values(ctx); len(after) == 0 || reflect.DeepEqual(after, before) {
				t.Error("no parameter has changed")
			}
		})
	}
}
