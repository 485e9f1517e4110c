package torchstate_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/fusedadam/adam"
	"github.com/fusedadam/adam/internal/golden"
	"github.com/fusedadam/adam/internal/operands"
	"github.com/fusedadam/adam/internal/python"
	"github.com/fusedadam/adam/torchstate"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A torchCase is what testdata/torch_train.py trains.
type torchCase struct {
	Name   string       `json:"name"`
	Class  string       `json:"class"`
	Double bool         `json:"double"` // float64
	Groups []torchGroup `json:"groups"`
}

type torchGroup struct {
	Options map[string]any `json:"options"`
	Tensors []torchTensor  `json:"tensors"`
}

type torchTensor struct {
	name  string
	shape []int64
}

func (t torchTensor) MarshalJSON() ([]byte, error) { return json.Marshal([]any{t.name, t.shape}) }

func (t torchTensor) size() int {
	n := 1
	for _, d := range t.shape {
		n *= int(d)
	}
	return n
}

var torchTensors = [2][]torchTensor{
	{{"wte", []int64{4, 10}}, {"empty", []int64{0}}, {"h.0.bias", []int64{7}},
		{"frozen", []int64{2, 2}}},
	{{"h.0.attn", []int64{5, 2, 10}}, {"scale", []int64{}}, {"\"é\"", []int64{33}}},
}

func newCase(name, class string, a, b map[string]any) torchCase {
	return torchCase{Name: name, Class: class,
		Groups: []torchGroup{{a, torchTensors[0]}, {b, torchTensors[1]}}}
}

func (c *torchCase) names() (names []string) {
	for _, g := range c.Groups {
		for _, t := range g.Tensors {
			names = append(names, t.name)
		}
	}
	return names
}

// optimizer returns one of the tensors of c, with other configs and values than torch's.
func (c *torchCase) optimizer(t *testing.T) *adam.Optimizer {
	t.Helper()
	var groups []adam.Group
	for _, g := range c.Groups {
		group := adam.Group{Config: adam.Default()}
		for _, tensor := range g.Tensors {
			if c.Double {
				group.Params64 = append(group.Params64,
					adam.Param64{Name: tensor.name, Value: make([]float64, tensor.size())})
				continue
			}
			group.Params = append(group.Params,
				adam.Param{Name: tensor.name, Value: make([]float32, tensor.size())})
		}
		groups = append(groups, group)
	}
	o, err := adam.New(adam.Options{Workers: 1, SaveParams: true}, groups...)
	require.NoError(t, err)
	t.Cleanup(func() { _ = o.Close() })
	return o
}

type float interface{ float32 | float64 }

// torchGradient is gradient of testdata/torch_train.py.
func torchGradient[F float](step int, name string, n int) []F {
	seed := 0
	for _, b := range []byte(name) {
		seed += int(b)
	}
	if (step+seed)%4 == 0 || name == "frozen" {
		return nil
	}
	g := make([]F, n)
	for i := range g {
		g[i] = F(math.Ldexp(float64((i*7+step*13+seed*5)%33-16), -(2 + i%5)))
	}
	return g
}

func eachParam(o *adam.Optimizer, f func(g *adam.Group, p *adam.Param),
	f64 func(g *adam.Group, p *adam.Param64)) {
	for i := range o.Groups {
		g := &o.Groups[i]
		for j := range g.Params {
			f(g, &g.Params[j])
		}
		for j := range g.Params64 {
			f64(g, &g.Params64[j])
		}
	}
}

func steps(t *testing.T, o *adam.Optimizer, from, to int) {
	for step := from; step < to; step++ {
		eachParam(o, func(_ *adam.Group, p *adam.Param) {
			p.Grad = torchGradient[float32](step, p.Name, len(p.Value))
		}, func(_ *adam.Group, p *adam.Param64) {
			p.Grad = torchGradient[float64](step, p.Name, len(p.Value))
		})
		_, err := o.Step()
		require.NoError(t, err)
	}
}

// sameState requires that two optimizers have the same configs, counts and bits.
func sameState(t *testing.T, a, b *adam.Optimizer, what string) {
	t.Helper()
	require.Equal(t, len(a.Groups), len(b.Groups))
	for i := range a.Groups {
		require.Equal(t, a.Groups[i].Config, b.Groups[i].Config, what)
		for j := range a.Groups[i].Params {
			p, q := &a.Groups[i].Params[j], &b.Groups[i].Params[j]
			s, r := a.State(p.Name), b.State(p.Name)
			require.Equal(t, s.T, r.T, "%s: %s", what, p.Name)
			for k, pair := range [][2][]float32{{s.M, r.M}, {s.V, r.V}, {s.VMax, r.VMax},
				{p.Value, q.Value}} {
				require.Equal(t, operands.Bits(pair[0]), operands.Bits(pair[1]),
					"%s: piece %d of %s", what, k, p.Name)
			}
		}
		for j := range a.Groups[i].Params64 {
			p, q := &a.Groups[i].Params64[j], &b.Groups[i].Params64[j]
			s, r := a.State64(p.Name), b.State64(p.Name)
			require.Equal(t, s.T, r.T, "%s: %s", what, p.Name)
			for k, pair := range [][2][]float64{{s.M, r.M}, {s.V, r.V}, {s.VMax, r.VMax},
				{p.Value, q.Value}} {
				require.Equal(t, operands.Bits(pair[0]), operands.Bits(pair[1]),
					"%s: piece %d of %s", what, k, p.Name)
			}
		}
	}
}

