package zero

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"math"
	"slices"

	"github.com/fusedadam/adam"
)

// All communication but that of gradients and parameters are agreements: each rank says whether it
// can go on, and a few words. All ranks come to the same verdict.

// known are the errors that errors.Is finds on the other ranks as well.
var known = []error{adam.ErrConfig, adam.ErrParams, adam.ErrLength, adam.ErrOverlap, adam.ErrSteps,
	adam.ErrClosed, adam.ErrCheckpoint, fs.ErrNotExist, fs.ErrPermission}

// A remote is the error of another rank.
type remote struct {
	text string
	is   uint64 // bits, of known
}

func (r remote) Error() string { return r.text }

func (r remote) Is(target error) bool {
	i := slices.Index(known, target)
	return i >= 0 && r.is>>i&1 == 1
}

// said is how many words a rank says beside its error. It is the same in all agreements, so that
// ranks that call different methods find that out.
const said = 7

const longestText = 4 << 10 // of an error

// agree tells the other ranks of an error of this one, or of up to said words. It returns the words
// of all ranks, each at said times its rank, or an error on all ranks if one has an error.
func (z *Optimizer) agree(own error, words ...uint64) ([]uint64, error) {
	text, is := "", uint64(0)
	if own != nil {
		text = own.Error()
		text = text[:min(len(text), longestText)]
		for i, err := range known {
			if errors.Is(own, err) {
				is |= 1 << i
			}
		}
	}
	z.words = append(z.words[:0], make([]uint64, 2+said)...)
	if own != nil {
		z.words[0], z.words[1] = 1+uint64(len(text)), is
	}
	copy(z.words[2:], words)
	counts := z.counts(func(int) int { return 2 + said })
	all, err := z.gather(z.words, counts)
	if err != nil {
		return nil, err
	}
	z.heard = z.heard[:0]
	at, lengths, bits := -1, make([]int, len(counts)), uint64(0)
	for r := range counts {
		words := all[r*(2+said):][:2+said]
		if words[0] > 1+longestText {
			return nil, z.engine(fmt.Errorf("rank %d speaks another language", r))
		}
		if words[0] > 0 && at < 0 {
			at, bits = r, words[1]
		}
		lengths[r] = int(words[0]) - 1
		z.heard = append(z.heard, words[2:]...)
	}
	if at < 0 {
		return z.heard, nil
	}
	if at == z.comm.Rank() {
		z.words = packed(z.words[:0], []byte(text))
	} else {
		z.words = z.words[:0]
	}
	all, err = z.gather(z.words, z.counts(func(r int) int {
		if r == at {
			return (lengths[r] + 7) / 8
		}
		return 0
	}))
	switch {
	case err != nil:
		return nil, err
	case own != nil:
		return nil, fmt.Errorf("%w: rank %d: %w", ErrRank, z.comm.Rank(), own)
	}
	text = string(unpacked(all, lengths[at]))
	return nil, fmt.Errorf("%w: rank %d: %w", ErrRank, at, remote{text, bits})
}

// begin is the agreement with which a method begins. The words that must be the same on all ranks
// are named.
func (z *Optimizer) begin(method uint64, own error, names []string, words ...uint64) error {
	words = append([]uint64{method, z.model}, words...)
	names = append([]string{"", "has another model (names, lengths, groups, Leaves or Bucket)"},
		names...)
	all, err := z.agree(own, words...)
	if err != nil {
		return err
	}
	for r := range z.comm.Size() {
		for i, name := range names {
			switch mine := all[r*said+i]; {
			case mine == all[i]:
			case i == 0:
				return fmt.Errorf("%w: rank %d calls %s, rank 0 %s", ErrRank, r, methodName(mine),
					methodName(all[i]))
			default:
				return fmt.Errorf("%w: rank %d %s than rank 0", ErrRank, r, name)
			}
		}
	}
	return nil
}

const (
	stepping uint64 = 1 + iota
	saving
	loading
)

func methodName(method uint64) string {
	if method < stepping || method > loading {
		return "another version"
	}
	return [...]string{"Step", "SaveFile", "LoadFile"}[method-stepping]
}

// gather is that of the engine.
func (z *Optimizer) gather(own []uint64, counts []int) ([]uint64, error) {
	if z.broken != nil {
		return nil, z.broken
	}
	all, err := z.comm.Gather(own, counts)
	return all, z.engine(err)
}

// counts returns the words of each rank.
func (z *Optimizer) counts(of func(rank int) int) []int {
	z.counted = z.counted[:0]
	for r := range z.comm.Size() {
		z.counted = append(z.counted, of(r))
	}
	return z.counted
}

// packed appends b to words.
func packed(words []uint64, b []byte) []uint64 {
	for len(b) > 0 {
		var word [8]byte
		b = b[copy(word[:], b):]
		words = append(words, binary.LittleEndian.Uint64(word[:]))
	}
	return words
}

// unpacked returns the first n bytes of words.
func unpacked(words []uint64, n int) (b []byte) {
	for _, w := range words {
		b = binary.LittleEndian.AppendUint64(b, w)
	}
	return b[:n]
}

func (z *Optimizer) metadataHash() uint64 {
	return z.hash(func(b []byte) []byte { return fmt.Appendf(b, "%q", z.Metadata) })
}

// hash returns the FNV-1a of what f appends.
func (z *Optimizer) hash(f func(b []byte) []byte) uint64 {
	z.text = f(z.text[:0])
	h := fnv.New64a()
	_, _ = h.Write(z.text)
	return h.Sum64()
}

// modelHash is of what must not change after New.
func (z *Optimizer) modelHash(o Options) uint64 {
	return z.hash(func(b []byte) []byte {
		b = fmt.Appendf(b, "%d %d %d", z.comm.Size(), o.Leaves, o.Bucket)
		for i := range z.tensors {
			t := &z.tensors[i]
			b = fmt.Appendf(b, " %q %d %d %d %d %d %d", t.name, t.group, t.list, t.index, t.size,
				t.stored, t.n)
		}
		for i := range z.Groups {
			b = fmt.Appendf(b, " %v", z.Groups[i].Storage)
		}
		return b
	})
}

func (z *Optimizer) optionsHash() uint64 {
	return z.hash(func(b []byte) []byte {
		o := z.Options
		o.Workers = 0 // a matter of each rank
		return fmt.Appendf(b, "%v", o)
	})
}

func (z *Optimizer) configsHash() uint64 {
	return z.hash(func(b []byte) []byte {
		for i := range z.Groups {
			b = fmt.Appendf(b, "%v", z.Groups[i].Config)
		}
		return b
	})
}

func (z *Optimizer) gradsHash() uint64 {
	return z.hash(func(b []byte) []byte {
		for i := range z.tensors {
			b = append(b, 0)
			if z.tensors[i].hasGrad {
				b[i] = 1
			}
		}
		return b
	})
}

// scaleBits are those of GradScale.
func (z *Optimizer) scaleBits() uint64 { return math.Float64bits(z.GradScale) }
