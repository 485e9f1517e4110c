package adam

import (
	"fmt"
	"io"

	"github.com/fusedadam/adam/internal/atomicfile"
)

// SaveFile is [Optimizer.Save] to a file. It is atomic and durable: whenever the program or the
// machine stops, path holds the whole checkpoint that was there before (if any) or the whole new
// one. Once SaveFile has returned, the new one is on the disk, as far as the operating system can
// tell.
//
// The checkpoint is first written to a new file in the same folder, path with a number and ".tmp"
// appended, which a program that is killed may leave behind. The file keeps the permissions of the
// one that it replaces. A link at path is replaced, not followed. Where several programs save to
// one path at a time, the last one wins.
//
// After an error path is as before, unless the error says that the new file is in place. On Windows
// a checkpoint that others have open cannot be replaced: SaveFile tries for two seconds, and if it
// fails the error names the new file, which stays.
func (o *Optimizer) SaveFile(path string) error {
	if err := o.enter(); err != nil {
		return err
	}
	defer o.leave()
	var err error
	err2 := atomicfile.Write(path, func(w io.Writer) error {
		err = o.save(w)
		return err
	})
	if err == nil && err2 != nil {
		err = fmt.Errorf("adam: writing a checkpoint: %w", err2)
	}
	return err
}

// LoadFile is [Optimizer.Load] from a file. Its errors name the path. One that wraps
// fs.ErrNotExist, if there is no such file, does not wrap [ErrCheckpoint].
func (o *Optimizer) LoadFile(path string) error {
	return o.loadFile(path, o.load)
}

// LoadFileWith is [Optimizer.LoadWith] from a file, with the errors of [Optimizer.LoadFile].
func (o *Optimizer) LoadFileWith(path string, options LoadOptions) (Loaded, error) {
	var loaded Loaded
	err := o.loadFile(path, func(r io.Reader) (err error) {
		loaded, err = o.loadWith(r, options)
		return err
	})
	return loaded, err
}

func (o *Optimizer) loadFile(path string, load func(r io.Reader) error) error {
	if err := o.enter(); err != nil {
		return err
	}
	defer o.leave()
	f, err := atomicfile.Open(path)
	if err != nil {
		return fmt.Errorf("adam: reading a checkpoint: %w", err)
	}
	defer f.Close()
	if err := load(f); err != nil {
		return fmt.Errorf("%w (%s)", err, path)
	}
	return nil
}
