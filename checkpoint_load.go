package adam

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/fusedadam/adam/internal/checkpoint"
	"github.com/fusedadam/adam/internal/safetensors"
)

// Load restores what [Optimizer.Save] has written, whatever the machine, so that training goes on
// to the same bits. The reader must end where the checkpoint does.
//
// Tensors are found by name: order and grouping may be others than when the checkpoint was saved.
// Each group takes the Config that its tensors had then, which must be one; an empty group keeps
// its own. To go on with other Configs, write them after Load, or use [Optimizer.LoadWith].
// GradScale, T and Metadata are restored as well; Options are this optimizer's. A part takes its
// elements of the tensor, see [Optimizer.LoadParts]. Storage must be that of the file; the command
// "adam convert" makes a file of another one.
//
// Averages need EMADecay. Where the checkpoint has none although EMADecay is set, they begin anew
// with the next step. Parameters are restored with Options.SaveParams only, and must be there then.
//
// Load is all or nothing. It reads everything into new memory and checks it before it changes
// anything; meanwhile there are two states in memory. Then M, V and VMax of the States, which stay
// where they are, are new slices, and so is EMA. Parameters, and the memory of Param.State and
// Param.EMA, are written; only a VMax of another length there is a new slice.
//
// An error wraps [ErrParams] or [ErrLength] if Groups are not as given to New, and otherwise
// [ErrCheckpoint], as well as [ErrConfig] for a bad Config in the file and the error of the reader
// if there was one. It names what was expected and what was there, and nothing has changed.
func (o *Optimizer) Load(r io.Reader) error {
	if err := o.enter(); err != nil {
		return err
	}
	defer o.leave()
	return o.load(r)
}

// LoadOptions say how [Optimizer.LoadWith] differs from [Optimizer.Load]. The zero value asks for
// the same tensors as Load.
type LoadOptions struct {
	// Name returns the optimizer's name of a tensor of the file, "" to leave it out. With nil the
	// names are the same. Two of the file must not get the same name.
	Name func(saved string) string
	// Partial restores what file and optimizer have in common. Tensors that the file does not have
	// stay as they are, and those that the optimizer does not have are left out. Of a tensor that
	// is restored, the average or the maximum of AMSGrad begins anew if the file lacks it, and
	// Value and the Key of a State16 stay. A tensor of another size is an error all the same,
	// unless Name leaves it out.
	Partial bool
	// KeepConfigs leaves the Configs of Groups as they are.
	KeepConfigs bool
}

// Loaded is what [Optimizer.LoadWith] did with a file. Names are those of the optimizer, in the
// order of Groups, and in Left those of the file, in its order.
type Loaded struct {
	Restored []string // tensors that have their state from the file
	New      []string // tensors that the file does not have: as they were before
	Left     []string // tensors of the file that were left out

	// Of the restored tensors, those whose average, maximum of AMSGrad or parameters the file does
	// not have, although they are asked for. Average and maximum begin anew, the parameters stay.
	NewAverages, NewMaxima, KeptValues []string

	SkippedAverages bool // the file has averages, and EMADecay is not set
	SkippedParams   bool // the file has parameters, and SaveParams is not set
	// KeptConfigs are the indices of the groups that kept a Config that the file has otherwise.
	KeptConfigs []int
}

// LoadWith is [Optimizer.Load] of a file of other tensors than the optimizer's, under other names,
// or with other Configs. Averages and parameters that the Options do not ask for are skipped. T,
// GradScale and Metadata are restored. It says what it did, and it is all or nothing, too.
func (o *Optimizer) LoadWith(r io.Reader, options LoadOptions) (Loaded, error) {
	if err := o.enter(); err != nil {
		return Loaded{}, err
	}
	defer o.leave()
	return o.loadWith(r, options)
}

func (o *Optimizer) load(r io.Reader) error {
	_, err := o.loadInto(&loader{o: o, strict: true}, r)
	return err
}

func (o *Optimizer) loadWith(r io.Reader, options LoadOptions) (Loaded, error) {
	return o.loadInto(&loader{o: o, options: options}, r)
}

func (o *Optimizer) loadInto(l *loader, r io.Reader) (Loaded, error) {
	err := o.eachTensor(func(t tensor) error {
		if !t.hasMoments(false) { // they may be written
			return t.lengthError(false)
		}
		return nil
	})
	if err != nil {
		return Loaded{}, err
	}
	if err := l.load(r); err != nil {
		return Loaded{}, fmt.Errorf("%w: %w", ErrCheckpoint, err)
	}
	l.commit()
	return l.did, nil
}

