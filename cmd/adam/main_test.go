package main

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

// run runs the command as main does and returns what it printed.
func run(args ...string) (string, error) {
	var out bytes.Buffer
	root := command()
	root.SetArgs(double(args))
	root.SetOut(&out)
	root.SetErr(&out)
	err := root.Execute()
	return out.String(), err
}

func TestDouble(t *testing.T) {
	got := double(strings.Fields("bench -json --svg f.svg -save=dir -h - -- -5 x"))
	want := strings.Fields("bench --json --svg f.svg --save=dir -h - -- -5 x")
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestCommandErrors(t *testing.T) {
	for _, args := range []string{"nothing", "info more", "check -fast", "bench -sizes 5x", "bench -kernels mmx", "bench -models gpt-9",
		"bench -time 0s", "docs more"} {
		if out, err := run(strings.Fields(args)...); err == nil {
			t.Errorf("adam %s: no error, printed %q", args, out)
		}
	}
}
