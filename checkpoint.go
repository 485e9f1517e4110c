package adam

import (
	"bufio"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"unsafe"

	"github.com/fusedadam/adam/internal/safetensors"
)

// ErrCheckpoint is wrapped by the errors of [Optimizer.Load] and [Optimizer.LoadFile], beside the cause where
// that is an error of the reader, and by the error of [Optimizer.Save] for a state that a checkpoint cannot
// hold.
var ErrCheckpoint = errors.New("adam: bad checkpoint")

// Keys of the metadata. The checksum sorts first, and so stands at a fixed place of what Save writes.
const (
	keyPrefix = "adam."
	keySum    = "adam.crc32"
	keyFormat = "adam.format"
	keyScale  = "adam.grad_scale"
	keyGroups = "adam.groups"
	keyStep   = "adam.step"
)

const (
	format           = "1"        // value of keyFormat
	blank            = "00000000" // stands for the checksum where it is computed
	sumAt            = len(`{"__metadata__":{"` + keySum + `":"`)
	float32s, int64s = "F32", "I64"
)

// A piece is one of the things that a checkpoint holds of each tensor.
type piece int

const (
	pieceM piece = iota
	pieceV
	pieceVMax
	pieceEMA
	pieceStep
	pieceValue
	pieces int = iota
)

// pieceNames are torch's where torch has them.
var pieceNames = [pieces]string{"exp_avg", "exp_avg_sq", "max_exp_avg_sq", "ema", "step", "param"}

// key returns the name of a piece of the named tensor in a checkpoint.
func (p piece) key(tensor string) string {
	if p == pieceValue {
		return "param." + tensor
	}
	return "state." + tensor + "." + pieceNames[p]
}

// parseKey is the inverse of key. No piece has a dot in its name, so that no two keys are the same.
func parseKey(key string) (p piece, tensor string, ok bool) {
	if tensor, ok = strings.CutPrefix(key, "param."); ok {
		return pieceValue, tensor, true
	}
	rest, ok := strings.CutPrefix(key, "state.")
	dot := strings.LastIndexByte(rest, '.')
	if !ok || dot < 0 {
		return 0, "", false
	}
	p = piece(slices.Index(pieceNames[:pieceValue], rest[dot+1:]))
	return p, rest[:dot], p >= 0
}

// configJSON is a Config in a checkpoint.
type configJSON struct {
	LR          float64    `json:"lr"`
	Betas       [2]float64 `json:"betas"`
	Eps         float64    `json:"eps"`
	WeightDecay float64    `json:"weight_decay"`
	Decoupled   bool       `json:"decoupled"`
	AMSGrad     bool       `json:"amsgrad"`
	Maximize    bool       `json:"maximize"`
}

type groupJSON struct {
	Config configJSON `json:"config"`
	Params []string   `json:"params"`
}

// Save writes a checkpoint: the moments and step counts of all tensors, T, GradScale and the Configs of
// Groups, with EMADecay the averages once they have begun, and with Options.SaveParams the parameters. It is a
// safetensors file with a checksum, see docs/CHECKPOINTS.md; the same optimizer gives the same bytes on every
// machine. The checksum stands before the data, so Save reads the state twice; it does not copy it.
//
// What Step does not change is not in it: Options, and the gradients. Save may be called after Close, but not
// during a Step.
//
// An error is the writer's (wrapped), or wraps [ErrConfig], [ErrParams] or [ErrLength] where a step would give
// the same, or [ErrCheckpoint] if a tensor's T is larger than [math.MaxInt64] or if the memory of the
// optimizer has changed meanwhile.
func (o *Optimizer) Save(w io.Writer) error {
	if err := o.enter(); err != nil {
		return err
	}
	defer o.leave()
	return o.save(w)
}

func (o *Optimizer) save(w io.Writer) error {
	entries, err := o.entries()
	if err != nil {
		return err
	}
	head, err := o.head(entries)
	if err != nil {
		return err
	}
	sum := crc32.ChecksumIEEE(head[safetensors.Prefix:])
	written := sum
	_ = eachChunk(entries, func(chunk []byte) error { // never an error
		sum = crc32.Update(sum, crc32.IEEETable, chunk)
		return nil
	})
	copy(head[safetensors.Prefix+sumAt:], sumString(sum))

	b := bufio.NewWriterSize(strictWriter{w}, bufferSize)
	_, _ = b.Write(head) // b keeps the error
	err = eachChunk(entries, func(chunk []byte) error {
		written = crc32.Update(written, crc32.IEEETable, chunk)
		_, err := b.Write(chunk)
		return err
	})
	if err == nil {
		err = b.Flush()
	}
	if err != nil {
		return fmt.Errorf("adam: writing a checkpoint: %w", err)
	}
	if written != sum {
		return fmt.Errorf("%w: the optimizer's memory was changed while it was saved", ErrCheckpoint)
	}
	return nil
}

const (
	bufferSize = 64 << 10  // gathers what is small; larger pieces go past it
	chunkSize  = 256 << 10 // still in the cache when the checksum has been computed
)

