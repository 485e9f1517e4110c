package zero

import (
	"cmp"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"

	"github.com/fusedadam/adam"
	"github.com/fusedadam/adam/internal/atomicfile"
	"github.com/fusedadam/adam/internal/checkpoint"
)

const (
	tokenSize = 16      // bytes by which ranks know a file that they share
	noteWords = 32      // of the token and the name of the new file, which has at most 215 bytes
	chunkSize = 1 << 20 // bytes of a file in a message
	stop      = math.MaxUint64
)

// SaveFile writes the checkpoint that [adam.Optimizer.SaveFile] of one process writes, byte for
// byte, and as atomic and durable. All ranks call it, between steps. Each writes its own part of
// the new file, which rank 0 creates in the folder of its path and gives the name when it is whole.
// A rank that does not see that file in the folder of its own path sends its part to rank 0.
//
// After an error, which all ranks have, path is as before, unless the error says that the new file
// is in place.
func (z *Optimizer) SaveFile(path string) error {
	if err := z.enter(); err != nil {
		return err
	}
	defer z.leave()
	if z.comm.Rank() != 0 {
		if _, _, err := z.write(path, nil); err != nil {
			return err
		}
		_, err := z.agree(nil)
		return err
	}
	created := false
	var told error // by agreement
	err := atomicfile.Write(path, func(w io.Writer) error {
		created = true
		f := w.(*os.File)
		head, pieces, err := z.write(path, f)
		if err != nil {
			told = err
			return err
		}
		return adam.FinishParts(f, head, pieces)
	})
	if told != nil {
		return told
	}
	if err != nil {
		err = fmt.Errorf("writing a checkpoint: %w", err)
	}
	if !created {
		return z.beginSaving(err)
	}
	_, err = z.agree(err)
	return err
}

var saveWords = []string{"has other Options", "has another T", "has another GradScale",
	"has other Configs", "has other Metadata"}

func (z *Optimizer) beginSaving(err error) error {
	return z.begin(saving, err, saveWords, z.optionsHash(), z.T, z.scaleBits(), z.configsHash(),
		z.metadataHash())
}

// write writes the parts of all ranks into the new file, which rank 0 has created, and returns the
// head and the pieces of all. Its errors are those of all ranks.
func (z *Optimizer) write(path string, f *os.File) (head []byte, pieces []adam.Piece, err error) {
	if err = z.bind(false); err == nil {
		z.settle()
	}
	z.words = z.words[:0]
	var note [8 * noteWords]byte
	if f != nil && err == nil {
		_, _ = rand.Read(note[:tokenSize])
		copy(note[tokenSize:], filepath.Base(f.Name()))
		// The head will stand there.
		if _, err = f.WriteAt(note[:tokenSize], 0); err == nil {
			err = f.Sync()
		}
	}
	if err := z.beginSaving(err); err != nil {
		return nil, nil, err
	}
	var own []uint64
	if f != nil {
		own = packed(nil, note[:])
	}
	words, err := z.gather(own, z.counts(func(r int) int {
		if r == 0 {
			return noteWords
		}
		return 0
	}))
	if err != nil {
		return nil, nil, err
	}
	token, name := unpacked(words, tokenSize), ""
	name = strings.TrimRight(string(unpacked(words, len(note))[tokenSize:]), "\x00")
	shared := f
	if f == nil {
		shared = find(filepath.Join(filepath.Dir(path), name), token)
	}
	sees := uint64(0)
	if shared != nil {
		sees = 1
	}
	heard, err := z.agree(nil, sees)
	if err != nil {
		return nil, nil, err
	}
	var far []int // ranks that do not see the file
	for r := range z.comm.Size() {
		if heard[r*said] == 0 {
			far = append(far, r)
		}
	}
	if head, pieces, err = z.writeParts(f, shared, far); err != nil {
		err = fmt.Errorf("%w (%s)", err, path)
	}
	h := fnv.New64a()
	_, _ = h.Write(head)
	if heard, err = z.agree(err, uint64(len(pieces)), h.Sum64()); err != nil {
		return nil, nil, err
	}
	counts := make([]int, z.comm.Size())
	for r := range counts {
		counts[r] = 3 * int(heard[r*said])
		if heard[r*said+1] != heard[1] {
			return nil, nil,
				fmt.Errorf("%w: rank %d has other things to save than rank 0: averages or "+
					"maxima of AMSGrad", ErrRank, r)
		}
	}
	z.words = z.words[:0]
	for _, p := range pieces {
		z.words = append(z.words, uint64(p.At), uint64(p.Len), uint64(p.Sum))
	}
	if words, err = z.gather(z.words, counts); err != nil {
		return nil, nil, err
	}
	pieces = nil
	for ; len(words) > 0; words = words[3:] {
		pieces = append(pieces,
			adam.Piece{At: int64(words[0]), Len: int64(words[1]), Sum: uint32(words[2])})
	}
	return head, pieces, nil
}

