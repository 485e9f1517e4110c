package adam

import (
	"fmt"
	"slices"
)

// Regroup makes groups the tensors of o, as New does: to unfreeze, add, remove, reorder or resize
// tensors, or to put them into other groups. A tensor that o has under the same name and with the
// same number of elements keeps its T, moments and average, unless Param.State or Param.EMA give it
// others. Others begin anew, and those that are not in groups are forgotten. T, GradScale, Options
// and Metadata stay. For one more group, give it append(slices.Clone(o.Groups), more).
//
// On an error, which is one of [New], [ErrClosed] or [ErrBusy], nothing has changed.
func (o *Optimizer) Regroup(groups ...Group) error {
	if err := o.open(); err != nil {
		return err
	}
	defer o.leave()
	return o.regroup(groups, tensor{})
}

// Add appends tensors to Groups[group]. They begin as in [New]; the others go on. Each call looks
// at all tensors, so add many at once.
//
// A group that is not there is an error, [ErrParams]: a new one needs a Config, which
// [Optimizer.Regroup] takes. The others are those of Regroup. On any, nothing has changed.
func (o *Optimizer) Add(group int, params ...Param) error {
	return o.add(group, Group{Params: params})
}

// Add64 is [Optimizer.Add] of tensors of float64.
func (o *Optimizer) Add64(group int, params ...Param64) error {
	return o.add(group, Group{Params64: params})
}

// Add16 is [Optimizer.Add] of tensors of 16 or 8 bits.
func (o *Optimizer) Add16(group int, params ...Param16) error {
	return o.add(group, Group{Params16: params})
}

// AddTables is [Optimizer.Add] of tables.
func (o *Optimizer) AddTables(group int, tables ...Table) error {
	return o.add(group, Group{Tables: tables})
}

func (o *Optimizer) add(group int, more Group) error {
	if err := o.open(); err != nil {
		return err
	}
	defer o.leave()
	groups, err := o.copies()
	if err != nil {
		return err
	}
	if group < 0 || group >= len(groups) {
		return fmt.Errorf("%w: there is no Groups[%d], there are %d: use Regroup to add a group",
			ErrParams, group, len(groups))
	}
	g := &groups[group]
	g.Params = append(g.Params, more.Params...)
	g.Params64 = append(g.Params64, more.Params64...)
	g.Params16 = append(g.Params16, more.Params16...)
	g.Tables = append(g.Tables, more.Tables...)
	return o.regroup(groups, tensor{})
}

// Remove forgets tensors and their states; the others go on and keep their names. A group that
// loses its last tensor stays, so that the indices of groups do.
//
// A name that is not there is an error, [ErrParams]. The others are those of [Optimizer.Regroup].
// On any, nothing has changed.
func (o *Optimizer) Remove(names ...string) error {
	if err := o.open(); err != nil {
		return err
	}
	defer o.leave()
	groups, err := o.copies(names...)
	if err != nil {
		return err
	}
	gone := map[string]bool{}
	for _, name := range names {
		gone[name] = true
	}
	for i := range groups {
		g := &groups[i]
		g.Params = slices.DeleteFunc(g.Params, func(p Param) bool { return gone[p.Name] })
		g.Params64 = slices.DeleteFunc(g.Params64, func(p Param64) bool { return gone[p.Name] })
		g.Params16 = slices.DeleteFunc(g.Params16, func(p Param16) bool { return gone[p.Name] })
		g.Tables = slices.DeleteFunc(g.Tables, func(p Table) bool { return gone[p.Name] })
		g.Parts = slices.DeleteFunc(g.Parts, func(p Part) bool { return gone[p.Name] })
		g.Parts64 = slices.DeleteFunc(g.Parts64, func(p Part64) bool { return gone[p.Name] })
		g.Parts16 = slices.DeleteFunc(g.Parts16, func(p Part16) bool { return gone[p.Name] })
	}
	return o.regroup(groups, tensor{})
}

// Grow gives a tensor more elements, as when rows are appended to an embedding. Its Value becomes
// value, which begins with its present elements, and its Grad grad, of the same length or nil.
//
// The elements that it has keep their moments and average. Of the new ones the moments, and VMax,
// begin at zero and the average at their values, but T is the tensor's: they are stepped like
// elements that had no gradient so far. Where T is large and so the bias correction small, their
// first update is up to LR·(1-Beta1)/√(1-Beta2), that is 3.2·LR with the default betas.
//
// State(name) stays where it is, with new slices; EMA(name) is a new slice. All are copied, so
// append many rows at once.
//
// A name that is not there is an error, [ErrParams], and so is a tensor of float64 or a [Param16],
// or one whose State or EMA is memory of the caller. A value that is shorter than the tensor is an
// [ErrLength]. The others are those of [Optimizer.Regroup]. On any, nothing has changed.
func (o *Optimizer) Grow(name string, value, grad []float32) error {
	return grow(o, name, value, grad)
}

// Grow64 is [Optimizer.Grow] of a [Param64].
func (o *Optimizer) Grow64(name string, value, grad []float64) error {
	return grow(o, name, value, grad)
}

