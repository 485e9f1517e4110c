package progress

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// On a terminal the line says how far it is, and is blank when it is cleared and in the end.
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
	blank := "\r" + strings.Repeat(" ", width) + "\r"
	out.Reset()
	b.Clear()
	b.Clear()
	if got := out.String(); got != blank {
		t.Errorf("cleared: %q", got)
	}
	b.Add(1)
	out.Reset()
	b.Set(4)
	if got := out.String(); got != blank {
		t.Errorf("in the end: %q", got)
	}
	b.Set(2)
	if !strings.HasSuffix(out.String(), "\rsecond: 50 %, 0s left"+strings.Repeat(" ", width-21)) {
		t.Errorf("after it: %q", out.String())
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
