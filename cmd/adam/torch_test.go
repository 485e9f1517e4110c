package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fusedadam/adam"
	"github.com/fusedadam/adam/internal/checkpoint"
	"github.com/fusedadam/adam/internal/safetensors"
)

// writeCheckpoint saves an optimizer that has all that inspect tells.
func writeCheckpoint(t *testing.T, path string, options adam.Options) {
	t.Helper()
	a, w := adam.Default(), adam.DefaultW()
	a.AMSGrad, a.Maximize = true, true
	values := []float32{1, 2, 3, 4, 5, 6}
	nan, inf := float32(math.NaN()), float32(math.Inf(-1))
	o, err := adam.New(options, adam.Group{Config: a, Params: []adam.Param{
		{Name: "wte.weight", Value: values},
		{Name: "tab\there", Value: []float32{7}},
	}}, adam.Group{Config: w}, adam.Group{Config: w, Params: []adam.Param{
		{Name: "bias", Value: []float32{8, 9, nan}, Grad: []float32{1, 1, inf}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err = o.Step(); err != nil {
		t.Fatal(err)
	}
	o.State("wte.weight").M[1], o.State("wte.weight").M[2] = 3, -4
	o.State("wte.weight").T = 12
	o.T = 14
	o.Metadata = map[string]string{"mine": "a\x1b[31m",
		"torch.shapes": `{"wte.weight": [2, 3], "bias": [-1]}`}
	if err := o.SaveFile(path); err != nil {
		t.Fatal(err)
	}
}

// The words for a group with all that a Config has.
func TestConfigText(t *testing.T) {
	c := checkpoint.Config{LR: 0.1, Betas: [2]float64{0.8, 0.99}, Eps: 1e-7, Decoupled: true,
		AMSGrad: true, Maximize: true, EpsUncorrected: true}
	const want = "AdamW: LR 0.1, betas 0.8 and 0.99, Eps 1e-07, WeightDecay 0, AMSGrad, " +
		"Maximize, EpsUncorrected"
	if got := configText(c); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// output returns what a command writes.
func output(command func([]string, io.Writer) error, args ...string) (string, error) {
	var out bytes.Buffer
	err := command(args, &out)
	return out.String(), err
}

func TestInspect(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "run")
	writeCheckpoint(t, path, adam.Options{SaveParams: true})
	out, err := output(inspectCommand, path)
	if err != nil {
		t.Fatal(err)
	}
	contains(t, out, "Format    checkpoint of package adam, format 2\n", "Checksum  ok\n",
		"Step      14\n",
		"GradScale 1\n", "Tensors   3, with 10 parameters\n", "NaN, Inf  1, 2\n",
		"Group 0   Adam: LR 0.001, betas 0.9 and 0.999, Eps 1e-08, WeightDecay 0, ",
		"AMSGrad, Maximize\n",
		"  name         shape  step  |M|  |V|  |VMax|  |Value|  NaN  Inf\n",
		"  wte.weight   [2 3]  12    5    0    0       9.53939  0    0\n",
		`  "tab\there"  [1]    0     0    0    0       7        0    0`,
		"Group 1   AdamW: LR 0.001, betas 0.9 and 0.999, Eps 1e-08, WeightDecay 0.01\n\nGroup 2",
		"  bias  [3]    1     0.141421  0.00141421  -       12.0401  1    2\n",
		"\nMetadata\n  mine = \"a\\x1b[31m\"\n  torch.shapes = ")
}

func contains(t *testing.T, text string, want ...string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains(text, w) {
			t.Errorf("want %q in\n%s", w, text)
		}
	}
}

// A torch file is shown as the checkpoint that it becomes, and comes back from it.
func TestConvert(t *testing.T) {
	folder := t.TempDir()
	path, torch, back := filepath.Join(folder, "run"), filepath.Join(folder, "torch"),
		filepath.Join(folder, "back")
	writeCheckpoint(t, path, adam.Options{SaveParams: true, EMADecay: 0.9})
	out, err := output(convertCommand, "-to", "torch", path, torch)
	if err != nil {
		t.Fatal(err)
	}
	contains(t, out, torch+": 3 parameters\n", "Left out, moving averages", "  state.bias.ema\n")
	out, err = output(inspectCommand, torch)
	if err != nil {
		t.Fatal(err)
	}
	contains(t, out, "Format    state of torch's AdamW\n", "Checksum  none\n", "Step      12\n",
		"  wte.weight   [2 3]  12    5 ", "NaN, Inf  1, 2\n")
	names := filepath.Join(folder, "names")
	if err := os.WriteFile(names, []byte("a b\r\nc\r\nd\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err = output(convertCommand, "-from", "torch", "-names", names, torch, back)
	if err != nil {
		t.Fatal(err)
	}
	contains(t, out, back+": 3 parameters\n")
	out, err = output(inspectCommand, "-json", back)
	if err != nil {
		t.Fatal(err)
	}
	var c contents
	if err := json.Unmarshal([]byte(out), &c); err != nil {
		t.Fatal(err)
	}
	s := c.Groups[0].Tensors[0]
	if s.Name != "a b" || s.T != 12 || s.Norms["M"] != 5 || len(s.Shape) != 2 ||
		c.Checksum != "ok" || c.T != 12 ||
		c.Groups[2].Tensors[0].NaN != 1 || c.Metadata["mine"] == "" {
		t.Errorf("%s", out)
	}
}

// An error leaves what was there before, and says which file it is about.
func TestConvertRefuses(t *testing.T) {
	folder := t.TempDir()
	path, out := filepath.Join(folder, "run"), filepath.Join(folder, "out")
	writeCheckpoint(t, path, adam.Options{})
	if err := os.WriteFile(out, []byte("before"), 0o600); err != nil {
		t.Fatal(err)
	}
	names := filepath.Join(folder, "names")
	if err := os.WriteFile(names, []byte("a\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, args := range map[string][]string{
		"want either -from torch or -to torch": {path, out},
		"either -from torch":                   {"-from", "tensorflow", path, out},
		"want either":                          {"-from", "tor", "-to", "ch", path, out},
		"want 2 arguments, got 1":              {"-to", "torch", path},
		"-names goes with -from":               {"-to", "torch", "-names", names, path, out},
		"already (" + path + ")":               {"-from", "torch", path, out},
		filepath.Join(folder, "missing") +
			": ": {"-from", "torch", filepath.Join(folder, "missing"), out},
		"names.missing": {"-from", "torch", "-names", names + ".missing",
			path, out},
	} {
		if _, err := output(convertCommand, args...); err == nil ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", args, err, want)
		}
	}
	if text, err := os.ReadFile(out); err != nil || string(text) != "before" {
		t.Errorf("%q, %v", text, err)
	}
	if entries, _ := os.ReadDir(folder); len(entries) != 3 {
		t.Errorf("%v", entries)
	}
}

// A damaged file is shown as far as it can be, but it is an error.
func TestInspectDamaged(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "run")
	writeCheckpoint(t, path, adam.Options{})
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	write := func(file []byte) {
		if err := os.WriteFile(path, file, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(append(file[:len(file)-1:len(file)-1], file[len(file)-1]^1))
	out, err := output(inspectCommand, path)
	if !errors.Is(err, checkpoint.ErrSum) || !strings.Contains(err.Error(), path) {
		t.Errorf("%v", err)
	}
	contains(t, out, "Checksum  wrong\n", "wte.weight")
	for n := range file {
		write(file[:n])
		if out, err := output(inspectCommand, path); err == nil || out != "" {
			t.Fatalf("%d of %d bytes: %v\n%s", n, len(file), err, out)
		}
	}
	if _, err := output(inspectCommand, path+".missing"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
	// Sizes that no memory has, and names that nothing holds.
	for _, header := range []string{
		`{"x":{"dtype":"U8","shape":[9223372036854775807],"data_offsets":[0,9223372036854775807]}}`,
		`{"x":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}`,
	} {
		write(append([]byte{byte(len(header)), 0, 0, 0, 0, 0, 0, 0}, header...))
		if out, err := output(inspectCommand, path); err == nil || out != "" {
			t.Errorf("%v\n%s", err, out)
		}
	}
}

// writeFile writes a safetensors file.
func writeFile(t *testing.T, path string, head []byte, err error, data []checkpoint.Data) {
	t.Helper()
	var b bytes.Buffer
	if err == nil {
		err = checkpoint.Write(&b, head, data)
	}
	if err == nil {
		err = os.WriteFile(path, b.Bytes(), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// A tensor larger than the buffer is summed up as a whole, and one of another type is an error.
func TestInspectTensors(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run")
	large := make([]float32, 90_000)
	for i := range large {
		large[i] = 1
	}
	info := checkpoint.Info{GradScale: 1,
		Groups: []checkpoint.Group{{Params: []string{"a"}}}}
	step, none := checkpoint.CountOf("state.a.step", 1), []float32(nil)
	m, v := checkpoint.FloatsOf("state.a.exp_avg", large), checkpoint.FloatsOf("state.a.exp_avg_sq",
		large)
	for want, data := range map[string][]checkpoint.Data{
		"":                             {step, m, v},
		`"state.a.step": dtype F32`:    {checkpoint.FloatsOf("state.a.step", none), m, v},
		`"state.a.exp_avg": dtype I64`: {step, checkpoint.CountOf("state.a.exp_avg", 1), v},
		`"moment" is not known`:        {step, m, v, checkpoint.FloatsOf("moment", none)},
		`"state.b.step" is not known`:  {step, m, v, checkpoint.CountOf("state.b.step", 1)},
	} {
		head, err := checkpoint.Encode(&info, data)
		writeFile(t, path, head, err, data)
		out, err := output(inspectCommand, path)
		if want == "" {
			contains(t, out, "  a     [90000]  1     300  300  0    0\n")
		} else if err == nil || !strings.Contains(err.Error(), want) || out != "" {
			t.Errorf("%v, want %q\n%s", err, want, out)
		}
	}
}

// write16 saves an optimizer of tensors of fewer bits.
func write16(t *testing.T, path string, moments adam.Moments) {
	t.Helper()
	const n = 100_000 // more than a buffer
	value, halves := make([]float32, n), make([]adam.BF16, 65)
	for i := range value {
		value[i] = 1
	}
	for i := range halves {
		halves[i] = adam.ToBF16(2)
	}
	s := func(master adam.Master) adam.Storage {
		return adam.Storage{Moments: moments, Master: master}
	}
	o, err := adam.New(adam.Options{SaveParams: true},
		adam.Group{Config: adam.Default(), Storage: s(adam.SplitMaster), Params16: []adam.Param16{
			{Name: "large", Value: value, Grad: make([]float32, n)},
			{Name: "split", BF16: halves}}},
		adam.Group{Config: adam.Default(), Storage: s(adam.NoMaster), Params16: []adam.Param16{
			{Name: "alone", BF16: append([]adam.BF16(nil), halves...)}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := o.Step(); err != nil {
		t.Fatal(err)
	}
	// Powers of two are what every storage holds, 8 bits nearly.
	for _, g := range o.Groups {
		for _, p := range g.Params16 {
			m, v := make([]float32, max(len(p.Value), len(p.BF16))), []float32(nil)
			for i := range m {
				m[i] = float32(i%2)/4 + 0.25
				if i >= 50_000 {
					m[i] *= 1024
				}
			}
			v = append(v, m...)
			m[0] = -m[0]
			if err := o.State16(p.Name).SetFloat32(m, v); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := o.SaveFile(path); err != nil {
		t.Fatal(err)
	}
}

// Moments of 16 and 8 bits are summed up as what they stand for.
func TestInspect16(t *testing.T) {
	for moments, dtype := range map[adam.Moments]string{adam.BF16Moments: "BF16",
		adam.Q8Moments: "I8"} {
		path := filepath.Join(t.TempDir(), "run")
		write16(t, path, moments)
		out, err := output(inspectCommand, path)
		if err != nil {
			t.Fatal(err)
		}
		contains(t, out, "Format    checkpoint of package adam, format 3\nChecksum  ok\n",
			"NaN, Inf  0, 0\n", "[100000] "+dtype+" ", "[65] "+dtype+", parameters Split ",
			"[65] "+dtype+", parameters BF16 ")
		var c contents
		text, err := output(inspectCommand, "-json", path)
		if err == nil {
			err = json.Unmarshal([]byte(text), &c)
		}
		if err != nil {
			t.Fatal(err)
		}
		s := c.Groups[0].Tensors[0]
		want := math.Sqrt(50_000 * (1.0/16 + 1.0/4) / 2 * (1 + 1<<20))
		for _, title := range []string{"M", "V"} {
			if got := s.Norms[title]; math.Abs(got-want) > want*1e-4 {
				t.Errorf("%v: |%s| is %v, want %v", moments, title, got, want)
			}
		}
		if s.DType != dtype || s.Params != "" || c.Groups[1].Tensors[0].Params != "BF16" {
			t.Errorf("%+v", s)
		}
	}
}

// A checkpoint is stored otherwise, and it says how many tensors that were.
func TestConvertStorage(t *testing.T) {
	folder := t.TempDir()
	path, out := filepath.Join(folder, "run"), filepath.Join(folder, "out")
	write16(t, path, adam.BF16Moments)
	names := filepath.Join(folder, "names")
	if err := os.WriteFile(names, []byte("split\nalone\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	said, err := output(convertCommand, "-moments", "q8", "-params", "float32", path, out)
	if err != nil {
		t.Fatal(err)
	}
	contains(t, said, out+": 3 tensors, 3 of them changed\n")
	said, err = output(inspectCommand, out)
	if err != nil {
		t.Fatal(err)
	}
	contains(t, said, "  large  [100000] I8  1 ", "  split  [65] I8      0 ")
	said, err = output(convertCommand, "-moments", "float32", "-names", names, path, out)
	if err != nil {
		t.Fatal(err)
	}
	contains(t, said, out+": 3 tensors, 2 of them changed\n")
	before, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	writeCheckpoint(t, path, adam.Options{})
	for want, args := range map[string][]string{
		"-moments is float32, bf16 or q8":   {"-moments", "split", path, out},
		"-params is float32, split or bf16": {"-params", "q8", path, out},
		"want either":                       {"-moments", "q8", "-to", "torch", path, out},
		"AMSGrad has no maximum of 8 bits":  {"-moments", "q8", path, out},
		"SaveParams (" + path + ")":         {"-params", "split", path, out},
		`no tensor "split"`:                 {"-moments", "bf16", "-names", names, path, out},
		"names.missing": {"-moments", "bf16", "-names", names + ".missing", path,
			out},
	} {
		if _, err := output(convertCommand, args...); err == nil ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", args, err, want)
		}
	}
	if after, err := os.ReadFile(out); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the file has changed, %v", err)
	}
}

// Parameters that torch has not stepped are named.
func TestInspectTorch(t *testing.T) {
	path := filepath.Join(t.TempDir(), "torch")
	data := []checkpoint.Data{
		checkpoint.FloatsOf("state.0.exp_avg", []float32{3, 4}),
		checkpoint.FloatsOf("state.0.exp_avg_sq", []float32{1, 1}),
		checkpoint.CountOf("state.0.step", 5),
	}
	write := func(lr string) {
		groups := `[{"lr": ` + lr + `, "betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0,
			"amsgrad": false, "params": [0, 1]}]`
		metadata := []safetensors.Meta{{Key: "param_groups", Value: groups}}
		head, err := checkpoint.EncodeHead(metadata, data)
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		err = checkpoint.WriteData(&b, head, data, func([]byte) {})
		if err == nil {
			err = os.WriteFile(path, b.Bytes(), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	write("0.5")
	out, err := output(inspectCommand, path)
	if err != nil {
		t.Fatal(err)
	}
	contains(t, out, "Format    state of torch's Adam or AdamW\nChecksum  none\nStep      5\n",
		"Adam: LR 0.5, ",
		"  0     [2]    5     5    1.41421  0    0\n", "size that is not in the file:\n  1\n")
	write("-1")
	if out, err = output(inspectCommand, path); !errors.Is(err, adam.ErrConfig) || out != "" {
		t.Errorf("%v\n%s", err, out)
	}
}
