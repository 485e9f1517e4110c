package result

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/fusedadam/adam/cmd/adam/internal/machine"
)

// sample is a result with round figures.
func sample() *Result {
	r := &Result{
		Schema: Schema, CPU: machine.CPU{Name: "Some (R) CPU", Cores: 2, L1D: 32 << 10, L2: 1 << 20,
			Line: 64},
		GOOS: "plan9", GOARCH: "amd64", Go: "go1.99", Date: "2001-02-03",
		Kernels: []string{"wide", "generic"},
	}
	add := func(kind Kind, name string, elements, tensors int, wide, traffic, prefetched,
		arithmetic float64) {
		for _, s := range []struct {
			series string
			ns     float64
		}{
			{"wide", wide}, {Arithmetic + "wide", 1.1 * arithmetic},
			{Arithmetic + "wide/pairs", arithmetic},
			{Traffic + "512", traffic}, {Traffic + "512+320", prefetched},
			{"generic", 2}, {Arithmetic + "generic", 1.5}, {Plain, 4},
		} {
			r.Rows = append(r.Rows, Row{Kind: kind, Name: name, Elements: elements,
				Tensors: tensors, Series: s.series, Samples: 7, Q1: s.ns * 0.9, Median: s.ns,
				Q3: s.ns * 1.1})
		}
	}
	add(Size, "1", 1, 1, 100, 50, 50, 50)
	add(Size, "1Ki", 1<<10, 1, 0.5, 0.1, 0.3, 0.25)
	add(Size, "16Mi", 16<<20, 1, 0.8, 0.9, 0.6, 0.25)
	add(Model, "Net", 30, 3, 0.5, 0.25, 0.25, 0.4)
	add(Size64, "1Ki", 1<<10, 1, 0.5, 0.1, 0.3, 0.25)
	for _, s := range []struct {
		series string
		ns     float64
	}{{"wide", 0.5}, {AfterCode + "wide", 0.75}, {"generic", 2}, {AfterCode + "generic", 2}} {
		r.Rows = append(r.Rows, Row{Kind: First, Name: "128Ki", Elements: 128 << 10, Tensors: 1,
			Series: s.series, Samples: 7, Q1: s.ns, Median: s.ns, Q3: s.ns})
	}
	return r
}

// stored adds two storages at two sizes, of which "wide" has one fused.
func stored(r *Result) *Result {
	for _, size := range []struct {
		name     string
		elements int
	}{{"32", 32}, {"64Mi", 64 << 20}} {
		add := func(s Storage, series string, ns float64, fused bool) {
			r.Rows = append(r.Rows, Row{Kind: Storages, Name: size.name, Elements: size.elements,
				Tensors: 1, Series: series, Samples: 7, Q1: ns, Median: ns, Q3: ns, Storage: s,
				Fused: fused})
		}
		full, split := Storage{"float32", 28, 8}, Storage{"split", 18.25, 6}
		add(full, Arithmetic+"wide", 0.25, false)
		add(full, "wide", 1.25, false)
		add(full, Traffic+"512", 1.2, false)
		add(full, Traffic+"512+320", 1, false)
		add(split, "wide", 1, true)
		add(split, Traffic+"512", 0.75, false)
		add(full, "generic", 2, false)
		add(split, "generic", 4, false)
	}
	return r
}

// The share of the ceiling is that for the bytes of the storage, and the speed-up that over float32
// of the same kernel and size. Of less than a block there is no ceiling.
func TestStorageTable(t *testing.T) {
	r := stored(sample())
	got, want := r.Text(), `
storages       storage  ns/param  speed-up  bytes        ceiling  % of ceiling  state bytes  fused

32, wide       float32      1.25     1.00×   28.0                                      8.00      –
               split        1.00     1.25×   18.2                                      6.00    yes

32, generic    float32      2.00     1.00×   28.0                                      8.00      –
               split        4.00    0.500×   18.2                                      6.00     no

64Mi, wide     float32      1.25     1.00×   28.0   1.00 traffic            80         8.00      –
               split        1.00     1.25×   18.2  0.750 traffic            75         6.00    yes

64Mi, generic  float32      2.00     1.00×   28.0                                      8.00      –
               split        4.00    0.500×   18.2                                      6.00     no
`
	if !strings.HasSuffix(got, want) {
		t.Errorf("got\n%s\nwant it to end in\n%s", got, want)
	}
	page, err := Page([]*Result{r}, func(*Result) string { return "" }, "")
	line := "|  | split | 1.00 | 1.25× | 18.2 | 0.750 traffic | 75 | 6.00 | yes |\n"
	if err != nil || !strings.Contains(page, line) {
		t.Errorf("%v, no %q in\n%s", err, line, page)
	}
}

// A file from before the storages is what it was, and one with them has their fields in the rows.
func TestStorageRows(t *testing.T) {
	if text := string(sample().JSON()); strings.Contains(text, "storage") ||
		strings.Contains(text, "fused") {
		t.Errorf("storages in\n%s", text)
	}
	r := stored(sample())
	dir := t.TempDir()
	file, err := r.Save(dir)
	if err != nil {
		t.Fatal(err)
	}
	r.File = file
	list, err := Load(dir)
	if err != nil || len(list) != 1 || !reflect.DeepEqual(list[0], r) {
		t.Errorf("loaded %+v, %v", list, err)
	}
	const line = `"q3_ns_per_param": 1, "storage": "split", "bytes_per_param": 18.25, ` +
		`"state_bytes_per_param": 6, "fused": true }`
	if !strings.Contains(string(r.JSON()), line) {
		t.Errorf("no %s in\n%s", line, r.JSON())
	}
}

