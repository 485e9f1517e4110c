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
	return o.regroup(groups)
}

// Add appends tensors to Groups[group]. They begin as in [New]; the others go on. Each call looks
// at all tensors, so add many at once.
//
// A group that is not there is an error, [ErrParams]: a new one needs a Config, which
// [Optimizer.Regroup] takes. The others are those of Regroup. On any, nothing has changed.
func (o *Optimizer) Add(group int, params ...Param) error {
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
	groups[group].Params = append(groups[group].Params, params...)
	return o.regroup(groups)
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
		groups[i].Params = slices.DeleteFunc(groups[i].Params,
			func(p Param) bool { return gone[p.Name] })
	}
	return o.regroup(groups)
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
// A name that is not there is an error, [ErrParams], and so is a tensor whose State or EMA is
// memory of the caller. A value that is shorter than the tensor is an [ErrLength]. The others are
// those of [Optimizer.Regroup]. On any, nothing has changed.
func (o *Optimizer) Grow(name string, value, grad []float32) error {
	if err := o.open(); err != nil {
		return err
	}
	defer o.leave()
	groups, err := o.copies(name)
	if err != nil {
		return err
	}
	old := o.tensor(name)
	if old.given != nil || old.lent {
		return fmt.Errorf("%w: %q has its State or EMA in memory of the caller: make them longer "+
			"there, and give Regroup its Param with the longer Value, Grad, State and EMA",
			ErrParams, name)
	}
	if len(value) < old.n {
		return fmt.Errorf("%w: %q has %d elements, and value %d: to make it shorter, give Regroup "+
			"its Param with a State", ErrLength, name, old.n, len(value))
	}
	group, p := find(groups, name)
	amsgrad := group.Config.AMSGrad || len(old.VMax) > 0
	if len(old.M) != old.n || len(old.V) != old.n || amsgrad && len(old.VMax) != old.n {
		return old.lengthError(amsgrad)
	}
	grown := tensor{n: len(value)}
	grown.allocate(amsgrad, old.average != nil)
	grown.T = old.T
	copy(grown.M, old.M)
	copy(grown.V, old.V)
	copy(grown.VMax, old.VMax)
	if old.average != nil {
		copy(grown.average, value)
		copy(grown.average, old.average)
	}
	p.Value, p.Grad, p.State, p.EMA = value, grad, grown.State, grown.average
	if err := o.regroup(groups); err != nil {
		return err
	}
	// What regroup took for memory of the caller is the optimizer's own.
	t := o.tensor(name)
	t.State, t.given, t.lent, t.begun = old.State, nil, false, old.begun
	*t.State = *grown.State
	t.param.State, t.param.EMA = nil, nil
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

// regroup makes groups the tensors of o, or changes nothing.
func (o *Optimizer) regroup(groups []Group) error {
	fresh := &Optimizer{Options: o.Options, GradScale: o.GradScale, workers: o.workers}
	if err := fresh.arrange(groups, o); err != nil {
		return err
	}
	o.Groups, o.model, o.scratch, o.normed = fresh.Groups, fresh.model, fresh.scratch, false
	o.rehire()
	return nil
}

// copies returns a copy of Groups and their Params, to be changed in the named tensors. All others
// must be there with the lengths that they have, or regroup would begin them anew.
func (o *Optimizer) copies(named ...string) ([]Group, error) {
	changes := map[string]bool{}
	for _, name := range named {
		if o.tensor(name) == nil {
			return nil, fmt.Errorf("%w: there is no tensor %q: names are those in Groups",
				ErrParams, name)
		}
		changes[name] = true
	}
	groups := slices.Clone(o.Groups)
	rest := o.tensors
	for i := range groups {
		groups[i].Params = slices.Clone(groups[i].Params)
		for _, p := range groups[i].Params {
			if len(rest) > 0 && rest[0].name == p.Name &&
				(rest[0].n == len(p.Value) || changes[p.Name]) {
				rest = rest[1:]
			}
		}
	}
	if len(rest) > 0 {
		return nil, fmt.Errorf("%w: Groups do not hold %q in its place and with its %d elements: "+
			"use Regroup for what was changed there", ErrParams, rest[0].name, rest[0].n)
	}
	return groups, nil
}

// find returns the group and the Param of a tensor that is there.
func find(groups []Group, name string) (*Group, *Param) {
	for i := range groups {
		for j := range groups[i].Params {
			if p := &groups[i].Params[j]; p.Name == name {
				return &groups[i], p
			}
		}
	}
	panic("adam: find without a tensor")
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
