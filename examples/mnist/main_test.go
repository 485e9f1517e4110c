package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/fusedadam/adam/examples/internal/replay"
)

// With this in its environment the test binary is the program.
const asProgram = "MNIST_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	replay.Main(m)
}

// program returns the command for a short run, not started, and what it will print.
func program(args ...string) (*exec.Cmd, *bytes.Buffer) {
	var output bytes.Buffer
	cmd := exec.Command(os.Args[0], append(strings.Fields("-images 3000 -epochs 4 -batch 16"),
		args...)...)
	cmd.Env = append(os.Environ(), asProgram+"=1")
	cmd.Stdout, cmd.Stderr = &output, &output
	return cmd, &output
}

func lastLine(b *bytes.Buffer) string {
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	return lines[len(lines)-1]
}

// A run that is killed and interrupted again and again, and resumed with another number of workers,
// ends in the same checksum as one that was left alone. Checkpoints are so frequent that kills also
// meet them half written.
func TestKillAndResume(t *testing.T) {
	cmd, output := program()
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	want := lastLine(output)
	if !strings.HasPrefix(want, "checksum") {
		t.Fatalf("the last line is %q, want the checksum", want)
	}

	path := filepath.Join(t.TempDir(), "checkpoint")
	rng := rand.New(rand.NewPCG(1, 0))
	stops := []os.Signal{os.Kill, os.Interrupt, os.Kill, os.Kill, os.Kill}
	if runtime.GOOS == "windows" {
		stops[1] = os.Kill // no other signal can be sent there
	}
	begins := "from the beginning"
	stopped := 0
	for i := 0; ; i++ {
		cmd, output := program("-checkpoint", path, "-resume", "-every", "2", "-workers",
			fmt.Sprint(1+i%3))
		before := modified(path)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		var err error
		if i < len(stops) {
			err = stop(t, cmd, ended, stops[i], func() bool { return modified(path) != before },
				time.Duration(rng.IntN(20))*time.Millisecond)
		} else {
			err = <-ended
		}
		if err == nil {
			if got := lastLine(output); got != want {
				t.Errorf("after %d stops the last line is %q, want %q", stopped, got, want)
			}
			break
		}
		if i >= len(stops) {
			t.Fatalf("%v\n%s", err, output)
		}
		stopped++
		if stops[i] == os.Interrupt && !strings.Contains(lastLine(output), "-resume goes on") {
			t.Errorf("after an interrupt the last line is %q", lastLine(output))
		}
		if !strings.Contains(output.String(), begins) {
			t.Errorf("start %d does not say %q:\n%s", i, begins, output)
		}
		begins = "resumed after step"
	}
	t.Logf("stopped %d times", stopped)
	if stopped == 0 {
		t.Error("the program ended before it could be stopped")
	}
}

// modified returns when the file was last changed, the zero time if there is none.
func modified(path string) time.Time {
	info, err := os.Stat(path)
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}

// stop sends cmd the signal some time after begun is true, and returns how cmd ended.
func stop(t *testing.T, cmd *exec.Cmd, ended chan error, signal os.Signal, begun func() bool,
	wait time.Duration) error {
	for !begun() {
		select {
		case err := <-ended:
			return err
		case <-time.After(time.Millisecond):
		}
	}
	time.Sleep(wait)
	if err := cmd.Process.Signal(signal); err != nil && err != os.ErrProcessDone {
		t.Error(err)
	}
	return <-ended
}

// What is no checkpoint is an error, and stays as it is.
func TestBadCheckpoint(t *testing.T) {
	path := filepath.Join(t.TempDir(), "checkpoint")
	if err := os.WriteFile(path, []byte("no checkpoint"), 0o666); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"-checkpoint", path, "-resume"}, {"-resume"},
		{"-images", "60001"}, {"-every", "-1"}} {
		cmd, output := program(args...)
		if err := cmd.Run(); err == nil || !strings.HasPrefix(lastLine(output), "mnist: ") {
			t.Errorf("%v: error %v, last line %q", args, err, lastLine(output))
		}
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != "no checkpoint" {
		t.Errorf("the file is now %q, error %v", b, err)
	}
}
