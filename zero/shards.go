package zero

import (
	"cmp"
	"fmt"
	"slices"
	"unsafe"

	"github.com/fusedadam/adam"
	"github.com/fusedadam/adam/internal/checkpoint"
)

// shards is which rank owns what. The elements of all tensors, by name and position, are cut into
// buckets of whole tiles, and each bucket is dealt to all ranks in runs of whole tiles.
type shards struct {
	tensors []tensor    // by name
	total   int         // bytes of all tensors
	buckets [][]segment // by name and position
	tiles   []int       // of the norm, of each rank
	runs    []int       // own tiles up to the end of each bucket
	parts   []part      // of this rank, in the order of groups
	model   uint64      // hash of what all ranks are built from
	spans   []span      // room for the memory of all tensors
}

// A tensor is one of Groups. Its memory is bytes, so that one code serves all types.
type tensor struct {
	name         string
	list         list
	group, index int
	size         int    // bytes of an element of the gradient's sum
	stored       int    // of the parameters
	n            int    // size times the elements
	sum          []byte // room for a gradient of 16 bits in float32, nil until there is one
	bound               // of the step at hand
	now          bound  // that is about to be taken
}

// lists are those of a group, in the order of a checkpoint.
type list uint8

const (
	params list = iota
	params64
	params16
)

// bound is what a step has of a tensor in Groups.
type bound struct {
	value   []byte // what all ranks get
	grad    []byte // of the last leaf, in size bytes an element
	hasGrad bool
	bound16
}

// A segment is a run of a tensor, of one owner and in one bucket: the elements whose gradients are
// the bytes from, …, to-1.
type segment struct{ owner, tensor, from, to int }

// A part is a run of a tensor that this rank owns, in bytes as a segment, or none of it.
type part struct{ tensor, index, from, to int }

type span struct {
	from, to uintptr
	tensor   int
	what     string
}

func copyOf(groups []adam.Group) []adam.Group {
	groups = slices.Clone(groups)
	for i := range groups {
		groups[i].Params = slices.Clone(groups[i].Params)
		groups[i].Params64 = slices.Clone(groups[i].Params64)
		groups[i].Params16 = slices.Clone(groups[i].Params16)
	}
	return groups
}

// enrol makes the tensors of z.Groups. Those without a name get that of package adam.
func (z *Optimizer) enrol() error {
	for i := range z.Groups {
		g := &z.Groups[i]
		field := ""
		switch {
		case len(g.Tables) > 0:
			field = "Tables"
		case len(g.Parts) > 0:
			field = "Parts"
		case len(g.Parts64) > 0:
			field = "Parts64"
		case len(g.Parts16) > 0:
			field = "Parts16"
		}
		if field != "" {
			return fmt.Errorf("%w: Groups[%d].%s: only Params, Params64 and Params16 are sharded",
				adam.ErrParams, i, field)
		}
		for j := range g.Params {
			p := &g.Params[j]
			if p.State != nil || p.EMA != nil {
				return memoryError(i, "Params", j)
			}
			p.Name = cmp.Or(p.Name, fmt.Sprintf("%d.%d", i, j))
			z.tensors = append(z.tensors, tensor{name: p.Name, group: i, index: j, size: 4,
				stored: 4, n: 4 * len(p.Value)})
		}
		for j := range g.Params64 {
			p := &g.Params64[j]
			if p.State != nil || p.EMA != nil {
				return memoryError(i, "Params64", j)
			}
			p.Name = cmp.Or(p.Name, fmt.Sprintf("%d.Params64.%d", i, j))
			z.tensors = append(z.tensors, tensor{name: p.Name, list: params64, group: i, index: j,
				size: 8, stored: 8, n: 8 * len(p.Value)})
		}
		for j := range g.Params16 {
			p := &g.Params16[j]
			if p.State != nil || p.EMA != nil {
				return memoryError(i, "Params16", j)
			}
			p.Name = cmp.Or(p.Name, fmt.Sprintf("%d.Params16.%d", i, j))
			z.tensors = append(z.tensors, newTensor16(p, i, j))
		}
	}
	slices.SortStableFunc(z.tensors, func(a, b tensor) int { return cmp.Compare(a.name, b.name) })
	for i := range z.tensors {
		z.total += z.tensors[i].n
		if i > 0 && z.tensors[i].name == z.tensors[i-1].name {
			return fmt.Errorf("%w: name %q is not unique", adam.ErrParams, z.tensors[i].name)
		}
	}
	return nil
}

func memoryError(group int, list string, index int) error {
	return fmt.Errorf("%w: Groups[%d].%s[%d] has a State or an EMA: leave them nil, as they "+
		"are sharded", adam.ErrParams, group, list, index)
}

