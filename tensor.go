package adam

import (
	"fmt"
	"math"
	"unsafe"

	"github.com/fusedadam/adam/internal/checkpoint"
)

// A tensor is what the optimizer knows of a [Param], a [Param64], a [Table], a [Param16] or a part
// of one. One code serves the first three: typed has it, for elements of either type, and table
// says what is different in a table. tensor16 is what has fewer bits. A part is a typed or a
// tensor16 that knows which elements it has.
type tensor struct {
	*base
	kind
}

// base is the part of a tensor that is the same for all kinds.
type base struct {
	where
	name    string
	n       int     // elements
	from    int     // of a part: its first element is that of the tensor
	of      int     // elements of the whole tensor
	extent  int     // elements that a step concerns: n, or those of a table's gradient
	begun   bool    // the average has begun
	lent    bool    // the average lies in the caller's memory
	hasGrad bool    // in the step at hand, which is a step of this tensor, then
	amsgrad bool    // in the step at hand
	part    bool    // it is a part
	follows bool    // it is a part that comes after another one of its tensor
	steps   *uint64 // State.T
	place   place   // where its slices lay when they were last checked
}

// kind is the part that is not: a *typed[float32], a *typed[float64], a *table or a *tensor16.
// Elements from, …, to-1 are those of a cell, of step those of one or more in a row.
type kind interface {
	count() *uint64               // State.T
	key() *uint64                 // State16.Key, nil where nothing is rounded stochastically
	words() int                   // of 32 bits, in an element
	same() error                  // an error if it is not the tensor that was given before
	hasMoments(amsgrad bool) bool // of the right length
	lengthError(amsgrad bool) error
	look(amsgrad bool) (moved bool, err error) // at what a step is about to use
	now() place
	written(list []span, grad bool) []span // what a step writes, with the gradient if it is zeroed
	read() [2]span                         // what else a step reads
	furnish(o *Optimizer, workers int)
	share(last kind) bool // the scalars of last, of its group or nil, if they are its own, too
	prepare(c *Config, scale float64)

	squares(from, to int) float64
	finite(from, to int) bool
	mark(from, to int) uint64
	step(o *Optimizer, from, to, worker int)
	average(o *Optimizer, from, to int)
	zero(from, to int)

	memory(p checkpoint.Piece) []byte
	data(p checkpoint.Piece) checkpoint.Data // without DType where there is none, and of numbers
	fresh(vmax, average, value bool) kind
	restore(loaded kind, begun bool)
}

// arithmetic is the kernels for elements of one type: a *coeffs or a *coeffs64, which has the
// scalars of step, too.
type arithmetic[F float] interface {
	set(c *Config, t uint64, scale float64)
	stepTile(p, g, m, v, x []F)
	stepAll(p, g, m, v, x []F)
	squares(g []F) float64
	finite(g []F) bool
	clamp(d, g []F, s, limit F)
	average(e, p []F, c F)
	shared(o *Optimizer) *shared[F]
}

func (*coeffs) squares(g []float32) float64              { return sumSquares(g) }
func (*coeffs) finite(g []float32) bool                  { return sumSquares(g) <= math.MaxFloat64 }
func (*coeffs) clamp(d, g []float32, s, limit float32)   { clampTile(d, g, s, limit) }
func (*coeffs) average(e, p []float32, c float32)        { averageTile(e, p, c) }
func (*coeffs) shared(o *Optimizer) *shared[float32]     { return &o.single }
func (*coeffs64) squares(g []float64) float64            { return sumSquares64(g) }
func (*coeffs64) finite(g []float64) bool                { return allFinite64(g) }
func (*coeffs64) clamp(d, g []float64, s, limit float64) { clampTile64(d, g, s, limit) }
func (*coeffs64) average(e, p []float64, c float64)      { averageTile64(e, p, c) }
func (*coeffs64) shared(o *Optimizer) *shared[float64]   { return &o.double }

// shared is what all tensors of one type have of the step at hand.
type shared[F float] struct {
	clampBy F     // multiplier of the gradients before they are clamped
	clampTo F     // MaxValue
	toward  F     // part of its way that an average goes to its parameter
	scratch [][]F // a tile for each worker, with MaxValue
}

