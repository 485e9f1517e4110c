package result

import (
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// sample has two optimizers: one whose best learning rate is the third of four, and one of whose
// sweep one run diverged.
func sample() *Result {
	t := &Task{Name: "task", Title: "Task", Classes: 3, Parameters: 10, Batch: 2, Steps: 100,
		Examples: 5000}
	sweep := func(name string, losses ...float64) {
		for i, l := range losses {
			r := Run{Optimizer: name, LR: []float64{0.001, 0.003, 0.01, 0.03}[i], Part: Validation,
				Diverged: math.IsInf(l, 1)}
			if !r.Diverged {
				r.Points = []Point{{Step: 100, Loss: l}}
			}
			t.Runs = append(t.Runs, r)
		}
	}
	tests := func(name string, lr float64, seconds, solver float64, losses ...[2]float64) {
		for i, l := range losses {
			t.Runs = append(t.Runs, Run{
				Optimizer: name, LR: lr, Seed: uint64(i + 1), Part: Test,
				Seconds: seconds * float64(i+1), SolverSeconds: solver * float64(i+1),
				Points: []Point{{50, seconds / 2, 2, l[0], 0.5},
					{100, seconds, 1.5, l[1], 0.9 + 0.01*float64(i)}},
				Groups: []Group{{0.01, 1, 3, 4, l[1]}, {0.001, 0.01, 2, 4, 3}, {0, 0.001, 1, 2, 4}},
			})
		}
	}
	sweep(SGD, 1.2, 1.05, 1, 1.5)
	sweep(Adam, 1.08, 0.9, math.Inf(1), 2)
	tests(SGD, 0.01, 0.2, 0.01, [2]float64{2, 1}, [2]float64{2.2, 1.2}, [2]float64{2.1, 1.1})
	tests(Adam, 0.003, 0.1, 0.001, [2]float64{1, 0.8}, [2]float64{1.1, 0.9}, [2]float64{1.2, 1})
	observed := &t.Runs[len(t.Runs)-3]
	for _, step := range []int{10, 100} {
		observed.Layers = append(observed.Layers,
			Layer{"w", step, 0.25, []float64{0.001, 0.01, 0.05, 0.1, 2},
				[]float64{0, 0.1, 0.2, 0.5, 1}},
			Layer{"v", step, 0, []float64{0.1, 0.1, float64(step) / 1000, 0.2, 0.3},
				[]float64{0, 0, 0, 0, 1}})
	}
	observed.Symbols = []Symbol{{"a", 40, 0.01}, {"\n", 10, 0.02}, {"b", 1, 5}}
	return &Result{Schema: Schema, Go: "go1.0", CPU: "Some CPU", Tasks: []*Task{t}}
}

func TestTables(t *testing.T) {
	task := sample().Tasks[0]
	for name, table := range map[string]struct{ text, want string }{
		"rates": {task.rates().Markdown(1), `
| SGD (Gorgonia) | 0.001 to 0.03 | 0.01 | 1.00 | 1.05 | 1.50 | 2 of 4 |
| Adam (adam) | 0.001 to 0.03 | 0.003 | 0.900 | 1.08 | diverged | 1 of 4 |`},
		"finals": {task.finals().Markdown(1), `| steps to 1.10 |`},
		"of SGD": {task.finals().Markdown(1), "\n| SGD (Gorgonia) | 0.01 | " +
			"1.10 (1.00–1.20) | 91.00 (90.00–92.00) | 1.50 | 100 | 0.200 | 200 | 4000 |"},
		"of Adam": {task.finals().Markdown(1), "\n| Adam (adam) | 0.003 | " +
			"0.900 (0.800–1.00) | 91.00 (90.00–92.00) | 1.50 | 50 | 0.0500 | 20.0 | 2000 |"},
		"frequencies": {task.frequencies().Markdown(1), "\n| optimizer | " +
			"from 1 %: 3 characters, 4 examples | 0.1 to 1 %: 2 characters, 4 examples | " +
			"below 0.1 %: 1 characters, 2 examples |" + `
|---|---:|---:|---:|
| SGD (Gorgonia) | 1.10 (1.00–1.20) | 3.00 (3.00–3.00) | 4.00 (4.00–4.00) |`},
		"moments": {task.moments().Markdown(1), "\n| layer | after step | never a gradient, % | " +
			"1 % | 25 % | 50 % | 75 % | 99 % | 99 % / 1 % | moved: 50, 99 % |"},
		"of a layer": {task.moments().Markdown(1), `
| w | 100 | 25.00 | 0.00100 | 0.0100 | 0.0500 | 0.100 | 2.00 | 2000 | 0.200, 1.00 |`},
	} {
		if !strings.Contains("\n"+table.text, table.want) {
			t.Errorf("%s: got\n%s\nwant%s", name, table.text, table.want)
		}
	}
	last := &task.Runs[len(task.Runs)-1]
	last.Diverged, last.Points, last.Groups = true, nil, nil
	if text := task.finals().Markdown(1); !strings.Contains(text,
		"| Adam (adam) | 0.003 | diverged |") {
		t.Errorf("a diverged run: got\n%s", text)
	}
	if text := task.frequencies().Markdown(1); !strings.Contains(text,
		"| Adam (adam) | diverged |") {
		t.Errorf("a diverged run: got\n%s", text)
	}
	if _, err := task.Curves(); err != nil {
		t.Errorf("curves with a diverged run: %v", err)
	}
}

// What is written is what is read, runs on lines of their own.
func TestJSON(t *testing.T) {
	r := sample()
	file := filepath.Join(t.TempDir(), "file.json")
	if err := os.WriteFile(file, r.JSON(), 0o644); err != nil {
		t.Fatal(err)
	}
	got, err := Load(file)
	if err != nil || !reflect.DeepEqual(got, r) {
		t.Errorf("got %+v, error %v", got, err)
	}
	runs := len(r.Tasks[0].Runs)
	if n := strings.Count(string(r.JSON()), "\n\t\t\t\t{ \"optimizer\": "); n != runs {
		t.Errorf("%d lines of %d runs:\n%s", n, runs, r.JSON())
	}
	r.Schema = "other"
	if err := os.WriteFile(file, r.JSON(), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(file); err == nil || !strings.Contains(err.Error(), "other") {
		t.Errorf("another schema: error %v", err)
	}
}

func TestRound(t *testing.T) {
	for x, want := range map[float64]float64{0: 0, 1234.56789: 1234.57, -0.00123456789: -0.00123457,
		1e9: 1e9, math.Inf(1): math.Inf(1)} {
		if got := Round(x); got != want {
			t.Errorf("Round(%v) = %v, want %v", x, got, want)
		}
	}
}

// Charts name all optimizers and layers, also where a run diverged, and are the same each time.
func TestCharts(t *testing.T) {
	r := sample()
	task := r.Tasks[0]
	for name, test := range map[string]struct {
		draw func() ([]byte, error)
		want []string
	}{
		"curves": {task.Curves, []string{">test loss<", ">test accuracy, %<", ">steps<",
			">seconds of training<", ">SGD (Gorgonia)<", ">Adam (adam)<"}},
		"sweeps": {r.Sweeps, []string{">learning rate<", ">SGD (Gorgonia)<", ">0.001<"}},
		"steps":  {r.Steps, []string{">w<", "after 10 steps", ">learning rate of SGD (Gorgonia)<"}},
		"rare":   {task.Rare, []string{">a<", ">newline<"}},
	} {
		svg, err := test.draw()
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, want := range test.want {
			if !strings.Contains(string(svg), want) {
				t.Errorf("%s: no %q", name, want)
			}
		}
		if again, _ := test.draw(); string(again) != string(svg) {
			t.Errorf("%s: two charts differ", name)
		}
	}
}
