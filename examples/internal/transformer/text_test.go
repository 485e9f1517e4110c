package transformer

import (
	"slices"
	"strings"
	"testing"
)

func TestNewText(t *testing.T) {
	x := NewText("bβbaabbabé")
	if string(x.Alphabet) != "\uFFFDabβ" || x.Held != 9 {
		t.Errorf("alphabet %q, the first %d to train on", string(x.Alphabet), x.Held)
	}
	if want := []int{2, 3, 2, 1, 1, 2, 2, 1, 2, 0}; !slices.Equal(x.IDs, want) {
		t.Errorf("%v, want %v", x.IDs, want)
	}
	if got := x.Decode(x.IDs); got != "bβbaabbab\uFFFD" {
		t.Errorf("decoded: %q", got)
	}
}

func TestLoad(t *testing.T) {
	x, err := Load("")
	if err != nil {
		t.Fatal(err)
	}
	if len(x.IDs) < 500_000 || !strings.Contains(x.Decode(x.IDs), "Reflexions, Refractions") {
		t.Errorf("%d characters that are not the Opticks", len(x.IDs))
	}
	if _, err := Load("no such file"); err == nil || !strings.Contains(err.Error(), "-data") {
		t.Errorf("error %v, want one that names -data", err)
	}
}