// state is a State or a State64.
type state[F float] struct {
	T          uint64
	M, V, VMax []F
}

// where is the place of a tensor in Groups.
type where struct {
	group, index int32
	list         list
}

// list is one of the lists of a group.
type list uint8

const (
	params list = iota
	params64
	tables
	parts
	parts64
	params16
	parts16
)

func (l list) String() string {
	return [...]string{"Params", "Params64", "Tables", "Parts", "Parts64", "Params16", "Parts16"}[l]
}

func (w where) String() string { return fmt.Sprintf("Groups[%d].%v[%d]", w.group, w.list, w.index) }

// name is that of a tensor that was given none.
func (w where) name() string {
	if w.list == params {
		return fmt.Sprintf("%d.%d", w.group, w.index)
	}
	return fmt.Sprintf("%d.%v.%d", w.group, w.list, w.index)
}

// typed is a tensor of elements of one type.
type typed[F float] struct {
	base
	at        fields[F]     // in Groups
	given     *state[F]     // by the caller, or nil
	*state[F]               // in use
	ema       []F           // average of the parameters, or empty
	own       arithmetic[F] // with scalars of its own
	kernel    arithmetic[F] // of the step at hand: own, or that of a tensor with the same scalars
}

// table is a tensor of which a step concerns some rows only. Its cells are those of its gradient.
type table struct {
	typed[float32]
	width int
}

// typedOf returns the tensor without what makes it a table, nil if its elements are of another
// type.
func typedOf[F float](k kind) *typed[F] {
	if t, ok := k.(*table); ok {
		k = &t.typed
	}
	t, _ := k.(*typed[F])
	return t
}

// newTensor is the method tensor of fields.
func newTensor[F float](w where, f fields[F], old kind, amsgrad, average bool) tensor {
	var t *typed[F]
	var k kind
	if f.table != nil {
		table := &table{width: f.table.Width}
		t, k = typedOf[F](table), table
	} else {
		t = new(typed[F])
		k = t
	}
	t.at, t.given, t.state, t.ema = f, *f.state, *f.state, *f.ema
	lent := t.ema != nil
	t.base = base{name: *f.name, where: w, n: len(*f.value), begun: lent, lent: lent}
	t.extent, t.part = t.n, f.of != nil
	t.from, t.of = f.run()
	t.own = arithmeticOf[F]()
	if old := typedOf[F](old); old != nil && old.n == t.n && old.from == t.from && old.of == t.of {
		if t.state == nil {
			t.state = old.state
		}
		if t.ema == nil || address(t.ema) == address(old.ema) {
			t.ema, t.begun = old.ema, old.begun
		}
	}
	kept := t.ema != nil
	t.allocate(amsgrad, average)
	t.steps = &t.T
	if !kept {
		copy(t.ema, *f.value)
	}
	return tensor{&t.base, k}
}

// arithmeticOf returns the kernels of a type.
func arithmeticOf[F float]() arithmetic[F] {
	if a, ok := any(new(coeffs)).(arithmetic[F]); ok {
		return a
	}
	return any(new(coeffs64)).(arithmetic[F])
}

// allocate gives t the moments and the average that it lacks.
func (t *typed[F]) allocate(amsgrad, average bool) {
	average = average && t.ema == nil
	k := 0
	if t.state == nil {
		k = 2
		if amsgrad {
			k++
		}
	}
	if average {
		k++
	}
	if k == 0 {
		return
	}
	s := moments[F](t.n, k)
	if t.state == nil {
		t.state = &state[F]{M: s[0], V: s[1]}
		if amsgrad {
			t.VMax = s[2]
		}
	}
	if average {
		t.ema = s[k-1]
	}
}

// attach makes e, at a place in Groups, the entry of the tensor i.
func (o *Optimizer) attach(i int, w where, e entry) error {
	name := *e.label()
	if i == len(o.tensors) || name != o.tensors[i].name {
		return strangerError(w, name)
	}
	if !e.attach(o, o.tensors[i].kind, w) {
		return fmt.Errorf("%w: %v, %q, is of another kind than before, or Storage: %s",
			ErrParams, w, name, otherTensors)
	}
	return nil
}

