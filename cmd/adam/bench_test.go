package main

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fusedadam/adam"
	"github.com/fusedadam/adam/cmd/adam/internal/measure"
	"github.com/fusedadam/adam/cmd/adam/internal/result"
	"github.com/fusedadam/adam/internal/models"
	loops "github.com/fusedadam/adam/internal/plain"
)

func TestBenchTable(t *testing.T) {
	out := mustRun(t, strings.Fields("bench -kernels generic -sizes 16 -models mlp -time 1ms")...)
	wants := []string{"\nelements  kernel ", "\n16        generic ", " plain ",
		"\nMLP 784-128-10, 4 tensors  generic "}
	for _, loop := range loops.SIMD {
		wants = append(wants, " "+loop.Name+" ")
	}
	for _, want := range wants {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}

func TestBenchStorages(t *testing.T) {
	out := mustRun(t, strings.Fields("bench -kernels generic -storages 200 -time 1ms")...)
	for _, want := range []string{"\nstorages ", "\n200, generic  float32 ",
		"\n              bf16 g, split, q8 "} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}

func TestBenchFlags(t *testing.T) {
	flags := flag.NewFlagSet("", flag.ContinueOnError)
	plan := planFlags(flags)
	if !slices.Equal(plan.Kernels, adam.Kernels()) || plan.Time != time.Minute ||
		plan.Sizes != nil || plan.Sizes64 != nil || plan.Models != nil || plan.Firsts != nil ||
		plan.Storages != nil {
		t.Errorf("without flags: %+v", plan)
	}
	one := measure.Plan{Sizes64: []int{5}}
	orAll(&one)
	if one.Sizes != nil || one.Models != nil || len(one.Sizes64) != 1 {
		t.Errorf("with one size of float64: %+v", one)
	}
	stored := measure.Plan{Storages: []int{5}}
	if orAll(&stored); stored.Sizes != nil || len(stored.Storages) != 1 {
		t.Errorf("with one size of each storage: %+v", stored)
	}
	var all measure.Plan
	orAll(&all)
	if !slices.Equal(all.Sizes, measure.Sizes) || len(all.Models) != len(models.All) ||
		!slices.Equal(all.Sizes64, measure.Sizes64) || !slices.Equal(all.Firsts, measure.Firsts) ||
		!slices.Equal(all.Storages, measure.StorageSizes) {
		t.Errorf("everything: %+v", all)
	}
	err := flags.Parse(strings.Fields("-kernels=generic -sizes 3,16Ki -models gpt2,mlp " +
		"-sizes64 64Mi -first 5Ki -storages 7,2Mi -time 1s"))
	if err != nil || !slices.Equal(plan.Kernels, []string{"generic"}) || plan.Time != time.Second ||
		!slices.Equal(plan.Sizes, []int{3, 16 << 10}) ||
		!slices.Equal(plan.Sizes64, []int{64 << 20}) ||
		!slices.Equal(plan.Firsts, []int{5 << 10}) ||
		!slices.Equal(plan.Storages, []int{7, 2 << 20}) ||
		len(plan.Models) != 2 || plan.Models[0].Key != "gpt2" || plan.Models[1].Key != "mlp" {
		t.Errorf("%v, %+v", err, plan)
	}
}

// The flag -save may stand alone.
func TestBenchSave(t *testing.T) {
	for arg, want := range map[string]string{"-save": "bench", "-save=dir": "dir"} {
		var f files
		flags := flag.NewFlagSet("", flag.ContinueOnError)
		flags.BoolFunc("save", "", f.saveIn)
		if err := flags.Parse([]string{arg}); err != nil || f.save != want {
			t.Errorf("%s: %q, %v", arg, f.save, err)
		}
	}
}

func TestBenchFiles(t *testing.T) {
	dir := t.TempDir()
	svg := filepath.Join(dir, "chart.svg")
	out := mustRun(t, "bench", "-kernels", "generic", "-sizes", "16,1Ki", "-time", "1ms",
		"-json", "-svg", svg, "-save="+dir)
	var r result.Result
	err := json.NewDecoder(strings.NewReader(out)).Decode(&r)
	if err != nil || r.Schema != result.Schema || len(r.Rows) != 10+2*len(loops.SIMD) {
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
		_, messages, code := run("bench", "-kernels", "generic", "-sizes", "16,32", "-time", "1ms",
			flag+"="+file+"/in")
		if code != 1 || !strings.HasPrefix(messages, "adam: ") ||
			strings.Count(messages, "\n") != 1 {
			t.Errorf("%s into a file that is no directory: exit code %d, %q", flag, code, messages)
		}
	}
}
