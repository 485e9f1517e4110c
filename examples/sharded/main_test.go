package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fusedadam/adam/examples/internal/transformer"
)

// The tests run this binary by mpirun, which then is the command.
const isCommand = "ADAM_SHARDED_COMMAND"

var kills = flag.Int("kills", 4, "how often TestKill kills a rank")

func TestMain(m *testing.M) {
	if os.Getenv(isCommand) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// A run is of some steps, with a checkpoint after each.
const runSteps = 30

var flags = []string{"-steps", fmt.Sprint(runSteps), "-width", "64", "-every", "1"}

// writeText returns the name of a file with some text.
func writeText(t *testing.T) string {
	rng := rand.New(rand.NewPCG(1, 0))
	var b bytes.Buffer
	for range 5000 {
		b.WriteString([]string{"the ", "a ", "ray ", "of ", "light ", "is ", "not "}[rng.IntN(7)])
	}
	path := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// start returns a run of n ranks, without MPI for 0. It is killed after some minutes.
func start(t *testing.T, out *bytes.Buffer, n int, arguments ...string) *exec.Cmd {
	name, all := os.Args[0], slices.Concat(flags, arguments)
	if n > 0 {
		name, all = "mpirun", slices.Concat([]string{"-n", fmt.Sprint(n), os.Args[0]}, all)
	} else {
		all = append(all, "-single")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, name, all...)
	cmd.Env = append(os.Environ(), isCommand+"=1", "OMPI_ALLOW_RUN_AS_ROOT=1",
		"OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1", "OMPI_MCA_rmaps_base_oversubscribe=1",
		"OMPI_MCA_mpi_yield_when_idle=1", "PMIX_MCA_gds=hash")
	cmd.Stdout, cmd.Stderr = out, out
	cmd.WaitDelay = time.Second
	return cmd
}

// finish runs a run to its end, and returns its last line and where it began.
func finish(t *testing.T, n int, arguments ...string) (checksum, output string) {
	t.Helper()
	var out bytes.Buffer
	if err := start(t, &out, n, arguments...).Run(); err != nil {
		t.Fatalf("%d ranks: %v\n%s", n, err, &out)
	}
	return checksumOf(t, &out), out.String()
}

func checksumOf(t *testing.T, out *bytes.Buffer) string {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	last := lines[len(lines)-1]
	if !strings.HasPrefix(last, "checksum ") {
		t.Fatalf("no checksum in the last line of\n%s", out)
	}
	return last
}

// A run ends in the same bits, and in the same checkpoint, with any number of ranks and without
// MPI.
func TestSameBits(t *testing.T) {
	text, dir := writeText(t), t.TempDir()
	path := func(n int) string { return filepath.Join(dir, fmt.Sprint(n)) }
	want, alone := finish(t, 0, "-data", text, "-save", path(0))
	file, err := os.ReadFile(path(0))
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{1, 2, 3, 4, 8} {
		got, out := finish(t, n, "-data", text, "-save", path(n))
		if got != want || losses(out) != losses(alone) {
			t.Errorf("%d ranks end in %s, want %s\n%s", n, got, want, out)
		}
		if saved, err := os.ReadFile(path(n)); err != nil || !bytes.Equal(saved, file) {
			t.Errorf("%d ranks save another checkpoint: %v", n, err)
		}
	}
}

// losses returns the losses that a run has told.
func losses(out string) (list string) {
	for _, line := range strings.Split(out, "\n") {
		if f := strings.Fields(line); len(f) == 3 {
			list += f[0] + " " + f[1] + "\n"
		}
	}
	return list
}

// ranksOf returns the processes that an mpirun has started.
func ranksOf(mpirun int) (pids []int) {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", mpirun))
	for _, f := range files {
		b, _ := os.ReadFile(f) // the thread may have ended
		for _, s := range strings.Fields(string(b)) {
			var pid int
			if _, err := fmt.Sscan(s, &pid); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// runs reports whether a process is there and has not ended, whoever has yet to hear of its end.
func runs(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, state, _ := strings.Cut(string(b), ") ")
	return err == nil && !strings.HasPrefix(state, "Z") && !strings.HasPrefix(state, "X")
}

// A rank is killed by force at a random moment, again and again. Each time the whole job ends, and
// the checkpoint is whole; other numbers of ranks go on from it. The end has the bits of a run that
// nobody disturbed.
func TestKill(t *testing.T) {
	text := writeText(t)
	want, _ := finish(t, 0, "-data", text)
	path := filepath.Join(t.TempDir(), "model.safetensors")
	arguments := []string{"-data", text, "-save", path, "-resume"}
	rng := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0))
	longest, ended, last := time.Duration(0), 0, uint64(0)
	for killed := 0; killed < *kills; {
		n := 2 + rng.IntN(3)
		var out bytes.Buffer
		cmd := start(t, &out, n, arguments...)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(rng.Int64N(int64(2500 * time.Millisecond))))
		ranks := ranksOf(cmd.Process.Pid)
		began, hit := time.Now(), false
		if len(ranks) > 0 {
			hit = syscall.Kill(ranks[rng.IntN(len(ranks))], syscall.SIGKILL) == nil
		}
		err := cmd.Wait()
		longest = max(longest, time.Since(began))
		for _, pid := range ranks {
			for wait := time.Now(); runs(pid); time.Sleep(10 * time.Millisecond) {
				if time.Since(wait) > 5*time.Second {
					t.Fatalf("rank process %d has survived its job", pid)
				}
			}
		}
		switch {
		case err == nil: // it was at its end
			if got := checksumOf(t, &out); got != want {
				t.Fatalf("%d ranks end in %s, want %s", n, got, want)
			}
			_ = os.Remove(path)
			ended, last = ended+1, 0
			continue
		case !hit:
			t.Fatalf("%d ranks: %v\n%s", n, err, &out)
		}
		killed++
		step := whole(t, text, path)
		if step < last {
			t.Fatalf("the checkpoint is of step %d, after one of step %d", step, last)
		}
		last = step
	}
	t.Logf("%d jobs killed, the slowest to end took %v; %d came to their end before", *kills,
		longest, ended)
	if got, out := finish(t, 1+rng.IntN(2), arguments...); got != want {
		t.Errorf("after step %d, fewer ranks end in %s, want %s\n%s", last, got, want, out)
	}
}

// whole reads the checkpoint with its checksum, and returns its step. There need be none.
func whole(t *testing.T, text, path string) uint64 {
	t.Helper()
	tr := alone(t, text, path)
	defer tr.opt.Close()
	if err := tr.load(); err != nil {
		t.Fatal(err)
	}
	return tr.opt.completed()
}

func alone(t *testing.T, text, path string) *trainer {
	t.Helper()
	x, err := transformer.Load(text)
	if err != nil {
		t.Fatal(err)
	}
	tr, err := newTrainer(x, options{steps: runSteps, leaves: 8, width: 64, lr: 4e-3, seed: 1,
		every: 1, save: path}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return tr
}
