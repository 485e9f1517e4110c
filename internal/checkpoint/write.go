package checkpoint

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/fusedadam/adam/internal/safetensors"
)

const (
	blank = "00000000" // stands for the checksum where it is computed
	sumAt = safetensors.Prefix + len(`{"__metadata__":{"`+KeySum+`":"`)

	BufferSize = 64 << 10  // gathers what is small; larger pieces go past it
	ChunkSize  = 256 << 10 // still in the cache when the checksum has been computed
)

// ErrChanged is the error of Write for data that are not the same when they are read again.
var ErrChanged = errors.New("the optimizer's memory was changed while it was saved")

// A Source is data that stand in a file.
type Source struct {
	File io.ReaderAt
	At   int64
}

// Encode returns the beginning of a checkpoint up to its data, with a blank checksum. The data
// stand in the order given. Encode sets Format.
func Encode(info *Info, data []Data) ([]byte, error) {
	groups := slices.Clone(info.Groups)
	for i := range groups {
		groups[i].Params = append([]string{}, groups[i].Params...) // not null
	}
	if groups == nil {
		groups = []Group{}
	}
	groupsJSON, err := json.Marshal(groups)
	if err != nil {
		return nil, err
	}
	info.Format = format(info, data)
	metadata := []safetensors.Meta{
		{Key: KeySum, Value: blank},
		{Key: KeyFormat, Value: strconv.Itoa(info.Format)},
		{Key: KeyScale, Value: strconv.FormatFloat(info.GradScale, 'g', -1, 64)},
		{Key: KeyGroups, Value: string(groupsJSON)},
		{Key: KeyStep, Value: strconv.FormatUint(info.T, 10)},
	}
	if len(info.Metadata) > MaxMetadata {
		return nil, fmt.Errorf("%d metadata, want at most %d", len(info.Metadata), MaxMetadata)
	}
	for _, key := range slices.Sorted(maps.Keys(info.Metadata)) {
		value := info.Metadata[key]
		if strings.HasPrefix(key, KeyPrefix) {
			return nil, fmt.Errorf("metadata %s: keys that begin with %q are the checkpoint's own",
				safetensors.Quote(key), KeyPrefix)
		}
		if !utf8.ValidString(key) || !utf8.ValidString(value) {
			return nil, fmt.Errorf("metadata %s is no UTF-8, key or value", safetensors.Quote(key))
		}
		metadata = append(metadata, safetensors.Meta{Key: key, Value: value})
	}
	return EncodeHead(metadata, data)
}

// format returns 3 where the file has anything of 16 or 8 bits, and otherwise 2 where it has
// metadata of the user, averages of some tensors only, tensors of float64, or an EpsUncorrected.
func format(info *Info, data []Data) int {
	format := 1
	for i := range info.Groups {
		if info.Groups[i].Config.EpsUncorrected {
			format = 2
		}
	}
	var count [Pieces]int
	for i := range data {
		p, _, ok := ParseKey(data[i].Name)
		if ok {
			count[p]++
		}
		switch data[i].DType {
		case Int64s:
			if ok && p == Key {
				return 3
			}
		case Float32s:
		case Float64s:
			format = 2
		default:
			return 3
		}
	}
	if len(info.Metadata) > 0 || count[EMA] > 0 && count[EMA] < count[Step] {
		format = 2
	}
	return format
}

// EncodeHead returns the beginning of any safetensors file of data. It sets From and To of data.
func EncodeHead(metadata []safetensors.Meta, data []Data) ([]byte, error) {
	tensors := make([]safetensors.Tensor, len(data))
	for i := range data {
		tensors[i] = data[i].Tensor
	}
	head, err := safetensors.Encode(metadata, tensors)
	for i := range data {
		data[i].Tensor = tensors[i]
	}
	return head, err
}

// Write writes a checkpoint that begins with head, which is from Encode, and puts the checksum into
// it. The checksum stands before the data, so Write reads the data twice.
func Write(w io.Writer, head []byte, data []Data) error {
	sum := crc32.ChecksumIEEE(head[safetensors.Prefix:])
	written := sum
	err := eachChunk(data, func(_ int, chunk []byte) error {
		sum = crc32.Update(sum, crc32.IEEETable, chunk)
		return nil
	})
	if err != nil {
		return err
	}
	copy(head[sumAt:], sumString(sum))
	err = WriteData(w, head, data, func(chunk []byte) {
		written = crc32.Update(written, crc32.IEEETable, chunk)
	})
	if err == nil && written != sum {
		err = ErrChanged
	}
	return err
}

// WriteData writes head and data, and shows what it writes of data.
func WriteData(w io.Writer, head []byte, data []Data, show func(chunk []byte)) error {
	b := bufio.NewWriterSize(strictWriter{w}, BufferSize)
	_, _ = b.Write(head) // b keeps the error
	err := eachChunk(data, func(_ int, chunk []byte) error {
		show(chunk)
		_, err := b.Write(chunk)
		return err
	})
	if err == nil {
		err = b.Flush()
	}
	return err
}

// A strictWriter makes an error of what a writer has left unwritten without one, which bufio tries
// for ever.
type strictWriter struct{ w io.Writer }

func (s strictWriter) Write(b []byte) (int, error) {
	n, err := s.w.Write(b)
	if err == nil && n < len(b) {
		err = io.ErrShortWrite
	}
	return n, err
}

func sumString(sum uint32) string { return fmt.Sprintf("%08x", sum) }

// eachChunk calls f with the bytes of data as they stand in the file, and with the index of data
// that they are of, until it returns an error. f may not keep them. They are copies: what f sums up
// is what it writes, even if the memory changes meanwhile.
func eachChunk(data []Data, f func(i int, chunk []byte) error) error {
	buffer := make([]byte, ChunkSize)
	for i := range data {
		d := &data[i]
		switch {
		case d.Source != nil:
			for at := d.From; at < d.To; {
				chunk := buffer[:min(d.To-at, ChunkSize)]
				if n, err := d.Source.File.ReadAt(chunk, d.Source.At+at-d.From); n < len(chunk) {
					return endsEarly(err)
				}
				if err := f(i, chunk); err != nil {
					return err
				}
				at += int64(len(chunk))
			}
		case d.DType == Int64s:
			if err := f(i, binary.LittleEndian.AppendUint64(nil, d.Count)); err != nil {
				return err
			}
		}
		for chunk := range slices.Chunk(d.Floats, ChunkSize) {
			chunk = buffer[:copy(buffer, chunk)]
			if BigEndian {
				reverse(chunk, d.DType)
			}
			if err := f(i, chunk); err != nil {
				return err
			}
		}
	}
	return nil
}