// deal cuts the model into segments. The boundaries in a bucket are where the ranks come nearest to
// equal shares of all that was dealt so far.
func (z *Optimizer) deal(me, ranks, bucket int) {
	dealt, shares := 0, make([]int, ranks) // bytes
	z.tiles = make([]int, ranks)
	var tiles []segment
	size := 0
	flush := func() {
		dealt += size
		var list []segment
		due := func(owner int) int { // what it lacks of its share
			return dealt*(owner+1)/ranks - dealt*owner/ranks - shares[owner]
		}
		owner, left := 0, due(0)
		for _, t := range tiles {
			n := t.to - t.from
			for owner < ranks-1 && 2*left < n {
				owner++
				left += due(owner)
			}
			t.owner = owner
			left -= n
			if k := len(list) - 1; k >= 0 && list[k].owner == owner && list[k].tensor == t.tensor {
				list[k].to = t.to
			} else {
				list = append(list, t)
			}
		}
		for _, s := range list {
			shares[s.owner] += s.to - s.from
			z.tiles[s.owner] += z.tilesOf(s)
		}
		z.buckets, z.runs = append(z.buckets, list), append(z.runs, z.tiles[me])
		tiles, size = nil, 0
	}
	for i, t := range z.tensors {
		for from := 0; from < t.n; from += adam.Tile * t.size {
			to := min(from+adam.Tile*t.size, t.n)
			tiles = append(tiles, segment{0, i, from, to})
			if size += to - from; size/4 >= bucket {
				flush()
			}
		}
	}
	if len(tiles) > 0 || len(z.buckets) == 0 {
		flush()
	}
	z.ownParts(me)
}

// tilesOf returns the number of tiles of the norm in a segment, which are of 32 KiB.
func (z *Optimizer) tilesOf(s segment) int {
	const tile = 4 * adam.Tile
	return (s.to - s.from + tile - 1) / tile
}

// ownParts lists the parts of this rank: neighbouring segments are one part. Of a tensor of which
// it owns nothing it has an empty part.
func (z *Optimizer) ownParts(me int) {
	for _, bucket := range z.buckets {
		for _, s := range bucket {
			k := len(z.parts) - 1
			switch {
			case s.owner != me:
			case k >= 0 && z.parts[k].tensor == s.tensor && z.parts[k].to == s.from:
				z.parts[k].to = s.to
			default:
				z.parts = append(z.parts, part{tensor: s.tensor, from: s.from, to: s.to})
			}
		}
	}
	has := make([]bool, len(z.tensors))
	for _, p := range z.parts {
		has[p.tensor] = true
	}
	for i := range z.tensors {
		if !has[i] {
			z.parts = append(z.parts, part{tensor: i})
		}
	}
	// In the order of groups, which that of the names in a checkpoint is.
	slices.SortFunc(z.parts, func(a, b part) int {
		s, t := &z.tensors[a.tensor], &z.tensors[b.tensor]
		return cmp.Or(cmp.Compare(s.group, t.group), cmp.Compare(s.list, t.list),
			cmp.Compare(s.index, t.index), cmp.Compare(a.from, b.from))
	})
	var last *tensor
	index := 0
	for i := range z.parts {
		t := &z.tensors[z.parts[i].tensor]
		if last == nil || t.group != last.group || t.list != last.list {
			index = 0
		}
		z.parts[i].index = index
		index++
		last = t
	}
}

// groupsOfParts returns what the optimizer of this rank's parts is made of.
func (z *Optimizer) groupsOfParts() []adam.Group {
	groups := make([]adam.Group, len(z.Groups))
	for i := range groups {
		groups[i].Config, groups[i].Storage = z.Groups[i].Config, z.Groups[i].Storage
	}
	for _, p := range z.parts {
		t := &z.tensors[p.tensor]
		g := &groups[t.group]
		at, of := p.from/t.size, t.n/t.size
		switch t.list {
		case params:
			q := adam.Param{Name: t.name}
			q.Value, q.Grad = cut[float32](t, p)
			g.Parts = append(g.Parts, adam.Part{Param: q, At: at, Of: of})
		case params64:
			q := adam.Param64{Name: t.name}
			q.Value, q.Grad = cut[float64](t, p)
			g.Parts64 = append(g.Parts64, adam.Part64{Param64: q, At: at, Of: of})
		default:
			q := adam.Param16{Name: t.name}
			t.cut16(p, &q)
			g.Parts16 = append(g.Parts16, adam.Part16{Param16: q, At: at, Of: of})
		}
	}
	return groups
}

// cut returns the elements of a part, and those of its gradient.
func cut[F float](t *tensor, p part) (value, grad []F) {
	if t.hasGrad {
		grad = floats[F](t.grad[p.from:p.to])
	}
	return floats[F](t.value[p.from:p.to]), grad
}

// settle gives the optimizer of the parts what the caller may have changed in z.
func (z *Optimizer) settle() {
	o := z.own
	o.Options, o.GradScale, o.T, o.Metadata = z.Options, z.GradScale, z.T, z.Metadata
	for i := range z.Groups {
		o.Groups[i].Config, o.Groups[i].Storage = z.Groups[i].Config, z.Groups[i].Storage
	}
	for _, p := range z.parts {
		t := &z.tensors[p.tensor]
		g := &o.Groups[t.group]
		switch t.list {
		case params:
			q := &g.Parts[p.index]
			q.Value, q.Grad = cut[float32](t, p)
		case params64:
			q := &g.Parts64[p.index]
			q.Value, q.Grad = cut[float64](t, p)
		default:
			t.cut16(p, &g.Parts16[p.index].Param16)
		}
	}
}