// A loader holds a checkpoint until it is complete and proven.
type loader struct {
	o       *Optimizer
	options LoadOptions
	strict  bool // it is Load that asks

	r       *checkpoint.Reader
	indices map[string]int // of tensors, by name in the file; -1: left out. Not if strict
	saved   []incoming     // in the order of o.tensors
	configs []Config       // of o.Groups
	did     Loaded
}

// incoming is what the file has for a tensor.
type incoming struct {
	kind                       // of the optimizer's tensor
	name    string             // in the file
	claimed bool               // a tensor of the file has been found for it. Not if strict
	config  *checkpoint.Config // nil: the file does not have the tensor
	has     [checkpoint.Pieces]bool
	begun   bool // there is an average
}

// badConfig is an ErrConfig that does not say so, for the text of another error.
type badConfig string

func (c badConfig) Error() string      { return string(c) }
func (badConfig) Is(target error) bool { return target == ErrConfig }

func (l *loader) load(r io.Reader) error {
	o := l.o
	l.saved = make([]incoming, len(o.tensors))
	limits := checkpoint.Limits{
		Tensors: -1,
		Name:    l.place,
		Config: func(c checkpoint.Config) error {
			if config := configOf(c); !config.valid() {
				return badConfig(config.fault())
			}
			return nil
		},
	}
	if l.strict {
		limits.Header, limits.Tensors = o.headerLimit(), checkpoint.Pieces*len(o.tensors)
	} else {
		l.indices = map[string]int{}
	}
	var err error
	l.r, err = checkpoint.NewReader(r, limits)
	if l.strict && errors.Is(err, safetensors.ErrMore) {
		err = fmt.Errorf("%w, which is what this optimizer can have: to load a part of the file, "+
			"use LoadWith with LoadOptions.Partial", err)
	}
	if err != nil {
		return err
	}
	if !isScale(l.r.GradScale) {
		return fmt.Errorf("%s: %s", checkpoint.KeyScale, scaleFault(l.r.GradScale))
	}
	l.groups()
	if err := l.pieces(); err != nil {
		return err
	}
	if err := l.match(); err != nil {
		return err
	}
	for _, t := range l.r.Tensors {
		if err := l.data(t); err != nil {
			return fmt.Errorf("%s: %w", safetensors.Quote(t.Name), err)
		}
	}
	if err := l.blocks(); err != nil {
		return err
	}
	return l.r.Close()
}

// blocks checks the moments of 8 bits.
func (l *loader) blocks() error {
	for i := range l.saved {
		s := &l.saved[i]
		if s.config == nil {
			continue
		}
		for _, p := range []checkpoint.Piece{checkpoint.M, checkpoint.V} {
			if l.o.tensors[i].dtype(p) != checkpoint.Int8s {
				continue
			}
			scale := checkpoint.MScale + p - checkpoint.M
			err := checkpoint.CheckBlocks(p, s.memory(p), s.memory(scale))
			if err != nil {
				return fmt.Errorf("%s: %w", safetensors.Quote(p.Key(s.name)), err)
			}
		}
	}
	return nil
}

// place finds the tensor for a name in a group of the file.
func (l *loader) place(group int, name string) error {
	i, err := l.find(name)
	if err != nil {
		return fmt.Errorf("group %d holds %w", group, err)
	}
	if i < 0 {
		l.did.Left = append(l.did.Left, strings.Clone(name)) // which lies in the header
	}
	return nil
}

// find returns the index of the optimizer's tensor for a name in the file, -1 if it is left out.
func (l *loader) find(name string) (int, error) {
	if i, ok := l.indices[name]; ok {
		return i, nil
	}
	to := name
	if l.options.Name != nil {
		if to = l.options.Name(name); to == "" {
			l.indices[name] = -1
			return -1, nil
		}
	}
	i, ok := l.first(to)
	switch {
	case ok && l.strict:
		l.saved[i].name = name
		return i, nil
	case ok && l.saved[i].claimed:
		return 0, fmt.Errorf("%s and %s, and LoadOptions.Name gives both the name %q",
			safetensors.Quote(l.saved[i].name), safetensors.Quote(name), to)
	case ok:
		l.saved[i].name, l.saved[i].claimed = name, true
	case l.options.Partial:
		i = -1
	default:
		called := ""
		if to != name {
			called = fmt.Sprintf(" (%s)", safetensors.Quote(to))
		}
		return 0, fmt.Errorf("%s%s, which this optimizer does not have: to leave it out or to "+
			"give it another name, use LoadWith with LoadOptions.Partial or Name",
			safetensors.Quote(name), called)
	}
	l.indices[name] = i
	return i, nil
}

