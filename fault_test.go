//go:build linux

package adam

import (
	"os"
	"runtime/debug"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// readOnly returns 1024 floats that may be read but not written.
func readOnly(t *testing.T) []float32 {
	t.Helper()
	page, err := unix.Mmap(-1, 0, os.Getpagesize(), unix.PROT_READ, unix.MAP_ANON|unix.MAP_PRIVATE)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, unix.Munmap(page)) })
	return unsafe.Slice((*float32)(unsafe.Pointer(&page[0])), 1024)
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
			p[1].Value = readOnly(t)
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
		faults(t, func() { _ = s.Step(readOnly(t), make([]float32, 1024), Default()) })
		assert.Zero(t, s.T)
	})
}

// The zeroing of gradients faults where they are mapped read-only.
func TestFaultOfZeroGrad(t *testing.T) {
	p := someTensors(1024, "a")
	p[0].Grad = readOnly(t)
	o := newOptimizer(t, Options{}, Group{Config: Default(), Params: p})
	_, err := o.Step()
	require.NoError(t, err, "gradients are only read")
	faults(t, func() { _ = o.ZeroGrad() })
	assert.EqualValues(t, 1, o.T)
	_, err = o.Step()
	assert.ErrorIs(t, err, ErrClosed)
}