// The lines of Python that users copy are the same in the package comment and in the page.
func pythonLines(t *testing.T) string {
	source, err := os.ReadFile("doc.go")
	require.NoError(t, err)
	comment := regexp.MustCompile(`(?ms)^//\timport json.*?^// [A-Z]`).Find(source)
	require.NotNil(t, comment)
	var code strings.Builder
	lines := strings.Split(string(comment), "\n")
	for _, line := range lines[:len(lines)-1] {
		code.WriteString(strings.TrimPrefix(strings.TrimPrefix(line, "//"), "\t") + "\n")
	}
	return strings.TrimRight(code.String(), "\n") + "\n"
}

func TestPage(t *testing.T) {
	page, err := os.ReadFile("../docs/TORCH.md")
	require.NoError(t, err)
	assert.Contains(t, string(page), "```python\n"+pythonLines(t)+"```\n")
}

// Training goes from torch to package adam and back to torch, and wherever it is, it goes on within
// the bound that holds for one place.
func TestTorch(t *testing.T) {
	amsgrad := map[string]any{"lr": 1e-2, "weight_decay": 0.1, "amsgrad": true}
	l2 := map[string]any{"lr": 3e-3, "weight_decay": 0.1, "betas": []float64{0.8, 0.999}}
	up := map[string]any{"maximize": true, "amsgrad": true, "eps": 1e-6, "lr": 1e-3}
	plain := map[string]any{"lr": 1e-3}
	cases := []torchCase{
		newCase("adam", "Adam", plain, plain),
		newCase("adamw", "AdamW", plain, amsgrad),
		newCase("l2", "Adam", l2, up),
		newCase("maximize", "AdamW", up, l2),
		newCase("double", "AdamW", plain, amsgrad),
	}
	cases[len(cases)-1].Double = true
	folder := t.TempDir()
	text, err := json.Marshal(cases)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(folder, "cases.json"), text, 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(folder, "save_load.py"), []byte(pythonLines(t)),
		0o600))
	run := func(what string) {
		t.Logf("%s", python.Run(t, strings.NewReader(""), "testdata/torch_train.py", what, folder))
	}
	load := func(c *torchCase, suffix string, names []string) *adam.Optimizer {
		t.Helper()
		file, err := os.ReadFile(filepath.Join(folder, c.Name+suffix))
		require.NoError(t, err)
		var b bytes.Buffer
		report, err := torchstate.FromTorch(&b, bytes.NewReader(file), names)
		require.NoError(t, err)
		require.Equal(t, c.names(), report.Names)
		require.Empty(t, report.Left)
		require.Empty(t, report.Options)
		o := c.optimizer(t)
		require.NoError(t, o.Load(&b))
		return o
	}
	values, worst := map[bool]int{}, map[bool]float64{} // of float64 or not
	near := func(got, want, lr float64, double bool, what string) {
		t.Helper()
		e := math.Abs(got-want) / max(math.Abs(want), lr)
		values[double], worst[double] = values[double]+1, max(worst[double], e)
		bound := map[bool]float64{false: golden.Bound, true: 1e-14}[double]
		require.True(t, e <= bound, "%s: %v, torch has %v", what, got, want)
	}
	compare := func(ours, theirs *adam.Optimizer, what string) {
		t.Helper()
		for i := range theirs.Groups {
			config := theirs.Groups[i].Config
			require.Equal(t, config, ours.Groups[i].Config, what)
			for j := range theirs.Groups[i].Params {
				p := &theirs.Groups[i].Params[j]
				require.Equal(t, theirs.State(p.Name).T, ours.State(p.Name).T, "%s: %s", what,
					p.Name)
				for k, want := range p.Value {
					near(float64(ours.Groups[i].Params[j].Value[k]), float64(want), config.LR,
						false, fmt.Sprintf("%s: %q[%d]", what, p.Name, k))
				}
			}
			for j := range theirs.Groups[i].Params64 {
				p := &theirs.Groups[i].Params64[j]
				require.Equal(t, theirs.State64(p.Name).T, ours.State64(p.Name).T, "%s: %s", what,
					p.Name)
				for k, want := range p.Value {
					near(ours.Groups[i].Params64[j].Value[k], want, config.LR, true,
						fmt.Sprintf("%s: %q[%d]", what, p.Name, k))
				}
			}
		}
	}
	run("begin")
	ours := map[string]*adam.Optimizer{}
	for i := range cases {
		c := &cases[i]
		o := load(c, ".5", c.names())
		require.EqualValues(t, 4, o.T,
			"%s: every tensor with gradients leaves out one step of four", c.Name)
		steps(t, o, 5, 15)
		compare(o, load(c, ".15", c.names()), c.Name+", from torch")
		steps(t, o, 15, 25)
		ours[c.Name] = o
		if c.Name == "l2" { // as if it had begun in Go
			delete(o.Metadata, "torch.shapes")
		}
		var saved, b bytes.Buffer
		require.NoError(t, o.Save(&saved))
		_, err := torchstate.ToTorch(&b, bytes.NewReader(saved.Bytes()))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(folder, c.Name+".in"), b.Bytes(), 0o600))
	}
	run("resume")
	for i := range cases {
		c := &cases[i]
		o := ours[c.Name]
		sameState(t, o, load(c, ".25", nil), c.Name) // Names come from Go.
		steps(t, o, 25, 35)
		compare(o, load(c, ".35", nil), c.Name+", back in torch")
	}
	t.Logf("parameters (true: of float64) %v, largest error of max(|p|, LR) %v", values, worst)
	each := 2 * (40 + 7 + 4 + 100 + 1 + 33)
	assert.Equal(t, map[bool]int{false: (len(cases) - 1) * each, true: each}, values)
}