// values returns the bytes of the parameters of a run.
func (t *tensor) values(from, to int) []byte {
	return t.value[from/t.size*t.stored : to/t.size*t.stored]
}

type float interface{ float32 | float64 }

// floats is the inverse of checkpoint.Memory. It is nil for none but never for a slice of length 0.
func floats[F float](b []byte) []F {
	return unsafe.Slice((*F)(unsafe.Pointer(unsafe.SliceData(b))), len(b)/int(unsafe.Sizeof(F(0))))
}

// find looks up the slices of t in groups.
func (t *tensor) find(groups []adam.Group) error {
	var name string
	n, grad := 0, 0
	found := t.group < len(groups)
	switch {
	case found && t.list == params16:
		return t.find16(groups[t.group].Params16)
	case found && t.list == params:
		if list := groups[t.group].Params; t.index < len(list) {
			p := &list[t.index]
			name, n, grad = p.Name, 4*len(p.Value), 4*len(p.Grad)
			t.now.value, t.now.grad = checkpoint.Memory(p.Value), checkpoint.Memory(p.Grad)
			t.now.hasGrad = p.Grad != nil
		}
	case found:
		if list := groups[t.group].Params64; t.index < len(list) {
			p := &list[t.index]
			name, n, grad = p.Name, 8*len(p.Value), 8*len(p.Grad)
			t.now.value, t.now.grad = checkpoint.Memory(p.Value), checkpoint.Memory(p.Grad)
			t.now.hasGrad = p.Grad != nil
		}
	}
	switch {
	case name != t.name:
		return t.lostError()
	case n != t.n, t.now.hasGrad && grad != t.n:
		return fmt.Errorf("%w: %q had %d elements in New; Value %d, Grad %d", adam.ErrLength,
			t.name, t.n/t.size, n/t.size, grad/t.size)
	}
	return nil
}

func (t *tensor) lostError() error {
	return fmt.Errorf("%w: %q is not where it was in New: want the same Groups", adam.ErrParams,
		t.name)
}

// bind takes the values of Groups, and with leaf the gradients as those of the next leaf. After an
// error it has taken nothing.
func (z *Optimizer) bind(leaf bool) error {
	moved, tensors := false, 0
	for i := range z.Groups {
		g := &z.Groups[i]
		tensors += len(g.Params) + len(g.Params64) + len(g.Params16) + len(g.Tables) +
			len(g.Parts) + len(g.Parts64) + len(g.Parts16)
	}
	for i := range z.tensors {
		t := &z.tensors[i]
		if err := t.find(z.Groups); err != nil {
			return err
		}
		if !leaf {
			t.now.grad, t.now.hasGrad = t.grad, t.hasGrad
			t.now.half, t.now.halfIsF16 = t.half, t.halfIsF16
		}
		if z.added > 0 && t.now.hasGrad != t.hasGrad {
			return fmt.Errorf("%w: %q has a gradient in some leaves of a step only: give it "+
				"one of zeros in the others", adam.ErrParams, t.name)
		}
		moved = moved || !same(t.now.value, t.value) || !same(t.now.grad, t.grad) ||
			!same(t.now.half, t.half) || !same(t.now.copy, t.copy)
	}
	if tensors != len(z.tensors) {
		return fmt.Errorf("%w: Groups hold %d tensors, %d were given to New", adam.ErrParams,
			tensors, len(z.tensors))
	}
	if moved {
		if err := z.overlaps(); err != nil {
			return err
		}
	}
	for i := range z.tensors {
		t := &z.tensors[i]
		t.bound, t.now = t.now, bound{}
	}
	return nil
}

func same(a, b []byte) bool {
	return unsafe.SliceData(a) == unsafe.SliceData(b) && len(a) == len(b)
}

// overlaps returns an error if two slices share memory. A step writes them all: what others own is
// received.
func (z *Optimizer) overlaps() error {
	z.spans = z.spans[:0]
	for i := range z.tensors {
		t := &z.tensors[i]
		z.spans = append(z.spans, spanOf(i, t.now.valueField(), t.now.value),
			spanOf(i, "Grad", t.now.grad), spanOf(i, t.now.halfField(), t.now.half),
			spanOf(i, t.now.copyField(), t.now.copy))
	}
	slices.SortFunc(z.spans, func(a, b span) int { return cmp.Compare(a.from, b.from) })
	last := span{}
	for _, s := range z.spans {
		if s.from == s.to {
			continue
		}
		if s.from < last.to {
			return fmt.Errorf("%w: %s of %q and %s of %q", adam.ErrOverlap, last.what,
				z.tensors[last.tensor].name, s.what, z.tensors[s.tensor].name)
		}
		last = s
	}
	return nil
}

func spanOf(tensor int, what string, b []byte) span {
	from := uintptr(unsafe.Pointer(unsafe.SliceData(b)))
	return span{from, from + uintptr(len(b)), tensor, what}
}
