// Package python runs scripts of tests with a Python that has PyTorch.
package python

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// Run runs a script with the first Python that has torch, $PYTHON before others, and returns what
// it prints. A script exits with 77 where torch cannot be used. If none has it Run skips t, but
// fails it if ADAM_TEST_REQUIRE_TORCH is set.
func Run(t *testing.T, stdin io.Reader, script string, args ...string) []byte {
	t.Helper()
	input, err := io.ReadAll(stdin)
	if err != nil {
		t.Fatal(err)
	}
	var tried []string
	for _, python := range []string{os.Getenv("PYTHON"), "python3", "/usr/bin/python3"} {
		if python == "" {
			continue
		}
		var messages bytes.Buffer
		child := exec.Command(python, append([]string{script}, args...)...)
		child.Stdin, child.Stderr = bytes.NewReader(input), &messages
		out, err := child.Output()
		if err == nil {
			return out
		}
		var exit *exec.ExitError
		if errors.As(err, &exit) && exit.ExitCode() != 77 {
			t.Fatalf("%s: %v\n%s%s", python, err, out, &messages)
		}
		tried = append(tried, python+": "+strings.TrimSpace(string(out)+" "+err.Error()))
	}
	if os.Getenv("ADAM_TEST_REQUIRE_TORCH") != "" {
		t.Fatalf("ADAM_TEST_REQUIRE_TORCH is set, but there is no torch: %q", tried)
	}
	t.Skipf("no Python with torch: %q", tried)
	return nil
}
