package plots

import (
	"image"
	"image/color"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"testing"

	"gonum.org/v1/plot/plotter"
)

func TestSave(t *testing.T) {
	for _, name := range []string{"curve.png", "curve.svg"} {
		path := filepath.Join(t.TempDir(), name)
		if err := Save(path, "title", "x", "y", true,
			Curve{"a", plotter.XYs{{X: 0, Y: 1}, {X: 1, Y: 0.1}}}); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(path); err != nil || info.Size() < 1000 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	if Save(filepath.Join(t.TempDir(), "a.png"), "", "", "", false,
		Curve{"a", plotter.XYs{{X: 0, Y: math.NaN()}}}) == nil {
		t.Error("NaN is drawn")
	}
}

func TestSmooth(t *testing.T) {
	got := Smooth(plotter.XYs{{X: 1, Y: 4}, {X: 2, Y: 4}, {X: 3, Y: 0}}, 0.5)
	for i, want := range []float64{4, 4, 4 * 0.375 / 0.875} {
		if math.Abs(got[i].Y-want) > 1e-12 || got[i].X != float64(i+1) {
			t.Errorf("point %d is %v, want %v", i, got[i], want)
		}
	}
}

// Pixels and boxes stand where they belong, also in the second row.
func TestSheet(t *testing.T) {
	s := NewSheet(3, 2, 4, 10)
	pixels := make([]float32, 16)
	pixels[1*4+2] = 1
	for i := range 3 {
		s.Image(i, pixels, "")
	}
	red := color.RGBA{255, 0, 0, 255}
	s.Box(2, 1, 2, 3, 4, red, "")
	path := filepath.Join(t.TempDir(), "sheet.png")
	if err := s.Save(path); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	picture, err := png.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	at := image.Pt(gap, gap+caption+40+gap+caption) // of the third
	for _, test := range []struct {
		x, y int
		want color.Color
	}{
		{25, 15, color.White}, {19, 15, color.Black}, {25, 9, color.Black}, {30, 15, color.Black},
		{10, 20, red}, {29, 39, red}, {15, 20, red}, {15, 25, color.Black}, {9, 20, color.Black},
		{-1, 0, color.White},
	} {
		got := picture.At(at.X+test.x, at.Y+test.y)
		r, g, b, _ := got.RGBA()
		if wr, wg, wb, _ := test.want.RGBA(); r != wr || g != wg || b != wb {
			t.Errorf("pixel %d, %d is %v, want %v", test.x, test.y, got, test.want)
		}
	}
}
