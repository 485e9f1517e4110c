package adam

import (
	"fmt"
	"os"
)

// SaveFile is [Optimizer.Save] to a file. It is atomic and durable: whenever the program or the machine
// stops, path holds the whole checkpoint that was there before (if any) or the whole new one, and once SaveFile
// has returned, the new one is on the disk, as far as the operating system can tell.
//
// The checkpoint is first written to path with ".tmp" appended, in the same folder. A program that is killed may leave
// that file behind; the next SaveFile writes over it. Two goroutines or programs must not save to one path at
// the same time. A symbolic link at path is replaced, not followed.
func (o *Optimizer) SaveFile(path string) error {
	if err := o.enter(); err != nil {
		return err
	}
	defer o.leave()
	temporary := path + ".tmp"
	f, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o666)
	if err != nil {
		return fmt.Errorf("adam: writing a checkpoint: %w", err)
	}
	if err := o.saveTo(f, path); err != nil {
		_ = os.Remove(temporary)
		return err
	}
	if err := syncFolder(path); err != nil {
		return fmt.Errorf("adam: writing a checkpoint: %w", err)
	}
	return nil
}

// saveTo writes the checkpoint to f, closes it and gives it the name path.
func (o *Optimizer) saveTo(f *os.File, path string) error {
	if err := o.save(f); err != nil {
		_ = f.Close()
		return err
	}
	err := f.Sync()
	if err2 := f.Close(); err == nil {
		err = err2
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("adam: writing a checkpoint: %w", err)
	}
	return nil
}

// LoadFile is [Optimizer.Load] from a file. Its errors name the path, and wrap fs.ErrNotExist if there is no
// such file.
func (o *Optimizer) LoadFile(path string) error {
	if err := o.enter(); err != nil {
		return err
	}
	defer o.leave()
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("adam: reading a checkpoint: %w", err)
	}
	defer f.Close()
	if err := o.load(f); err != nil {
		return fmt.Errorf("%w (%s)", err, path)
	}
	return nil
}
