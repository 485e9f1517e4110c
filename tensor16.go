package adam

import (
	"fmt"
	"math"
)

// fields16 is a [Param16] in Groups.
type fields16 struct {
	*Param16
	from, of *int // At and Of of a part, nil if it is none
}

func (p *Param16) fields() fields16 { return fields16{p, nil, nil} }
func (p *Part16) fields() fields16  { return fields16{&p.Param16, &p.At, &p.Of} }

func (f fields16) label() *string { return &f.Name }
func (f fields16) isPart() bool   { return f.of != nil }

func (f fields16) run() (from, of int) {
	if f.of == nil {
		return 0, f.size()
	}
	return *f.from, *f.of
}

func (f fields16) lent() any {
	if f.State == nil {
		return nil
	}
	return f.State
}

// wanted returns the storage that a group has for the tensor, with one Master where there is no
// choice.
func (f fields16) wanted(s Storage) Storage {
	if f.Value != nil || f.BF16 == nil {
		s.Master = SplitMaster
	}
	return s
}

// tensor16 is a tensor with fewer bits than float32.
type tensor16 struct {
	base
	at       fields16 // in Groups
	storage  Storage
	given    *State16         // by the caller, or nil
	*State16                  // in use
	ema      []float32        // average of the parameters, or empty
	own      coeffs           // with scalars of its own
	kernel   *coeffs          // of the step at hand: own, or that of a tensor with the same scalars
	slices   [spans16]uintptr // where what a step writes lay in the last look
	looks    int              // that found it elsewhere
}

func (f fields16) tensor(o *Optimizer, w where, old kind) (tensor, error) {
	g := &o.Groups[w.group]
	if fault := f.fault(); fault != "" {
		return tensor{}, fmt.Errorf("%w: %v, %q: %s", ErrParams, w, f.Name, fault)
	}
	t := &tensor16{at: f, storage: f.wanted(g.Storage), given: f.State, State16: f.State,
		ema: f.EMA}
	lent := t.ema != nil
	t.base = base{name: f.Name, where: w, n: f.size(), begun: lent, lent: lent, part: f.isPart()}
	t.extent = t.n
	t.from, t.of = f.run()
	if old, ok := old.(*tensor16); ok && old.n == t.n && old.from == t.from && old.of == t.of &&
		old.storage == t.storage {
		if t.State16 == nil {
			t.State16 = old.State16
		}
		if t.ema == nil || address(t.ema) == address(old.ema) {
			t.ema, t.begun = old.ema, old.begun
		}
	}
	if t.State16 == nil {
		t.State16 = NewState16(*f.Param16, t.storage, o.Options.Seed, g.Config)
		t.Offset = t.from
	}
	t.steps = &t.T
	if o.Options.EMADecay > 0 {
		t.begin()
	}
	return tensor{&t.base, t}, nil
}

// begin allocates the average if there is none.
func (t *tensor16) begin() {
	if t.ema == nil {
		t.ema = moments[float32](t.n, 1)[0]
		if t.check(t.at.Param16, false) == nil { // or New fails
			t.values(0, t.n, func(from int, p []float32) { copy(t.ema[from:], p) })
		}
	}
}

func (f fields16) fits(k kind) bool {
	_, ok := k.(*tensor16)
	return ok
}

func (f fields16) attach(o *Optimizer, k kind, w where) bool {
	t, ok := k.(*tensor16)
	if !ok || f.isPart() != t.part || f.wanted(o.Groups[w.group].Storage) != t.storage {
		return false
	}
	t.at, t.where = f, w
	return true
}

// State16 is [Optimizer.State] of a [Param16].
func (o *Optimizer) State16(name string) *State16 {
	if t, ok := o.tensor(name).kind.(*tensor16); ok {
		return t.State16
	}
	return nil
}

// same returns an error if t is not the tensor that was given before.
func (t *tensor16) same() error {
	p := t.at.Param16
	if p.Name != t.name {
		return strangerError(t.where, p.Name)
	}
	if n := p.size(); n != t.n {
		return fmt.Errorf("%w: %s had %d elements before, now %d: use Regroup to resize a tensor",
			ErrLength, t.title(), t.n, n)
	}
	if from, of := t.at.run(); from != t.from || of != t.of {
		return fmt.Errorf("%w: %s has At %d and Of %d, not as given before: "+
			"use Regroup for other parts", ErrParams, t.title(), from, of)
	}
	if p.State != t.given || t.lent && address(p.EMA) != address(t.ema) {
		return fmt.Errorf("%w: %s has another State or EMA than before: "+
			"use Regroup to give it others", ErrParams, t.title())
	}
	return nil
}

func (t *tensor16) count() *uint64 { return &t.T }
func (t *tensor16) words() int     { return 1 }

func (t *tensor16) hasMoments(amsgrad bool) bool { return t.lengthError(amsgrad) == nil }

// lengthError returns nil if all slices have their lengths.
func (t *tensor16) lengthError(amsgrad bool) error {
	if err := t.check(t.at.Param16, amsgrad); err != nil {
		return fmt.Errorf("%w (%s)", err, t.title())
	}
	if t.ema != nil && len(t.ema) != t.n {
		return fmt.Errorf("%w (%s)", length{field: "EMA", n: len(t.ema)}.error(t.n), t.title())
	}
	if now := t.State16.storage(t.at.Param16); now != t.storage && t.n > 0 {
		return fmt.Errorf("%w: %s has a State with %v, %v, and the Storage of its group is %v, %v",
			ErrParams, t.title(), now.Moments, now.Master, t.storage.Moments, t.storage.Master)
	}
	if t.Offset != t.from {
		return fmt.Errorf("%w: %s has a State with Offset %d, want %d", ErrParams, t.title(),
			t.Offset, t.from)
	}
	return nil
}

