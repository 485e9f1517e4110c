package progress

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// On a terminal the line says how far it is, and is blank in the end.
func TestBar(t *testing.T) {
	var out strings.Builder
	b := New(3, "first")
	b.w = &out
	b.Name("second")
	b.Grow(1)
	b.Add(1)
	if !strings.HasPrefix(out.String(), "\rsecond: 25 %, 0s left ") {
		t.Errorf("shown %q", out.String())
	}
	out.Reset()
	b.Set(4)
	b.Clear()
	if got := out.String(); got != "\r"+strings.Repeat(" ", width)+"\r" {
		t.Errorf("in the end %q", got)
	}
}

func TestNoTerminal(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	defer func(stderr *os.File) { os.Stderr = stderr }(os.Stderr)
	os.Stderr = f
	New(2, "name").Add(1)
	if info, err := f.Stat(); err != nil || info.Size() > 0 {
		t.Errorf("%v bytes in the file, %v", info.Size(), err)
	}
}
