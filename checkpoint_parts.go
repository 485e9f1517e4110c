package adam

import (
	"fmt"
	"io"
	"sort"

	"github.com/fusedadam/adam/internal/checkpoint"
)

// A Piece is a run of bytes that [Optimizer.SaveParts] has written.
type Piece struct {
	At, Len int64  // where it is in the file, and how long
	Sum     uint32 // its CRC-32 (IEEE)
}

// SaveParts writes what this optimizer has of a checkpoint that several write together, each its
// parts. w is a new file that all of them write, or hands on what it is given to one that does.
//
// SaveParts writes moments, averages and parameters at their places in w, in ascending order. It
// reads them once, and so cannot notice, as Save does, if they change meanwhile. head is what
// stands before them, still without the checksum. [FinishParts] writes it, and needs the pieces of
// all.
//
// Each of the optimizers has all tensors, be it by empty parts, in the same groups and order, with
// the same counts, Configs, T, GradScale, Metadata and SaveParams; then each of them gets the same
// head. The average of a tensor has begun for all of its parts or none, and so with VMax: an empty
// part has them if they are empty and not nil. A tensor that each of them has as a whole is written
// by each.
//
// The file is the one that [Optimizer.Save] of the whole tensors writes, where a group has those of
// Parts behind its Params, and those of Parts64 behind its Params64.
//
// An error is as those of Save. It wraps [ErrParams] also where the parts of a tensor differ in T,
// or in whether they have averages or VMax.
func (o *Optimizer) SaveParts(w io.WriterAt) (head []byte, pieces []Piece, err error) {
	if err := o.enter(); err != nil {
		return nil, nil, err
	}
	defer o.leave()
	head, data, err := o.encode()
	if err != nil {
		return nil, nil, err
	}
	head = checkpoint.AppendCounts(head, data)
	var own []checkpoint.Data
	for i := range data {
		what, name, _ := checkpoint.ParseKey(data[i].Name)
		if data[i].DType == checkpoint.Int64s {
			continue
		}
		for _, j := range o.named(name) {
			t := o.tensors[j]
			d := t.data(what)
			d.From = data[i].From + t.before(what, d.DType)
			own = append(own, d)
		}
	}
	runs, err := checkpoint.WriteParts(w, head, own)
	if err != nil {
		return nil, nil, fmt.Errorf("adam: writing a checkpoint: %w", err)
	}
	for _, r := range runs {
		pieces = append(pieces, Piece(r))
	}
	return head, pieces, nil
}

// FinishParts completes the checkpoint that [Optimizer.SaveParts] of several optimizers have
// written to w. It writes head, which all of them were given, with the checksum in it. The pieces
// are those of all, in any order.
//
// An error is the writer's (wrapped), or wraps [ErrCheckpoint] and says where, if the pieces leave
// a gap or overlap. Equal ones do not: they are a tensor that several have as a whole. If only
// their checksums differ, that is an error, too. After an error about pieces nothing has been
// written.
func FinishParts(w io.WriterAt, head []byte, pieces []Piece) error {
	runs := make([]checkpoint.Run, len(pieces))
	for i, p := range pieces {
		runs[i] = checkpoint.Run(p)
	}
	head, err := checkpoint.Finish(head, runs)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrCheckpoint, err)
	}
	n, err := w.WriteAt(head, 0)
	if err == nil && n < len(head) {
		err = io.ErrShortWrite
	}
	if err != nil {
		return fmt.Errorf("adam: writing a checkpoint: %w", err)
	}
	return nil
}

// LoadParts is [Optimizer.Load] under the name that goes with SaveParts. It reads the whole of a
// checkpoint, be it from Save or SaveParts, whose tensors may have been cut otherwise or not at
// all, keeps the elements that the parts hold, and verifies the checksum of everything. The tensors
// have the size that the parts have as Of. It is all or nothing for this optimizer; of several that
// share the tensors, others may have loaded where one has an error. The end of r is the last thing
// that can fail, so that a reader which ends only where all of them have come so far, and fails
// otherwise, makes it all or nothing for all.
func (o *Optimizer) LoadParts(r io.Reader) error { return o.Load(r) }

// named returns the indices of the tensor of a name, or of its parts in their order.
func (o *Optimizer) named(name string) []int {
	i := sort.Search(len(o.order), func(i int) bool { return o.tensors[o.order[i]].name >= name })
	j := i
	for j < len(o.order) && o.tensors[o.order[j]].name == name {
		j++
	}
	return o.order[i:j]
}

// before returns the bytes that what a piece has before a part takes in a file. Parts begin at
// multiples of 8192, and so with a scale of their own.
func (t tensor) before(p checkpoint.Piece, dtype string) int64 {
	return int64(p.Len(t.from)) * int64(checkpoint.SizeOf(dtype))
}