// look checks all but overlaps. The slices have moved if they do not lie in their place.
func (t *tensor16) look(amsgrad bool) (moved bool, err error) {
	if err := t.same(); err != nil {
		return false, err
	}
	t.hasGrad, t.amsgrad = t.at.hasGrad(), amsgrad
	if err := t.lengthError(amsgrad); err != nil {
		return false, err
	}
	if t.T == math.MaxUint64 {
		return false, fmt.Errorf("%w: %s: T = %d", ErrSteps, t.title(), t.T)
	}
	var room [spans16]span
	var slices [spans16]uintptr
	for i, s := range t.State16.written(t.at.Param16, "", room[:0]) {
		slices[i] = s.from
	}
	if slices != t.slices {
		t.slices = slices
		t.looks++
	}
	return t.now() != t.place, nil
}

// now has the number of looks in the place of VMax's length: it stands for all slices of the state
// and the parameters.
func (t *tensor16) now() place {
	return place{written: [5]uintptr{4: address(t.ema)}, vmax: t.looks,
		grad: t.at.gradient("").from}
}

func (t *tensor16) written(list []span, grad bool) []span {
	list = append(t.State16.written(t.at.Param16, t.name, list), spanOf(t.name, "EMA", t.ema))
	if grad {
		list = append(list, t.at.gradient(t.name))
	}
	return list
}

func (t *tensor16) read() [2]span { return [2]span{t.at.gradient(t.name)} }

func (t *tensor16) furnish(o *Optimizer, _ int) {
	if o.Options.EMADecay > 0 {
		t.begin()
	}
}

func (t *tensor16) share(last kind) bool {
	if l, ok := last.(*tensor16); ok && l.T == t.T {
		t.kernel = l.kernel
		return true
	}
	t.kernel = &t.own
	return false
}

func (t *tensor16) prepare(c *Config, scale float64) { t.own.set(c, t.T+1, scale) }

// squares is the sum over a tile, as of its gradient in float32.
func (t *tensor16) squares(from, to int) float64 {
	var sums partialSums
	t.gradients(from, to, func(g []float32) { addSquares(g, &sums) })
	return sums.total()
}

func (t *tensor16) finite(from, to int) bool { return t.squares(from, to) <= math.MaxFloat64 }

// gradients calls f for the gradient of each piece of a cell in float32.
func (t *tensor16) gradients(from, to int, f func(g []float32)) {
	room := scratches.Get().(*scratch16)
	for ; from < to; from += piece {
		end := min(from+piece, to)
		f(t.at.decodeGrad(from, end, room.g[:end-from]))
	}
	scratches.Put(room)
}

// values calls f for the parameters of each piece of a cell in float32.
func (t *tensor16) values(from, to int, f func(from int, p []float32)) {
	room := scratches.Get().(*scratch16)
	for ; from < to; from += piece {
		end := min(from+piece, to)
		f(from, t.at.decode(t.State16, from, end, room.p[:end-from]))
	}
	scratches.Put(room)
}

func (t *tensor16) zero(from, to int) {
	p := t.at.Param16
	switch {
	case p.GradBF16 != nil:
		clear(p.GradBF16[from:to])
	case p.GradF16 != nil:
		clear(p.GradF16[from:to])
	default:
		clear(p.Grad[from:to])
	}
}

// step makes all of a step that concerns some cells: cell by cell, while it is in the cache.
func (t *tensor16) step(o *Optimizer, from, to, _ int) {
	for ; from < to; from += tile {
		t.stepCell(o, from, min(from+tile, to))
	}
}

func (t *tensor16) stepCell(o *Optimizer, from, to int) {
	if t.hasGrad {
		factor, limit := float32(0), float32(0)
		if o.Options.MaxValue > 0 {
			factor, limit = o.single.clampBy, o.single.clampTo
		}
		t.kernel.step16(t.at.Param16, t.State16, from, to, factor, limit)
		if o.Options.ZeroGrad {
			t.zero(from, to)
		}
	}
	if o.Options.EMADecay > 0 {
		t.average(o, from, to)
	}
}

// average moves the average, or begins it.
func (t *tensor16) average(o *Optimizer, from, to int) {
	t.values(from, to, func(from int, p []float32) {
		e := t.ema[from : from+len(p)]
		if t.begun {
			averageTile(e, p, o.single.toward)
		} else {
			copy(e, p)
		}
	})
}

// mark is a fingerprint of a few elements of the gradient (FNV-1a).
func (t *tensor16) mark(from, to int) uint64 {
	h := uint64(14695981039346656037)
	if !t.hasGrad {
		return h
	}
	p := t.at.Param16
	for i := from; i < to; i += 1 + (to-from)/8 {
		bits := uint64(0)
		switch {
		case p.GradBF16 != nil:
			bits = uint64(p.GradBF16[i])
		case p.GradF16 != nil:
			bits = uint64(p.GradF16[i])
		default:
			bits = uint64(math.Float32bits(p.Grad[i]))
		}
		h = (h ^ bits) * 1099511628211
	}
	return h
}