const otherTensors = "use Add, Remove or Regroup for other tensors"

func strangerError(w where, name string) error {
	return fmt.Errorf("%w: %v is %q, not as given before: %s", ErrParams, w, name,
		otherTensors)
}

// same returns an error if t is not the tensor that was given before.
func (t *typed[F]) same() error {
	// Nearly always it is the very string, which is cheaper to see than that it has the same bytes.
	if n := *t.at.name; unsafe.StringData(n) != unsafe.StringData(t.name) && n != t.name ||
		len(n) != len(t.name) {
		return strangerError(t.where, *t.at.name)
	}
	if n := len(*t.at.value); n != t.n {
		return fmt.Errorf("%w: %s had %d elements before; Value %d: "+
			"use Grow or Regroup to resize a tensor", ErrLength, t.title(), t.n, n)
	}
	if t.part {
		if from, of := t.at.run(); from != t.from || of != t.of {
			return fmt.Errorf("%w: %s has At %d and Of %d, not as given before: "+
				"use Regroup for other parts", ErrParams, t.title(), from, of)
		}
	}
	if *t.at.state != t.given || t.lent && address(*t.at.ema) != address(t.ema) {
		return fmt.Errorf("%w: %s has another State or EMA than before: "+
			"use Regroup to give it others", ErrParams, t.title())
	}
	return nil
}

func (t *typed[F]) count() *uint64 { return &t.T }
func (t *typed[F]) key() *uint64   { return nil }
func (t *typed[F]) words() int     { return int(unsafe.Sizeof(F(0)) / 4) }

func (t *typed[F]) hasMoments(amsgrad bool) bool {
	return len(t.M) == t.n && len(t.V) == t.n && (!amsgrad || len(t.VMax) == t.n)
}

// look checks all but overlaps. The slices have moved if they do not lie in their place.
func (t *typed[F]) look(amsgrad bool) (moved bool, err error) {
	if err := t.same(); err != nil {
		return false, err
	}
	grad, p := *t.at.grad, &t.place
	t.amsgrad = amsgrad
	if t.hasGrad = grad != nil; t.hasGrad && len(grad) != t.n {
		return false, t.lengthError(amsgrad)
	}
	moved = address(grad) != p.grad || address(*t.at.value) != p.written[0] ||
		address(t.M) != p.written[1] || address(t.V) != p.written[2] ||
		address(t.VMax) != p.written[3] || len(t.VMax) != p.vmax || address(t.ema) != p.written[4]
	return moved, t.checkState(amsgrad)
}

func (t *typed[F]) checkState(amsgrad bool) error {
	if !t.hasMoments(amsgrad) || t.ema != nil && len(t.ema) != t.n {
		return t.lengthError(amsgrad)
	}
	if t.T == math.MaxUint64 {
		return fmt.Errorf("%w: %s: T = %d", ErrSteps, t.title(), t.T)
	}
	return nil
}

// look checks the rows as well.
func (t *table) look(amsgrad bool) (moved bool, err error) {
	if err := t.same(); err != nil {
		return false, err
	}
	p := t.at.table
	if p.Width != t.width || t.width < 1 || t.n%t.width != 0 {
		return false, fmt.Errorf("%w: %q: Width %d, want the one given before, which divides the "+
			"length of Value, %d", ErrLength, t.name, p.Width, t.n)
	}
	t.extent, t.hasGrad, t.amsgrad = len(p.Grad), p.Grad != nil, amsgrad
	if t.hasGrad {
		if err := checkRows(p.Rows, t.n/t.width); err != nil {
			return false, fmt.Errorf("%w (%q)", err, t.name)
		}
		if len(p.Grad) != len(p.Rows)*t.width { // at most n
			return false, fmt.Errorf("%w: %q: Grad %d, want %d: %d Rows of Width %d", ErrLength,
				t.name, len(p.Grad), len(p.Rows)*t.width, len(p.Rows), t.width)
		}
	}
	return t.now() != t.place, t.checkState(amsgrad)
}

