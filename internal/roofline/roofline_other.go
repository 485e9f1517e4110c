//go:build (!amd64 && !arm64) || !gc || purego || noasm

package roofline

// No ceiling in assembly: that of the generic kernel is in roofline.go.
var (
	widths    map[string]int
	distances []ahead
)

func (Way) traffic(p, g, m, v *float32, n int)           {}
func (Way) move(list *Stream, count, n int)              {}
func arithmetic(kernel string, pairs bool, n int) bool   { return false }
func arithmetic64(kernel string, pairs bool, n int) bool { return false }