// find opens a file that begins with the token. It returns nil if there is none.
func find(path string, token []byte) *os.File {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil
	}
	var b [tokenSize]byte
	if _, err := f.ReadAt(b[:], 0); err != nil || string(b[:]) != string(token) {
		_ = f.Close()
		return nil
	}
	return f
}

// writeParts writes the parts of this rank into the shared file, or sends them to rank 0, where f
// is that file. Rank 0 writes those of the ranks that are far.
func (z *Optimizer) writeParts(f, shared *os.File, far []int) ([]byte, []adam.Piece, error) {
	var w io.WriterAt = sender{z}
	if shared != nil {
		w = shared
	}
	head, pieces, err := z.own.SaveParts(w)
	switch {
	case f != nil:
		for _, r := range far {
			err = cmp.Or(err, z.writeFor(r, f))
		}
	case shared != nil:
		if err == nil {
			err = shared.Sync()
		}
		err = cmp.Or(err, shared.Close())
	default:
		err = cmp.Or(err, z.tell(0, 0, 0))
	}
	return head, pieces, err
}

// A sender hands what is written to rank 0.
type sender struct{ z *Optimizer }

func (s sender) WriteAt(b []byte, at int64) (n int, err error) {
	for n < len(b) {
		chunk := b[n:min(n+chunkSize, len(b))]
		if err := s.z.tell(0, uint64(len(chunk)), uint64(at)+uint64(n)); err != nil {
			return n, err
		}
		s.z.comm.Send(0, chunk)
		if err := s.z.engine(s.z.comm.Wait(-1)); err != nil {
			return n, err
		}
		n += len(chunk)
	}
	return n, nil
}

// writeFor writes what a sender sends. After an error of the file it goes on listening.
func (z *Optimizer) writeFor(rank int, f io.WriterAt) (err error) {
	chunk := make([]byte, chunkSize)
	for {
		n, at, failed := z.hear(rank)
		if failed != nil || n == 0 {
			return cmp.Or(failed, err)
		}
		z.comm.Receive(rank, chunk[:n])
		if failed := z.engine(z.comm.Wait(-1)); failed != nil {
			return failed
		}
		if err == nil {
			_, err = f.WriteAt(chunk[:n], int64(at))
		}
	}
}

// tell announces n bytes of a file to a rank, 0 for the end.
func (z *Optimizer) tell(rank int, n, at uint64) error {
	var b [16]byte
	binary.LittleEndian.PutUint64(b[:], n)
	binary.LittleEndian.PutUint64(b[8:], at)
	z.comm.Send(rank, b[:])
	return z.engine(z.comm.Wait(-1))
}

// hear is the other side of tell.
func (z *Optimizer) hear(rank int) (n, at uint64, err error) {
	var b [16]byte
	z.comm.Receive(rank, b[:])
	if err := z.engine(z.comm.Wait(-1)); err != nil {
		return 0, 0, err
	}
	n, at = binary.LittleEndian.Uint64(b[:]), binary.LittleEndian.Uint64(b[8:])
	if n > chunkSize && n != stop {
		return 0, 0, z.engine(fmt.Errorf("rank %d announces %d bytes, want at most %d", rank, n,
			chunkSize))
	}
	return n, at, nil
}

