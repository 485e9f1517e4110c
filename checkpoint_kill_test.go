//go:build unix

package adam

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const killedPath = "ADAM_TEST_CHECKPOINT_KILLED"

// newKilled returns the optimizer that is saved by a process about to be killed, in a file of 256 KiB.
func newKilled(t *testing.T) *Optimizer {
	o, err := New(Options{SaveParams: true}, Group{DefaultW(), []Param{{Name: "w", Value: make([]float32, 64<<10/3)}}})
	require.NoError(t, err)
	return o
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

// TestCheckpointKilledChild is the process that TestCheckpointKilled kills.
func TestCheckpointKilledChild(t *testing.T) {
	path := os.Getenv(killedPath)
	if path == "" {
		return
	}
	o := newKilled(t)
	require.NoError(t, o.LoadFile(path))
	fmt.Println("saving")
	for began := time.Now(); time.Since(began) < 10*time.Second; {
		fill(o, o.T+1)
		require.NoError(t, o.SaveFile(path))
	}
}

// Processes that do nothing but save are killed at random times. Each time the file is whole, one of those that were
// being saved, and never older than what had been there.
func TestCheckpointKilled(t *testing.T) {
	needsChildren(t)
	path := filepath.Join(t.TempDir(), "checkpoint")
	kills := 200
	if testing.Short() {
		kills = 20
	}
	r := rand.New(rand.NewPCG(1, 2))
	o, want := newKilled(t), newKilled(t)
	fill(o, 1)
	require.NoError(t, o.SaveFile(path))
	unfinished, stale := 0, 0
	for i := range kills {
		child := childOf("TestCheckpointKilledChild", killedPath+"="+path)
		out, err := child.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, child.Start())
		line, err := bufio.NewReader(out).ReadString('\n')
		if err == nil {
			time.Sleep(2*time.Millisecond + time.Duration(r.IntN(int(23*time.Millisecond))))
		}
		_ = child.Process.Kill()
		_ = child.Wait()
		require.Equal(t, "saving\n", line)

		if s, err := os.Stat(path + ".tmp"); err == nil {
			stale++
			if s.Size() < int64(len(saved(t, o))) {
				unfinished++
			}
		}
		before := o.T
		require.NoError(t, o.LoadFile(path), "after kill %d", i)
		require.GreaterOrEqual(t, o.T, before)
		fill(want, o.T)
		require.Empty(t, differ(want, o), "after kill %d", i)
	}
	t.Logf("%d kills, %d left a temporary file, %d of these a part; %d checkpoints were saved", kills, stale, unfinished, o.T)
	assert.Greater(t, stale, kills/10, "kills that hit a save")
	assert.Greater(t, o.T, uint64(kills)/2, "saves")
	fill(o, 1)
	require.NoError(t, o.SaveFile(path), "over what the last has left")
	assert.NoFileExists(t, path+".tmp")
}
