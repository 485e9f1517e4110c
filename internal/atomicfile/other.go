//go:build !unix

package atomicfile

// noFolder stands for a folder on systems that cannot make the names in it durable.
type noFolder struct{}

func openFolder(string) (folder, error) { return noFolder{}, nil }
func (noFolder) Sync() error            { return nil }
func (noFolder) Close() error           { return nil }
