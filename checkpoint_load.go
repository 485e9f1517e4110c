package adam

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/fusedadam/adam/internal/safetensors"
)

// Load restores what [Optimizer.Save] has written, whatever the machine, so that training goes on to the
// same bits. The reader must end where the checkpoint does.
//
// Tensors are found by name: order and grouping may be others than when the checkpoint was saved. Each group
// takes the Config that its tensors had then, which must be one; an empty group keeps its own. To go on
// with other Configs, write them after Load. GradScale and T are restored as well; Options are this optimizer's.
//
// Averages need EMADecay. Where the checkpoint has none although EMADecay is set, they begin anew with
// the next step. Parameters are restored with Options.SaveParams only, and must be there then.
//
// Load is all or nothing. It reads everything into new memory and checks it before it changes anything;
// meanwhile there are two states in memory. Then M, V and VMax of the States, which stay where they are, are
// new slices, and so is EMA; parameters are copied into Value.
//
// An error wraps [ErrParams] or [ErrLength] if Groups are not as given to New, and otherwise [ErrCheckpoint], as
// well as that of the reader if there was one. It names what was expected and what was there, and
// nothing has changed.
func (o *Optimizer) Load(r io.Reader) error {
	if err := o.enter(); err != nil {
		return err
	}
	defer o.leave()
	return o.load(r)
}

func (o *Optimizer) load(r io.Reader) error {
	if err := o.eachTensor(func(*Group, *Param, *tensor) error { return nil }); err != nil {
		return err
	}
	l := loader{o: o, r: bufio.NewReaderSize(r, bufferSize)}
	if err := l.load(); err != nil {
		return fmt.Errorf("%w: %w", ErrCheckpoint, err)
	}
	l.commit()
	return nil
}

// A loader holds a checkpoint until it is complete and proven.
type loader struct {
	o *Optimizer
	r *bufio.Reader

	groups   []savedGroup
	groupOf  map[string]int // by name of the tensor: index of its group among groups
	configs  []Config       // of o.Groups
	step     uint64
	scale    float64
	sum      string         // checksum that the file has
	running  uint32         // checksum of what has been read
	tensors  []tensor       // new ones in the order of o.tensors
	index    map[string]int // of tensors, by name
	values   [][]float32
	averaged bool
}

type savedGroup struct {
	config Config
	params []string
}

func (l *loader) load() error {
	header, err := l.header()
	if err != nil {
		return fmt.Errorf("header: %w", err)
	}
	metadata, tensors, err := safetensors.Decode(header)
	if err != nil {
		return fmt.Errorf("header: %w", err)
	}
	if err := l.metadata(metadata, header); err != nil {
		return err
	}
	if err := l.match(); err != nil {
		return err
	}
	if err := l.allocate(tensors); err != nil {
		return err
	}
	for _, t := range tensors {
		if err := l.data(t); err != nil {
			return fmt.Errorf("%s: %w", t.Name, err)
		}
	}
	switch _, err := l.r.ReadByte(); {
	case err == nil:
		return errors.New("the file goes on where its data should end")
	case err != io.EOF:
		return err
	}
	if sum := sumString(l.running); l.sum != sum {
		return fmt.Errorf("checksum of the content is %s, the file says %s", sum, l.sum)
	}
	return nil
}

// header reads the header. It takes no more memory than the header of a checkpoint of this optimizer may
// need, written in the longest possible way and with a MiB of foreign metadata, and no more at a time than
// there is to read.
func (l *loader) header() ([]byte, error) {
	limit := uint64(1 << 20)
	for _, t := range l.o.tensors {
		limit += 8 * uint64((pieces+1)*len(t.name)+600)
	}
	for range l.o.Groups {
		limit += 8 * 300
	}
	prefix := make([]byte, safetensors.Prefix)
	if _, err := io.ReadFull(l.r, prefix); err != nil {
		return nil, endsEarly(err)
	}
	length := binary.LittleEndian.Uint64(prefix)
	if length > limit {
		return nil, fmt.Errorf("its length is %d, want at most %d", length, limit)
	}
	header, err := io.ReadAll(io.LimitReader(l.r, int64(length)))
	if err == nil && uint64(len(header)) < length {
		err = io.ErrUnexpectedEOF
	}
	return header, err
}

