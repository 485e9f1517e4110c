package main

import (
	"errors"
	"flag"
	"io"
	"strings"
	"testing"
)

// run runs the command as main does and returns what it printed.
func run(args ...string) (out, messages string, code int) {
	var o, m strings.Builder
	code = command(args, &o, &m)
	return o.String(), m.String(), code
}

// mustRun fails the test unless the command succeeds without a message.
func mustRun(t *testing.T, args ...string) string {
	t.Helper()
	out, messages, code := run(args...)
	if code != 0 || messages != "" {
		t.Fatalf("adam %s: exit code %d, %s", strings.Join(args, " "), code, messages)
	}
	return out
}

// A wrong call is told what is wrong and how to call, with exit code 2.
func TestWrongCalls(t *testing.T) {
	for call, want := range map[string]string{
		"":                   "no command\n\nThe Adam",
		"nothing":            `unknown command "nothing"` + "\n\nThe Adam",
		"-json":              `unknown command "-json"`,
		"info more":          `unexpected argument "more"` + "\n\nUsage: adam info\n",
		"check -fast":        "flag provided but not defined: -fast\n\nUsage: adam check\n",
		"check more":         `unexpected argument "more"`,
		"bench -sizes 5x":    `invalid value "5x" for flag -sizes: `,
		"bench -sizes 16,":   `size ""`,
		"bench -kernels mmx": `invalid value "mmx" for flag -kernels: this CPU runs `,
		"bench -models gpt9": "want some of mlp, ",
		"bench -time 0s":     "want more than 0",
		"bench -time soon":   "invalid duration",
		"bench -save dir":    `unexpected argument "dir"`,
		"docs -dir":          "flag needs an argument: -dir",
		"docs -dir no more":  `unexpected argument "more"`,
		"inspect":            "want 1 arguments, got 0\n\nUsage: adam inspect [-json] FILE\n",
		"convert a b": "want either -from torch or -to torch, or else -moments or " +
			"-params\n\n",
	} {
		out, messages, code := run(strings.Fields(call)...)
		if code != 2 || out != "" || !strings.HasPrefix(messages, "adam: ") ||
			!strings.Contains(messages, want) || !strings.Contains(messages, "\n\n") {
			t.Errorf("adam %s: exit code %d, printed %q, messages\n%s", call, code, out, messages)
		}
	}
}

func TestHelp(t *testing.T) {
	for call, want := range map[string][]string{
		"-h":       {"Usage: adam COMMAND", "\n  info ", "\n  check ", "\n  bench ", "\n  docs "},
		"--help":   {"Usage: adam COMMAND"},
		"help":     {"Usage: adam COMMAND"},
		"info -h":  {"Usage: adam info\n\nSay which kernel"},
		"check -h": {"Usage: adam check\n\nCheck that"},
		"bench -h": {"Usage: adam bench [flags]\n\nMeasure", "-kernels KERNELS\n",
			"-models MODELS\n", "-sizes NUMBERS\n", "-time TIME\n", "default 1m",
			"  -json\n", "-svg FILE\n", "  -save\n", "-save=DIR"},
		"inspect -h":  {"Usage: adam inspect [-json] FILE\n\nSay what", "-json\n"},
		"convert -h":  {"Usage: adam convert -from torch [-names FILE] IN OUT", "-names file\n"},
		"docs --help": {"Usage: adam docs [flags]\n\nWrite", "-check\n", "-dir DIR\n"},
	} {
		out := mustRun(t, strings.Fields(call)...)
		for _, w := range want {
			if !strings.Contains(out, w) {
				t.Errorf("adam %s: no %q in\n%s", call, w, out)
			}
		}
	}
}

// A command that fails says so once, with exit code 1.
func TestFailures(t *testing.T) {
	defer func(table []subcommand) { subcommands = table }(subcommands)
	for _, text := range []string{"no such file", "adam: no such file"} {
		subcommands = []subcommand{{"fail", "fail", func([]string, io.Writer) error {
			return errors.New(text)
		}}}
		out, messages, code := run("fail")
		if code != 1 || out != "" || messages != "adam: no such file\n" {
			t.Errorf("%s: exit code %d, printed %q, messages %q", text, code, out, messages)
		}
	}
}

func TestOperands(t *testing.T) {
	for args, want := range map[string]string{
		"": "want 2 arguments, got 0", "a": "want 2 arguments, got 1",
		"a b":   "",
		"a b c": `unexpected argument "c"`,
	} {
		flags := flag.NewFlagSet("copy FROM TO", flag.ContinueOnError)
		err := parse(flags, "Copy.", 2, strings.Fields(args), io.Discard)
		if (err == nil) != (want == "") || err != nil && err.Error() != want {
			t.Errorf("%q: %v, want %q", args, err, want)
		}
	}
}
