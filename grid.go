package adam

import (
	"cmp"
	"math"
	"slices"
	"sort"
)

// A grid is the work of a step, cut by tensor and position alone: cells of at most one tile, in the
// order of the tensors' names, gathered into chunks of one or more tiles that workers take one at a
// time. A tile is 32 KiB of gradient: 8192 float32 or 4096 float64.
type grid struct {
	cells  []cell
	chunks []int // chunk i is cells[chunks[i]:chunks[i+1]]
	words  int   // of 32 bits, in all cells
}

// A cell is the elements [from, to) of a tensor, of a table's gradient. Cells begin at multiples of
// a tile.
type cell struct{ tensor, from, to int }

// byName returns the indices of the tensors in the order of their names, of parts by position.
func byName(tensors []tensor) []int {
	order := make([]int, len(tensors))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int {
		return cmp.Or(cmp.Compare(tensors[i].name, tensors[j].name),
			cmp.Compare(tensors[i].from, tensors[j].from))
	})
	return order
}

// clear makes g a grid without cells.
func (g *grid) clear() { g.cells, g.chunks, g.words = g.cells[:0], g.chunks[:0], 0 }

// add appends the cells of n elements of a tensor.
func (g *grid) add(index, n, words int) {
	for from := 0; from < n; from += tile / words {
		g.cells = append(g.cells, cell{index, from, min(from+tile/words, n)})
	}
	g.words += n * words
}

// Chunks are of up to 16 tiles where that leaves so many of them: between two the memory rests.
// Tests lower it.
var leastChunks = 64

// gather makes the chunks, once all cells are there.
func (g *grid) gather(tensors []tensor) {
	enough := tile * max(1, min(g.words/tile/leastChunks, 16))
	size := enough
	for i, c := range g.cells {
		if size >= enough {
			g.chunks, size = append(g.chunks, i), 0
		}
		size += (c.to - c.from) * tensors[c.tensor].words()
	}
}

// chunk returns which cells chunk i has.
func (g *grid) chunk(i int) (from, to int) {
	from, to = g.chunks[i], len(g.cells)
	if i+1 < len(g.chunks) {
		to = g.chunks[i+1]
	}
	return from, to
}

// cut makes the grid of the step at hand.
func (o *Optimizer) cut() {
	o.grid.clear()
	for _, i := range o.order {
		o.grid.add(i, o.tensors[i].extent, o.tensors[i].words())
	}
	o.grid.gather(o.tensors)
	n := len(o.grid.cells)
	o.sums = slices.Grow(o.sums[:0], n)[:n]
	o.uncut = false
}

// A pass is what is done to every cell.
type pass int

const (
	sumPass     pass = iota // sum the squares of the gradients
	stepPass                // everything else
	zeroPass                // zero the gradients
	averagePass             // move the averages of tables
)

// run makes a pass over all cells of a grid.
func (o *Optimizer) run(p pass, g *grid) {
	o.pass, o.passing, o.begin, o.end, o.first = p, g, 0, len(g.cells), 0
	o.pool.Run((*chunks)(o), len(g.chunks))
}

// stepRuns is run of the pass of a step, run by run, with nil in one: see StepWith.
func (o *Optimizer) stepRuns(runs []int, stepped func(run int)) {
	done := false
	defer func() {
		if !done { // stepped has panicked
			o.pool.Close()
		}
	}()
	g := &o.grid
	o.pass, o.passing, o.end = stepPass, g, 0
	for i := range max(1, len(runs)) {
		end := len(g.cells)
		if runs != nil {
			end = runs[i]
		}
		o.begin, o.end = o.end, end
		if o.begin < o.end {
			// A chunk may have cells of two runs.
			o.first = sort.SearchInts(g.chunks, o.begin+1) - 1
			o.pool.Run((*chunks)(o), sort.SearchInts(g.chunks, o.end)-o.first)
		}
		stepped(i)
	}
	done = true
}

// chunks are an optimizer as a [pool.Job], which is no matter of its users.
type chunks Optimizer

// Do makes the pass over one chunk.
func (w *chunks) Do(chunk, worker int) {
	o := (*Optimizer)(w)
	from, to := o.passing.chunk(o.first + chunk)
	from, to = max(from, o.begin), min(to, o.end)
	cells := o.passing.cells[:to]
	for i := from; i < len(cells); i++ {
		c := cells[i]
		t := o.tensors[c.tensor]
		switch {
		case o.pass == stepPass:
			for i+1 < len(cells) && cells[i+1].tensor == c.tensor {
				i++
			}
			t.step(o, c.from, cells[i].to, worker)
		case o.pass == averagePass:
			t.average(o, c.from, c.to)
		case !t.hasGrad:
			// It has no part in the norm, and the sum of an earlier gradient must go.
			if o.pass == sumPass {
				o.sums[i] = 0
			}
		case o.pass == sumPass:
			o.sums[i] = t.squares(c.from, c.to)
		default:
			t.zero(c.from, c.to)
		}
	}
}

// sumOfSquares computes o.squares, the sum of the squares of all gradients, added up cell by cell
// in the order of the grid, whoever computed them. If it is finite, all gradients are.
func (o *Optimizer) sumOfSquares() {
	o.normed = false
	o.run(sumPass, &o.grid)
	usually(func() {
		o.squares = 0
		for _, s := range o.sums {
			o.squares += s
		}
	})
}

// nonFinite returns the name of the first tensor whose gradient is not finite. There may be none,
// "", though the sum of all squares is not, since the square of a float64 may overflow.
func (o *Optimizer) nonFinite() (name string) {
	for i, s := range o.sums {
		if s <= math.MaxFloat64 {
			continue
		}
		c := o.grid.cells[i]
		if t := o.tensors[c.tensor]; !t.finite(c.from, c.to) {
			return t.name
		}
	}
	return ""
}

// remember takes the marks of the gradients whose squares are known.
func (o *Optimizer) remember() {
	o.marks = o.marks[:0]
	for _, c := range o.grid.cells {
		o.marks = append(o.marks, o.tensors[c.tensor].mark(c.from, c.to))
	}
	o.normed = true
}

// unchanged reports whether the gradients still have their marks.
func (o *Optimizer) unchanged() bool {
	for i, c := range o.grid.cells {
		if o.marks[i] != o.tensors[c.tensor].mark(c.from, c.to) {
			return false
		}
	}
	return true
}
