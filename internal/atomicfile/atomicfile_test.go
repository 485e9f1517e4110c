package atomicfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A disk is a folder of files as the system shows them, and as they are after a power cut. It
// records what is done, and fails or stops at one of the operations.
type disk struct {
	seen, durable map[string]*inode // by name
	log           []string
	at            int   // operation that fails, or before which the power is cut; 0: none
	err           error // of that operation
	open          int   // files and folders that are not closed
}

// An inode is the content of a file, and what of it has been synced.
type inode struct {
	content, synced string
	mode            fs.FileMode
}

var errCut = errors.New("power cut")

func newDisk(path, content string) *disk {
	old := &inode{content, content, 0o640}
	return &disk{seen: map[string]*inode{path: old}, durable: map[string]*inode{path: old}}
}

func (d *disk) do(format string, a ...any) error {
	if errors.Is(d.err, errCut) && d.at > 0 && len(d.log) >= d.at {
		return errCut // nothing works any more
	}
	d.log = append(d.log, fmt.Sprintf(format, a...))
	if len(d.log) == d.at {
		return d.err
	}
	return nil
}

type diskFile struct {
	d *disk
	*inode
}

func (f diskFile) Write(b []byte) (int, error) {
	if err := f.d.do("write"); err != nil {
		return 0, err
	}
	f.content += string(b)
	return len(b), nil
}

func (f diskFile) Chmod(mode fs.FileMode) error {
	f.mode = mode
	return f.d.do("chmod %o", mode)
}

func (f diskFile) Sync() error {
	err := f.d.do("sync")
	if err == nil {
		f.synced = f.content
	}
	return err
}

func (f diskFile) Close() error { f.d.open--; return f.d.do("close") }

type diskFolder struct{ d *disk }

func (f diskFolder) Sync() error {
	err := f.d.do("sync folder")
	if err == nil {
		f.d.durable = map[string]*inode{}
		for name, i := range f.d.seen {
			f.d.durable[name] = i
		}
	}
	return err
}

func (f diskFolder) Close() error { f.d.open--; return nil }

type info struct {
	fs.FileInfo
	mode fs.FileMode
}

func (i info) Mode() fs.FileMode { return i.mode }

func (d *disk) system() system {
	return system{
		openFolder: func(name string) (folder, error) {
			err := d.do("open folder %s", name)
			if err == nil {
				d.open++
			}
			return diskFolder{d}, err
		},
		lstat: func(name string) (fs.FileInfo, error) {
			if i, ok := d.seen[name]; ok {
				return info{mode: i.mode}, nil
			}
			return nil, fs.ErrNotExist
		},
		create: func(name string, mode fs.FileMode) (file, error) {
			if err := d.do("create"); err != nil {
				return nil, err
			}
			d.open++
			d.seen[name] = &inode{mode: mode}
			return diskFile{d, d.seen[name]}, nil
		},
		rename: func(from, to string) error {
			if err := d.do("rename to %s", to); err != nil {
				return err
			}
			d.seen[to] = d.seen[from]
			delete(d.seen, from)
			return nil
		},
		remove: func(name string) error {
			err := d.do("remove")
			if err == nil {
				delete(d.seen, name)
			}
			return err
		},
		busy:     func(error) bool { return false },
		patience: 20 * time.Millisecond,
	}
}

func words(list ...string) func(io.Writer) error {
	return func(w io.Writer) error {
		for _, s := range list {
			if _, err := io.WriteString(w, s); err != nil {
				return err
			}
		}
		return nil
	}
}

const path = "folder/name"

var steps = []string{"open folder folder", "create", "chmod 640", "write", "write", "sync", "close",
	"rename to folder/name", "sync folder"}

func TestOrder(t *testing.T) {
	d := newDisk(path, "old")
	require.NoError(t, d.system().write(path, words("new", "er")))
	assert.Equal(t, steps, d.log)
	assert.Equal(t, "newer", d.seen[path].content)
	assert.EqualValues(t, 0o640, d.seen[path].mode)
	assert.Len(t, d.seen, 1)
	assert.Zero(t, d.open)
}

// Each operation fails once: the error is returned, and the old file is there, or the error says
// that the new one is.
func TestEachFailure(t *testing.T) {
	for i, step := range steps {
		d := newDisk(path, "old")
		d.at, d.err = i+1, errors.New("no more")
		err := d.system().write(path, words("new", "er"))
		require.ErrorIs(t, err, d.err, step)
		want := "old"
		if step == "sync folder" {
			want = "newer"
			assert.ErrorContains(t, err, "the new file is in place")
		} else {
			assert.NotContains(t, err.Error(), "in place")
		}
		assert.Equal(t, want, d.seen[path].content, step)
		assert.Len(t, d.seen, 1, "no temporary file is left after %q", step)
		assert.Zero(t, d.open, step)
	}
}

