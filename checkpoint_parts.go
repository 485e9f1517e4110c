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

// SaveParts writes what this optimizer has of a checkpoint that several write together, each the
// parts that it holds. All of them must know all tensors, by empty parts if need be, with the same
// counts, Configs, T, GradScale, Metadata and SaveParams: then each of them gets the same head. w
// is a file that all write, or hands on what it is given to one that writes it.
//
// SaveParts writes the moments, averages and parameters at their places in w, in ascending order,
// and reads them once. head is what stands before them, up to the checksum. [FinishParts] writes
// it, and needs the pieces of all. Of tensors that are no parts but whole in several optimizers
// each writes the same bytes.
//
// The file is the one that [Optimizer.Save] of all whole tensors writes, if in each group those of
// Parts stand behind Params, and those of Parts64 behind Params64.
//
// An error is as those of Save; [ErrParams] is also wrapped where parts of one tensor differ in
// what they have: counts, averages that have begun, maxima of AMSGrad.
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
		if what == checkpoint.Step {
			continue
		}
		for _, j := range o.named(name) {
			t := o.tensors[j]
			d := t.data(what)
			d.From = data[i].From + t.before()
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
// written to w: it puts the checksum into head, which is the same from all of them, and writes it.
// The pieces are those of all, in any order.
//
// An error is the writer's (wrapped), or wraps [ErrCheckpoint] and says where, if the pieces do not
// fill the file, or overlap. The same piece may come from several; if their checksums differ, that
// is an error, too. After such an error nothing has been written.
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

// LoadParts is [Optimizer.Load] of an optimizer that may have parts of tensors. It reads the whole
// checkpoint, written by Save or in parts, of which the tensors were cut elsewhere or not at all,
// keeps what the parts hold, and verifies the checksum of all. It is all or nothing for this
// optimizer.
func (o *Optimizer) LoadParts(r io.Reader) error {
	return o.Load(r)
}

// named returns the indices of the tensor of a name, or of its parts in their order.
func (o *Optimizer) named(name string) []int {
	i := sort.Search(len(o.order), func(i int) bool { return o.tensors[o.order[i]].name >= name })
	j := i
	for j < len(o.order) && o.tensors[o.order[j]].name == name {
		j++
	}
	return o.order[i:j]
}

// before returns the bytes that the elements before those of a part take in a file.
func (t tensor) before() int64 { return int64(t.from) * int64(4*t.words()) }
