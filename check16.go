package adam

import (
	"fmt"
	"unsafe"
)

// size returns the number of elements.
func (p *Param16) size() int {
	if p.Value != nil {
		return len(p.Value)
	}
	return len(p.BF16)
}

func (p *Param16) hasGrad() bool { return p.Grad != nil || p.GradBF16 != nil || p.GradF16 != nil }

// fault says which fields cannot stand beside each other, "" if all can.
func (p *Param16) fault() string {
	switch {
	case p.Value == nil && p.F16 != nil:
		return "F16 is a copy of Value, which is nil: parameters are in Value or in BF16"
	case p.BF16 != nil && p.F16 != nil:
		return "BF16 and F16 are both copies of Value: give one of them"
	case p.Grad != nil && p.GradBF16 != nil:
		return "Grad and GradBF16 are both given: give one gradient"
	case p.Grad != nil && p.GradF16 != nil:
		return "Grad and GradF16 are both given: give one gradient"
	case p.GradBF16 != nil && p.GradF16 != nil:
		return "GradBF16 and GradF16 are both given: give one gradient"
	}
	return ""
}

// storage says how the state keeps what it has, with one Master where there is no choice.
func (s *State16) storage(p *Param16) Storage {
	t := Storage{Moments: Float32Moments}
	switch {
	case s.M16 != nil:
		t.Moments = BF16Moments
	case s.M8 != nil:
		t.Moments = Q8Moments
	}
	if p.Value == nil && p.BF16 != nil && s.Rest == nil {
		t.Master = NoMaster
	}
	return t
}

// fault says which fields cannot stand beside each other or those of p, "" if all can.
func (s *State16) fault(p *Param16) string {
	single := s.M != nil || s.V != nil
	half := s.M16 != nil || s.V16 != nil
	quarter := s.M8 != nil || s.V8 != nil || s.MScale != nil || s.VScale != nil
	switch {
	case single && half:
		return "M, V and M16, V16 are both given: keep one pair of moments"
	case single && quarter:
		return "M, V and M8, V8 are both given: keep one pair of moments"
	case half && quarter:
		return "M16, V16 and M8, V8 are both given: keep one pair of moments"
	case s.VMax != nil && !single:
		return "VMax is the maximum of M, V: of M16, V16 it is VMax16"
	case s.VMax16 != nil && !half:
		return "VMax16 is the maximum of M16, V16: of M, V it is VMax"
	case s.Rest != nil && p.Value != nil:
		return "Rest is of parameters in BF16 alone, and Value is given"
	case s.Offset < 0 || quarter && s.Offset%block16 != 0:
		return fmt.Sprintf("Offset is %d, want a place in the tensor, with M8 a multiple of %d",
			s.Offset, block16)
	}
	return ""
}

// check looks at all but where the slices lie.
func (s *State16) check(p *Param16, amsgrad bool) error {
	fault := p.fault()
	if fault == "" {
		fault = s.fault(p)
	}
	if fault != "" {
		return fmt.Errorf("%w: %s", ErrParams, fault)
	}
	n := p.size()
	for _, l := range [...]length{
		{"BF16", len(p.BF16), p.BF16 != nil}, {"F16", len(p.F16), p.F16 != nil},
		{"Grad", len(p.Grad), p.Grad != nil}, {"GradBF16", len(p.GradBF16), p.GradBF16 != nil},
		{"GradF16", len(p.GradF16), p.GradF16 != nil}, {"Rest", len(s.Rest), s.Rest != nil},
	} {
		if l.given && l.n != n {
			return l.error(n)
		}
	}
	return s.checkMoments(n, amsgrad)
}

// A length is that of a field. It must be the tensor's if the field is given.
type length struct {
	field string
	n     int
	given bool
}

func (l length) error(n int) error {
	return fmt.Errorf("%w: %s has %d elements, want %d", ErrLength, l.field, l.n, n)
}

