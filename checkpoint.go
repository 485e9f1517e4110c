package adam

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/fusedadam/adam/internal/checkpoint"
	"github.com/fusedadam/adam/internal/safetensors"
)

// ErrCheckpoint is wrapped by the errors of [Optimizer.Load] and its relatives, beside the cause
// where that is an error of the reader, and by the error of [Optimizer.Save] for a state that a
// checkpoint cannot hold.
var ErrCheckpoint = errors.New("adam: bad checkpoint")

// Save writes a checkpoint: the moments and step counts of all tensors, T, GradScale, Metadata and
// the Configs of Groups, the averages that have begun, and with Options.SaveParams the parameters.
// It is a safetensors file with a checksum, see docs/CHECKPOINTS.md; the same optimizer gives the
// same bytes on every machine. The checksum stands before the data, so Save reads the state twice;
// it does not copy it.
//
// Options and gradients are not in it. Save may be called after Close, but not during a Step. An
// optimizer with parts of tensors has [Optimizer.SaveParts] instead.
//
// An error is the writer's (wrapped), or wraps [ErrConfig], [ErrParams] or [ErrLength] where a step
// would give the same. It wraps [ErrCheckpoint] if a tensor's T is larger than [math.MaxInt64], if
// Metadata has a key that begins with "adam.", text that is no UTF-8, more than 1024 keys or more
// than about 1 MiB, or if the memory of the optimizer has changed meanwhile.
func (o *Optimizer) Save(w io.Writer) error {
	if err := o.enter(); err != nil {
		return err
	}
	defer o.leave()
	return o.save(w)
}

func (o *Optimizer) save(w io.Writer) error {
	for _, t := range o.tensors {
		if t.part {
			return fmt.Errorf("%w: %q is in parts: use SaveParts", ErrParams, t.name)
		}
	}
	head, data, err := o.encode()
	if err != nil {
		return err
	}
	switch err := checkpoint.Write(w, head, data); {
	case errors.Is(err, checkpoint.ErrChanged):
		return fmt.Errorf("%w: %w", ErrCheckpoint, err)
	case err != nil:
		return fmt.Errorf("adam: writing a checkpoint: %w", err)
	}
	return nil
}

// encode returns what Save writes: the header, and what it describes. Of a tensor in parts the
// data are described as a whole, and not there.
func (o *Optimizer) encode() (head []byte, data []checkpoint.Data, err error) {
	info := checkpoint.Info{T: o.T, GradScale: o.GradScale, Metadata: o.Metadata}
	if data, err = o.data(&info); err != nil {
		return nil, nil, err
	}
	head, err = checkpoint.Encode(&info, data)
	if err == nil && uint64(len(head)-safetensors.Prefix) > o.headerLimit() {
		err = errors.New("the metadata are too large: at most 1 MiB, as JSON")
	}
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrCheckpoint, err)
	}
	return head, data, nil
}

// data returns what Save writes, and adds the groups to info.
func (o *Optimizer) data(info *checkpoint.Info) ([]checkpoint.Data, error) {
	if err := o.checkConfigs(); err != nil {
		return nil, err
	}
	for i := range o.Groups {
		info.Groups = append(info.Groups, checkpoint.Group{Config: o.Groups[i].Config.saved()})
	}
	var list []checkpoint.Data
	var inFile []tensor
	err := o.eachTensor(func(t tensor) error {
		// A maximum from when the group had AMSGrad is kept: it may have it again.
		amsgrad := o.Groups[t.group].Config.AMSGrad || t.hasMaximum()
		if !t.hasMoments(amsgrad) {
			return t.lengthError(amsgrad)
		}
		steps := *t.count()
		if steps > math.MaxInt64 {
			return fmt.Errorf("%w: %q: T = %d, a checkpoint holds at most %d",
				ErrCheckpoint, t.name, steps, int64(math.MaxInt64))
		}
		if t.follows {
			first := o.tensors[o.named(t.name)[0]]
			fault := first.unlike(t)
			if first.hasMaximum() != t.hasMaximum() {
				fault = "one has VMax and one has not: give it to all or to none (empty is not nil)"
			}
			if fault != "" {
				return first.apart(t, fault)
			}
			return nil
		}
		inFile = append(inFile, t)
		list = append(list, checkpoint.CountOf(checkpoint.Step.Key(t.name), steps))
		if key := t.key(); key != nil {
			list = append(list, checkpoint.CountOf(checkpoint.Key.Key(t.name), *key))
		}
		left := [checkpoint.Pieces]bool{checkpoint.VMax: !amsgrad, checkpoint.EMA: !t.begun,
			checkpoint.Value: !o.Options.SaveParams}
		for i, left := range left {
			p := checkpoint.Piece(i)
			if d := t.data(p); !left && d.DType != "" {
				d.Shape[0] = int64(p.Len(t.of))
				list = append(list, d)
			}
		}
		return nil
	})
	checkpoint.Sort(list)
	// Names stand in the order in which an optimizer of whole tensors has them.
	places := [...]int{params: 0, parts: 0, params64: 1, parts64: 1, params16: 2, parts16: 2,
		tables: 3}
	slices.SortStableFunc(inFile, func(a, b tensor) int {
		return cmp.Compare(places[a.list], places[b.list])
	})
	for _, t := range inFile {
		info.Groups[t.group].Params = append(info.Groups[t.group].Params, t.name)
	}
	return list, err
}

// hasMaximum reports whether t has a maximum of AMSGrad, be it that of no elements.
func (t tensor) hasMaximum() bool {
	m := t.memory(checkpoint.VMax)
	return len(m) > 0 || m != nil && t.n == 0
}

// pieces returns how many of a tensor a checkpoint has at most.
func (t tensor) pieces() int {
	if t.key() == nil && t.dtype(checkpoint.Rest) == "" {
		return 6
	}
	return checkpoint.Pieces
}

// headerLimit is larger than the header of any checkpoint of o, written in the longest possible way
// and with a MiB of metadata.
func (o *Optimizer) headerLimit() uint64 {
	limit := uint64(1 << 20)
	for i := range o.tensors {
		if t := o.tensors[i]; !t.follows {
			pieces := t.pieces()
			limit += 8 * uint64((pieces+1)*len(t.name)+100*pieces)
		}
	}
	return limit + 8*300*uint64(len(o.Groups))
}

func (c *Config) saved() checkpoint.Config {
	return checkpoint.Config{
		LR: c.LR, Betas: [2]float64{c.Beta1, c.Beta2}, Eps: c.Eps, WeightDecay: c.WeightDecay,
		Decoupled: c.Decoupled, AMSGrad: c.AMSGrad, Maximize: c.Maximize,
		EpsUncorrected: c.EpsUncorrected,
	}
}

func configOf(c checkpoint.Config) Config {
	return Config{
		LR: c.LR, Beta1: c.Betas[0], Beta2: c.Betas[1], Eps: c.Eps, WeightDecay: c.WeightDecay,
		Decoupled: c.Decoupled, AMSGrad: c.AMSGrad, Maximize: c.Maximize,
		EpsUncorrected: c.EpsUncorrected,
	}
}
