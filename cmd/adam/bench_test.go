package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fusedadam/adam/cmd/adam/internal/result"
)

func TestBenchTable(t *testing.T) {
	out, err := run(strings.Fields("bench -kernels generic -sizes 16 -models mlp -time 1ms")...)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"\nelements  kernel ", "\n16        generic ", "\nMLP 784-128-10, 4 tensors  generic ", " plain "} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if strings.Contains(out, "\r") {
		t.Errorf("a progress bar without a terminal: %q", out)
	}
}

func TestBenchFiles(t *testing.T) {
	dir := t.TempDir()
	svg := filepath.Join(dir, "chart.svg")
	out, err := run("bench", "-kernels", "generic", "-sizes", "16,1Ki", "-time", "1ms", "-json", "-svg", svg, "-save="+dir)
	if err != nil {
		t.Fatal(err)
	}
	var r result.Result
	if err := json.NewDecoder(strings.NewReader(out)).Decode(&r); err != nil || r.Schema != result.Schema || len(r.Rows) != 8 {
		t.Errorf("%v, printed %s", err, out)
	}
	if chart, err := os.ReadFile(svg); err != nil || !strings.Contains(string(chart), "</svg>") {
		t.Errorf("chart %s, %v", chart, err)
	}
	saved, err := result.Load(dir)
	if err != nil || len(saved) != 1 || string(saved[0].JSON()) != out[:len(saved[0].JSON())] {
		t.Errorf("saved %+v, %v", saved, err)
	}
}

func TestBenchFailsToWrite(t *testing.T) {
	for _, flag := range []string{"-svg", "-save"} {
		file := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(file, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := run("bench", "-kernels", "generic", "-sizes", "16,32", "-time", "1ms", flag+"="+file+"/in"); err == nil {
			t.Errorf("%s into a file that is no directory: no error", flag)
		}
	}
}