// LoadFile restores what [adam.Optimizer.LoadFile] does, from a file of any number of ranks or of
// one process: see there for what is restored and for errors. All ranks call it and read the file.
// A rank that has no such file, or another one of that name, gets rank 0's. With Options.SaveParams
// all ranks have all parameters from the file.
//
// It is all or nothing on all ranks. Where rank 0 has no file, the errors of all ranks wrap
// fs.ErrNotExist. Gradients and leaves are left as they are.
func (z *Optimizer) LoadFile(path string) error {
	if err := z.enter(); err != nil {
		return err
	}
	defer z.leave()
	err := z.bind(false)
	var f *os.File
	if err == nil {
		z.settle()
		if f, err = atomicfile.Open(path); err == nil {
			defer f.Close()
		} else if z.comm.Rank() == 0 {
			err = fmt.Errorf("reading a checkpoint: %w", err)
		} else {
			err = nil
		}
	}
	identity := identify(f)
	err = z.begin(loading, err, []string{"has other Options"}, z.optionsHash(), identity)
	if err != nil {
		return err
	}
	s := &stream{z: z, f: f}
	for r := range z.comm.Size() {
		if z.heard[r*said+3] != z.heard[3] {
			s.to = append(s.to, r)
		}
	}
	if z.comm.Rank() != 0 {
		s.to = nil
		if identity != z.heard[3] {
			s.f = nil
		}
	}
	err = z.own.LoadParts(s)
	if !s.ended {
		s.abandon(err)
	}
	if s.verdict != nil {
		return fmt.Errorf("%w (%s)", s.verdict, path)
	}
	// All have read the file to its end, which is early if it is cut off.
	if _, verdict := z.agree(err); verdict != nil {
		if err == nil { // this rank alone has loaded it
			return z.engine(verdict)
		}
		return fmt.Errorf("%w (%s)", verdict, path)
	}
	z.GradScale, z.T, z.Metadata = z.own.GradScale, z.own.T, z.own.Metadata
	for i := range z.Groups {
		z.Groups[i].Config = z.own.Groups[i].Config
	}
	if !z.Options.SaveParams {
		return nil
	}
	for b := range z.buckets {
		z.share(b, true)
	}
	if err := z.comm.Wait(-1); err != nil {
		return z.engine(err)
	}
	z.copyValues(true)
	return nil
}

// identify returns a hash of a checkpoint's size and header, which has the checksum of the rest. It
// is 0 without a file.
func identify(f *os.File) uint64 {
	if f == nil {
		return 0
	}
	info, err := f.Stat()
	if err != nil {
		return 0
	}
	h := fnv.New64a()
	_ = binary.Write(h, binary.LittleEndian, info.Size())
	var prefix [8]byte
	if _, err := f.ReadAt(prefix[:], 0); err != nil {
		return h.Sum64() // LoadParts will say so
	}
	n := min(binary.LittleEndian.Uint64(prefix[:]), checkpoint.MaxHeader)
	_, _ = io.Copy(h, io.NewSectionReader(f, 0, 8+int64(n)))
	return h.Sum64()
}

// A stream is a checkpoint as a rank reads it, from its own file or from rank 0. Its end is an
// agreement: it ends only if all ranks have read to the end, and fails otherwise.
type stream struct {
	z       *Optimizer
	f       *os.File // nil: rank 0 sends it
	to      []int    // ranks to which this one, rank 0, sends what it reads
	chunk   []byte
	rest    []byte // of chunk
	stopped bool   // rank 0 sends no more
	failed  error  // of this rank
	ended   bool
	verdict error // once it has ended
}

func (s *stream) Read(b []byte) (int, error) {
	switch {
	case s.ended:
		return 0, cmp.Or(s.verdict, io.EOF)
	case s.f != nil && len(s.to) == 0:
		n, err := s.f.Read(b)
		if n == 0 && err == io.EOF {
			return 0, s.end()
		}
		return n, err
	case len(s.rest) == 0:
		if err := s.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(b, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

// fill reads the next chunk, and sends it to those who need it.
func (s *stream) fill() error {
	z := s.z
	if s.chunk == nil {
		s.chunk = make([]byte, chunkSize)
	}
	if s.f == nil {
		n, _, err := z.hear(0)
		switch {
		case err != nil:
			return err
		case n == stop:
			s.stopped = true
			return errors.New("rank 0 sends no more of it")
		case n == 0:
			return s.end()
		}
		s.rest = s.chunk[:n]
		z.comm.Receive(0, s.rest)
		return z.engine(z.comm.Wait(-1))
	}
	n, err := s.f.Read(s.chunk)
	if n == 0 && err != io.EOF {
		return cmp.Or(err, io.ErrNoProgress)
	}
	for _, r := range s.to {
		if err := z.tell(r, uint64(n), 0); err != nil {
			return err
		}
		if n > 0 {
			z.comm.Send(r, s.chunk[:n])
		}
	}
	if err := z.engine(z.comm.Wait(-1)); err != nil {
		return err
	}
	if s.rest = s.chunk[:n]; n == 0 {
		return s.end()
	}
	return nil
}

// end agrees on the end of the file.
func (s *stream) end() error {
	s.ended = true
	_, s.verdict = s.z.agree(s.failed)
	return cmp.Or(s.verdict, io.EOF)
}

// abandon is the end for a rank that has failed before it. Those who wait for it learn of it.
func (s *stream) abandon(err error) {
	s.failed = err
	for _, r := range s.to {
		_ = s.z.tell(r, stop, 0) // the engine's error is the verdict, too
	}
	for s.f == nil && !s.stopped && !s.ended && s.z.broken == nil {
		if s.fill() == nil {
			s.rest = nil
		}
	}
	if !s.ended {
		_ = s.end()
	}
}
