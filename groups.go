package adam

import "unsafe"

// fields are those of a tensor in Groups, to be read anew at each step.
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

// run returns which elements of a tensor of how many f are the fields of.
func (f fields[F]) run() (from, of int) {
	if f.of == nil {
		return 0, len(*f.value)
	}
	return *f.from, *f.of
}

func (g *Group) size() int {
	return len(g.Params) + len(g.Params64) + len(g.Tables) + len(g.Parts) + len(g.Parts64)
}

// visit calls single or double for each tensor of groups, in their order.
func visit(groups []Group, single func(where, fields[float32]) error,
	double func(where, fields[float64]) error) error {
	for i := range groups {
		g, w := &groups[i], where{group: int32(i)}
		for j := range g.Params {
			w.list, w.index = params, int32(j)
			if err := single(w, g.Params[j].fields()); err != nil {
				return err
			}
		}
		for j := range g.Params64 {
			w.list, w.index = params64, int32(j)
			if err := double(w, g.Params64[j].fields()); err != nil {
				return err
			}
		}
		for j := range g.Tables {
			w.list, w.index = tables, int32(j)
			if err := single(w, g.Tables[j].fields()); err != nil {
				return err
			}
		}
		for j := range g.Parts {
			w.list, w.index = parts, int32(j)
			if err := single(w, g.Parts[j].fields()); err != nil {
				return err
			}
		}
		for j := range g.Parts64 {
			w.list, w.index = parts64, int32(j)
			if err := double(w, g.Parts64[j].fields()); err != nil {
				return err
			}
		}
	}
	return nil
}

// lists are where the lists of a group lie, and how long they are.
type lists struct {
	params   *Param
	params64 *Param64
	tables   *Table
	parts    *Part
	parts64  *Part64
	size     [5]int
}

func (g *Group) lists() lists {
	return lists{unsafe.SliceData(g.Params), unsafe.SliceData(g.Params64),
		unsafe.SliceData(g.Tables), unsafe.SliceData(g.Parts), unsafe.SliceData(g.Parts64),
		[5]int{len(g.Params), len(g.Params64), len(g.Tables), len(g.Parts), len(g.Parts64)}}
}
