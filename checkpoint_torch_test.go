package adam

import (
	"bytes"
	"errors"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fusedadam/adam/internal/golden"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var torchTensors = []savedTensor{{"wte", 40, 0}, {"h.0.attn", 100, 1}, {"empty", 0, 0}, {"h.0.bias", 7, 0}, {"\"é\"", 33, 1}}

// torchGradient is gradient of testdata/torch_checkpoint.py.
func torchGradient(step int, name string, n int) []float32 {
	seed := 0
	for _, b := range []byte(name) {
		seed += int(b)
	}
	if (step+seed)%4 == 0 {
		return nil
	}
	g := make([]float32, n)
	for i := range g {
		g[i] = float32(math.Ldexp(float64((i*7+step*13+seed*5)%33-16), -(2 + i%5)))
	}
	return g
}

func torchSteps(t *testing.T, o *Optimizer, from, to int) {
	for step := from; step < to; step++ {
		eachParam(o, func(_ *Group, p *Param) { p.Grad = torchGradient(step, p.Name, len(p.Value)) })
		_, err := o.Step()
		require.NoError(t, err)
	}
}

// Checkpoints go to PyTorch and back: torch reads them and goes on as adam does, and adam reads what torch has
// made of them and goes on as torch does.
func TestCheckpointTorch(t *testing.T) {
	amsgrad, l2, maximize := DefaultW(), Default(), Default()
	amsgrad.AMSGrad, amsgrad.WeightDecay, amsgrad.LR = true, 0.1, 1e-2
	l2.WeightDecay, l2.Beta1, l2.LR = 0.1, 0.8, 3e-3
	maximize.Maximize, maximize.AMSGrad, maximize.Eps = true, true, 1e-6
	cases := map[string][2]Config{
		"adamw":          {DefaultW(), DefaultW()},
		"adam":           {Default(), Default()},
		"l2":             {l2, Default()},
		"amsgrad":        {amsgrad, DefaultW()},
		"mixed":          {l2, amsgrad},
		"maximize":       {maximize, l2},
		"first-steps-in": {DefaultW(), l2}, // saved before the first step
	}
	folder := t.TempDir()
	const before = 5
	options := Options{Workers: 1, SaveParams: true}
	ours := map[string]*Optimizer{}
	for name, c := range cases {
		o := newSaved(t, options, c, torchTensors)
		if name != "first-steps-in" {
			torchSteps(t, o, 0, before)
			counts := map[uint64]bool{}
			for i := range o.tensors {
				counts[o.tensors[i].T] = true
			}
			require.Greater(t, len(counts), 1, "tensors with different counts")
		}
		require.NoError(t, o.SaveFile(filepath.Join(folder, name+".in")))
		ours[name] = o
	}
	t.Logf("%s", python(t, strings.NewReader(""), "testdata/torch_checkpoint.py", folder))
	values, worst := 0, 0.0
	for name, o := range ours {
		load := func(suffix string) *Optimizer {
			from := newOther(t, options, torchTensors)
			require.NoError(t, from.LoadFile(filepath.Join(folder, name+suffix)), name)
			return from
		}
		compare := func(o *Optimizer, what, suffix string) {
			theirs := load(suffix)
			require.Equal(t, theirs.T, o.T, what)
			eachParam(theirs, func(g *Group, p *Param) {
				require.Equal(t, theirs.State(p.Name).T, o.State(p.Name).T, "%s of %s", what, p.Name)
				mine := valueOf(o, p.Name)
				for i, want := range p.Value {
					e := math.Abs(float64(mine[i])-float64(want)) / max(math.Abs(float64(want)), g.Config.LR)
					values, worst = values+1, max(worst, e)
					require.True(t, e <= golden.Bound, "%s: %q[%d] = %v, torch has %v", what, p.Name, i, mine[i], want)
				}
			})
		}
		there := load(".0")
		require.Empty(t, differ(o, there), "%s: there and back again", name)
		begin := int(o.T)
		torchSteps(t, o, begin, begin+10)
		compare(o, name+", ten steps", ".10")
		back := load(".10")
		torchSteps(t, back, begin+10, begin+20)
		compare(back, name+", ten further steps from torch's checkpoint", ".20")
	}
	t.Logf("%d parameters, largest error %.2g of max(|p|, LR)", values, worst)
	assert.Equal(t, len(cases)*2*180, values)
}

func valueOf(o *Optimizer, name string) (value []float32) {
	eachParam(o, func(_ *Group, p *Param) {
		if p.Name == name {
			value = p.Value
		}
	})
	return value
}

// python runs a script of testdata with the first Python that has torch, $PYTHON before others, and returns
// what it prints. It skips t where none has, but fails it if ADAM_TEST_REQUIRE_TORCH is set.
func python(t *testing.T, stdin io.Reader, script string, args ...string) []byte {
	input, err := io.ReadAll(stdin)
	require.NoError(t, err)
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