func endsEarly(err error) error {
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// metadata reads the metadata and begins the checksum.
func (l *loader) metadata(metadata []safetensors.Meta, header []byte) error {
	values := map[string]string{}
	for _, m := range metadata {
		values[m.Key] = m.Value
	}
	if f, ok := values[keyFormat]; !ok || f != format {
		return fmt.Errorf("%s = %s, want %q", keyFormat, safetensors.Quote(f), format)
	}
	for _, m := range metadata {
		switch m.Key {
		case keySum:
			if len(m.Value) != len(blank) || m.At < 0 {
				return fmt.Errorf("%s = %s, want 8 hexadecimal digits, and without escapes", m.Key, safetensors.Quote(m.Value))
			}
			l.sum = m.Value
			l.running = crc32.ChecksumIEEE(header[:m.At])
			l.running = crc32.Update(l.running, crc32.IEEETable, []byte(blank))
			l.running = crc32.Update(l.running, crc32.IEEETable, header[m.At+len(blank):])
		case keyFormat, keyScale, keyGroups, keyStep:
		default:
			if strings.HasPrefix(m.Key, keyPrefix) {
				return fmt.Errorf("metadata %s is not known", safetensors.Quote(m.Key))
			}
		}
	}
	for _, key := range []string{keySum, keyScale, keyGroups, keyStep} {
		if _, ok := values[key]; !ok {
			return fmt.Errorf("metadata %q is missing", key)
		}
	}
	var err error
	step := values[keyStep]
	if l.step, err = strconv.ParseUint(step, 10, 64); err != nil || strconv.FormatUint(l.step, 10) != step {
		return fmt.Errorf("%s = %s, want an integer from 0 to 2^64-1", keyStep, safetensors.Quote(step))
	}
	scale := values[keyScale]
	p, err := safetensors.NewParser([]byte(scale))
	if err == nil {
		l.scale, err = p.Float()
	}
	if err != nil || strings.TrimSpace(scale) != scale {
		return fmt.Errorf("%s = %s, want a number", keyScale, safetensors.Quote(scale))
	}
	if !isScale(l.scale) {
		return fmt.Errorf("%s: %s", keyScale, scaleFault(l.scale))
	}
	if err := l.parseGroups(values[keyGroups]); err != nil {
		return fmt.Errorf("%s: %w", keyGroups, err)
	}
	return nil
}

func (l *loader) parseGroups(text string) error {
	p, err := safetensors.NewParser([]byte(text))
	if err != nil {
		return err
	}
	l.groupOf = map[string]int{}
	return p.List(func() error {
		var g savedGroup
		i := len(l.groups)
		err := p.Object([]string{"config", "params"}, func(key string) (err error) {
			if key == "config" {
				g.config, err = parseConfig(p)
				return err
			}
			return p.List(func() error {
				name, err := p.String()
				if err != nil {
					return err
				}
				if before, ok := l.groupOf[name]; ok {
					return fmt.Errorf("%s is in group %d and in group %d", safetensors.Quote(name), before, i)
				}
				l.groupOf[name] = i
				g.params = append(g.params, name)
				return nil
			})
		})
		if err != nil {
			return err
		}
		l.groups = append(l.groups, g)
		if err := g.config.Validate(); err != nil {
			return fmt.Errorf("group %d: %w", i, err)
		}
		return nil
	})
}

func parseConfig(p *safetensors.Parser) (c Config, err error) {
	keys := []string{"lr", "betas", "eps", "weight_decay", "decoupled", "amsgrad", "maximize"}
	return c, p.Object(keys, func(key string) (err error) {
		switch key {
		case "lr":
			c.LR, err = p.Float()
		case "betas":
			var betas []float64
			err = p.List(func() error {
				x, err := p.Float()
				betas = append(betas, x)
				return err
			})
			if err == nil && len(betas) != 2 {
				err = fmt.Errorf("%d betas, want 2", len(betas))
			}
			if err == nil {
				c.Beta1, c.Beta2 = betas[0], betas[1]
			}
		case "eps":
			c.Eps, err = p.Float()
		case "weight_decay":
			c.WeightDecay, err = p.Float()
		case "decoupled":
			c.Decoupled, err = p.Bool()
		case "amsgrad":
			c.AMSGrad, err = p.Bool()
		case "maximize":
			c.Maximize, err = p.Bool()
		}
		return err
	})
}

// match finds the Config of each of the optimizer's groups.
func (l *loader) match() error {
	names := map[string]bool{}
	for _, g := range l.o.Groups {
		config := g.Config
		for k, p := range g.Params {
			names[p.Name] = true
			i, ok := l.groupOf[p.Name]
			if !ok {
				return fmt.Errorf("%s: tensor %q is in no group", keyGroups, p.Name)
			}
			c := l.groups[i].config
			if k > 0 && c != config {
				return fmt.Errorf("%q and %q, here in one group, have different configs: %+v and %+v", g.Params[0].Name, p.Name, config, c)
			}
			config = c
		}
		l.configs = append(l.configs, config)
	}
	for i, g := range l.groups {
		for _, name := range g.params {
			if !names[name] {
				return fmt.Errorf("%s: group %d holds %s, which this optimizer does not have", keyGroups, i, safetensors.Quote(name))
			}
		}
	}
	return nil
}

// allocate checks that the file's tensors are what this optimizer wants, and only then makes room.
func (l *loader) allocate(tensors []safetensors.Tensor) error {
	o := l.o
	l.tensors = make([]tensor, len(o.tensors))
	l.index = make(map[string]int, len(o.tensors))
	for i, t := range o.tensors {
		l.index[t.name] = i
	}
	has := make([][pieces]bool, len(o.tensors))
	var found [pieces]bool // of any tensor
	for _, t := range tensors {
		what, name, ok := parseKey(t.Name)
		i, known := l.index[name]
		if !ok || !known {
			return fmt.Errorf("%s is not known", safetensors.Quote(t.Name))
		}
		dtype, shape := float32s, []int64{int64(o.tensors[i].n)}
		if what == pieceStep {
			dtype, shape = int64s, nil
		}
		if t.DType != dtype || !slices.Equal(t.Shape, shape) {
			return fmt.Errorf("%s has dtype %s and shape %v, want %s and %v", t.Name, t.DType, t.Shape, dtype, shape)
		}
		has[i][what], found[what] = true, true
	}
	if found[pieceEMA] && o.Options.EMADecay == 0 {
		return errors.New("there is a moving average of the parameters, and EMADecay is not set")
	}
	if len(o.tensors) > 0 && o.Options.SaveParams && !found[pieceValue] {
		return errors.New("there are no parameters, and SaveParams is set")
	}
	i := 0
	for j, g := range o.Groups {
		for _, p := range g.Params {
			for what, ok := range has[i] {
				needed := found[what] // averages and parameters of all tensors, or of none
				switch piece(what) {
				case pieceM, pieceV, pieceStep:
					needed = true
				case pieceVMax:
					needed = l.configs[j].AMSGrad
				}
				if needed && !ok {
					return fmt.Errorf("%s is missing", piece(what).key(p.Name))
				}
			}
			i++
		}
	}
	if o.Options.SaveParams {
		l.values = make([][]float32, len(o.tensors))
	}
	for i := range l.tensors {
		t := &l.tensors[i]
		t.name, t.n = o.tensors[i].name, o.tensors[i].n
		t.allocate(has[i][pieceVMax], o.Options.EMADecay > 0 || o.tensors[i].average != nil)
		if l.values != nil {
			l.values[i] = make([]float32, t.n)
		}
	}
	l.averaged = found[pieceEMA]
	return nil
}

// data reads the data of one tensor of the file.
func (l *loader) data(saved safetensors.Tensor) error {
	what, name, _ := parseKey(saved.Name)
	i := l.index[name]
	t := &l.tensors[i]
	var to []float32
	switch what {
	case pieceM:
		to = t.M
	case pieceV:
		to = t.V
	case pieceVMax:
		to = t.VMax
	case pieceEMA:
		to = t.average
	case pieceStep:
		var b [8]byte
		if err := l.read(b[:]); err != nil {
			return err
		}
		if t.T = binary.LittleEndian.Uint64(b[:]); t.T > math.MaxInt64 {
			return fmt.Errorf("%d, want a number of at least 0", int64(t.T))
		}
		return nil
	case pieceValue:
		if l.values == nil {
			return l.skip(saved.To - saved.From)
		}
		to = l.values[i]
	}
	for chunk := range slices.Chunk(bytesOf(to), chunkSize) {
		if err := l.read(chunk); err != nil {
			return err
		}
		if bigEndian {
			reverse(chunk)
		}
	}
	return nil
}

// read fills b and adds it to the checksum.
func (l *loader) read(b []byte) error {
	if _, err := io.ReadFull(l.r, b); err != nil {
		return endsEarly(err)
	}
	l.running = crc32.Update(l.running, crc32.IEEETable, b)
	return nil
}

// skip reads n bytes only to add them to the checksum.
func (l *loader) skip(n int64) error {
	b := make([]byte, min(n, chunkSize))
	for ; n > 0; n -= int64(len(b)) {
		b = b[:min(n, int64(len(b)))]
		if err := l.read(b); err != nil {
			return err
		}
	}
	return nil
}

// commit makes the checkpoint the state of the optimizer. Nothing can fail here.
func (l *loader) commit() {
	o := l.o
	o.T, o.GradScale, o.normed = l.step, l.scale, false
	i := 0
	for j := range o.Groups {
		g := &o.Groups[j]
		g.Config = l.configs[j]
		for _, p := range g.Params {
			t, fresh := &o.tensors[i], &l.tensors[i]
			t.restore(fresh, l.averaged)
			if l.values != nil {
				copy(p.Value, l.values[i])
			}
			if !t.begun {
				copy(t.average, p.Value)
			}
			i++
		}
	}
}

// restore gives t what was loaded: new slices, but copies where the memory is the caller's.
func (t *tensor) restore(from *tensor, averaged bool) {
	t.begun = averaged && len(from.average) > 0
	if t.given == nil {
		*t.State = *from.State
	} else {
		t.T = from.T
		copy(t.M, from.M)
		copy(t.V, from.V)
		if len(t.VMax) == len(from.VMax) {
			copy(t.VMax, from.VMax)
		} else {
			t.VMax = from.VMax
		}
	}
	if t.lent {
		copy(t.average, from.average)
	} else {
		t.average = from.average
	}
	t.place = place{} // The new memory is to be checked, even if it lies where the old one lay.
}
