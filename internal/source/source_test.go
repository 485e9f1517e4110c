package source_test

import (
	"path/filepath"
	"testing"

	"github.com/fusedadam/adam/internal/source"
)

func TestDir(t *testing.T) {
	if dir := source.Dir(source.Dir); filepath.Base(dir) != "source" {
		t.Error(dir)
	}
}
