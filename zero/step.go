package zero

import (
	"errors"
	"math"
	"slices"

	"github.com/fusedadam/adam"
)

// reduction is how the sums of all ranks become one.
type reduction struct {
	sources  []source // in the order of the leaves
	adds     []addition
	room     [2][]byte // for what others send of two buckets
	rooms    [][]int   // where in it each segment of a bucket begins, if it is this rank's
	ownCells [][]segment
	bucket   int // at work

	heard   []uint64
	counted []int
}

// A source is a sum of leaves: of this rank, in a slot or in the gradients, or received.
type source struct {
	received int // position among those received, -1 if it is this rank's
	slot     int // -1: the gradients
}

// An addition is of one source to another.
type addition struct{ to, from int }

// padded is how much room so many bytes take in a buffer.
func padded(n int) int { return (n + 7) &^ 7 }

// plan fixes the additions that make the sum of all leaves from the sums of the ranks. IEEE
// addition commutes, so the tree alone fixes the bits, and the sum may end in the gradients of this
// rank.
func (z *Optimizer) plan() {
	me := z.comm.Rank()
	at, received := map[node]int{}, 0
	for r, nodes := range z.nodes {
		for i, n := range nodes {
			at[n] = len(z.sources)
			s := source{received: -1, slot: i}
			switch {
			case r != me:
				s.received = received
				received++
			case i == len(nodes)-1:
				s.slot = -1
			}
			z.sources = append(z.sources, s)
		}
	}
	var sum func(n node) int
	sum = func(n node) int {
		if i, ok := at[n]; ok {
			return i
		}
		to, from := sum(node{n.level - 1, 2 * n.index}), sum(node{n.level - 1, 2*n.index + 1})
		if s := z.sources[from]; s.received < 0 && s.slot < 0 {
			to, from = from, to
		}
		z.adds = append(z.adds, addition{to, from})
		return to
	}
	sum(subtrees(0, z.all)[0])

	most := 0
	for _, list := range z.buckets {
		room, rooms, own := 0, []int(nil), []segment(nil)
		for i, s := range list {
			rooms = append(rooms, room)
			if s.owner != me {
				continue
			}
			room += received * padded(s.to-s.from)
			step := adam.Tile * z.tensors[s.tensor].size
			for from := s.from; from < s.to; from += step {
				own = append(own, segment{i, s.tensor, from, min(from+step, s.to)})
			}
		}
		z.rooms, z.ownCells = append(z.rooms, rooms), append(z.ownCells, own)
		most = max(most, room)
	}
	for i := range z.room {
		z.room[i] = allocate(most)
	}
}

// Step makes the step that [adam.Optimizer.Step] makes of the sum of all leaves. All ranks call it.
// Stats are the same on all of them.
//
// An error that wraps [ErrRank] is one of adam.Optimizer.Step, or that a rank has not added all its
// leaves or differs from rank 0: in Configs, T, GradScale, Options, in which tensors have a
// gradient, or in the model. It names the rank, all ranks have it, and nothing has changed.
func (z *Optimizer) Step() (adam.Stats, error) {
	if err := z.enter(); err != nil {
		return adam.Stats{}, err
	}
	defer z.leave()
	stats := adam.Stats{T: z.T}
	if err := z.agreeOnStep(); err != nil {
		return stats, err
	}
	// Whatever panics from here on leaves half a step.
	z.half = true
	stats, err := z.step()
	z.half = false
	if err != nil {
		return adam.Stats{T: z.T}, z.engine(err)
	}
	z.forget()
	z.T = z.own.T
	return stats, nil
}

// stepWords are those of agreeOnStep.
var stepWords = []string{"has other Options", "has another T", "has another GradScale",
	"has other Configs", "has gradients of other tensors"}

func (z *Optimizer) agreeOnStep() error {
	return z.begin(stepping, z.check(), stepWords, z.optionsHash(), z.T, z.scaleBits(),
		z.configsHash(), z.gradsHash())
}

// check is what this rank can check alone.
func (z *Optimizer) check() error {
	if z.added != z.want {
		return z.countError()
	}
	if err := z.bind(false); err != nil {
		return err
	}
	z.settle()
	return z.own.Check()
}

// step is all of a step that changes anything. All its errors are the engine's, or cannot be.
func (z *Optimizer) step() (adam.Stats, error) {
	if err := z.reduce(); err != nil {
		return adam.Stats{}, err
	}
	squares, nonFinite := 0.0, ""
	if z.Options.MaxNorm > 0 || z.Options.SkipNonFinite {
		var err error
		if squares, nonFinite, err = z.norm(); err != nil {
			return adam.Stats{}, err
		}
	}
	stats, err := z.own.StepWith(squares, nonFinite, z.runs, func(b int) { z.share(b, false) })
	if err != nil {
		return stats, err
	}
	if z.Options.ZeroGrad {
		z.clearOthers()
	}
	if err := z.comm.Wait(-1); err != nil {
		return stats, err
	}
	if !stats.Skipped {
		z.copyValues(false)
	}
	return stats, nil
}

