package adam

import (
	"bytes"
	"errors"
	"math"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// tensors returns a Param of n elements for each name, with values and gradients.
func someTensors(n int, names ...string) []Param {
	var params []Param
	for i, name := range names {
		p := Param{Name: name, Value: make([]float32, n), Grad: make([]float32, n)}
		for j := range n {
			p.Value[j], p.Grad[j] = float32(i+1), float32(j%5)-1.5
		}
		params = append(params, p)
	}
	return params
}

func newOptimizer(t testing.TB, o Options, groups ...Group) *Optimizer {
	t.Helper()
	opt, err := New(o, groups...)
	require.NoError(t, err)
	t.Cleanup(func() { _ = opt.Close() })
	return opt
}

// methods are all that may fail, by name.
func methods(t testing.TB, o *Optimizer) map[string]func() error {
	path := filepath.Join(t.TempDir(), "checkpoint")
	return map[string]func() error{
		"Step":       func() error { _, err := o.Step(); return err },
		"Norm":       func() error { _, err := o.Norm(); return err },
		"ZeroGrad":   func() error { return o.ZeroGrad() },
		"Regroup":    func() error { return o.Regroup() },
		"Add":        func() error { return o.Add(0, Param{}) },
		"Remove":     func() error { return o.Remove("a") },
		"Grow":       func() error { return o.Grow("a", make([]float32, 10), nil) },
		"SetWorkers": func() error { return o.SetWorkers(2) },
		"Save":       func() error { return o.Save(new(bytes.Buffer)) },
		"SaveFile":   func() error { return o.SaveFile(path) },
		"Load":       func() error { return o.Load(new(bytes.Buffer)) },
		"LoadFile":   func() error { return o.LoadFile(path) },
		"Close":      func() error { return o.Close() },
	}
}

// Whoever comes while another goroutine is in a method gets ErrBusy, and nothing has changed.
func TestBusy(t *testing.T) {
	o := newOptimizer(t, Options{Workers: 1}, Group{Config: Default(),
		Params: someTensors(10, "a")})
	entered, leave := make(chan struct{}), make(chan struct{})
	var saving sync.WaitGroup
	saving.Add(1)
	go func() {
		defer saving.Done()
		assert.NoError(t, o.Save(blockingWriter{entered, leave}))
	}()
	<-entered
	for name, f := range methods(t, o) {
		unchangedBy(t, o, ErrBusy, f)
		assert.Equal(t, 1, strings.Count(f().Error(), "adam:"), name)
	}
	close(leave)
	saving.Wait()
	_, err := o.Step()
	assert.NoError(t, err, "the optimizer can be used again")
}

// A blockingWriter says that a write has begun and then waits.
type blockingWriter struct{ entered, leave chan struct{} }

func (w blockingWriter) Write(b []byte) (int, error) {
	select {
	case w.entered <- struct{}{}:
	case <-w.leave:
	}
	<-w.leave
	return len(b), nil
}

// Two goroutines that step one optimizer end, each step is made or refused, and none is lost.
func TestStepFromTwoGoroutines(t *testing.T) {
	sharedOut(t)
	o := newOptimizer(t, Options{Workers: 2, MaxNorm: 1},
		Group{Config: Default(), Params: someTensors(3*tile, "a")})
	var both sync.WaitGroup
	var made atomic.Uint64
	for range 2 {
		both.Add(1)
		go func() {
			defer both.Done()
			for range 200 {
				_, err := o.Step()
				if err == nil {
					made.Add(1)
				} else if !errors.Is(err, ErrBusy) {
					t.Error(err)
				}
			}
		}()
	}
	both.Wait()
	assert.Equal(t, made.Load(), o.T)
	assert.Equal(t, made.Load(), o.State("a").T)
}

// An Optimizer that New has not made is an error in every method, and so is a copy.
func TestNotFromNew(t *testing.T) {
	original := newOptimizer(t, Options{}, Group{Config: Default(), Params: someTensors(3, "a")})
	copied := new(Optimizer)
	copied.Groups, copied.GradScale, copied.model = original.Groups, 1, original.model
	copied.self, copied.pool = original.self, original.pool // as *original would, but for vet
	for name, o := range map[string]*Optimizer{"zero": {}, "copy": copied, "nil": nil} {
		for method, f := range methods(t, o) {
			assert.ErrorIs(t, f(), ErrParams, "%s of %s", method, name)
		}
		if name != "copy" {
			assert.Nil(t, o.State("a"))
			assert.Nil(t, o.EMA("a"))
		}
	}
	_, err := original.Step()
	assert.NoError(t, err)
}

func TestOptimizerStepsEnd(t *testing.T) {
	o := newOptimizer(t, Options{}, Group{Config: Default(), Params: someTensors(3, "a")})
	o.T = math.MaxUint64
	unchangedBy(t, o, ErrSteps, func() error { _, err := o.Step(); return err }, "Optimizer.T")
}

// Overlaps that come from one slice that moves while the others stay.
func TestOverlapsOfMovingSlices(t *testing.T) {
	step := func(o *Optimizer) func() error {
		return func() error { _, err := o.Step(); return err }
	}
	for _, zero := range []bool{false, true} {
		make3 := func() *Optimizer {
			mem := make([]float32, 60)
			o := newOptimizer(t, Options{Workers: 1, ZeroGrad: zero, EMADecay: 0.5},
				Group{Config: Default(), Params: []Param{
					{Name: "a", Value: mem[:10], Grad: mem[30:40]},
					{Name: "b", Value: mem[10:20], Grad: mem[40:50]},
					{Name: "empty", Value: mem[5:5], Grad: mem[5:5]},
				}})
			require.NoError(t, step(o)(), "an empty slice inside of another does not overlap")
			return o
		}
		for name, spoil := range map[string]func(o *Optimizer, s *State, p *Param){
			"VMax of another length": func(_ *Optimizer, s *State, _ *Param) { s.VMax = s.M },
			"VMax": func(o *Optimizer, s *State, _ *Param) {
				s.VMax = o.State("b").V[:10]
			},
			"value onto a gradient": func(o *Optimizer, _ *State, p *Param) {
				p.Value = o.Groups[0].Params[1].Grad
			},
			"value onto its own":     func(_ *Optimizer, _ *State, p *Param) { p.Value = p.Grad },
			"moment onto an average": func(o *Optimizer, s *State, _ *Param) { s.M = o.EMA("b") },
			"gradient on an average": func(o *Optimizer, _ *State, p *Param) {
				p.Grad = o.EMA("b")
			},
		} {
			o := make3()
			s := o.State("a")
			s.VMax = s.M[:0]
			require.NoError(t, step(o)())
			spoil(o, s, &o.Groups[0].Params[0])
			for range 2 { // the refused layout does not become the known one
				unchangedBy(t, o, ErrOverlap, step(o))
			}
			assert.NotEmpty(t, name)
		}
	}
	// A refused step leaves the spans of the last good layout: what moves back is checked against
	// them.
	o := newOptimizer(t, Options{Workers: 1}, Group{Config: Default(),
		Params: someTensors(10, "a", "b")})
	p, good := &o.Groups[0].Params[0], o.Groups[0].Params[0].Value
	p.Value = o.State("b").M
	unchangedBy(t, o, ErrOverlap, step(o))
	p.Value = make([]float32, 10)
	require.NoError(t, step(o)())
	p.Grad = p.Value
	unchangedBy(t, o, ErrOverlap, step(o))
	p.Grad = good
	assert.NoError(t, step(o)(), "the old memory of the value is free")
	// That step has moved a gradient alone. The spans of a refused one are not in the memory of
	// those that are known.
	good = p.Value
	p.Value = o.State("a").M
	unchangedBy(t, o, ErrOverlap, step(o))
	p.Value, p.Grad = good, good
	unchangedBy(t, o, ErrOverlap, step(o))
}

// Gradients that are shared may be read, but not zeroed: Options may begin to zero them at any
// step.
func TestZeroGradBeginsLater(t *testing.T) {
	shared := make([]float32, 10)
	o := newOptimizer(t, Options{}, Group{Config: Default(), Params: []Param{
		{Name: "a", Value: make([]float32, 10), Grad: shared},
		{Name: "b", Value: make([]float32, 10), Grad: shared}}})
	step := func() error { _, err := o.Step(); return err }
	require.NoError(t, step())
	o.Options.ZeroGrad = true
	unchangedBy(t, o, ErrOverlap, step, `Grad of "a"`, `Grad of "b"`)
	o.Options.ZeroGrad = false
	require.NoError(t, step())
}

// A State that two tensors share would be counted twice in a step, even where it has no moments.
func TestStateOfTwoTensors(t *testing.T) {
	for _, n := range []int{0, 3} {
		s := NewState(n, Default())
		_, err := New(Options{}, Group{Config: Default(), Params: []Param{
			{Name: "a", Value: make([]float32, n), State: s},
			{Name: "b", Value: make([]float32, n), State: s},
		}})
		require.ErrorIs(t, err, ErrParams)
		assert.ErrorContains(t, err, `"a" and "b"`)
	}
}

// Every error says "adam:" once.
func TestErrorsSayAdamOnce(t *testing.T) {
	once := func(err error) {
		t.Helper()
		require.Error(t, err)
		assert.Equal(t, 1, strings.Count(err.Error(), "adam:"), "%v", err)
	}
	o := newOptimizer(t, Options{}, Group{Config: Default(), Params: someTensors(3, "a")})
	step := func() error { _, err := o.Step(); return err }
	for _, spoil := range []func(){
		func() { o.Options.MaxNorm = -1 },
		func() { o.Options = Options{Workers: 3} },
		func() { o.Options = Options{}; o.Groups[0].Config.LR = -1 },
		func() { o.Groups[0].Config = Config{} },
		func() { o.Groups[0].Config = Default(); o.GradScale = 0 },
		func() { o.GradScale = 1; o.T = math.MaxUint64 },
		func() { o.T = 0; o.State("a").T = math.MaxUint64 },
		func() { o.State("a").T = 0; o.Groups[0].Params[0].Grad = o.State("a").M },
		func() { o.Groups[0].Params[0].Grad = make([]float32, 2) },
		func() { o.Groups[0].Params[0].Grad = nil; o.Groups[0].Params[0].Name = "b" },
		func() {
			o.Groups[0].Params[0].Name = "a"
			o.Groups = append(o.Groups, Group{Config: Default(), Params: someTensors(1, "n")})
		},
		func() { o.Groups = nil },
	} {
		spoil()
		once(step())
	}
	once(Config{LR: -1}.Validate())
	once((&State{}).Step(make([]float32, 1), nil, Default()))
}

// A name that is the beginning of the tensor's, in the same memory, is another one.
func TestShorterName(t *testing.T) {
	o := newOptimizer(t, Options{}, Group{Config: Default(), Params: someTensors(3, "name")})
	name := o.Groups[0].Params[0].Name
	o.Groups[0].Params[0].Name = name[:2]
	unchangedBy(t, o, ErrParams, o.Check, `"na", not as given before`)
	o.Groups[0].Params[0].Name = name
	require.NoError(t, o.Check())
}