// The power is cut before each operation, and after the last. The names that were not made durable
// may be there or not, and what was not synced is lost: the old file or the new one is whole, and
// the new one once Write has returned.
func TestPowerCut(t *testing.T) {
	for cut := 1; cut <= len(steps)+1; cut++ {
		d := newDisk(path, "old")
		d.at, d.err = cut, errCut
		err := d.system().write(path, words("new", "er"))
		require.Equal(t, cut <= len(steps), err != nil)
		for what, names := range map[string]map[string]*inode{"durable": d.durable,
			"seen": d.seen} {
			got := names[path].synced
			if err != nil && got == "old" {
				continue
			}
			assert.Equal(t, "newer", got, "cut before operation %d, %s names", cut, what)
		}
	}
}

// Where others have the file open, Write and Open try again for a while; in the end the new file
// stays.
func TestBusy(t *testing.T) {
	inUse := errors.New("in use")
	for _, times := range []int{3, 1 << 30} {
		d := newDisk(path, "old")
		s := d.system()
		if times == 3 {
			s.patience = time.Hour
		}
		rename, tries := s.rename, 0
		s.rename = func(from, to string) error {
			if tries++; tries <= times {
				return inUse
			}
			return rename(from, to)
		}
		s.busy = func(err error) bool { return errors.Is(err, inUse) }
		err := s.write(path, words("new"))
		if times == 3 {
			require.NoError(t, err)
			assert.Equal(t, "new", d.seen[path].content)
			continue
		}
		require.ErrorIs(t, err, inUse)
		assert.Equal(t, "old", d.seen[path].content)
		assert.Len(t, d.seen, 2)
		for name, i := range d.seen {
			if name != path {
				assert.ErrorContains(t, err, name)
				assert.Equal(t, "new", i.synced)
			}
		}
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	f, err := Open(path)
	require.NoError(t, err)
	defer f.Close()
	b, err := io.ReadAll(f)
	require.NoError(t, err)
	return string(b)
}

// tempDir is t.TempDir, but for Wine, where its cleanup fails.
func tempDir(t *testing.T) string {
	if runtime.GOOS != "windows" {
		return t.TempDir()
	}
	folder, err := os.MkdirTemp("", "atomicfile")
	require.NoError(t, err)
	return folder
}

func TestReal(t *testing.T) {
	folder := tempDir(t)
	path := filepath.Join(folder, strings.Repeat("n", 250))
	for _, s := range []string{"one", "two"} {
		require.NoError(t, Write(path, words(s)))
		assert.Equal(t, s, read(t, path))
	}
	_, err := Open(filepath.Join(folder, "none"))
	assert.ErrorIs(t, err, fs.ErrNotExist)
	assert.ErrorIs(t, Write(filepath.Join(folder, "no", "folder"), words("x")), fs.ErrNotExist)
	taken := filepath.Join(folder, "taken")
	require.NoError(t, os.MkdirAll(filepath.Join(taken, "by a folder"), 0o777))
	require.Error(t, Write(taken, words("x")))
	inUse := errors.New("unfinished")
	require.ErrorIs(t, Write(path, func(io.Writer) error { return inUse }), inUse)
	assert.Equal(t, "two", read(t, path))
	left, err := os.ReadDir(folder)
	require.NoError(t, err)
	assert.Len(t, left, 2, "no temporary file is left")
}

// Writers at one time leave the whole file of one of them, and none fails.
func TestWritersTogether(t *testing.T) {
	defer func(before time.Duration) { real.patience = before }(real.patience)
	real.patience = 20 * time.Second // the machine may be busy
	path := filepath.Join(tempDir(t), "file")
	var all sync.WaitGroup
	for i := range 8 {
		all.Add(1)
		go func() {
			defer all.Done()
			for range 20 {
				content := strings.Repeat(fmt.Sprint(i), 100_000)
				assert.NoError(t, Write(path, words(content[:50_000], content[50_000:])))
				got := read(t, path)
				if got != strings.Repeat(got[:1], 100_000) {
					t.Error("a mixture")
				}
			}
		}()
	}
	all.Wait()
}