// reduce leaves in the gradients of this rank's segments the sum of all leaves. While it adds up a
// bucket, the next is on its way.
func (z *Optimizer) reduce() error {
	posts := z.post(0)
	for z.bucket = 0; z.bucket < len(z.buckets); z.bucket++ {
		next := 0
		if z.bucket+1 < len(z.buckets) {
			next = z.post(z.bucket + 1)
		}
		if err := z.comm.Wait(posts); err != nil {
			return err
		}
		posts = next
		own := z.ownCells[z.bucket]
		if len(z.adds) > 0 {
			z.run((*summing)(z), len(own), len(own)*len(z.adds)*4*adam.Tile)
		}
	}
	return nil
}

// post sends a bucket's sums of this rank to their owners, and receives what it owns.
func (z *Optimizer) post(bucket int) (posts int) {
	me, room := z.comm.Rank(), z.room[bucket%2]
	for i, s := range z.buckets[bucket] {
		t := &z.tensors[s.tensor]
		switch {
		case !t.hasGrad:
		case s.owner != me:
			for _, from := range z.sources {
				if from.received < 0 {
					posts += z.send(s.owner, z.sumOf(from, s))
				}
			}
		default:
			at := z.rooms[bucket][i]
			for r, nodes := range z.nodes {
				for range nodes {
					if r != me {
						posts += z.receive(r, room[at:at+s.to-s.from])
						at += padded(s.to - s.from)
					}
				}
			}
		}
	}
	return posts
}

// sumOf returns a sum of this rank.
func (z *Optimizer) sumOf(from source, s segment) []byte {
	if from.slot < 0 {
		return z.tensors[s.tensor].grad[s.from:s.to]
	}
	return z.slots[from.slot][s.tensor][s.from:s.to]
}

// summing is z as the job of adding up the segments of this rank in a bucket, a cell a chunk.
type summing Optimizer

func (a *summing) Do(chunk, _ int) {
	z := (*Optimizer)(a)
	c := z.ownCells[z.bucket][chunk] // its owner is the index of its segment
	t := &z.tensors[c.tensor]
	if !t.hasGrad {
		return
	}
	s, room := z.buckets[z.bucket][c.owner], z.room[z.bucket%2][z.rooms[z.bucket][c.owner]:]
	sum := func(i int) []byte {
		from := z.sources[i]
		if from.received < 0 {
			return z.sumOf(from, c)
		}
		at := from.received*padded(s.to-s.from) + c.from - s.from
		return room[at : at+c.to-c.from]
	}
	for _, a := range z.adds {
		t.accumulate(sum(a.to), sum(a.from))
	}
}

// norm returns the sum of the squares of all gradients, added up tile by tile as one process does,
// and the first tensor whose gradient is not finite.
func (z *Optimizer) norm() (squares float64, nonFinite string, err error) {
	const none = math.MaxUint64
	tiles, name, err := z.own.Squares()
	if err == nil && len(tiles) != z.tiles[z.comm.Rank()] {
		err = errors.New("the norm has another number of tiles than the segments")
	}
	if err != nil {
		return 0, "", err
	}
	first := uint64(none)
	for i := range z.tensors {
		if z.tensors[i].name == name {
			first = uint64(i)
		}
	}
	z.words = append(z.words[:0], first)
	for _, s := range tiles {
		z.words = append(z.words, math.Float64bits(s))
	}
	all, err := z.gather(z.words, z.counts(func(r int) int { return 1 + z.tiles[r] }))
	if err != nil {
		return 0, "", err
	}
	found, at := uint64(none), make([]int, len(z.tiles))
	for r, next := 0, 0; r < len(at); r++ {
		found = min(found, all[next])
		at[r] = next + 1
		next += 1 + z.tiles[r]
	}
	for _, list := range z.buckets {
		for _, s := range list {
			for range z.tilesOf(s) {
				squares += math.Float64frombits(all[at[s.owner]])
				at[s.owner]++
			}
		}
	}
	if found != none {
		nonFinite = z.tensors[found].name
	}
	return squares, nonFinite, nil
}

// share sends the parameters of a bucket from their owners to all, those that were stepped or all.
func (z *Optimizer) share(bucket int, all bool) {
	me := z.comm.Rank()
	for _, s := range z.buckets[bucket] {
		t := &z.tensors[s.tensor]
		if !t.hasGrad && !all {
			continue
		}
		value := t.values(s.from, s.to)
		if s.owner != me {
			z.receive(s.owner, value)
			continue
		}
		for r := range z.comm.Size() {
			if r != me {
				z.send(r, value)
			}
		}
	}
}

// clearOthers zeroes the gradients that the own optimizer has not: those of 16 bits, too.
func (z *Optimizer) clearOthers() {
	me := z.comm.Rank()
	for _, list := range z.buckets {
		for _, s := range list {
			t := &z.tensors[s.tensor]
			t.clearHalf(s)
			if s.owner != me && t.hasGrad {
				clear(t.grad[s.from:s.to])
			}
		}
	}
}

// send posts b in messages that an engine can count, and returns their number.
func (z *Optimizer) send(to int, b []byte) (posts int) {
	for part := range slices.Chunk(b, z.message) {
		z.comm.Send(to, part)
		posts++
	}
	return posts
}

func (z *Optimizer) receive(from int, b []byte) (posts int) {
	for part := range slices.Chunk(b, z.message) {
		z.comm.Receive(from, part)
		posts++
	}
	return posts
}
