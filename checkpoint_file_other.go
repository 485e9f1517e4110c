//go:build !unix

package adam

// syncFolder does nothing: this system has no way to make the names in a folder durable.
func syncFolder(string) error { return nil }
