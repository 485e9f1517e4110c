package checkpoint

import (
	"bufio"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"

	"github.com/fusedadam/adam/internal/safetensors"
)

// A Run is bytes of a file that stand next to each other, and their checksum.
type Run struct {
	At, Len int64
	Sum     uint32
}

// AppendCounts appends to head, which is from Encode, what stands before the floats of data in the
// file: the counts, with which data begin.
func AppendCounts(head []byte, data []Data) []byte {
	for i := 0; i < len(data) && data[i].DType == Int64s; i++ {
		head = binary.LittleEndian.AppendUint64(head, data[i].Count)
	}
	return head
}

// WriteParts writes each of data where From says in the file that begins with head, and returns
// what it has written.
func WriteParts(w io.WriterAt, head []byte, data []Data) ([]Run, error) {
	begin := safetensors.Prefix + int64(binary.LittleEndian.Uint64(head))
	runs := make([]Run, 0, len(data))
	b := bufio.NewWriterSize(io.Discard, BufferSize)
	last, end := -1, int64(0) // of what b has been given
	err := eachChunk(data, func(i int, chunk []byte) error {
		if i != last {
			at := begin + data[i].From
			if at != end {
				if err := b.Flush(); err != nil {
					return err
				}
				b.Reset(strictWriter{io.NewOffsetWriter(w, at)})
			}
			last, end = i, at
			runs = append(runs, Run{At: at})
		}
		r := &runs[len(runs)-1]
		r.Len += int64(len(chunk))
		r.Sum = crc32.Update(r.Sum, crc32.IEEETable, chunk)
		end += int64(len(chunk))
		_, err := b.Write(chunk)
		return err
	})
	if err == nil {
		err = b.Flush()
	}
	return runs, err
}

// Finish checks that the runs fill the file that begins with head, which is from AppendCounts, and
// returns head with the checksum. A run may be there several times.
func Finish(head []byte, runs []Run) ([]byte, error) {
	tensors, err := decodeHead(head)
	if err != nil {
		return nil, err
	}
	begin := safetensors.Prefix + int64(binary.LittleEndian.Uint64(head))
	end := begin
	if n := len(tensors); n > 0 {
		end += tensors[n-1].To
	}
	// where says of which tensor a byte of the file is.
	where := func(at int64) string {
		i, _ := slices.BinarySearchFunc(tensors, at-begin+1,
			func(t safetensors.Tensor, to int64) int { return cmp.Compare(t.To, to) })
		if i == len(tensors) || at < begin {
			return fmt.Sprintf("byte %d", at)
		}
		return fmt.Sprintf("byte %d, which is of %s", at, safetensors.Quote(tensors[i].Name))
	}
	runs = slices.Clone(runs)
	slices.SortFunc(runs, func(a, b Run) int {
		return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(a.Len, b.Len),
			cmp.Compare(a.Sum, b.Sum))
	})
	sum, at := crc32.ChecksumIEEE(head[safetensors.Prefix:]), int64(len(head))
	for i, r := range runs {
		switch {
		case r.Len < 0 || r.At < 0 || r.Len > end-r.At:
			return nil, fmt.Errorf("a piece of %d bytes at byte %d, and the file has %d", r.Len,
				r.At, end)
		case r.Len == 0 || i > 0 && r == runs[i-1]:
		case r.At > at:
			return nil, fmt.Errorf("nobody has written %d bytes from %s", r.At-at, where(at))
		case i > 0 && r.At == runs[i-1].At && r.Len == runs[i-1].Len:
			return nil, fmt.Errorf("%d bytes from %s were written twice, with checksums %08x and "+
				"%08x", r.Len, where(r.At), runs[i-1].Sum, r.Sum)
		case r.At < at:
			return nil, fmt.Errorf("%d bytes from %s were written twice", min(at-r.At, r.Len),
				where(r.At))
		default:
			sum, at = Combine(sum, r.Sum, r.Len), r.At+r.Len
		}
	}
	if at < end {
		return nil, fmt.Errorf("nobody has written %d bytes from %s", end-at, where(at))
	}
	head = slices.Clone(head)
	copy(head[sumAt:], sumString(sum))
	return head, nil
}

// decodeHead returns the tensors of a head that is from AppendCounts.
func decodeHead(head []byte) ([]safetensors.Tensor, error) {
	fault := errors.New("the head is not from SaveParts")
	if len(head) < sumAt+len(blank) || string(head[sumAt:sumAt+len(blank)]) != blank {
		return nil, fault
	}
	rest := head[safetensors.Prefix:]
	n := binary.LittleEndian.Uint64(head)
	if n > uint64(len(rest)) {
		return nil, fault
	}
	tensors, err := safetensors.Decode(string(rest[:n]), -1,
		func(safetensors.Meta) error { return nil })
	counts := int64(0)
	for i := 0; i < len(tensors) && tensors[i].DType == Int64s; i++ {
		counts = tensors[i].To
	}
	if err != nil || counts != int64(len(rest))-int64(n) {
		return nil, fault
	}
	return tensors, nil
}

// Combine returns the CRC-32 of a‖b from those of a and of b, and the length of b: a·x^(8n) + b, in
// polynomials over GF(2) modulo that of the CRC. What a CRC begins and ends with cancels out.
func Combine(a, b uint32, n int64) uint32 {
	power := uint32(1 << 23) // x^8: the highest bit is x^0
	for ; n > 0; n >>= 1 {
		if n&1 != 0 {
			a = product(a, power)
		}
		power = product(power, power)
	}
	return a ^ b
}

// product multiplies two polynomials modulo that of the CRC.
func product(a, b uint32) (p uint32) {
	for ; a != 0; a <<= 1 {
		p ^= b & -(a >> 31)          // + b·x^i, for the coefficient of x^i in a
		b = b>>1 ^ crc32.IEEE&-(b&1) // ·x
	}
	return p
}
