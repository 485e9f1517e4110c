// Package atomicfile replaces files as a whole: whenever the program or the machine stops, the old
// content or the new one is there.
package atomicfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"
)

// A file is what is written before it gets its name.
type file interface {
	io.Writer
	Chmod(mode fs.FileMode) error
	Sync() error
	Close() error
}

// A folder makes the names in it durable.
type folder interface {
	Sync() error
	Close() error
}

// A system is the part of the operating system that Write needs. Tests record it, and let it fail.
type system struct {
	openFolder func(name string) (folder, error)
	lstat      func(name string) (fs.FileInfo, error)
	// fails if there is a file of that name
	create   func(name string, mode fs.FileMode) (file, error)
	rename   func(from, to string) error
	remove   func(name string) error
	busy     func(err error) bool // another program has the file open, which will pass
	patience time.Duration        // how long to wait for other programs
}

var real = system{
	openFolder: openFolder,
	lstat:      os.Lstat,
	create: func(name string, mode fs.FileMode) (file, error) {
		return os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	},
	rename:   os.Rename,
	remove:   os.Remove,
	busy:     busy,
	patience: 2 * time.Second,
}

// Write makes what write writes the content of the file at path.
//
// It writes a new file in the same folder, flushes it to the disk, gives it the name path, and
// flushes the folder where the system can do that (Unix). Several writers at once leave the whole
// file of one of them. The file keeps the permissions of the one that it replaces. A link at path
// is replaced, not followed. After an error path is as before, unless the error says that the new
// file is in place. w is an *os.File.
func Write(path string, write func(w io.Writer) error) error { return real.write(path, write) }

func (s system) write(path string, write func(w io.Writer) error) error {
	dir, err := s.openFolder(filepath.Dir(path)) // now, while an error leaves everything as it was
	if err != nil {
		return fmt.Errorf("the folder must be readable, to make the name durable: %w", err)
	}
	defer dir.Close()
	f, temporary, err := s.createBeside(path)
	if err != nil {
		return err
	}
	err = write(f)
	if err == nil {
		err = f.Sync()
	}
	if err2 := f.Close(); err == nil {
		err = err2
	}
	if err != nil {
		_ = s.remove(temporary)
		return err
	}
	if err := s.patiently(func() error { return s.rename(temporary, path) }); err != nil {
		if s.busy(err) {
			return fmt.Errorf("%w; the whole new file is %s", err, temporary)
		}
		_ = s.remove(temporary)
		return err
	}
	if err := dir.Sync(); err != nil {
		return fmt.Errorf("the new file is in place, but may be lost in a power cut: %w", err)
	}
	return nil
}

// createBeside creates a file of a name of its own in the folder of path, with the permissions of
// the file at path.
func (s system) createBeside(path string) (f file, name string, err error) {
	mode, keep := fs.FileMode(0o666), false // before umask
	if old, err := s.lstat(path); err == nil {
		switch {
		case old.Mode().IsRegular():
			mode, keep = old.Mode().Perm(), true
		case old.Mode().IsDir():
			return nil, "", &fs.PathError{Op: "replace", Path: path, Err: errors.New("is a folder")}
		}
	}
	base := filepath.Base(path)
	base = base[:min(len(base), 200)] // names have at most 255 bytes
	for range 100 {
		name = filepath.Join(filepath.Dir(path), fmt.Sprintf("%s.%010d.tmp", base, rand.Uint32()))
		if f, err = s.create(name, mode); !errors.Is(err, fs.ErrExist) {
			break
		}
	}
	if err != nil {
		return nil, "", err
	}
	if keep { // what umask has taken away
		if err := f.Chmod(mode); err != nil {
			_ = f.Close()
			_ = s.remove(name)
			return nil, "", err
		}
	}
	return f, name, nil
}

// Open opens the file at path for reading.
func Open(path string) (*os.File, error) {
	var f *os.File
	err := real.patiently(func() (err error) {
		f, err = os.Open(path)
		return err
	})
	return f, err
}

// patiently calls f until it succeeds, fails for good, or its patience is at an end.
func (s system) patiently(f func() error) error {
	began := time.Now()
	for pause := time.Millisecond; ; pause = min(2*pause, s.patience/10) {
		err := f()
		if err == nil || !s.busy(err) || time.Since(began) > s.patience {
			return err
		}
		time.Sleep(pause)
	}
}
