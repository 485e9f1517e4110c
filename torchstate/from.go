package torchstate

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/fusedadam/adam/internal/checkpoint"
	"github.com/fusedadam/adam/internal/safetensors"
)

// FromTorch reads a file of torch's state and writes it as a checkpoint.
//
// The parameters get the names given, in the order of the groups. With nil they get those that
// torch has (param_names, from torch 2.6 on), or else torch's numbers of them. T is the largest
// number of steps. Shapes, and options that package adam does not have, become Metadata, from which
// [ToTorch] takes them; other metadata of the file become Metadata as well.
//
// Torch has no state for a parameter before its first step. With param.ID in the file the
// checkpoint has moments of zero for it. Without, it leaves the parameter out: load it with
// LoadOptions.Partial.
//
// Everything is checked before anything is written. An error wraps [ErrState], as well as
// adam.ErrConfig if it is about a group's options, or it is the writer's. Errors are also what
// would change the arithmetic: optimizers other than Adam and AdamW, moments that are not of dtype
// F32, and the option bias_correction if it is false. Options that nobody knows are taken: look at
// Report.Options.
func FromTorch(w io.Writer, r io.ReaderAt, names []string) (Report, error) {
	f, err := readTorch(r, names)
	if err != nil {
		return Report{}, fmt.Errorf("%w: %w", ErrState, err)
	}
	var report Report
	info, data, err := f.checkpoint(&report)
	var head []byte
	if err == nil {
		head, err = checkpoint.Encode(info, data)
	}
	if err != nil {
		return Report{}, fmt.Errorf("%w: %w", ErrState, err)
	}
	to := &sink{Writer: w}
	err = checkpoint.Write(to, head, data)
	switch {
	case errors.Is(err, checkpoint.ErrChanged):
		return Report{}, fmt.Errorf("%w: the file was changed while it was read", ErrState)
	case to.err != nil:
		return Report{}, fmt.Errorf("adam: writing a checkpoint: %w", to.err)
	case err != nil:
		return Report{}, fmt.Errorf("%w: %w", ErrState, err)
	}
	return report, nil
}

func readTorch(r io.ReaderAt, names []string) (*file, error) {
	head, err := checkpoint.ReadHead(r)
	if err != nil {
		return nil, err
	}
	text, ok := head.Metadata[keyGroups]
	switch {
	case head.Metadata[checkpoint.KeyFormat] != "":
		return nil, errors.New("it is a checkpoint of package adam already")
	case !ok:
		return nil,
			fmt.Errorf(
				"metadata %q is missing: save json.dumps(optimizer.state_dict()[%q]) as that",
				keyGroups, keyGroups)
	}
	class := head.Metadata[keyClass]
	if !slices.Contains([]string{"", classAdam, classAdamW, classBoth}, class) {
		return nil, fmt.Errorf("metadata %q is %s, want %q or %q: others have another arithmetic",
			keyClass, safetensors.Quote(class), classAdam, classAdamW)
	}
	f := &file{r: r, head: head}
	if f.groups, err = readGroups(text, class); err == nil {
		err = name(f.groups, names)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", keyGroups, err)
	}
	return f, f.enter()
}

// checkpoint returns what the checkpoint holds.
func (f *file) checkpoint(report *Report) (*checkpoint.Info, []checkpoint.Data, error) {
	info := &checkpoint.Info{GradScale: 1, Metadata: maps.Clone(f.head.Metadata)}
	delete(info.Metadata, keyGroups)
	delete(info.Metadata, keyClass)
	shapes, options := map[string][]int64{}, map[string]map[string]json.RawMessage{}
	var data []checkpoint.Data
	for i := range f.groups {
		g := &f.groups[i]
		group := checkpoint.Group{Config: g.config}
		for j, id := range g.ids {
			e, name := f.entries[id], g.names[j]
			if e.pieces[checkpoint.EMA] != nil {
				return nil, nil, fmt.Errorf("%q: torch's Adam has no such state",
					checkpoint.EMA.Key(id))
			}
			if !e.stepped() && e.pieces[checkpoint.Value] == nil {
				report.Left = append(report.Left, name)
				continue
			}
			group.Params = append(group.Params, name)
			data = f.appendData(data, e, name, g.config.AMSGrad)
			info.T = max(info.T, e.count)
			if len(e.shape) != 1 {
				shapes[name] = append([]int64{}, e.shape...) // not null
			}
		}
		if len(group.Params) > 0 && len(g.options) > 0 {
			options[group.Params[0]] = g.options
		}
		report.Names = append(report.Names, group.Params...)
		info.Groups = append(info.Groups, group)
	}
	report.Options = foreign(f.groups)
	checkpoint.Sort(data)
	err := errors.Join(put(info.Metadata, keyShapes, shapes),
		put(info.Metadata, keyOptions, options))
	return info, data, err
}

// put adds a map to metadata.
func put[V any](metadata map[string]string, key string, value map[string]V) error {
	delete(metadata, key)
	if len(value) == 0 {
		return nil
	}
	text, err := json.Marshal(value)
	metadata[key] = string(text)
	return err
}

// appendData appends what the checkpoint has of a parameter.
func (f *file) appendData(data []checkpoint.Data, e *entry, name string,
	amsgrad bool) []checkpoint.Data {
	data = append(data, checkpoint.CountOf(checkpoint.Step.Key(name), e.count))
	shape := []int64{elements(e.shape)}
	for _, p := range []checkpoint.Piece{checkpoint.M, checkpoint.V, checkpoint.VMax,
		checkpoint.Value} {
		d := checkpoint.Data{Tensor: safetensors.Tensor{
			Name: p.Key(name), DType: e.dtype, Shape: shape,
		}}
		t := e.pieces[p]
		switch {
		case t == nil && (p == checkpoint.Value || p == checkpoint.VMax && !amsgrad):
			continue
		case t == nil:
			d.Source = &checkpoint.Source{File: zeros{}}
		case p == checkpoint.V, p == checkpoint.VMax:
			d.Source = f.head.Source(second{f.r, t}, t)
		default:
			d.Source = f.head.Source(f.r, t)
		}
		data = append(data, d)
	}
	return data
}
