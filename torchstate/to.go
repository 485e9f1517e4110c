package torchstate

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"

	"github.com/fusedadam/adam"
	"github.com/fusedadam/adam/internal/checkpoint"
	"github.com/fusedadam/adam/internal/safetensors"
)

// ToTorch reads a checkpoint and writes it as a file of torch's state.
//
// Torch's numbers of the parameters are their places in the order of the groups, and param_names
// are their names, unless these are the numbers. Shapes and foreign options are those that
// [FromTorch] has left in Metadata, where names and sizes are still the same; other tensors have
// one dimension.
//
// Moments and parameters of bfloat16 are so in torch's file. Its load_state_dict gives the moments
// the type of their parameter, and it goes on with nearest rounding. Moments of 8 bits are an
// error.
//
// Torch has no place for Optimizer.T, GradScale, the moving averages, the rest of split masters and
// the keys of the rounding, and none for Config.EpsUncorrected, which is an error.
//
// A checkpoint that has both groups with decoupled weight decay and groups with another one is for
// two optimizers, or for torch.optim.Adam from 2.7 on, which has it as an option of the group; the
// metadata optimizer is "Adam and AdamW" then.
//
// Everything is checked, the checksum included, before anything is written. An error wraps
// adam.ErrCheckpoint if the checkpoint is bad, [ErrState] if torch cannot hold it, or is the
// writer's.
func ToTorch(w io.Writer, r io.ReaderAt) (Report, error) {
	f, words, err := readCheckpoint(r)
	if err != nil {
		return Report{}, fmt.Errorf("%w: %w", adam.ErrCheckpoint, err)
	}
	var report Report
	metadata, data, err := f.torch(words, &report)
	var head []byte
	if err == nil {
		head, err = checkpoint.EncodeHead(metadata, data)
	}
	if err != nil {
		return Report{}, fmt.Errorf("%w: %w", ErrState, err)
	}
	if err := checkpoint.WriteData(w, head, data, func([]byte) {}); err != nil {
		return Report{}, fmt.Errorf("adam: writing a state of torch: %w", err)
	}
	return report, nil
}

// readCheckpoint reads a checkpoint. It returns the Metadata, too.
func readCheckpoint(r io.ReaderAt) (*file, map[string]string, error) {
	c, head, err := checkpoint.Verify(r, checkpoint.Limits{Tensors: -1, Config: validate})
	if err != nil {
		return nil, nil, err
	}
	f := &file{r: r, head: head, ours: true}
	for _, g := range c.Groups {
		f.groups = append(f.groups, group{config: g.Config, ids: g.Params, names: g.Params})
	}
	if err := f.enter(); err != nil {
		return nil, nil, err
	}
	for _, g := range f.groups {
		for _, id := range g.ids {
			key := checkpoint.M.Key(id)
			switch e := f.entries[id]; {
			case !e.stepped():
				return nil, nil, fmt.Errorf("%q is missing", key)
			case len(e.shape) != 1:
				return nil, nil, fmt.Errorf("%q has shape %v, want one dimension", key, e.shape)
			}
		}
	}
	return f, c.Metadata, nil
}

// torch returns what a file of torch's state holds.
func (f *file) torch(words map[string]string, report *Report) ([]safetensors.Meta,
	[]checkpoint.Data, error) {
	var shapes map[string][]int64
	var options map[string]map[string]json.RawMessage
	err := errors.Join(take(words, keyShapes, &shapes), take(words, keyOptions, &options))
	if err != nil {
		return nil, nil, err
	}
	var data []checkpoint.Data
	saved := []map[string]any{} // not null
	for i := range f.groups {
		g := &f.groups[i]
		if g.config.EpsUncorrected {
			return nil, nil, fmt.Errorf("group %d has EpsUncorrected, and torch always corrects "+
				"its eps", i)
		}
		if len(g.names) > 0 {
			g.options = options[g.names[0]]
		}
		saved = append(saved, g.json(len(report.Names)))
		for _, name := range g.names {
			e := f.entries[name]
			if shape, ok := shapes[name]; ok && elements(shape) == e.shape[0] {
				e.shape = shape
			}
			if data, err = f.appendPieces(data, e, strconv.Itoa(len(report.Names)),
				report); err != nil {
				return nil, nil, err
			}
			report.Names = append(report.Names, name)
		}
	}
	checkpoint.Sort(data)
	text, err := json.Marshal(saved)
	if err != nil {
		return nil, nil, err
	}
	metadata := []safetensors.Meta{
		{Key: keyClass, Value: class(f.groups)},
		{Key: keyGroups, Value: string(text)},
	}
	for _, key := range slices.Sorted(maps.Keys(words)) {
		switch key {
		case keyShapes, keyOptions:
		case keyClass, keyGroups:
			return nil, nil, fmt.Errorf("there is metadata %q, which torch's file needs itself",
				key)
		default:
			metadata = append(metadata, safetensors.Meta{Key: key, Value: words[key]})
		}
	}
	return metadata, data, nil
}

// appendPieces appends what torch has of a parameter, under its number.
func (f *file) appendPieces(
	data []checkpoint.Data, e *entry, number string, report *Report,
) ([]checkpoint.Data, error) {
	steps := float32(e.count)
	if uint64(steps) != e.count {
		return nil, fmt.Errorf("%s has made %d steps, which torch's F32 cannot hold",
			safetensors.Quote(e.id), e.count)
	}
	for p, t := range e.pieces {
		p := checkpoint.Piece(p)
		d := checkpoint.Data{Tensor: safetensors.Tensor{Name: p.Key(number),
			DType: checkpoint.Float32s}}
		switch {
		case t == nil, p == checkpoint.Key:
			continue
		case t.DType == checkpoint.Int8s:
			return nil, fmt.Errorf("%s is of 8 bits, which torch's Adam does not have: make it "+
				"BF16 or F32 with adam convert -moments", safetensors.Quote(t.Name))
		case p == checkpoint.MScale, p == checkpoint.VScale: // of 8 bits
			continue
		case p == checkpoint.EMA, p == checkpoint.Rest:
			report.Left = append(report.Left, t.Name)
			continue
		case p == checkpoint.Step:
			d.Floats = checkpoint.Memory([]float32{steps})
		default:
			d.DType, d.Shape, d.Source = t.DType, e.shape, f.head.Source(f.r, t)
		}
		data = append(data, d)
	}
	return data, nil
}

// take reads a map from metadata.
func take[V any](metadata map[string]string, key string, value *map[string]V) error {
	text, ok := metadata[key]
	if !ok {
		return nil
	}
	if err := json.Unmarshal([]byte(text), value); err != nil {
		return fmt.Errorf("metadata %q: %w", key, err)
	}
	return nil
}

// class returns the optimizer of torch that has the arithmetic of groups.
func class(groups []group) string {
	var coupled, decoupled bool
	for i := range groups {
		if c := &groups[i].config; c.WeightDecay != 0 {
			coupled, decoupled = coupled || !c.Decoupled, decoupled || c.Decoupled
		}
	}
	switch {
	case coupled && decoupled:
		return classBoth
	case decoupled, !coupled && len(groups) > 0 && groups[0].config.Decoupled:
		return classAdamW
	}
	return classAdam
}