// first returns the index of the optimizer's tensor of a name, the first part if it has several:
// there saved has what match gives to all of them.
func (l *loader) first(name string) (int, bool) {
	if list := l.o.named(name); len(list) > 0 {
		return list[0], true
	}
	return -1, false
}

// groups notes the Config that each tensor had.
func (l *loader) groups() {
	for i := range l.r.Groups {
		g := &l.r.Groups[i]
		for _, name := range g.Params {
			if j, _ := l.find(name); j >= 0 {
				l.saved[j].config = &g.Config
			}
		}
	}
}

// pieces notes what the file has of each tensor, and checks that it has the right size.
func (l *loader) pieces() error {
	extra := "" // which the tensor has in another storage only
	for _, t := range l.r.Tensors {
		what, name, ok := checkpoint.ParseKey(t.Name)
		if !ok {
			return fmt.Errorf("%s is not known", safetensors.Quote(t.Name))
		}
		i, known := l.indices[name]
		if l.strict {
			i, known = l.first(name)
		}
		if !known || i >= 0 && l.saved[i].config == nil {
			return fmt.Errorf("%s is not known: no group holds it", safetensors.Quote(t.Name))
		}
		if i < 0 {
			continue
		}
		dtype, shape := l.o.tensors[i].dtype(what), []int64(nil)
		if dtype != checkpoint.Int64s {
			shape = []int64{int64(what.Len(l.o.tensors[i].of))}
		}
		if dtype == "" {
			extra = cmp.Or(extra, t.Name)
			continue
		}
		if t.DType != dtype || !slices.Equal(t.Shape, shape) {
			advice := changeStorage
			if t.DType == dtype {
				advice = ": to leave it out, use LoadWith with LoadOptions.Name and Partial"
			}
			return fmt.Errorf("%s has dtype %s and shape %v, want %s and %v%s",
				safetensors.Quote(t.Name), t.DType, t.Shape, dtype, shape, advice)
		}
		l.saved[i].has[what] = true
	}
	if extra != "" {
		return fmt.Errorf("%s is there, and the Storage of the tensor here has no such thing%s",
			safetensors.Quote(extra), changeStorage)
	}
	return nil
}

// dtype returns that of a piece, "" if there is none.
func (t tensor) dtype(p checkpoint.Piece) string {
	if p == checkpoint.Step || p == checkpoint.Key && t.key() != nil {
		return checkpoint.Int64s
	}
	return t.data(p).DType
}

const changeStorage = `: "adam convert" changes how a checkpoint stores moments and parameters`

// match checks that the file has what this optimizer wants, and only then makes room.
func (l *loader) match() error {
	o := l.o
	var found [checkpoint.Pieces]bool // of any tensor
	for i := range l.saved {
		for what, ok := range l.saved[i].has {
			found[what] = found[what] || ok
		}
	}
	if len(o.tensors) > 0 && o.Options.SaveParams && !found[checkpoint.Value] &&
		!l.options.Partial {
		return errors.New("there are no parameters, and SaveParams is set: " +
			"to go on from those that the optimizer has, use LoadWith with LoadOptions.Partial")
	}
	for i, t := range o.tensors {
		if t.follows {
			first, _ := l.first(t.name)
			l.saved[i] = l.saved[first]
		}
	}
	i := 0
	for j := range o.Groups {
		begin := i
		i += o.Groups[j].size()
		config, err := l.config(j, begin, i)
		if err != nil {
			return err
		}
		l.configs = append(l.configs, config)
		for ; begin < i; begin++ {
			s, t := &l.saved[begin], o.tensors[begin]
			if s.config == nil {
				note(&l.did.New, t)
			} else if err := l.complete(s, t, &found, config.AMSGrad); err != nil {
				return err
			}
		}
	}
	return nil
}

// config returns the Config of a group of the optimizer, which holds the tensors begin, …, end-1.
func (l *loader) config(group, begin, end int) (Config, error) {
	config := l.o.Groups[group].Config
	first := -1 // tensor of the group that is restored
	for i := begin; i < end; i++ {
		saved, name := l.saved[i].config, l.o.tensors[i].name
		switch {
		case saved == nil && l.options.Partial:
			continue
		case saved == nil:
			return config, fmt.Errorf("%s: tensor %q is in no group: to leave it as it is, "+
				"use LoadWith with LoadOptions.Partial", checkpoint.KeyGroups, name)
		case l.options.KeepConfigs && configOf(*saved) != config:
			if !slices.Contains(l.did.KeptConfigs, group) {
				l.did.KeptConfigs = append(l.did.KeptConfigs, group)
			}
		case l.options.KeepConfigs:
		case first < 0:
			first = i
		case *saved != *l.saved[first].config:
			return config, fmt.Errorf("%q and %q, here in one group, have different configs: "+
				"%+v and %+v: to keep the group's, use LoadWith with LoadOptions.KeepConfigs",
				l.o.tensors[first].name, name, configOf(*l.saved[first].config), configOf(*saved))
		}
	}
	if first >= 0 {
		config = configOf(*l.saved[first].config)
	}
	return config, nil
}

