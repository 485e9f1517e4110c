package adamgomlx

import (
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/fusedadam/adam"
	"github.com/gomlx/gomlx/pkg/core/dtypes"
	"github.com/gomlx/gomlx/pkg/core/dtypes/bfloat16"
	"github.com/gomlx/gomlx/pkg/core/tensors"
)

// storages are some that variables of both types can have.
var storages = []adam.Storage{
	{}, {Moments: adam.BF16Moments}, {Moments: adam.Q8Moments, Master: adam.NoMaster},
}

// newHalves returns a run with a layer of bfloat16 and one of another type.
func newHalves(t *testing.T, s adam.Storage, out dtypes.DType) *run {
	opt := New(adam.DefaultW(), adam.Options{SaveParams: true, Seed: 7})
	opt.Storage = s
	opt.NoDecay = func(name string) bool { return strings.HasSuffix(name, "/biases") }
	return newRunOf(t, opt, dtypes.BFloat16, out)
}

// Variables of bfloat16 and, with a Storage, of float32 have the bits of a State16 of their own,
// those of float64 the bits of a State64.
func TestStorage(t *testing.T) {
	for _, storage := range storages {
		for _, out := range []dtypes.DType{dtypes.Float32, dtypes.Float64} {
			t.Run(fmt.Sprint(storage, out), func(t *testing.T) {
				r := newHalves(t, storage, out)
				states := map[string]*adam.State16{}
				for i := range 5 {
					r.execute(i)
					want := map[string]adam.Param16{}
					for v := range r.ctx.IterVariables() {
						if !v.Trainable || v.DType() == dtypes.Float64 {
							continue
						}
						name, c := v.ScopeAndName(), adam.DefaultW()
						if r.opt.NoDecay(name) {
							c.WeightDecay = 0
						}
						p := adam.Param16{Name: name}
						gradient := r.variable(Scope+v.Scope(), v.Name()).MustValue()
						if v.DType() == dtypes.BFloat16 {
							p.BF16 = halves(v.MustValue())
							p.GradBF16 = halves(gradient)
						} else {
							p.Value = tensors.MustCopyFlatData[float32](v.MustValue())
							p.Grad = tensors.MustCopyFlatData[float32](gradient)
						}
						if states[name] == nil {
							states[name] = adam.NewState16(p, storage, 7, c)
						}
						if err := states[name].Step(p, c); err != nil {
							t.Fatal(err)
						}
						want[name] = p
					}
					r.update()
					for v := range r.ctx.IterVariables() {
						p, ok := want[v.ScopeAndName()]
						if !ok {
							continue
						}
						same := v.DType() == dtypes.BFloat16 &&
							reflect.DeepEqual(halves(v.MustValue()), p.BF16)
						if v.DType() == dtypes.Float32 {
							now := tensors.MustCopyFlatData[float32](v.MustValue())
							same = reflect.DeepEqual(now, p.Value)
						}
						if !same {
							t.Errorf("step %d: %s is not as by a State16", i, v.ScopeAndName())
						}
					}
				}
				o := r.opt.Optimizer()
				for name, s := range states {
					if own := o.State16(name); own != nil && !reflect.DeepEqual(own.Rest, s.Rest) {
						t.Errorf("%s has not the master of a State16 of its own", name)
					} else if own == nil && (o.State(name) == nil || storage != (adam.Storage{})) {
						t.Errorf("%s has no state", name)
					}
				}
				if want := map[dtypes.DType]int{dtypes.Float32: 4, dtypes.Float64: 2}[out]; len(
					states) != want {
					t.Errorf("%d variables, want %d", len(states), want)
				}
			})
		}
	}
}

func halves(of *tensors.Tensor) []adam.BF16 {
	return adam.AsBF16(tensors.MustCopyFlatData[bfloat16.BFloat16](of))
}

// A run with variables of bfloat16 goes on from its checkpoint to the bit.
func TestResumeStorage(t *testing.T) {
	const until, steps = 4, 8
	for _, storage := range storages {
		path := filepath.Join(t.TempDir(), "run.safetensors")
		whole := newHalves(t, storage, dtypes.Float32)
		for i := range until {
			whole.step(i)
		}
		if err := whole.opt.Optimizer().SaveFile(path); err != nil {
			t.Fatal(err)
		}
		resumed := newHalves(t, storage, dtypes.Float32)
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
		if !reflect.DeepEqual(values(resumed.ctx), values(whole.ctx)) {
			t.Errorf("%v: the resumed run is not as one in one piece", storage)
		}
	}
}
