package plots

import (
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"os"

	"golang.org/x/image/font"
	"golang.org/x/image/font/basicfont"
	"golang.org/x/image/math/fixed"
)

// Sheet is a picture of equal grey-scale images in rows, enlarged, with a caption above each.
type Sheet struct {
	picture             *image.RGBA
	columns, side, zoom int
}

const (
	gap     = 6  // pixels between images
	caption = 14 // pixels of a line of text
)

// NewSheet returns a sheet of n images of side × side pixels, each drawn zoom × zoom large, in so
// many columns.
func NewSheet(n, columns, side, zoom int) *Sheet {
	s := &Sheet{columns: columns, side: side, zoom: zoom}
	rows := (n + columns - 1) / columns
	s.picture = image.NewRGBA(image.Rect(0, 0, gap+columns*s.step(), gap+rows*(s.step()+caption)))
	draw.Draw(s.picture, s.picture.Bounds(), image.White, image.Point{}, draw.Src)
	return s
}

func (s *Sheet) step() int { return s.side*s.zoom + gap }

// origin is the upper left corner of image i.
func (s *Sheet) origin(i int) image.Point {
	return image.Pt(gap+i%s.columns*s.step(), gap+caption+i/s.columns*(s.step()+caption))
}

// Image draws pixels in [0, 1], row by row, as image i, white on black, and the text above it.
func (s *Sheet) Image(i int, pixels []float32, text string) {
	at := s.origin(i)
	for y := range s.side * s.zoom {
		for x := range s.side * s.zoom {
			v := pixels[y/s.zoom*s.side+x/s.zoom]
			s.picture.Set(at.X+x, at.Y+y, color.Gray{uint8(255*min(max(v, 0), 1) + 0.5)})
		}
	}
	s.text(at.Add(image.Pt(0, -3)), text, color.Black)
}

// Box draws a rectangle into image i, with its corners in pixels of the image, and the text on a
// label at its upper left.
func (s *Sheet) Box(i int, x0, y0, x1, y1 float64, c color.Color, text string) {
	at := s.origin(i)
	scale := func(v float64) int {
		return int(min(max(v, 0), float64(s.side))*float64(s.zoom) +
			0.5)
	}
	r := image.Rect(scale(x0), scale(y0), scale(x1), scale(y1)).Add(at)
	line := func(r image.Rectangle) {
		draw.Draw(s.picture, r, image.NewUniform(c), image.Point{},
			draw.Src)
	}
	line(image.Rect(r.Min.X, r.Min.Y, r.Max.X, r.Min.Y+1))
	line(image.Rect(r.Min.X, r.Max.Y-1, r.Max.X, r.Max.Y))
	line(image.Rect(r.Min.X, r.Min.Y, r.Min.X+1, r.Max.Y))
	line(image.Rect(r.Max.X-1, r.Min.Y, r.Max.X, r.Max.Y))
	if text != "" {
		label := image.Rect(0, 0, 7*len(text)+2, 13).Add(r.Min)
		line(label)
		s.text(label.Min.Add(image.Pt(1, 10)), text, color.Black)
	}
}

func (s *Sheet) text(at image.Point, text string, c color.Color) {
	d := font.Drawer{Dst: s.picture, Src: image.NewUniform(c), Face: basicfont.Face7x13,
		Dot: fixed.P(at.X, at.Y)}
	d.DrawString(text)
}

// Save writes the sheet as PNG.
func (s *Sheet) Save(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := png.Encode(f, s.picture); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}