// complete checks that a tensor has all its pieces, and makes room for them.
func (l *loader) complete(s *incoming, t tensor, found *[checkpoint.Pieces]bool,
	amsgrad bool) error {
	options := &l.o.Options
	if amsgrad && t.dtype(checkpoint.VMax) == "" {
		return fmt.Errorf("%q has a Config with AMSGrad, and moments of 8 bits have no maximum",
			s.name)
	}
	for what, ok := range s.has {
		needed, advice := true, ": to go on without it, use LoadWith with LoadOptions.Partial"
		switch checkpoint.Piece(what) {
		case checkpoint.MScale, checkpoint.VScale, checkpoint.Rest:
			needed, advice = t.dtype(checkpoint.Piece(what)) != "", changeStorage
		case checkpoint.Key: // or that of t stays
			needed = t.key() != nil && !l.options.Partial
		case checkpoint.VMax:
			needed = amsgrad && !l.options.Partial
		case checkpoint.EMA: // In format 1 all tensors have one, or none.
			needed = found[what] && l.r.Format == 1 && !l.options.Partial
		case checkpoint.Value:
			needed = (found[what] || options.SaveParams) && !l.options.Partial
		default:
			advice = ""
		}
		if needed && !ok {
			return fmt.Errorf("%q is missing%s", checkpoint.Piece(what).Key(s.name), advice)
		}
	}
	average := options.EMADecay > 0 || t.memory(checkpoint.EMA) != nil
	if s.has[checkpoint.EMA] && !average {
		if l.strict {
			return errors.New("there is a moving average of the parameters, and EMADecay is not " +
				"set: set it, or use LoadWith, which leaves averages out")
		}
		l.did.SkippedAverages = true
	}
	note(&l.did.Restored, t)
	if average && !s.has[checkpoint.EMA] {
		note(&l.did.NewAverages, t)
	}
	if amsgrad && !s.has[checkpoint.VMax] {
		note(&l.did.NewMaxima, t)
	}
	value := s.has[checkpoint.Value] && options.SaveParams
	switch {
	case value:
	case s.has[checkpoint.Value]:
		l.did.SkippedParams = true
	case options.SaveParams:
		note(&l.did.KeptValues, t)
	}
	s.kind = t.fresh(s.has[checkpoint.VMax] || amsgrad, average, value)
	s.begun = average && s.has[checkpoint.EMA]
	return nil
}

// note adds the name of a tensor to a list, once if it is in parts.
func note(list *[]string, t tensor) {
	if !t.follows {
		*list = append(*list, t.name)
	}
}

// data reads the data of one tensor of the file.
func (l *loader) data(saved safetensors.Tensor) error {
	what, name, _ := checkpoint.ParseKey(saved.Name)
	i, _ := l.find(name)
	if i < 0 {
		return l.r.Skip(saved.To - saved.From)
	}
	parts := l.o.named(l.o.tensors[i].name)
	if what == checkpoint.Step {
		steps, err := l.r.Count()
		for _, i := range parts {
			*l.saved[i].count() = steps
		}
		return err
	}
	if what == checkpoint.Key {
		key, err := l.r.Number()
		for _, i := range parts {
			*l.saved[i].key() = key
		}
		return err
	}
	at := saved.From
	for _, i := range parts {
		to, from := l.saved[i].memory(what), saved.From+l.o.tensors[i].before(what, saved.DType)
		if err := l.r.Skip(from - at); err != nil {
			return err
		}
		if err := l.r.Floats(to, saved.DType); err != nil {
			return err
		}
		at = from + int64(len(to))
	}
	return l.r.Skip(saved.To - at)
}

// commit makes the checkpoint the state of the optimizer. Nothing can fail here but the memory of
// the caller, so the counters come last.
func (l *loader) commit() {
	o := l.o
	o.normed = false
	for i := range o.Groups {
		o.Groups[i].Config = l.configs[i]
	}
	for i, t := range o.tensors {
		if s := &l.saved[i]; s.config != nil {
			t.restore(s.kind, s.begun)
		}
	}
	o.T, o.GradScale, o.Metadata = l.r.T, l.r.GradScale, l.r.Metadata
}