func (s *State16) checkMoments(n int, amsgrad bool) error {
	var list [3]length
	switch {
	case s.M16 != nil || s.V16 != nil:
		list = [3]length{{"M16", len(s.M16), true}, {"V16", len(s.V16), true},
			{"VMax16", len(s.VMax16), amsgrad}}
	case s.M8 != nil || s.V8 != nil:
		if amsgrad {
			return fmt.Errorf("%w: AMSGrad has no maximum of 8 bits: use BF16Moments", ErrConfig)
		}
		list = [3]length{{"M8", len(s.M8), true}, {"V8", len(s.V8), true}}
		blocks := (n + block16 - 1) / block16
		for _, l := range [...]length{{"MScale", len(s.MScale), true},
			{"VScale", len(s.VScale), true}} {
			if l.n != blocks {
				return l.error(blocks)
			}
		}
	default:
		list = [3]length{{"M", len(s.M), true}, {"V", len(s.V), true},
			{"VMax", len(s.VMax), amsgrad}}
	}
	for _, l := range list {
		if l.given && l.n != n {
			return l.error(n)
		}
	}
	return nil
}

// spans16 is at least the number of slices that a step writes.
const spans16 = 14

// written appends the memory that a step writes.
func (s *State16) written(p *Param16, name string, list []span) []span {
	return append(list, spanOf(name, "Value", p.Value), spanOf(name, "BF16", p.BF16),
		spanOf(name, "F16", p.F16), spanOf(name, "M", s.M), spanOf(name, "V", s.V),
		spanOf(name, "VMax", s.VMax), spanOf(name, "M16", s.M16), spanOf(name, "V16", s.V16),
		spanOf(name, "VMax16", s.VMax16), spanOf(name, "M8", s.M8), spanOf(name, "V8", s.V8),
		spanOf(name, "MScale", s.MScale), spanOf(name, "VScale", s.VScale),
		spanOf(name, "Rest", s.Rest))
}

// gradient returns the memory of the gradient.
func (p *Param16) gradient(name string) span {
	switch {
	case p.GradBF16 != nil:
		return spanOf(name, "GradBF16", p.GradBF16)
	case p.GradF16 != nil:
		return spanOf(name, "GradF16", p.GradF16)
	}
	return spanOf(name, "Grad", p.Grad)
}

// disjoint returns an error if two of a few spans overlap. It uses list up: most are empty.
func disjoint(list []span) error {
	kept := list[:0]
	for _, b := range list {
		if b.from == b.to {
			continue
		}
		for _, a := range kept {
			if a.from < b.to && b.from < a.to {
				return overlapOf(a, b)
			}
		}
		kept = append(kept, b)
	}
	return nil
}

// fusion returns which fused step there may be.
func (p *Param16) fusion(s *State16) fusion {
	switch {
	case p.GradF16 != nil || p.F16 != nil:
	case p.Value != nil && p.GradBF16 != nil && s.M != nil:
		if p.BF16 != nil {
			return fusedCopy
		}
		return fusedGradient
	case p.Value != nil && (p.GradBF16 != nil || p.BF16 != nil):
	case p.Value != nil && s.M16 != nil:
		return fusedMoments
	case p.Value != nil && s.M8 != nil:
		return fusedQ8
	case p.GradBF16 == nil:
	case s.Rest != nil && s.M16 != nil:
		return fusedSplit
	case s.Rest != nil && s.M8 != nil:
		return fusedSplitQ8
	case s.Rest == nil && s.M16 != nil:
		return fusedBF16
	}
	return unfused
}

// operands returns where the elements of a fused step lie, from one on.
func (p *Param16) operands(s *State16, from int, w words) operands16 {
	return operands16{
		p: pointer(p.Value, from), hi: pointer(p.BF16, from), lo: pointer(s.Rest, from),
		grad: pointer(p.Grad, from), grad16: pointer(p.GradBF16, from),
		m: pointer(s.M, from), v: pointer(s.V, from), m16: pointer(s.M16, from),
		v16: pointer(s.V16, from),
		m8:  pointer(s.M8, from), v8: pointer(s.V8, from),
		mScale: pointer(s.MScale, from/block16), vScale: pointer(s.VScale, from/block16),
		next: w.next, k1: w.k1,
	}
}

// pointer returns where the element i of s is, nil if there is no s.
func pointer[E any](s []E, i int) *E {
	if len(s) == 0 {
		return nil
	}
	return (*E)(unsafe.Add(unsafe.Pointer(unsafe.SliceData(s)), uintptr(i)*unsafe.Sizeof(*new(E))))
}
