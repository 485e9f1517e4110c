package adamgomlx

import (
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/fusedadam/adam"
	"github.com/gomlx/gomlx/pkg/core/dtypes"
	"github.com/gomlx/gomlx/pkg/core/tensors"
	"github.com/gomlx/gomlx/pkg/ml/context"
)

// newMixed returns a run with a layer of float32 and one of float64.
func newMixed(t *testing.T) *run {
	opt := New(adam.DefaultW(), adam.Options{SaveParams: true, EMADecay: 0.9})
	opt.NoDecay = func(name string) bool { return strings.HasSuffix(name, "/biases") }
	return newRunOf(t, opt, dtypes.Float32, dtypes.Float64)
}

// follow steps a copy of v with the State or State64 that is in states, and returns what v must be
// after the next step.
func (r *run) follow(states map[string]any, v *context.Variable, c adam.Config) any {
	name := v.ScopeAndName()
	value, gradient := v.MustValue(), r.variable(Scope+v.Scope(), v.Name()).MustValue()
	var want any
	var err error
	if v.DType() == dtypes.Float64 {
		p := tensors.MustCopyFlatData[float64](value)
		if states[name] == nil {
			states[name] = adam.NewState64(len(p), c)
		}
		s := states[name].(*adam.State64)
		want, err = p, s.Step(p, tensors.MustCopyFlatData[float64](gradient), c)
	} else {
		p := tensors.MustCopyFlatData[float32](value)
		if states[name] == nil {
			states[name] = adam.NewState(len(p), c)
		}
		s := states[name].(*adam.State)
		want, err = p, s.Step(p, tensors.MustCopyFlatData[float32](gradient), c)
	}
	if err != nil {
		r.t.Fatal(err)
	}
	return want
}

// In a model of both types each variable has the bits of a State or a State64 of its own.
func TestMixed(t *testing.T) {
	r, states := newMixed(t), map[string]any{}
	for i := range 20 {
		r.execute(i)
		want := map[*context.Variable]any{}
		for v := range r.ctx.IterVariables() {
			if !v.Trainable {
				continue
			}
			c := adam.DefaultW()
			if r.opt.NoDecay(v.ScopeAndName()) {
				c.WeightDecay = 0
			}
			want[v] = r.follow(states, v, c)
		}
		r.update()
		for v, elements := range want {
			v.MustValue().MustConstFlatData(func(flat any) {
				if !reflect.DeepEqual(flat, elements) {
					t.Errorf("step %d: %s is not as by a State of its own", i, v.ScopeAndName())
				}
			})
		}
	}
	o := r.opt.Optimizer()
	for name, state := range states {
		var own any = o.State64(name)
		if strings.HasPrefix(name, "/hidden/") {
			own = o.State(name)
		}
		if !reflect.DeepEqual(own, state) {
			t.Errorf("%s has not the moments of a State of its own", name)
		}
	}
	if len(states) != 4 {
		t.Errorf("%d variables, want 4", len(states))
	}
}

// A run of both types goes on from its checkpoint to the bit.
func TestResumeMixed(t *testing.T) {
	const until, steps = 7, 15
	path := filepath.Join(t.TempDir(), "run.safetensors")
	whole := newMixed(t)
	for i := range until {
		whole.step(i)
	}
	if err := whole.opt.Optimizer().SaveFile(path); err != nil {
		t.Fatal(err)
	}
	resumed := newMixed(t)
	inputs, labels := resumed.batch(0)
	// It creates the variables.
	if _, err := resumed.trainer.EvalStep(nil, inputs, labels); err != nil {
		t.Fatal(err)
	}
	if err := resumed.opt.Bind(resumed.ctx); err != nil {
		t.Fatal(err)
	}
	if err := resumed.opt.Optimizer().LoadFile(path); err != nil {
		t.Fatal(err)
	}
	for i := until; i < steps; i++ {
		whole.step(i)
		resumed.step(i)
	}
	if !reflect.DeepEqual(resumed.state(), whole.state()) {
		t.Error("the resumed run is not as one in one piece")
	}
}
