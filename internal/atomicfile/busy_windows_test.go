package atomicfile

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Somebody has the file open for a while: an evaluation that loads it, an upload, a virus scanner.
func TestReplacedWhileRead(t *testing.T) {
	path := filepath.Join(tempDir(t), "file")
	require.NoError(t, Write(path, words("old")))
	reader, err := os.Open(path)
	require.NoError(t, err)
	closing := time.AfterFunc(200*time.Millisecond, func() { reader.Close() })
	defer closing.Stop()
	require.NoError(t, Write(path, words("new")))
	assert.Equal(t, "new", read(t, path))
}

// Somebody never closes it: the new file stays, and the error names it.
func TestReplacedWhileReadForEver(t *testing.T) {
	folder := tempDir(t)
	path := filepath.Join(folder, "file")
	require.NoError(t, Write(path, words("old")))
	reader, err := os.Open(path)
	require.NoError(t, err)
	defer reader.Close()
	err = Write(path, words("new"))
	require.Error(t, err)
	assert.Equal(t, "old", read(t, path))
	list, err2 := filepath.Glob(filepath.Join(folder, "file.*.tmp"))
	require.NoError(t, err2)
	require.Len(t, list, 1)
	assert.True(t, strings.HasSuffix(err.Error(), list[0]), err.Error())
	assert.Equal(t, "new", read(t, list[0]))
}
