package adam

import (
	"bytes"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"testing"
	"time"

	"github.com/fusedadam/adam/internal/atomicfile"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestCheckpointFile(t *testing.T) {
	source := newSmall(t)
	folder := t.TempDir()
	path := filepath.Join(folder, "run.safetensors")
	require.NoError(t, source.SaveFile(path))
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, saved(t, source), content)

	o := newTarget(t, smallOptions)
	require.NoError(t, o.LoadFile(path))
	require.Empty(t, differ(source, o))
	train(t, source, 4, 5)
	require.NoError(t, source.SaveFile(path), "over another")
	require.NoError(t, o.LoadFile(path))
	require.Empty(t, differ(source, o))

	before := everything(o)
	err = o.LoadFile(filepath.Join(folder, "other"))
	require.ErrorIs(t, err, os.ErrNotExist)
	require.NotErrorIs(t, err, ErrCheckpoint)
	require.NoError(t, os.WriteFile(path, content[:100], 0o666))
	err = o.LoadFile(path)
	require.ErrorIs(t, err, ErrCheckpoint)
	require.ErrorContains(t, err, path)
	require.Equal(t, before, everything(o))
	require.ErrorIs(t, o.SaveFile(filepath.Join(folder, "no", "folder")), os.ErrNotExist)
}

// A checkpoint that cannot be made leaves the one before, and nothing else.
func TestCheckpointFileRefused(t *testing.T) {
	o := newSmall(t)
	folder := t.TempDir()
	path := filepath.Join(folder, "checkpoint")
	require.NoError(t, o.SaveFile(path))
	before, err := os.ReadFile(path)
	require.NoError(t, err)
	o.State("a").T = math.MaxUint64
	require.ErrorIs(t, o.SaveFile(path), ErrCheckpoint)
	after, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, before, after)
	left, err := os.ReadDir(folder)
	require.NoError(t, err)
	assert.Len(t, left, 1)
}

// A moment that changes while Save writes is an error, and the file is not replaced.
func TestCheckpointChangesMeanwhile(t *testing.T) {
	o := newOptimizer(t, Options{SaveParams: true},
		Group{Config: Default(), Params: someTensors(1<<20, "a")})
	path := filepath.Join(t.TempDir(), "checkpoint")
	require.NoError(t, o.SaveFile(path))
	before, err := os.ReadFile(path)
	require.NoError(t, err)
	err = atomicfile.Write(path, func(w io.Writer) error { return o.Save(&meddler{w: w, o: o}) })
	require.ErrorIs(t, err, ErrCheckpoint)
	require.ErrorContains(t, err, "changed while it was saved")
	after, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.True(t, bytes.Equal(before, after))
}

// A meddler changes the last parameter at the first write.
type meddler struct {
	w io.Writer
	o *Optimizer
}

func (m *meddler) Write(b []byte) (int, error) {
	v := m.o.State("a").V
	v[len(v)-1] = 1
	return m.w.Write(b)
}

// LoadFile closes the file, whether it succeeds or not.
func TestLoadFileCloses(t *testing.T) {
	descriptors := func() int {
		list, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Skip("no /proc/self/fd")
		}
		return len(list)
	}
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // which would close what is forgotten
	o := newSmall(t)
	good, bad := filepath.Join(t.TempDir(), "good"), filepath.Join(t.TempDir(), "bad")
	require.NoError(t, o.SaveFile(good))
	require.NoError(t, os.WriteFile(bad, []byte("no checkpoint"), 0o600))
	before := descriptors()
	for range 50 {
		require.NoError(t, o.LoadFile(good))
		require.Error(t, o.LoadFile(bad))
	}
	assert.Less(t, descriptors(), before+50)
}

// needsChildren skips t where the test binary cannot be started anew.
func needsChildren(t *testing.T) {
	if exec.Command(os.Args[0], "-test.run=^$").Run() != nil {
		t.Skip("under an emulator that cannot start the test binary anew")
	}
}

// childOf returns a command that runs one test of this binary anew.
func childOf(test string, env ...string) *exec.Cmd {
	child := exec.Command(os.Args[0], "-test.run=^"+test+"$")
	child.Env = append(append(os.Environ(), "ADAM_TEST_REQUIRE="), env...)
	return child
}

const childFolder = "ADAM_TEST_CHECKPOINT_FOLDER"

var childOptions = Options{Workers: 2, MaxNorm: 1, SkipNonFinite: true, EMADecay: 0.99,
	SaveParams: true}

// TestCheckpointChild is the other process of TestCheckpointProcess.
func TestCheckpointChild(t *testing.T) {
	folder := os.Getenv(childFolder)
	if folder == "" {
		return
	}
	o := newOther(t, childOptions, savedTensors)
	require.NoError(t, o.LoadFile(filepath.Join(folder, "in")))
	train(t, o, 5, 12)
	require.NoError(t, o.SaveFile(filepath.Join(folder, "out")))
}

