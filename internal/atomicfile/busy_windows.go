package atomicfile

import (
	"errors"

	"golang.org/x/sys/windows"
)

// busy: a file cannot be replaced while others have it open, nor opened at the moment in which it
// is replaced.
func busy(err error) bool {
	return errors.Is(err, windows.ERROR_ACCESS_DENIED) ||
		errors.Is(err, windows.ERROR_SHARING_VIOLATION)
}
