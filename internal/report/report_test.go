package report_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fusedadam/adam/internal/report"
)

func TestFigure(t *testing.T) {
	for x, want := range map[float64]string{
		0: "0", 1: "1.00", 3.456: "3.46", 12.345: "12.3", 1234: "1234", 12345.6: "12346",
		0.9994: "0.999", 0.9996: "1.00", 9.996: "10.0", 99.96: "100", 0.0123: "0.0123",
		0.09996: "0.100",
		0.00012: "1.20e-04", -0.5: "-0.500", -2000: "-2000",
	} {
		if got := report.Figure(x); got != want {
			t.Errorf("%v: %s, want %s", x, got, want)
		}
	}
}

func TestTable(t *testing.T) {
	table := report.Table{{"name", "kind", "µs"}, {"a", "x", "1.00"}, {"", "long", "10.0"},
		{"ö", "x", "2.00"}}
	for _, test := range []struct{ got, want string }{
		{table[:2].Text(1), "name  kind    µs\na        x  1.00\n"},
		{table.Text(2),
			"name  kind    µs\n\na     x     1.00\n      long  10.0\n\nö     x     2.00\n"},
		{table[:2].Markdown(2), "| name | kind | µs |\n|---|---|---:|\n| a | x | 1.00 |"},
		{table[:1].Markdown(2), ""},
	} {
		if test.got != test.want {
			t.Errorf("got\n%s\nwant\n%s", test.got, test.want)
		}
	}
}

func TestWrite(t *testing.T) {
	dir := t.TempDir()
	files := map[string][]byte{"b": []byte("1"), filepath.Join("a", "c"): []byte("2")}
	write := func(check bool) (string, error) {
		var out strings.Builder
		err := report.Write(&out, dir, files, check, "make b")
		return out.String(), err
	}
	const stale = "not up to date: a/c, b; write with `make b`"
	if out, err := write(true); err == nil || err.Error() != stale || out != "" {
		t.Errorf("nothing is there, check says %v, prints %q", err, out)
	}
	want := filepath.Join(dir, "a", "c") + "\n" + filepath.Join(dir, "b") + "\n"
	if out, err := write(false); err != nil || out != want {
		t.Errorf("printed %q, %v", out, err)
	}
	if text, err := os.ReadFile(filepath.Join(dir, "a", "c")); err != nil || string(text) != "2" {
		t.Errorf("wrote %q, %v", text, err)
	}
	if _, err := write(true); err != nil {
		t.Error(err)
	}
	files["b"] = []byte("3")
	if _, err := write(true); err == nil || !strings.Contains(err.Error(), ": b;") {
		t.Errorf("after a change check says %v", err)
	}
}

func TestFonts(t *testing.T) {
	if got := string(report.Fonts([]byte("<x font-family:Liberation Sans;>"))); !strings.Contains(
		got, "Sans,Arial,") {
		t.Error(got)
	}
}
