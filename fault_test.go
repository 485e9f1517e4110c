//go:build linux

package adam

import (
	"runtime/debug"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// readOnly returns n floats that may be read but not written.
func readOnly(t *testing.T, n int) []float32 {
	t.Helper()
	memory, err := unix.Mmap(-1, 0, 4*n, unix.PROT_READ, unix.MAP_ANON|unix.MAP_PRIVATE)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, unix.Munmap(memory)) })
	return unsafe.Slice((*float32)(unsafe.Pointer(&memory[0])), n)
}

// faults runs f, which writes to read-only memory.
func faults(t *testing.T, f func()) {
	t.Helper()
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	assert.Panics(t, f)
}

// A program may go on after a fault: no counter is ahead, and the optimizer, whose tensors may be
// stepped in part, is closed.
func TestFault(t *testing.T) {
	eachKernel(t, func(t *testing.T) {
		for _, options := range []Options{{}, {MaxNorm: 1, ZeroGrad: true, EMADecay: 0.5}} {
			options.Workers = 1
			p := someTensors(1024, "a", "b")
			p[1].Value = readOnly(t, 1024)
			o := newOptimizer(t, options, Group{Config: Default(), Params: p})
			before := p[0].Value[0]
			faults(t, func() { _, _ = o.Step() })
			assert.NotEqual(t, before, p[0].Value[0], "the fault comes after the first tensor")
			assert.Zero(t, o.T)
			assert.Zero(t, o.State("a").T)
			assert.Zero(t, o.State("b").T)
			_, err := o.Step()
			assert.ErrorIs(t, err, ErrClosed)
			_, err = o.Norm()
			assert.ErrorIs(t, err, ErrClosed)
			assert.ErrorIs(t, o.Regroup(o.Groups...), ErrClosed)
			assert.NoError(t, o.Close())
		}
		s := NewState(1024, Default())
		faults(t, func() { _ = s.Step(readOnly(t, 1024), make([]float32, 1024), Default()) })
		assert.Zero(t, s.T)
		s64, words := NewState64(512, Default()), readOnly(t, 1024)
		p64 := unsafe.Slice((*float64)(unsafe.Pointer(&words[0])), 512)
		faults(t, func() { _ = s64.Step(p64, make([]float64, 512), Default()) })
		assert.Zero(t, s64.T)
	})
}

// The same whichever worker faults: a fault of a helper is the caller's panic.
func TestFaultOfWorkers(t *testing.T) {
	sharedOut(t)
	eachKernel(t, func(t *testing.T) {
		const n = 3 * tile
		for workers := 1; workers <= 3; workers++ {
			for faulty := range 3 { // a tensor that any of the workers may begin with
				p := someTensors(n, "a", "b", "c")
				p[faulty].Value = readOnly(t, n)
				o := newOptimizer(t, Options{Workers: workers, MaxNorm: 1, EMADecay: 0.5},
					Group{Config: Default(), Params: p})
				faults(t, func() { _, _ = o.Step() })
				assert.Zero(t, o.T)
				for _, p := range p {
					assert.Zero(t, o.State(p.Name).T, p.Name)
				}
				_, err := o.Step()
				assert.ErrorIs(t, err, ErrClosed)
				goroutines(t, 0)
			}
		}
	})
}

// The zeroing of gradients faults where they are mapped read-only.
func TestFaultOfZeroGrad(t *testing.T) {
	p := someTensors(1024, "a")
	p[0].Grad = readOnly(t, 1024)
	o := newOptimizer(t, Options{}, Group{Config: Default(), Params: p})
	_, err := o.Step()
	require.NoError(t, err, "gradients are only read")
	faults(t, func() { _ = o.ZeroGrad() })
	assert.EqualValues(t, 1, o.T)
	_, err = o.Step()
	assert.ErrorIs(t, err, ErrClosed)
}