// A strictWriter makes an error of what a writer has left unwritten without one, which bufio tries for ever.
type strictWriter struct{ w io.Writer }

func (s strictWriter) Write(b []byte) (int, error) {
	n, err := s.w.Write(b)
	if err == nil && n < len(b) {
		err = io.ErrShortWrite
	}
	return n, err
}

func sumString(sum uint32) string { return fmt.Sprintf("%08x", sum) }

// An entry is a tensor of the checkpoint: floats, or an integer.
type entry struct {
	key    string
	floats []float32
	step   uint64
	dtype  string
}

// entries returns what Save writes, in the order in which safetensors' own writer has it: types of larger
// elements first, so that everything is aligned, then by name.
func (o *Optimizer) entries() ([]entry, error) {
	if err := o.checkConfigs(); err != nil {
		return nil, err
	}
	var list []entry
	err := o.eachTensor(func(g *Group, p *Param, t *tensor) error {
		add := func(what piece, floats []float32) {
			list = append(list, entry{what.key(t.name), floats, 0, float32s})
		}
		// A maximum from when the group had AMSGrad is kept: it may have it again.
		amsgrad := g.Config.AMSGrad || len(t.VMax) > 0
		if len(t.M) != t.n || len(t.V) != t.n || amsgrad && len(t.VMax) != t.n {
			return fmt.Errorf("%w: %q had %d elements in New; M %d, V %d, VMax %d", ErrLength, t.name, t.n, len(t.M), len(t.V), len(t.VMax))
		}
		if t.T > math.MaxInt64 {
			return fmt.Errorf("%w: %q: T = %d, a checkpoint holds at most %d", ErrCheckpoint, t.name, t.T, int64(math.MaxInt64))
		}
		list = append(list, entry{pieceStep.key(t.name), nil, t.T, int64s})
		add(pieceM, t.M)
		add(pieceV, t.V)
		if amsgrad {
			add(pieceVMax, t.VMax)
		}
		if t.begun {
			add(pieceEMA, t.average)
		}
		if o.Options.SaveParams {
			add(pieceValue, p.Value)
		}
		return nil
	})
	slices.SortFunc(list, func(a, b entry) int {
		return cmp.Or(cmp.Compare(b.dtype, a.dtype), cmp.Compare(a.key, b.key)) // "I64" > "F32"
	})
	return list, err
}

// head returns what stands before the data, with a blank checksum.
func (o *Optimizer) head(entries []entry) ([]byte, error) {
	groups := make([]groupJSON, len(o.Groups))
	for i, g := range o.Groups {
		c := g.Config
		groups[i] = groupJSON{configJSON{c.LR, [2]float64{c.Beta1, c.Beta2}, c.Eps, c.WeightDecay, c.Decoupled, c.AMSGrad, c.Maximize},
			make([]string, len(g.Params))}
		for j, p := range g.Params {
			groups[i].Params[j] = p.Name
		}
	}
	groupsJSON, err := json.Marshal(groups)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCheckpoint, err)
	}
	tensors := make([]safetensors.Tensor, len(entries))
	for i, e := range entries {
		tensors[i] = safetensors.Tensor{Name: e.key, DType: e.dtype}
		if e.dtype == float32s {
			tensors[i].Shape = []int64{int64(len(e.floats))}
		}
	}
	head, err := safetensors.Encode([]safetensors.Meta{
		{Key: keySum, Value: blank},
		{Key: keyFormat, Value: format},
		{Key: keyScale, Value: strconv.FormatFloat(o.GradScale, 'g', -1, 64)},
		{Key: keyGroups, Value: string(groupsJSON)},
		{Key: keyStep, Value: strconv.FormatUint(o.T, 10)},
	}, tensors)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCheckpoint, err)
	}
	return head, nil
}

// bigEndian: the machine's floats must be turned round on their way to the file and back.
var bigEndian = binary.NativeEndian.Uint16([]byte{0, 1}) == 1

// bytesOf returns the memory of s.
func bytesOf(s []float32) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(s))), 4*len(s))
}

// reverse turns each 4 bytes of b round, in place.
func reverse(b []byte) {
	for ; len(b) >= 4; b = b[4:] {
		b[0], b[1], b[2], b[3] = b[3], b[2], b[1], b[0]
	}
}

// eachChunk calls f with the bytes of the entries as they stand in the file, until it returns an error. f may
// not keep them. They are copies: what f sums up is what it writes, even if the memory changes meanwhile.
func eachChunk(entries []entry, f func(chunk []byte) error) error {
	buffer := make([]byte, chunkSize)
	for _, e := range entries {
		if e.dtype == int64s {
			if err := f(binary.LittleEndian.AppendUint64(nil, e.step)); err != nil {
				return err
			}
		}
		for chunk := range slices.Chunk(bytesOf(e.floats), chunkSize) {
			chunk = buffer[:copy(buffer, chunk)]
			if bigEndian {
				reverse(chunk)
			}
			if err := f(chunk); err != nil {
				return err
			}
		}
	}
	return nil
}
