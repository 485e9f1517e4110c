// Package replay proves that a training does not depend on the machine's kernel or on the number of
// workers: it records what each optimizer step was given and makes the same steps again, with every
// kernel and other numbers of workers, to the same bits.
package replay

import (
	"bytes"
	"encoding/gob"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/fusedadam/adam"
	"github.com/fusedadam/adam/examples/internal/checksum"
)

// Recording is what the steps of a training were given. Its fields are exported for encoding/gob.
type Recording struct {
	Options adam.Options // Workers and ZeroGrad are the replay's own
	Start   []adam.Group // the parameters before the first step
	Steps   []Step
}

// Step is one step: the Config of each group, and the gradients of its tensors.
type Step struct {
	Configs []adam.Config
	Grads   [][]float32
}

// New begins a recording with the parameters that groups hold now.
func New(options adam.Options, groups []adam.Group) *Recording {
	r := &Recording{Options: options}
	for _, g := range groups {
		start := adam.Group{Config: g.Config}
		for _, p := range g.Params {
			start.Params = append(start.Params,
				adam.Param{Name: p.Name, Value: slices.Clone(p.Value)})
		}
		r.Start = append(r.Start, start)
	}
	return r
}

// Add records the step that is about to be made of groups: call it before the step.
func (r *Recording) Add(groups []adam.Group) {
	var s Step
	for _, g := range groups {
		s.Configs = append(s.Configs, g.Config)
		for _, p := range g.Params {
			s.Grads = append(s.Grads, slices.Clone(p.Grad))
		}
	}
	r.Steps = append(r.Steps, s)
}

// In a process with this in its environment, Main replays the recording in the file that it names.
const file = "ADAM_EXAMPLES_REPLAY"

// workers are the numbers of workers to replay with.
var workers = []int{1, 2, 3, 8}

// enough is the least number of parameters that an Optimizer shares among two workers.
const enough = 128 << 10

// Main replaces m.Run in the TestMain of a package that calls [Recording.Check].
func Main(m *testing.M) {
	path := os.Getenv(file)
	if path == "" {
		os.Exit(m.Run())
	}
	data, err := os.ReadFile(path)
	if err != nil {
		panic(err)
	}
	var r Recording
	if err := gob.NewDecoder(bytes.NewReader(data)).Decode(&r); err != nil {
		panic(err)
	}
	for _, w := range workers {
		end, err := r.run(w)
		if err != nil {
			panic(err)
		}
		fmt.Printf("%s %d %x\n", adam.Kernel(), w, sum(end))
	}
	os.Exit(0)
}

// Check fails t unless the recorded steps end in the parameters that groups hold now, to the bit,
// with every kernel that this machine can run and with 1, 2, 3 and 8 workers.
func (r *Recording) Check(t *testing.T, groups []adam.Group) {
	t.Helper()
	parameters := 0
	for _, g := range r.Start {
		for _, p := range g.Params {
			parameters += len(p.Value)
		}
	}
	if parameters < enough || len(r.Steps) == 0 {
		t.Fatalf("%d parameters, %d steps: workers share a step of %d parameters or more",
			parameters, len(r.Steps), enough)
	}
	if sum(groups) == sum(r.Start) {
		t.Fatal("the training has changed nothing")
	}
	path := t.TempDir() + "/recording"
	var data bytes.Buffer
	if err := gob.NewEncoder(&data).Encode(r); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	want := sum(groups)
	for _, kernel := range adam.Kernels() {
		cmd := exec.Command(os.Args[0]) // the kernel is chosen once, at the start of a process
		cmd.Env = append(os.Environ(), "ADAM_KERNEL="+kernel, file+"="+path)
		cmd.Stderr = os.Stderr
		output, err := cmd.Output()
		if err != nil {
			t.Fatalf("kernel %s: %v", kernel, err)
		}
		lines := strings.Split(strings.TrimSpace(string(output)), "\n")
		for i, w := range workers {
			expected := fmt.Sprintf("%s %d %x", kernel, w, want)
			if i >= len(lines) || lines[i] != expected {
				t.Errorf("replayed with kernel %s and %d workers: %q, want %q", kernel, w,
					lines[min(i, len(lines)-1)], expected)
			}
		}
	}
}

// run makes the recorded steps and returns the groups after the last.
func (r *Recording) run(workers int) ([]adam.Group, error) {
	options := r.Options
	options.Workers, options.ZeroGrad = workers, false
	var groups []adam.Group
	for _, g := range r.Start {
		g.Params = slices.Clone(g.Params)
		for i := range g.Params {
			g.Params[i].Value = slices.Clone(g.Params[i].Value)
		}
		groups = append(groups, g)
	}
	o, err := adam.New(options, groups...)
	if err != nil {
		return nil, err
	}
	defer o.Close()
	for _, s := range r.Steps {
		k := 0
		for i := range o.Groups {
			g := &o.Groups[i]
			g.Config = s.Configs[i]
			for j := range g.Params {
				g.Params[j].Grad = s.Grads[k]
				k++
			}
		}
		if _, err := o.Step(); err != nil {
			return nil, err
		}
	}
	return o.Groups, nil
}

// sum returns the checksum of all parameters.
func sum(groups []adam.Group) uint32 {
	var values [][]float32
	for _, g := range groups {
		for _, p := range g.Params {
			values = append(values, p.Value)
		}
	}
	return checksum.Of(values...)
}
