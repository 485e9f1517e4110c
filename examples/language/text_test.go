package main

import (
	"slices"
	"strings"
	"testing"
)

func TestNewText(t *testing.T) {
	x := newText("bβbaabbabé")
	if string(x.alphabet) != "\uFFFDabβ" || x.held != 9 {
		t.Errorf("alphabet %q, the first %d to train on", string(x.alphabet), x.held)
	}
	if want := []int{2, 3, 2, 1, 1, 2, 2, 1, 2, 0}; !slices.Equal(x.ids, want) {
		t.Errorf("%v, want %v", x.ids, want)
	}
	if got := x.decode(x.ids); got != "bβbaabbab\uFFFD" {
		t.Errorf("decoded: %q", got)
	}
}

func TestLoad(t *testing.T) {
	x, err := load("")
	if err != nil {
		t.Fatal(err)
	}
	if len(x.ids) < 500_000 || !strings.Contains(x.decode(x.ids), "Reflexions, Refractions") {
		t.Errorf("%d characters that are not the Opticks", len(x.ids))
	}
	if _, err := load("no such file"); err == nil || !strings.Contains(err.Error(), "-data") {
		t.Errorf("error %v, want one that names -data", err)
	}
}
