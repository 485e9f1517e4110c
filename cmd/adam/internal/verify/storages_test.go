package verify

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"unsafe"

	"github.com/fusedadam/adam"
	"github.com/fusedadam/adam/internal/selection"
)

var generic16 = On16(selection.Generic)

func TestKernelsPass16(t *testing.T) {
	for _, k := range adam.Kernels() {
		f, err := AgainstGeneric16(On16(k), generic16)
		if err != nil || f.Steps < 15000 || f.Values < 15e6 {
			t.Errorf("%s: %+v, %v", k, f, err)
		}
	}
}

// Every combination is there once, with the slices that NewState16 gives it.
func TestStoragesAreAll(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range storages {
		amsgrad := s.Moments != adam.Q8Moments
		x := newTensor16(rand.New(rand.NewPCG(1, 2)), s, 65, amsgrad, kinds16[0])
		want := adam.NewState16(x.p, s.Storage, 1, adam.Config{AMSGrad: amsgrad})
		for name, have := range map[string][2]bool{
			"M": {x.s.M != nil, want.M != nil}, "VMax": {x.s.VMax != nil, want.VMax != nil},
			"V16": {x.s.V16 != nil, want.V16 != nil}, "M8": {x.s.M8 != nil, want.M8 != nil},
			"VMax16": {x.s.VMax16 != nil, want.VMax16 != nil},
			"Rest":   {x.s.Rest != nil, want.Rest != nil},
			"VScale": {len(x.s.VScale) == 2, len(want.VScale) == 2},
		} {
			if have[0] != have[1] {
				t.Errorf("%v: %s is there: %v, NewState16 makes it: %v", s, name, have[0], have[1])
			}
		}
		seen[s.String()] = true
	}
	if len(seen) != 3*5*3 {
		t.Errorf("%d storages", len(seen))
	}
}

// What a step spoils is found and named.
func TestFaultsAreFound16(t *testing.T) {
	failure := errors.New("no step")
	fails := func(*adam.State16, adam.Param16, adam.Config) error { return failure }
	if _, err := AgainstGeneric16(fails, generic16); !errors.Is(err, failure) {
		t.Errorf("a step that fails: %v", err)
	}
	const n = 129
	long := func(k int) bool { return k == n }
	for want, spoil := range map[string]func(s *adam.State16, p adam.Param16, c adam.Config){
		"float32 gradients, float32 parameters, Float32Moments, config adam, mixed values, " +
			"129 elements, step 1: Value[128] of 129 = ": func(s *adam.State16, p adam.Param16,
			_ adam.Config) {
			if long(len(p.Value)) {
				nudge(p.Value, n-1)
			}
		},
		": BF16[7] of 129": func(_ *adam.State16, p adam.Param16, _ adam.Config) {
			if long(len(p.BF16)) {
				nudge16(p.BF16, 7)
			}
		},
		", float32 parameters with an f16 copy, Float32Moments, config adam, ": func(
			_ *adam.State16, p adam.Param16, _ adam.Config) {
			if long(len(p.F16)) {
				nudge16(p.F16, 7)
			}
		},
		": V[3] of ": func(s *adam.State16, _ adam.Param16, _ adam.Config) {
			if long(len(s.V)) {
				nudge(s.V, 3)
			}
		},
		": VMax[0] of ": func(s *adam.State16, _ adam.Param16, c adam.Config) {
			if long(len(s.VMax)) && c.AMSGrad {
				nudge(s.VMax, 0)
			}
		},
		": M16[64] of ": func(s *adam.State16, _ adam.Param16, _ adam.Config) {
			if long(len(s.M16)) {
				nudge16(s.M16, 64)
			}
		},
		": VMax16[1] of ": func(s *adam.State16, _ adam.Param16, c adam.Config) {
			if long(len(s.VMax16)) {
				nudge16(s.VMax16, 1)
			}
		},
		": V8[9] of ": func(s *adam.State16, _ adam.Param16, _ adam.Config) {
			if long(len(s.V8)) {
				s.V8[9] ^= 1
			}
		},
		": MScale[2] of 3": func(s *adam.State16, _ adam.Param16, _ adam.Config) {
			if len(s.MScale) == 3 {
				s.MScale[2] ^= 1
			}
		},
		": Rest[2] of ": func(s *adam.State16, _ adam.Param16, _ adam.Config) {
			if long(len(s.Rest)) {
				s.Rest[2] ^= 1
			}
		},
		": GradF16[4] of ": func(_ *adam.State16, p adam.Param16, _ adam.Config) {
			if long(len(p.GradF16)) {
				nudge16(p.GradF16, 4)
			}
		},
		"memory beside M8 was changed": func(s *adam.State16, _ adam.Param16, _ adam.Config) {
			if long(len(s.M8)) {
				*(*int8)(unsafe.Add(unsafe.Pointer(&s.M8[0]), n))++
			}
		},
		"memory beside Value was changed": func(_ *adam.State16, p adam.Param16, _ adam.Config) {
			if long(len(p.Value)) {
				*(*float32)(unsafe.Add(unsafe.Pointer(&p.Value[0]), -4)) = 0
			}
		},
		"counter T = ": func(s *adam.State16, _ adam.Param16, _ adam.Config) { s.T += 2 },
	} {
		faulty := func(s *adam.State16, p adam.Param16, c adam.Config) error {
			err := generic16(s, p, c)
			spoil(s, p, c)
			return err
		}
		_, err := AgainstGeneric16(faulty, generic16)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", want, err)
		}
	}
}

// nudge16 is nudge of 16 bits: it changes the last one, and all of a NaN.
func nudge16[E interface {
	~uint16
	Float32() float32
}](x []E, i int) {
	if f := x[i].Float32(); f != f {
		x[i] = 0
		return
	}
	x[i] ^= 1
}
