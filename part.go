package adam

import "fmt"

// Tile is the number of elements at whose multiples a tensor, of float64 too, may be cut into
// parts.
const Tile = tile

// Part is a run of the elements of a tensor whose others are stepped elsewhere: by other ranks that
// share the work, say, each with an Optimizer of its parts. See [Optimizer.StepWith].
//
// Name is that of the tensor, and required; Value, Grad, State and EMA have the elements of the
// part. At and the part's end are multiples of [Tile], or the end is Of. Parts of one tensor do not
// overlap, are of one type and in one group, have one Of, and have counted the same T. In a step
// all of them have a gradient or none has.
//
// A part may be empty, with At 0: an optimizer with one for each tensor of which it has nothing
// knows all tensors and counts their steps. It has a gradient if Grad is empty and not nil.
//
// The moments of a part are found in the State that it was given: [Optimizer.State] knows whole
// tensors only.
type Part struct {
	Param
	At, Of int // Value has the elements [At, At+len(Value)) of a tensor of Of elements
}

// Part64 is [Part] in float64.
type Part64 struct {
	Param64
	At, Of int
}

// Part16 is [Part] of a [Param16]. The Offset of a State that is given is At, and all parts of a
// tensor have one Key.
type Part16 struct {
	Param16
	At, Of int
}

// start is where a part begins.
type start struct {
	name string
	from int
}

// starting returns the part that begins there, or the whole tensor. An empty one if there is none.
func (o *Optimizer) starting(name string, from int) tensor {
	if o != nil {
		if i, ok := o.parts[start{name, from}]; ok {
			return o.tensors[i]
		}
	}
	return o.tensor(name)
}

// title is the name of a tensor in errors.
func (b *base) title() string {
	if b.part {
		return fmt.Sprintf("%q from %d on", b.name, b.from)
	}
	return fmt.Sprintf("%q", b.name)
}

// checkPart returns an error if e, at a place in Groups, is a part that cannot be.
func checkPart(w where, e entry) error {
	if !e.isPart() {
		return nil
	}
	at, of := e.run()
	n, name, fault := e.size(), *e.label(), ""
	switch {
	case name == "":
		fault = "give it the Name of its tensor"
	case at < 0 || n > of || at > of-n:
		fault = "want elements of the tensor"
	case n == 0 && at != 0:
		fault = "want At 0 for an empty part"
	case at%Tile != 0 || (at+n)%Tile != 0 && at+n != of:
		fault = fmt.Sprintf("cut the tensor at multiples of %d", Tile)
	default:
		return nil
	}
	return fmt.Errorf("%w: %v, %q, has At %d, Of %d and %d elements: %s", ErrParams, w, name,
		at, of, n, fault)
}

// fit returns an error if the parts of a tensor do not fit together. It is for tensors in order.
func (o *Optimizer) fit() error {
	for k := 1; k < len(o.order); k++ {
		a, b := o.tensors[o.order[k-1]], o.tensors[o.order[k]]
		if a.name != b.name {
			continue
		}
		b.follows = true
		fault := ""
		switch {
		case !a.part || !b.part:
			fault = "one is the whole tensor: give it alone or give parts"
		case a.list != b.list:
			fault = "one is float32 and one float64 or of 16 bits: want one type"
		case a.of != b.of:
			fault = fmt.Sprintf("Of %d and %d: want the elements of the tensor for all its parts",
				a.of, b.of)
		case a.group != b.group:
			fault = "want one group for all parts of a tensor"
		case a.from == b.from || a.from+a.n > b.from:
			fault = fmt.Sprintf("At %d with %d elements and At %d: want each element once", a.from,
				a.n, b.from)
		default:
			continue
		}
		return fmt.Errorf("%w: %q is %v and %v: %s", ErrParams, a.name, a.where, b.where, fault)
	}
	return nil
}

// agree returns an error if the parts of a tensor would not be stepped as one.
func (o *Optimizer) agree() error {
	if len(o.parts) == 0 {
		return nil
	}
	var first tensor
	for _, i := range o.order {
		t := o.tensors[i]
		if !t.follows {
			first = t
			continue
		}
		fault := first.unlike(t)
		if t.hasGrad != first.hasGrad {
			fault = "one has a gradient and one has none: want all or none (empty is not nil)"
		}
		if fault != "" {
			return first.apart(t, fault)
		}
	}
	return nil
}

// unlike says in what the past of two parts of a tensor differs, "" if it does not.
func (t tensor) unlike(other tensor) (fault string) {
	a, _ := t.kind.(*tensor16)
	b, _ := other.kind.(*tensor16)
	switch {
	case a != nil && a.Key != b.Key:
		return "their States have different Keys: want that of the tensor"
	case a != nil && (a.at.Value != nil) != (b.at.Value != nil):
		return "one has Value and one has not"
	case *t.count() != *other.count():
		return fmt.Sprintf("T is %d and %d: want one T", *t.count(), *other.count())
	case t.begun != other.begun:
		return "one has an average that has begun and one has not: give EMA to all or to none"
	}
	return ""
}

// apart is the error of two parts of a tensor that are no parts of one.
func (t tensor) apart(other tensor, fault string) error {
	return fmt.Errorf("%w: %v and %v are parts of %q: %s", ErrParams, t.where, other.where, t.name,
		fault)
}

// isCut reports whether o has parts of the named tensor.
func (o *Optimizer) isCut(name string) bool {
	for k := range o.parts {
		if k.name == name {
			return true
		}
	}
	return false
}
