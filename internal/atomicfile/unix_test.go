//go:build unix

package atomicfile

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The permissions of the file that is replaced stay, whatever umask says.
func TestPermissions(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	require.NoError(t, Write(path, words("a")))
	fresh, err := os.Create(path + ".fresh")
	require.NoError(t, err)
	defer fresh.Close()
	want, err := fresh.Stat()
	require.NoError(t, err)
	got, err := os.Stat(path)
	require.NoError(t, err)
	assert.Equal(t, want.Mode(), got.Mode(), "a new file is as os.Create makes it")
	for _, mode := range []os.FileMode{0o600, 0o666, 0o400, 0o755} {
		require.NoError(t, os.Chmod(path, mode))
		require.NoError(t, Write(path, words("b")))
		got, err := os.Stat(path)
		require.NoError(t, err)
		assert.Equal(t, mode, got.Mode())
	}
}

// A link at path is replaced, and no link is followed.
func TestLinks(t *testing.T) {
	folder := t.TempDir()
	victim, path := filepath.Join(folder, "victim"), filepath.Join(folder, "file")
	require.NoError(t, os.WriteFile(victim, []byte("precious"), 0o600))
	for _, link := range []func(old, new string) error{os.Symlink, os.Link} {
		require.NoError(t, link(victim, path))
		require.NoError(t, link(victim, path+".tmp")) // an older version wrote here
		require.NoError(t, Write(path, words("new")))
		assert.Equal(t, "new", read(t, path))
		assert.Equal(t, "precious", read(t, victim))
		info, err := os.Lstat(path)
		require.NoError(t, err)
		assert.True(t, info.Mode().IsRegular())
		require.NoError(t, os.Remove(path+".tmp"))
		require.NoError(t, os.Remove(path))
	}
}

// A folder that cannot be opened is an error before anything is written.
func TestFolderNotReadable(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root may read every folder; TestEachFailure has the case")
	}
	folder := filepath.Join(t.TempDir(), "drop box")
	require.NoError(t, os.Mkdir(folder, 0o300))
	require.ErrorIs(t, Write(filepath.Join(folder, "file"), words("x")), os.ErrPermission)
	require.NoError(t, os.Chmod(folder, 0o700))
	left, err := os.ReadDir(folder)
	require.NoError(t, err)
	assert.Empty(t, left)
}