func grow[F float](o *Optimizer, name string, value, grad []F) error {
	if err := o.open(); err != nil {
		return err
	}
	defer o.leave()
	groups, err := o.copies(name)
	if err != nil {
		return err
	}
	old := typedOf[F](o.tensor(name).kind)
	if o.isCut(name) {
		return fmt.Errorf("%w: %q is in parts, which do not grow: give Regroup parts of the "+
			"longer tensor, with States", ErrParams, name)
	}
	if old == nil {
		return fmt.Errorf("%w: %q has no elements of type %T: Grow is for float32, Grow64 for "+
			"float64; give Regroup a longer Param16 with a State", ErrParams, name, F(0))
	}
	if old.given != nil || old.lent {
		return fmt.Errorf("%w: %q has its State or EMA in memory of the caller: make them longer "+
			"there, and give Regroup its Param with the longer Value, Grad, State and EMA",
			ErrParams, name)
	}
	if len(value) < old.n {
		return fmt.Errorf("%w: %q has %d elements, and value %d: to make it shorter, give Regroup "+
			"its Param with a State", ErrLength, name, old.n, len(value))
	}
	amsgrad := len(old.VMax) > 0
	_ = visit(groups, func(w where, e entry) error {
		if f, ok := e.(fields[F]); ok && *f.name == name {
			*f.value, *f.grad = value, grad
			amsgrad = amsgrad || groups[w.group].Config.AMSGrad
		}
		return nil
	})
	if !old.hasMoments(amsgrad) {
		return old.lengthError(amsgrad)
	}
	grown := &typed[F]{base: base{name: name, n: len(value), of: len(value), begun: old.begun}}
	grown.allocate(amsgrad, old.ema != nil)
	grown.T = old.T
	copy(grown.M, old.M)
	copy(grown.V, old.V)
	copy(grown.VMax, old.VMax)
	if old.ema != nil {
		copy(grown.ema, value)
		copy(grown.ema, old.ema)
	}
	if err := o.regroup(groups, tensor{&grown.base, grown}); err != nil {
		return err
	}
	*old.state = *grown.state
	t := typedOf[F](o.tensor(name).kind)
	t.state, t.steps = old.state, &old.state.T
	return nil
}

// SetWorkers makes n the number of workers, see Options.Workers: 0 means GOMAXPROCS as it is now.
// The bits do not depend on it.
//
// A negative n is an error, [ErrConfig]. The others are [ErrClosed] and [ErrBusy]. On any, nothing
// has changed.
func (o *Optimizer) SetWorkers(n int) error {
	if err := o.open(); err != nil {
		return err
	}
	defer o.leave()
	if err := (&Options{Workers: n}).validate(); err != nil {
		return err
	}
	o.workers, o.Options.Workers = n, n
	o.rehire()
	return nil
}

// regroup makes groups the tensors of o, or changes nothing. The tensor changed, if there is one,
// takes the place of the one that o has under its name.
func (o *Optimizer) regroup(groups []Group, changed tensor) error {
	fresh := &Optimizer{Options: o.Options, GradScale: o.GradScale, workers: o.workers}
	if err := fresh.arrange(groups, o, changed); err != nil {
		return err
	}
	o.Groups, o.model, o.normed = fresh.Groups, fresh.model, false
	o.single.scratch, o.double.scratch = fresh.single.scratch, fresh.double.scratch
	o.rehire()
	return nil
}

// copies returns a copy of Groups and their lists, to be changed in the named tensors. All others
// must be there with the lengths that they have, or regroup would begin them anew.
func (o *Optimizer) copies(named ...string) ([]Group, error) {
	changes := map[string]bool{}
	for _, name := range named {
		if o.tensor(name).kind == nil && !o.isCut(name) {
			return nil, fmt.Errorf("%w: there is no tensor %q: names are those in Groups",
				ErrParams, name)
		}
		changes[name] = true
	}
	groups := copyOf(o.Groups)
	rest := o.tensors
	_ = visit(groups, func(_ where, e entry) error {
		rest = without(rest, e, changes)
		return nil
	})
	if len(rest) > 0 {
		return nil, fmt.Errorf("%w: Groups do not hold %q in its place and with its %d elements: "+
			"use Regroup for what was changed there", ErrParams, rest[0].name, rest[0].n)
	}
	return groups, nil
}

// without returns tensors without the first if e is its entry or it is one of those that change.
func without(tensors []tensor, e entry, changes map[string]bool) []tensor {
	if len(tensors) == 0 || tensors[0].name != *e.label() {
		return tensors
	}
	t := tensors[0]
	from, of := e.run()
	if !e.fits(t.kind) || t.n != e.size() && !changes[t.name] ||
		t.part && (t.from != from || t.of != of) {
		return tensors
	}
	return tensors[1:]
}

// rehire starts other workers if another number of them is wanted.
func (o *Optimizer) rehire() {
	if o.crew() != o.pool.Workers() {
		o.pool.Close()
		o.hire()
	}
}

// open is enter of a method that needs the workers.
func (o *Optimizer) open() error {
	err := o.enter()
	if err == nil && o.pool.Closed() {
		o.leave()
		err = ErrClosed
	}
	return err
}
