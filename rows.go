package adam

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"unsafe"
)

// ErrRows is wrapped by errors of [State.StepRows] about rows that the table does not have or that
// are given twice.
var ErrRows = errors.New("adam: bad rows")

// StepRows makes one Adam step of some rows of a table, such as those of an embedding that a batch
// has used. p is the whole table, row after row, width elements each; M, V and, with AMSGrad, VMax
// have its length. g holds the gradients of the given rows only, len(rows)·width elements, in the
// order of rows.
//
// It is torch.optim.SparseAdam, with EpsUncorrected, as SparseAdam adds Eps to √v. Nothing but the
// given rows is read or written: other rows keep their parameters and moments, and their moments do
// not decay. There is one count of steps for the whole table, s.T, so that a row that is met late
// has the small bias corrections of the late step. A call without rows is counted too. WeightDecay,
// which SparseAdam lacks, applies to the given rows only.
//
// Each row gets the bits that [State.Step] gives it, whatever the other rows and their order are.
// Rows that follow each other in rows as in the table are stepped as one.
//
// Each row may be given once: the gradients of a row that is used twice are to be added up. Rows in
// ascending order prove that by themselves, and StepRows does not allocate. In other orders it
// marks them in a bitmap, with a bit for each row of the table, that is kept for later steps.
//
// An error wraps [ErrConfig], [ErrLength], [ErrRows], [ErrOverlap] or [ErrSteps], and nothing has
// been changed.
func (s *State) StepRows(p []float32, width int, rows []int32, g []float32, c Config) error {
	if !c.valid() {
		return c.Validate()
	}
	n, m, v, x := len(p), s.M, s.V, []float32(nil)
	if c.AMSGrad {
		x = s.VMax
	}
	if width < 1 || n%width != 0 || len(m) != n || len(v) != n || c.AMSGrad && len(x) != n {
		return tableError(width, n, len(m), len(v), len(x), c.AMSGrad)
	}
	if err := checkRows(rows, n/width); err != nil {
		return err
	}
	if len(g) != len(rows)*width { // at most n
		return fmt.Errorf("%w: g %d, want %d: %d rows of width %d", ErrLength, len(g),
			len(rows)*width, len(rows), width)
	}
	if err := checkRowOverlaps(p, m, v, x, g, rows); err != nil {
		return err
	}
	if s.T == math.MaxUint64 {
		return fmt.Errorf("%w: T = %d", ErrSteps, s.T)
	}
	var k coeffs
	k.set(&c, s.T+1, 1)
	raceRows(p, g, m, v, x, width, rows)
	stepRows(p, g, m, v, x, width, rows, 0, &k)
	s.T++
	return nil
}

// runsPerCall is the number of runs of one kernel call: few enough that the garbage collector waits
// microseconds if each misses the caches, enough that the call costs nothing.
const runsPerCall = 64

// stepRows steps rows of a table. g is a part of their gradients, from the element first on. It
// cuts the rows into runs of neighbours, and gives the kernel as many at a time as have the
// elements of a tile. x is empty without AMSGrad.
func stepRows(p, g, m, v, x []float32, width int, rows []int32, first int, c *coeffs) {
	var runs [runsPerCall]run
	k, n := 0, 0          // runs gathered, and their elements
	skip := first % width // elements of the first row that are not in g
	for _, r := range rows[first/width:] {
		from := int(r) * width
		end := from + width
		_ = p[from:end] // rows may have been changed meanwhile, which the kernel does not see
		from += skip
		skip = 0
		end = min(end, from+len(g)-n)
		for from < end {
			to := min(end, from+tile-n)
			if k > 0 && runs[k-1].to == from {
				runs[k-1].to = to
			} else {
				runs[k] = run{from, to}
				k++
			}
			n += to - from
			from = to
			if k == len(runs) || n == tile {
				stepRuns(p, g[:n], m, v, x, runs[:k], c)
				g, k, n = g[n:], 0, 0
			}
		}
		if n == len(g) {
			break
		}
	}
	stepRuns(p, g, m, v, x, runs[:k], c)
}

// checkRows returns an error if a row is not one of the table's n, or is given twice.
func checkRows(rows []int32, n int) error {
	last := int32(-1)
	for _, r := range rows {
		if r <= last || int(r) >= n {
			return checkUnordered(rows, n)
		}
		last = r
	}
	return nil
}

// bitmaps holds a *[]uint64 of zeros for each of the goroutines that are in checkUnordered.
var bitmaps = sync.Pool{New: func() any { return new([]uint64) }}

// checkUnordered is checkRows in any order.
func checkUnordered(rows []int32, n int) (err error) {
	marks := bitmaps.Get().(*[]uint64)
	if words := (n + 63) / 64; len(*marks) < words {
		*marks = make([]uint64, words)
	}
	k := 0 // rows that are good
	for ; k < len(rows); k++ {
		r := rows[k]
		if r < 0 || int(r) >= n {
			err = fmt.Errorf("%w: rows[%d] = %d, of a table of %d rows", ErrRows, k, r, n)
			break
		}
		word, bit := &(*marks)[uint32(r)/64], uint64(1)<<(uint32(r)%64)
		if *word&bit != 0 {
			err = fmt.Errorf("%w: rows[%d] and rows[%d] are both %d: give each row once, with the "+
				"sum of its gradients", ErrRows, slices.Index(rows, r), k, r)
			break
		}
		*word |= bit
	}
	for _, r := range rows[:k] {
		(*marks)[uint32(r)/64] = 0
	}
	bitmaps.Put(marks)
	return err
}

// tableError says what is wrong with a width or with the length of a slice as long as the table.
func tableError(width, p, m, v, x int, amsgrad bool) error {
	if width < 1 {
		return fmt.Errorf("%w: width %d, want 1 or more", ErrLength, width)
	}
	if p%width != 0 {
		return fmt.Errorf("%w: p %d, want a multiple of the width, %d", ErrLength, p, width)
	}
	vmax := ""
	if amsgrad {
		vmax = fmt.Sprintf(", VMax %d", x)
	}
	return fmt.Errorf("%w: p %d, M %d, V %d%s, want the length of p for all", ErrLength, p, m, v,
		vmax)
}

// checkRowOverlaps returns an error if a slice that a step writes, one of the first four, shares
// memory with another.
func checkRowOverlaps(p, m, v, x, g []float32, rows []int32) error {
	at := [...]uintptr{address(p), address(m), address(v), address(x), address(g),
		uintptr(unsafe.Pointer(unsafe.SliceData(rows)))}
	n := [...]int{len(p), len(m), len(v), len(x), len(g), len(rows)}
	for j := range at {
		for i := range min(j, 4) {
			apart := at[i]-at[j] >= 4*uintptr(n[j]) && at[j]-at[i] >= 4*uintptr(n[i])
			if n[i] > 0 && n[j] > 0 && !apart {
				names := [...]string{"p", "M", "V", "VMax", "g", "rows"}
				return fmt.Errorf("%w: %s at %#x, %d elements, and %s at %#x, %d elements",
					ErrOverlap, names[i], at[i], n[i], names[j], at[j], n[j])
			}
		}
	}
	return nil
}
