package checkpoint

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
	"unsafe"

	"github.com/fusedadam/adam/internal/safetensors"
)

// Limits are what a reader takes of a header. Whatever they are, it allocates less than four times
// the header's size.
type Limits struct {
	Header  uint64 // bytes; 0 is MaxHeader
	Tensors int    // -1: any number
	// Name and Config, if given, refuse what stands in a group. With Name groups without tensors
	// are dropped.
	Name   func(group int, name string) error
	Config func(c Config) error
}

// MaxHeader is the largest header that safetensors' own reader takes.
const MaxHeader = 100_000_000

// A Reader reads a checkpoint: first what NewReader has read already, then the data of Tensors one
// after the other, then Close.
type Reader struct {
	Info
	Tensors []safetensors.Tensor // in the order of their data

	r       *bufio.Reader
	sum     string // checksum that the file has
	running uint32 // checksum of what has been read
}

// NewReader reads the header of a checkpoint.
func NewReader(from io.Reader, limits Limits) (*Reader, error) {
	r := &Reader{r: bufio.NewReaderSize(from, BufferSize)}
	header, err := readHeader(r.r, limits.Header)
	if err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	var own []safetensors.Meta
	r.Tensors, err = safetensors.Decode(header, limits.Tensors, func(m safetensors.Meta) error {
		switch {
		case strings.HasPrefix(m.Key, KeyPrefix):
			if !slices.Contains(ownKeys, m.Key) {
				return fmt.Errorf("metadata %s is not known; %s", safetensors.Quote(m.Key), newer)
			}
			own = append(own, m)
		case len(r.Metadata) == MaxMetadata:
			return fmt.Errorf("more than %d metadata", MaxMetadata)
		default:
			if r.Metadata == nil {
				r.Metadata = map[string]string{}
			}
			// Clones, as the header is not to stay for them.
			r.Metadata[strings.Clone(m.Key)] = strings.Clone(m.Value)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	if err := r.metadata(own, header, &limits); err != nil {
		return nil, err
	}
	return r, nil
}

var ownKeys = []string{KeySum, KeyFormat, KeyScale, KeyGroups, KeyStep}

const newer = "is the checkpoint from a newer version of package adam?"

// readHeader reads a header. It allocates little more than the header's size, but never more than
// eight times what it has read already.
func readHeader(r io.Reader, limit uint64) (string, error) {
	if limit == 0 {
		limit = MaxHeader
	}
	prefix := make([]byte, safetensors.Prefix)
	if _, err := io.ReadFull(r, prefix); err != nil {
		return "", endsEarly(err)
	}
	length := binary.LittleEndian.Uint64(prefix)
	if length > limit {
		return "", fmt.Errorf("its length is %d, %w %d", length, safetensors.ErrMore, limit)
	}
	shift := 0
	for length>>shift > BufferSize {
		shift += 3
	}
	var header []byte
	for ; shift >= 0; shift -= 3 {
		more := make([]byte, length>>shift)
		at := copy(more, header)
		if _, err := io.ReadFull(r, more[at:]); err != nil {
			return "", endsEarly(err)
		}
		header = more
	}
	return unsafe.String(unsafe.SliceData(header), len(header)), nil
}

func endsEarly(err error) error {
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// metadata reads the checkpoint's own metadata and begins the checksum.
func (r *Reader) metadata(own []safetensors.Meta, header string, limits *Limits) error {
	values := map[string]string{}
	for _, m := range own {
		values[m.Key] = m.Value
	}
	switch f, ok := values[KeyFormat]; {
	case !ok:
		return fmt.Errorf("metadata %q is missing: this is no checkpoint of package adam",
			KeyFormat)
	case f != "1" && f != "2" && f != "3":
		return fmt.Errorf(`%s = %s, want "1", "2" or "3"; %s`, KeyFormat, safetensors.Quote(f),
			newer)
	default:
		r.Format = int(f[0] - '0')
	}
	for _, key := range ownKeys {
		if _, ok := values[key]; !ok {
			return fmt.Errorf("metadata %q is missing", key)
		}
	}
	for _, m := range own {
		if m.Key != KeySum {
			continue
		}
		if len(m.Value) != len(blank) || m.At < 0 {
			return fmt.Errorf("%s = %s, want 8 hexadecimal digits, and without escapes",
				m.Key, safetensors.Quote(m.Value))
		}
		r.sum = m.Value
		r.running = sumOf(0, header[:m.At])
		r.running = sumOf(r.running, blank)
		r.running = sumOf(r.running, header[m.At+len(blank):])
	}
	var err error
	step := values[KeyStep]
	if r.T, err = strconv.ParseUint(step, 10, 64); err != nil ||
		strconv.FormatUint(r.T, 10) != step {
		return fmt.Errorf("%s = %s, want an integer from 0 to 2^64-1", KeyStep,
			safetensors.Quote(step))
	}
	scale := values[KeyScale]
	err = safetensors.Parse(scale, func(p *safetensors.Parser) (err error) {
		r.GradScale, err = p.Float()
		return err
	})
	if err != nil || strings.TrimSpace(scale) != scale {
		return fmt.Errorf("%s = %s, want a number", KeyScale, safetensors.Quote(scale))
	}
	if err := r.groups(values[KeyGroups], limits); err != nil {
		return fmt.Errorf("%s: %w", KeyGroups, err)
	}
	return nil
}

// sumOf adds s to a checksum.
func sumOf(sum uint32, s string) uint32 {
	buffer := make([]byte, 4<<10)
	for s != "" {
		n := copy(buffer, s)
		sum = crc32.Update(sum, crc32.IEEETable, buffer[:n])
		s = s[n:]
	}
	return sum
}

func (r *Reader) groups(text string, limits *Limits) error {
	const shortest = 100 // a group has more bytes than that, and two objects
	room := min(strings.Count(text, "{")/2, len(text)/shortest)
	if limits.Name != nil {
		room = min(room, len(r.Tensors)/3)
	}
	r.Groups = make([]Group, 0, room)
	groupOf := map[string]int{}
	i := 0
	return safetensors.Parse(text, func(p *safetensors.Parser) error {
		return p.List(func() error {
			g, err := r.readGroup(p, func(name string) error {
				if before, ok := groupOf[name]; ok {
					return fmt.Errorf("%s is in group %d and in group %d", safetensors.Quote(name),
						before, i)
				}
				if limits.Name != nil {
					if err := limits.Name(i, name); err != nil {
						return err
					}
				}
				// A tensor has three pieces at least.
				if groupOf[name] = i; len(groupOf) > len(r.Tensors)/3 {
					return fmt.Errorf("%d tensors, and there are data for less", len(groupOf))
				}
				return nil
			})
			if err != nil {
				return err
			}
			if limits.Config != nil {
				if err := limits.Config(g.Config); err != nil {
					return fmt.Errorf("group %d: %w", i, err)
				}
			}
			if len(g.Params) > 0 || limits.Name == nil {
				r.Groups = append(r.Groups, g)
			}
			i++
			return nil
		})
	})
}

var (
	groupKeys  = []string{"config", "params"}
	configKeys = []string{"lr", "betas", "eps", "weight_decay", "decoupled", "amsgrad", "maximize",
		"eps_uncorrected"}
)

// needed is the number of configKeys that every config has, and those of format 1 alone.
const needed = 7

func (r *Reader) readGroup(p *safetensors.Parser, check func(name string) error) (
	g Group, err error) {
	return g, p.Object(groupKeys, func(key string) (err error) {
		if key == "config" {
			g.Config, err = r.readConfig(p)
			return err
		}
		return p.List(func() error {
			name, err := p.String()
			if err == nil {
				err = check(name)
			}
			if err == nil {
				g.Params = append(g.Params, name)
			}
			return err
		})
	})
}

func (r *Reader) readConfig(p *safetensors.Parser) (c Config, err error) {
	keys := configKeys
	if r.Format == 1 {
		keys = keys[:needed]
	}
	return c, p.ObjectOf(keys, needed, func(key string) (err error) {
		switch key {
		case "lr":
			c.LR, err = p.Float()
		case "betas":
			c.Betas, err = Betas(p)
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
		case "eps_uncorrected":
			c.EpsUncorrected, err = p.Bool()
		}
		return err
	})
}

// Betas reads a list of two numbers.
func Betas(p *safetensors.Parser) (betas [2]float64, err error) {
	n := 0
	err = p.List(func() error {
		x, err := p.Float()
		if n < len(betas) {
			betas[n] = x
		}
		n++
		return err
	})
	if err == nil && n != len(betas) {
		err = fmt.Errorf("%d betas, want 2", n)
	}
	return betas, err
}

// read fills b and adds it to the checksum.
func (r *Reader) read(b []byte) error {
	if _, err := io.ReadFull(r.r, b); err != nil {
		return endsEarly(err)
	}
	r.running = crc32.Update(r.running, crc32.IEEETable, b)
	return nil
}

// Floats reads data of a tensor into the memory of some of its elements.
func (r *Reader) Floats(to []byte, dtype string) error {
	for chunk := range slices.Chunk(to, ChunkSize) {
		if err := r.read(chunk); err != nil {
			return err
		}
		if BigEndian {
			reverse(chunk, dtype)
		}
	}
	return nil
}

// Count reads the data of a count.
func (r *Reader) Count() (uint64, error) {
	n, err := r.Number()
	if n > math.MaxInt64 {
		return 0, fmt.Errorf("%d, want a number of at least 0", int64(n))
	}
	return n, err
}

// Number reads the data of a number of 64 bits.
func (r *Reader) Number() (uint64, error) {
	var b [8]byte
	if err := r.read(b[:]); err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint64(b[:]), nil
}

// Skip reads so many bytes of the data of a tensor only to add them to the checksum.
func (r *Reader) Skip(left int64) error {
	for left > 0 {
		b, err := r.r.Peek(int(min(left, BufferSize)))
		if err != nil {
			return endsEarly(err)
		}
		r.running = crc32.Update(r.running, crc32.IEEETable, b)
		_, _ = r.r.Discard(len(b))
		left -= int64(len(b))
	}
	return nil
}

// ErrSum is wrapped by the error of Close for a wrong checksum.
var ErrSum = errors.New("checksum of the content")

// Close checks the checksum, and that the file ends behind its data. It reads the end last, so that
// a reader has the last word: it may refuse to end. Close does not close it.
func (r *Reader) Close() error {
	if sum := sumString(r.running); r.sum != sum {
		return fmt.Errorf("%w is %s, the file says %s", ErrSum, sum, r.sum)
	}
	switch _, err := r.r.ReadByte(); {
	case err == nil:
		return errors.New("the file goes on where its data should end")
	case err != io.EOF:
		return err
	}
	return nil
}