// Training goes on in another process to the same bits.
func TestCheckpointProcess(t *testing.T) {
	needsChildren(t)
	folder := t.TempDir()
	child := childOf("TestCheckpointChild", childFolder+"="+folder)
	c := smallConfigs()
	o := newSaved(t, childOptions, c, savedTensors)
	o.GradScale = 1024
	train(t, o, 0, 5)
	require.NoError(t, o.SaveFile(filepath.Join(folder, "in")))
	out, err := child.CombinedOutput()
	require.NoError(t, err, "%s", out)
	train(t, o, 5, 12)
	trained := newOther(t, childOptions, savedTensors)
	require.NoError(t, trained.LoadFile(filepath.Join(folder, "out")), "%s", out)
	require.Empty(t, differ(o, trained))
}

const (
	killedPath = "ADAM_TEST_CHECKPOINT_KILLED"
	killedAt   = "ADAM_TEST_CHECKPOINT_KILLED_AT"
)

// newKilled returns the optimizer that is saved by a process about to be killed, in a file of 256
// KiB.
func newKilled(t *testing.T) *Optimizer {
	return newOptimizer(t, Options{SaveParams: true},
		Group{Config: DefaultW(), Params: []Param{{Name: "w", Value: make([]float32, 64<<10/3)}}})
}

// fill makes the content number k, of which every value depends on k.
func fill(o *Optimizer, k uint64) {
	o.T, o.State("w").T = k, k
	for i, s := range [][]float32{o.Groups[0].Params[0].Value, o.State("w").M, o.State("w").V} {
		for j := range s {
			s[j] = float32(int(k%1000)*3 + i + j%7)
		}
	}
}

// TestCheckpointKilledChild is the process that dies. It kills itself when a number of bytes is
// written, or saves until it is killed.
func TestCheckpointKilledChild(t *testing.T) {
	path := os.Getenv(killedPath)
	if path == "" {
		return
	}
	o := newKilled(t)
	require.NoError(t, o.LoadFile(path))
	if at, err := strconv.Atoi(os.Getenv(killedAt)); err == nil {
		fill(o, o.T+1)
		_ = atomicfile.Write(path, func(w io.Writer) error { return o.Save(&suicide{w, at}) })
		return
	}
	_, _ = os.Stdout.WriteString("saving\n")
	for {
		fill(o, o.T+1)
		require.NoError(t, o.SaveFile(path))
	}
}

// A suicide is a writer that kills the process after a number of bytes.
type suicide struct {
	w    io.Writer
	left int
}

func (s *suicide) Write(b []byte) (int, error) {
	if len(b) < s.left {
		s.left -= len(b)
		return s.w.Write(b)
	}
	_, _ = s.w.Write(b[:s.left])
	self, err := os.FindProcess(os.Getpid())
	if err == nil {
		err = self.Kill()
	}
	if err != nil {
		return 0, err
	}
	select {} // until the signal arrives
}

// Processes are killed while they save, at known places and at random times. Each time the file is
// whole, and never older than what was there.
func TestCheckpointKilled(t *testing.T) {
	needsChildren(t)
	folder := t.TempDir()
	path := filepath.Join(folder, "checkpoint")
	o, want := newKilled(t), newKilled(t)
	fill(o, 1)
	require.NoError(t, o.SaveFile(path))
	size := len(saved(t, o))
	check := func() {
		t.Helper()
		before := o.T
		require.NoError(t, o.LoadFile(path))
		require.GreaterOrEqual(t, o.T, before)
		fill(want, o.T)
		require.Empty(t, differ(want, o))
	}
	for i, at := range []int{0, 1, 100, 1000, size / 2, size - 1, size} {
		child := childOf("TestCheckpointKilledChild", killedPath+"="+path,
			killedAt+"="+strconv.Itoa(at))
		require.Error(t, child.Run())
		check()
		require.EqualValues(t, 1, o.T, "the old one is there")
		left, err := os.ReadDir(folder)
		require.NoError(t, err)
		require.Len(t, left, i+2, "the process was in the middle of it")
	}
	r := rand.New(rand.NewPCG(1, 2))
	kills := 100
	if testing.Short() {
		kills = 10
	}
	for range kills {
		child := childOf("TestCheckpointKilledChild", killedPath+"="+path)
		out, err := child.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, child.Start())
		_, err = io.ReadFull(out, make([]byte, len("saving\n")))
		require.NoError(t, err)
		time.Sleep(time.Duration(r.IntN(int(25 * time.Millisecond))))
		_ = child.Process.Kill()
		_ = child.Wait()
		check()
	}
	fill(o, 1)
	require.NoError(t, o.SaveFile(path), "what others have left is in nobody's way")
}
