//go:build unix

package adam

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
)

// syncFolder makes the names in the folder of path durable.
func syncFolder(path string) error {
	folder, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer folder.Close()
	if err := folder.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, errors.ErrUnsupported) {
		return err // others: a file system that does not do this for folders
	}
	return nil
}
