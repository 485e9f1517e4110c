package adamgomlx

import (
	"path/filepath"
	"reflect"
	"testing"

	"github.com/fusedadam/adam"
	"github.com/gomlx/gomlx/pkg/ml/context/checkpoints"
)

// A run goes on from its checkpoint to the bit: with the parameters in the checkpoint of the
// optimizer, or in one of GoMLX.
func TestResume(t *testing.T) {
	const until, steps = 7, 15
	newOptimizer := func(saveParams bool) *Optimizer {
		return New(adam.DefaultW(), adam.Options{EMADecay: 0.9, SaveParams: saveParams})
	}
	whole := newRun(t, newOptimizer(false))
	for i := range steps {
		whole.step(i)
	}
	path := filepath.Join(t.TempDir(), "run.safetensors")
	t.Run("SaveParams", func(t *testing.T) {
		saved := newRun(t, newOptimizer(true))
		for i := range until {
			saved.step(i)
		}
		saved.execute(until) // moves variables; the gradients are lost
		if err := saved.opt.Bind(saved.ctx); err != nil {
			t.Fatal(err)
		}
		if err := saved.opt.Optimizer().SaveFile(path); err != nil {
			t.Fatal(err)
		}

		resumed := newRun(t, newOptimizer(true))
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
			resumed.step(i)
		}
		if !reflect.DeepEqual(resumed.state(), whole.state()) {
			t.Error("the resumed run is not as one in one piece")
		}
	})
	t.Run("GoMLX", func(t *testing.T) {
		dir := t.TempDir()
		saved := newRun(t, newOptimizer(false))
		for i := range until {
			saved.step(i)
		}
		handler := must(checkpoints.Build(saved.ctx).Dir(dir).Done())
		for v := range saved.ctx.InAbsPath(Scope).IterVariablesInScope() {
			handler.ExcludeVarsFromSaving(v)
		}
		if err := handler.Save(); err != nil {
			t.Fatal(err)
		}
		if err := saved.opt.Optimizer().SaveFile(path); err != nil {
			t.Fatal(err)
		}

		resumed := newRun(t, newOptimizer(false))
		must(checkpoints.Build(resumed.ctx).Dir(dir).Done())
		resumed.execute(until) // loads the variables
		if err := resumed.opt.Bind(resumed.ctx); err != nil {
			t.Fatal(err)
		}
		if err := resumed.opt.Optimizer().LoadFile(path); err != nil {
			t.Fatal(err)
		}
		resumed.update()
		for i := until + 1; i < steps; i++ {
			resumed.step(i)
		}
		if !reflect.DeepEqual(resumed.state(), whole.state()) {
			t.Error("the resumed run is not as one in one piece")
		}
		if got := resumed.trainer.GlobalStep(); got != steps {
			t.Errorf("global step %d, want %d", got, steps)
		}
	})
}

// A checkpoint brings its Configs, and Step writes that of the Optimizer over them.
func TestConfigOfCheckpoint(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run.safetensors")
	config := with(adam.DefaultW(), func(c *adam.Config) { c.LR, c.WeightDecay = 0.5, 0.25 })
	saved, resumed := newRun(t, New(config, adam.Options{})), newRun(t, New(config, adam.Options{}))
	saved.step(0)
	if err := saved.opt.Optimizer().SaveFile(path); err != nil {
		t.Fatal(err)
	}
	resumed.opt.Config = adam.Default()
	resumed.execute(0)
	if err := resumed.opt.Bind(resumed.ctx); err != nil {
		t.Fatal(err)
	}
	optimizer := resumed.opt.Optimizer()
	if err := optimizer.LoadFile(path); err != nil {
		t.Fatal(err)
	}
	restored := optimizer.Groups[0].Config
	if restored != config {
		t.Errorf("the checkpoint has brought %+v, want %+v", restored, config)
	}
	resumed.update()
	if got := optimizer.Groups[0].Config; got != adam.Default() {
		t.Errorf("the step has taken %+v, want that of the Optimizer", got)
	}
}