func (t *typed[F]) lengthError(amsgrad bool) error {
	more, grad := "", "nil"
	if amsgrad {
		more = fmt.Sprintf(", VMax %d", len(t.VMax))
		switch {
		case len(t.VMax) == 0 && t.part:
			more += " (AMSGrad needs a State that has VMax: give Regroup the part with one)"
		case len(t.VMax) == 0:
			method := "State"
			if t.words() == 2 {
				method = "State64"
			}
			more += fmt.Sprintf(" (AMSGrad needs %s(%q).VMax = make([]%T, %d))", method, t.name,
				F(0), t.n)
		}
	}
	if t.ema != nil {
		more += fmt.Sprintf(", EMA %d", len(t.ema))
	}
	if g := *t.at.grad; g != nil {
		grad = fmt.Sprint(len(g))
	}
	return fmt.Errorf("%w: %s had %d elements before; Value %d, Grad %s, M %d, V %d%s",
		ErrLength, t.title(), t.n, len(*t.at.value), grad, len(t.M), len(t.V), more)
}

func (t *typed[F]) now() place {
	return place{
		written: [...]uintptr{address(*t.at.value), address(t.M), address(t.V),
			address(t.VMax), address(t.ema)},
		vmax: len(t.VMax),
		grad: address(*t.at.grad),
	}
}

func (t *table) now() place {
	p := t.typed.now()
	p.rows, p.extent = address(t.at.table.Rows), t.extent
	return p
}

func (t *typed[F]) written(list []span, grad bool) []span {
	list = append(list, spanOf(t.name, "Value", *t.at.value), spanOf(t.name, "M", t.M),
		spanOf(t.name, "V", t.V), spanOf(t.name, "VMax", t.VMax), spanOf(t.name, "EMA", t.ema))
	if grad {
		list = append(list, spanOf(t.name, "Grad", *t.at.grad))
	}
	return list
}

func (t *typed[F]) read() [2]span { return [2]span{spanOf(t.name, "Grad", *t.at.grad)} }

func (t *table) read() [2]span {
	spans := t.typed.read()
	if t.at.table.Grad != nil {
		spans[1] = spanOf(t.name, "Rows", t.at.table.Rows)
	}
	return spans
}

// furnish allocates what Options ask for that was not asked for before.
func (t *typed[F]) furnish(o *Optimizer, workers int) {
	if o.Options.EMADecay > 0 && t.ema == nil {
		t.allocate(false, true)
		copy(t.ema, *t.at.value)
	}
	if o.Options.MaxValue > 0 {
		s := t.own.shared(o)
		for len(s.scratch) < workers {
			s.scratch = append(s.scratch, moments[F](tile/t.words(), 1)[0])
		}
	}
}

func (t *typed[F]) share(last kind) bool {
	if l := typedOf[F](last); l != nil && l.T == t.T {
		t.kernel = l.kernel
		return true
	}
	t.kernel = t.own
	return false
}

// prepare computes the scalars of the next step, with scale as the multiplier of the gradients.
func (t *typed[F]) prepare(c *Config, scale float64) { t.own.set(c, t.T+1, scale) }

func (t *typed[F]) squares(from, to int) float64 { return t.own.squares((*t.at.grad)[from:to]) }
func (t *typed[F]) finite(from, to int) bool     { return t.own.finite((*t.at.grad)[from:to]) }
func (t *typed[F]) zero(from, to int)            { clear((*t.at.grad)[from:to]) }

// step makes all of a step that concerns some cells: cell by cell, while it is in the cache, unless
// the kernel does all.
func (t *typed[F]) step(o *Optimizer, from, to, worker int) {
	size := to - from
	if o.Options.MaxValue > 0 || o.Options.ZeroGrad || o.Options.EMADecay > 0 {
		size = tile / t.words()
	}
	for ; from < to; from += size {
		end := min(from+size, to)
		if t.hasGrad {
			grad := (*t.at.grad)[from:end]
			g, x := grad, []F(nil)
			if o.Options.MaxValue > 0 {
				g = t.clamped(o, grad, worker)
			}
			if t.amsgrad {
				x = t.VMax[from:end]
			}
			if p := (*t.at.value)[from:end]; len(p) <= tile64 { // saves small tensors a call
				t.kernel.stepTile(p, g, t.M[from:end], t.V[from:end], x)
			} else {
				t.kernel.stepAll(p, g, t.M[from:end], t.V[from:end], x)
			}
			if o.Options.ZeroGrad {
				clear(grad)
			}
		}
		if o.Options.EMADecay > 0 {
			t.average(o, from, end)
		}
	}
}

