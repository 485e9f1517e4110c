package adam

import (
	"fmt"
	"unsafe"
)

// An entry is a tensor in Groups, to be read anew at each step: fields or fields16.
type entry interface {
	label() *string
	size() int           // elements
	isPart() bool        // of a tensor, of which these
	run() (from, of int) // are the elements that follow from
	lent() any           // the State that the caller gives, or nil
	// tensor returns what o knows of the entry at a place in Groups. Its state and average are the
	// given ones, else those of the tensor old, which may be none, else new ones.
	tensor(o *Optimizer, w where, old kind) (tensor, error)
	// attach makes the entry that of k. It reports whether it is of k's kind.
	attach(o *Optimizer, k kind, w where) bool
	fits(k kind) bool // the entry's elements are those of k
}

// fields are those of a tensor of one type.
type fields[F float] struct {
	name             *string
	value, grad, ema *[]F
	state            **state[F]
	table            *Table // nil if it is none
	from, of         *int   // At and Of of a part, nil if it is none
}

// The pointers to the states may change their type, since a State is what a state[float32] is.

func (p *Param) fields() fields[float32] {
	state := (**state[float32])(unsafe.Pointer(&p.State))
	return fields[float32]{&p.Name, &p.Value, &p.Grad, &p.EMA, state, nil, nil, nil}
}

func (p *Param64) fields() fields[float64] {
	state := (**state[float64])(unsafe.Pointer(&p.State))
	return fields[float64]{&p.Name, &p.Value, &p.Grad, &p.EMA, state, nil, nil, nil}
}

func (p *Table) fields() fields[float32] {
	state := (**state[float32])(unsafe.Pointer(&p.State))
	return fields[float32]{&p.Name, &p.Value, &p.Grad, &p.EMA, state, p, nil, nil}
}

func (p *Part) fields() fields[float32] {
	f := p.Param.fields()
	f.from, f.of = &p.At, &p.Of
	return f
}

func (p *Part64) fields() fields[float64] {
	f := p.Param64.fields()
	f.from, f.of = &p.At, &p.Of
	return f
}

func (f fields[F]) label() *string { return f.name }
func (f fields[F]) size() int      { return len(*f.value) }
func (f fields[F]) isPart() bool   { return f.of != nil }

func (f fields[F]) run() (from, of int) {
	if f.of == nil {
		return 0, len(*f.value)
	}
	return *f.from, *f.of
}

func (f fields[F]) lent() any {
	if *f.state == nil {
		return nil
	}
	return *f.state
}

func (f fields[F]) tensor(o *Optimizer, w where, old kind) (tensor, error) {
	return newTensor(w, f, old, o.Groups[w.group].Config.AMSGrad, o.Options.EMADecay > 0), nil
}

func (f fields[F]) fits(k kind) bool { return typedOf[F](k) != nil }

func (f fields[F]) attach(_ *Optimizer, k kind, w where) bool {
	t := typedOf[F](k)
	if t == nil || (f.table != nil) != (t.at.table != nil) || (f.of != nil) != t.part {
		return false
	}
	t.at, t.where = f, w
	return true
}

func (g *Group) size() int { return g.others() + len(g.Params16) + len(g.Parts16) }

// others returns the number of tensors that Storage does not concern.
func (g *Group) others() int {
	return len(g.Params) + len(g.Params64) + len(g.Tables) + len(g.Parts) + len(g.Parts64)
}

// visit calls f for each tensor of groups, in their order.
func visit(groups []Group, f func(where, entry) error) error {
	for i := range groups {
		g := &groups[i]
		for _, l := range [...]struct {
			list list
			n    int
			at   func(j int) entry
		}{
			{params, len(g.Params), func(j int) entry { return g.Params[j].fields() }},
			{params64, len(g.Params64), func(j int) entry { return g.Params64[j].fields() }},
			{params16, len(g.Params16), func(j int) entry { return g.Params16[j].fields() }},
			{tables, len(g.Tables), func(j int) entry { return g.Tables[j].fields() }},
			{parts, len(g.Parts), func(j int) entry { return g.Parts[j].fields() }},
			{parts64, len(g.Parts64), func(j int) entry { return g.Parts64[j].fields() }},
			{parts16, len(g.Parts16), func(j int) entry { return g.Parts16[j].fields() }},
		} {
			for j := range l.n {
				if err := f(where{int32(i), int32(j), l.list}, l.at(j)); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// lists are where the lists of a group lie, how long they are, and the group's storage.
type lists struct {
	params   *Param
	params64 *Param64
	params16 *Param16
	tables   *Table
	parts    *Part
	parts64  *Part64
	parts16  *Part16
	size     [7]int
	storage  Storage
}

func (g *Group) lists() lists {
	return lists{unsafe.SliceData(g.Params), unsafe.SliceData(g.Params64),
		unsafe.SliceData(g.Params16), unsafe.SliceData(g.Tables), unsafe.SliceData(g.Parts),
		unsafe.SliceData(g.Parts64), unsafe.SliceData(g.Parts16),
		[...]int{len(g.Params), len(g.Params64), len(g.Params16), len(g.Tables), len(g.Parts),
			len(g.Parts64), len(g.Parts16)}, g.Storage}
}

// checkStorage returns an error if a group cannot have its Storage.
func (o *Optimizer) checkStorage() error {
	for i := range o.Groups {
		g, fault := &o.Groups[i], ""
		switch {
		case g.Storage.Moments > Q8Moments || g.Storage.Master > NoMaster:
			fault = "there is no such Storage"
		case g.Storage != Storage{} && g.others() > 0:
			fault = "it is that of Params16 and Parts16: give the other tensors as such, or in a " +
				"group of their own"
		default:
			continue
		}
		return fmt.Errorf("%w: Groups[%d].Storage is %v, %v: %s", ErrParams, i, g.Storage.Moments,
			g.Storage.Master, fault)
	}
	return nil
}
