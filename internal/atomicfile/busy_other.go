//go:build !unix && !windows

package atomicfile

func busy(error) bool { return false }