// step steps the rows of the gradient's elements from, …, to-1, cell by cell. Averages are another
// pass.
func (t *table) step(o *Optimizer, from, to, worker int) {
	for ; from < to; from += tile {
		t.stepCell(o, from, min(from+tile, to), worker)
	}
}

func (t *table) stepCell(o *Optimizer, from, to, worker int) {
	p := t.at.table
	grad := p.Grad[from:to]
	g, x := grad, []float32(nil)
	if o.Options.MaxValue > 0 {
		g = t.clamped(o, grad, worker)
	}
	if t.amsgrad {
		x = t.VMax
	}
	stepRows(p.Value, g, t.M, t.V, x, t.width, p.Rows, from, t.kernel.(*coeffs))
	if o.Options.ZeroGrad {
		clear(grad)
	}
}

// clamped returns the gradients clipped by value.
func (t *typed[F]) clamped(o *Optimizer, grad []F, worker int) []F {
	s := t.own.shared(o)
	g := s.scratch[worker][:len(grad)]
	t.own.clamp(g, grad, s.clampBy, s.clampTo)
	return g
}

// average moves the average, or begins it.
func (t *typed[F]) average(o *Optimizer, from, to int) {
	e, p := t.ema[from:to], (*t.at.value)[from:to]
	if t.begun {
		t.own.average(e, p, t.own.shared(o).toward)
	} else {
		copy(e, p)
	}
}

// mark is a fingerprint of a few elements of the gradient (FNV-1a).
func (t *typed[F]) mark(from, to int) uint64 {
	h := uint64(14695981039346656037)
	if !t.hasGrad {
		return h
	}
	g := (*t.at.grad)[from:to]
	for i := 0; i < len(g); i += 1 + len(g)/8 {
		bits := uint64(0)
		*(*F)(unsafe.Pointer(&bits)) = g[i]
		h = (h ^ bits) * 1099511628211
	}
	return h
}

// memory returns the memory of a piece of a checkpoint.
func (t *typed[F]) memory(p checkpoint.Piece) []byte { return checkpoint.Memory(t.piece(p)) }

func (t *typed[F]) data(p checkpoint.Piece) checkpoint.Data {
	if p > checkpoint.EMA && p != checkpoint.Value {
		return checkpoint.Data{}
	}
	return checkpoint.FloatsOf(p.Key(t.name), t.piece(p))
}

func (t *typed[F]) piece(p checkpoint.Piece) []F {
	switch p {
	case checkpoint.M:
		return t.M
	case checkpoint.V:
		return t.V
	case checkpoint.VMax:
		return t.VMax
	case checkpoint.EMA:
		return t.ema
	case checkpoint.Value:
		return *t.at.value
	}
	return nil
}

// fresh returns a tensor of the same size with memory of its own, for what a checkpoint has.
func (t *typed[F]) fresh(vmax, average, value bool) kind {
	fresh := &typed[F]{base: base{n: t.n}}
	fresh.at.value = new([]F)
	if value {
		*fresh.at.value = make([]F, t.n)
	}
	fresh.allocate(vmax, average)
	return fresh
}

// restore gives t what was loaded: new slices, but copies where the memory is the caller's.
func (t *typed[F]) restore(loaded kind, begun bool) {
	from := typedOf[F](loaded)
	value := *t.at.value
	copy(value, *from.at.value)
	if !begun {
		copy(from.ema, value)
	}
	t.begun = begun
	if t.given == nil {
		*t.state = *from.state
	} else {
		copy(t.M, from.M)
		copy(t.V, from.V)
		t.VMax = copyMaximum(t.VMax, from.VMax, t.n)
		t.T = from.T
	}
	if t.lent {
		copy(t.ema, from.ema)
	} else {
		t.ema = from.ema
	}
}