func TestText(t *testing.T) {
	got := sample().Text()
	want := `Some (R) CPU, 2 logical cores, plan9/amd64, go1.99, one thread
L1D 32 KiB, L2 1 MiB, L3 unknown, line 64 bytes

elements  kernel   ns/param   GB/s           ceiling  % of ceiling  speed-up

1         wide          100  0.280                                   0.0400×
          generic      2.00   14.0                                     2.00×
          plain        4.00   7.00

1Ki       wide        0.500   56.0  0.250 arithmetic            50     8.00×
          generic      2.00   14.0   1.50 arithmetic            75     2.00×
          plain        4.00   7.00

16Mi      wide        0.800   35.0     0.600 traffic            75     5.00×
          generic      2.00   14.0   1.50 arithmetic            75     2.00×
          plain        4.00   7.00

model           kernel   ns/param  GB/s           ceiling  % of ceiling  speed-up

Net, 3 tensors  wide        0.500  56.0  0.400 arithmetic            80     8.00×
                generic      2.00  14.0   1.50 arithmetic            75     2.00×
                plain        4.00  7.00

first step  kernel    warm  after scalar code  ratio

128Ki       wide     0.500              0.750   1.50
            generic   2.00               2.00   1.00

float64  kernel   ns/param  GB/s           ceiling  % of ceiling  speed-up

1Ki      wide        0.500   112  0.250 arithmetic            50     8.00×
         generic      2.00  28.0   1.50 arithmetic            75     2.00×
         plain        4.00  14.0
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestSaveAndLoad(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "bench")
	if list, err := Load(dir); list != nil || err != nil {
		t.Errorf("no directory: %v, %v", list, err)
	}
	r := sample()
	file, err := r.Save(dir)
	if err != nil || filepath.Base(file) != "Some-CPU.json" {
		t.Fatalf("saved %s, %v", file, err)
	}
	r.File = file
	list, err := Load(dir)
	if err != nil || len(list) != 1 || !reflect.DeepEqual(list[0], r) {
		t.Errorf("loaded %+v, %v", list, err)
	}
	if rows := strings.Count(string(r.JSON()), "\n\t\t{ \"kind\""); rows != len(r.Rows) {
		t.Errorf("%d rows on lines of their own, want %d:\n%s", rows, len(r.Rows), r.JSON())
	}
	for text, want := range map[string]string{"{": "JSON", `{"schema": "adam-bench/9"}`: "schema",
		`{"schema": "adam-bench/1"}`: "no kernels"} {
		if err := os.WriteFile(filepath.Join(dir, "bad.json"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(dir); err == nil || !strings.Contains(err.Error(), "bad.json: ") ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestChart(t *testing.T) {
	r := sample()
	chart, err := r.Chart()
	if err != nil {
		t.Fatal(err)
	}
	again, _ := r.Chart()
	if !bytes.Equal(chart, again) {
		t.Error("two charts of one result differ")
	}
	for _, want := range []string{">wide<", ">generic<", ">plain Go loop<",
		">memory traffic<", ">√ and ÷ alone, wide<",
		">L1 32 KiB<", ">L2 1 MiB<", ">16Mi<", ">0.5<", "Some (R) CPU", "Arial"} {
		if !bytes.Contains(chart, []byte(want)) {
			t.Errorf("no %s in the chart", want)
		}
	}
	for d := xml.NewDecoder(bytes.NewReader(chart)); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	r.Rows = r.Rows[:7]
	if _, err := r.Chart(); err == nil {
		t.Error("a chart of one size")
	}
}

func TestPage(t *testing.T) {
	r, arm := sample(), sample()
	r.CPU.Micro, r.Note = "Old", "Of another time."
	arm.GOARCH, arm.CPU.Name, arm.Rows = "arm64", "", arm.Rows[:7]
	chart := func(x *Result) string {
		if x == r {
			return "../bench/x.svg"
		}
		return ""
	}
	for _, test := range []struct {
		name        string
		results     []*Result
		predictions string
		want, not   []string
	}{
		{"none", nil, "", []string{"No machine has been measured yet.", "No figure of an arm64"},
			[]string{"elements |", "| machine |"}},
		{"one", []*Result{r}, "", []string{
			"\n| Some (R) CPU (Old) | wide | – | – | – | – | 0.750 | – |\n",
			"\n## Some (R) CPU (Old), plan9/amd64\n\n", "2001-02-03", "At least 7 samples",
			"samples of wide.\nOf another time.\n",
			"](../bench/x.svg)\n",
			"| 1Ki | wide | 0.500 | 56.0 | 0.250 arithmetic | 50 | 8.00× |\n|  | generic |",
			"| Net, 3 tensors | wide |", "\n\n| float64 | kernel |",
			"\n| 1Ki | wide | 0.500 | 112 |", "No figure of an arm64",
		}, []string{"No machine has", "\n\n\n"}},
		{"arm64 without models", []*Result{r, arm}, "## Predicted\n\n  as it is {{.}}\n",
			[]string{"\n## unknown CPU, plan9/arm64\n", "\n\n## Predicted\n\n  as it is {{.}}\n"},
			[]string{"No figure of an arm64"}},
	} {
		page, err := Page(test.results, chart, test.predictions)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range test.want {
			if !strings.Contains(page, want) {
				t.Errorf("%s: no %q in\n%s", test.name, want, page)
			}
		}
		for _, not := range test.not {
			if strings.Contains(page, not) {
				t.Errorf("%s: %q in\n%s", test.name, not, page)
			}
		}
		if !strings.HasSuffix(page, "\n") || strings.HasSuffix(page, "\n\n") {
			t.Errorf("%s: ends in %q", test.name, page[len(page)-20:])
		}
	}
}
