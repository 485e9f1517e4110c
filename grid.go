package adam

import (
	"cmp"
	"math"
	"slices"
)

// A grid is the work of a step, cut by tensor and position alone: cells of at most one tile, in the
// order of the tensors' names, gathered into chunks of about a tile that workers take one at a
// time.
type grid struct {
	cells    []cell
	chunks   []int // chunk i is cells[chunks[i]:chunks[i+1]]
	elements int
}

// A cell is the elements [from, to) of a tensor. Cells begin at multiples of a tile.
type cell struct{ tensor, from, to int }

func newGrid(tensors []tensor) grid {
	order := make([]int, len(tensors))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int {
		return cmp.Compare(tensors[i].name, tensors[j].name)
	})
	var g grid
	size := tile // of the chunk at hand
	for _, i := range order {
		n := tensors[i].n
		for from := 0; from < n; from += tile {
			if size >= tile {
				g.chunks, size = append(g.chunks, len(g.cells)), 0
			}
			to := min(from+tile, n)
			g.cells = append(g.cells, cell{i, from, to})
			size += to - from
		}
		g.elements += n
	}
	g.chunks = append(g.chunks, len(g.cells))
	return g
}

// A pass is what is done to every cell.
type pass int

const (
	sumPass  pass = iota // sum the squares of the gradients
	stepPass             // everything else
	zeroPass             // zero the gradients
)

// run makes a pass over all cells.
func (o *Optimizer) run(p pass) {
	o.pass = p
	o.pool.Run((*chunks)(o), len(o.grid.chunks)-1)
}

// chunks are an optimizer as a [pool.Job], which is no matter of its users.
type chunks Optimizer

// Do makes the pass over one chunk.
func (w *chunks) Do(chunk, worker int) {
	o := (*Optimizer)(w)
	from, to := o.grid.chunks[chunk], o.grid.chunks[chunk+1]
	for i, c := range o.grid.cells[from:to] {
		t := &o.tensors[c.tensor]
		switch {
		case o.pass == stepPass:
			o.stepCell(t, c, worker)
		case t.param.Grad == nil:
			// It has no part in the norm, and the sum of an earlier gradient must go.
			if o.pass == sumPass {
				o.sums[from+i] = 0
			}
		case o.pass == sumPass:
			o.sums[from+i] = sumSquares(t.param.Grad[c.from:c.to])
		default:
			clear(t.param.Grad[c.from:c.to])
		}
	}
}

// stepCell makes all of a step that concerns one cell, while it is in the cache.
func (o *Optimizer) stepCell(t *tensor, c cell, worker int) {
	p := t.param.Value[c.from:c.to]
	if t.coeffs != nil {
		grad := t.param.Grad[c.from:c.to]
		g, x := grad, []float32(nil)
		if o.Options.MaxValue > 0 {
			g = o.scratch[worker][:len(grad)]
			clampTile(g, grad, o.clampBy, o.clampTo)
		}
		if t.coeffs.amsgrad {
			x = t.VMax[c.from:c.to]
		}
		stepTile(p, g, t.M[c.from:c.to], t.V[c.from:c.to], x, t.coeffs)
		if o.Options.ZeroGrad {
			clear(grad)
		}
	}
	if o.Options.EMADecay > 0 {
		e := t.average[c.from:c.to]
		if t.begun {
			averageTile(e, p, o.toward)
		} else {
			copy(e, p)
		}
	}
}

// sumOfSquares computes o.squares, the sum of the squares of all gradients, added up cell by cell
// in the order of the grid, whoever computed them. It is finite if and only if all gradients are.
func (o *Optimizer) sumOfSquares() {
	o.normed = false
	o.run(sumPass)
	usually(func() {
		o.squares = 0
		for _, s := range o.sums {
			o.squares += s
		}
	})
}

// nonFinite returns the name of the first tensor whose sum of squares is not finite.
func (o *Optimizer) nonFinite() string {
	for i, s := range o.sums {
		if !(s <= math.MaxFloat64) {
			return o.tensors[o.grid.cells[i].tensor].name
		}
	}
	return ""
}

// remember takes the marks of the gradients whose squares are known.
func (o *Optimizer) remember() {
	o.marks = o.marks[:0]
	for _, c := range o.grid.cells {
		o.marks = append(o.marks, mark(o.gradient(c)))
	}
	o.normed = true
}

// unchanged reports whether the gradients still have their marks.
func (o *Optimizer) unchanged() bool {
	for i, c := range o.grid.cells {
		if o.marks[i] != mark(o.gradient(c)) {
			return false
		}
	}
	return true
}

func (o *Optimizer) gradient(c cell) []float32 {
	if g := o.tensors[c.tensor].param.Grad; g != nil {
		return g[c.from:c.to]
	}
	return nil
}

// mark is a fingerprint of a few elements of g (FNV-1a).
func mark(g []float32) uint64 {
	h := uint64(14695981039346656037)
	for i := 0; i < len(g); i += 1 + len(g)/8 {
		h = (h ^ uint64(math.Float32bits(g[i]))) * 1099511628211
	}
	return h
}
