package report

import (
	"bytes"
	"fmt"
	"image/color"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Write writes the files, by their names below dir, and prints their paths. With check it writes
// nothing: it is an error that names the command if they are not as it would write them.
func Write(out io.Writer, dir string, files map[string][]byte, check bool, command string) error {
	var stale []string
	for _, name := range slices.Sorted(maps.Keys(files)) {
		path := filepath.Join(dir, name)
		if check {
			if have, err := os.ReadFile(path); err != nil || !bytes.Equal(have, files[name]) {
				stale = append(stale, filepath.ToSlash(name))
			}
			continue
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, files[name], 0o644); err != nil {
			return err
		}
		fmt.Fprintln(out, path)
	}
	if stale != nil {
		return fmt.Errorf("not up to date: %s; write with `%s`", strings.Join(stale, ", "), command)
	}
	return nil
}

// Colours that people of any colour vision tell apart (Okabe and Ito), and that of a grid.
var (
	Blue      = color.RGBA{0x00, 0x72, 0xb2, 255}
	Vermilion = color.RGBA{0xd5, 0x5e, 0x00, 255}
	Green     = color.RGBA{0x00, 0x9e, 0x73, 255}
	Purple    = color.RGBA{0xcc, 0x79, 0xa7, 255}
	Sky       = color.RGBA{0x56, 0xb4, 0xe9, 255}
	Orange    = color.RGBA{0xe6, 0x9f, 0x00, 255}
	Black     = color.RGBA{A: 255}
	Grid      = color.RGBA{0xe6, 0xe6, 0xe6, 255}
)

// Fonts adds other fonts of the same widths to a chart, for readers without Liberation Sans.
func Fonts(svg []byte) []byte {
	return bytes.ReplaceAll(svg, []byte("font-family:Liberation Sans;"),
		[]byte("font-family:Liberation Sans,Arial,Helvetica,sans-serif;"))
}
