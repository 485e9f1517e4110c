//go:build gc && !purego && !noasm

package roofline

// widths are the bits of a vector of the kernels of package adam with ceilings in assembly.
var widths = map[string]int{"neon": 128}

// The kernel has no prefetch instructions.
var distances []ahead

func (Way) traffic(p, g, m, v *float32, n int) { trafficNEON(p, g, m, v, n) }

func (Way) move(list *Stream, count, n int) { moveNEON(list, count, n) }

func arithmetic(kernel string, pairs bool, n int) bool {
	if kernel == "neon" {
		arithmeticNEON(n, pairs)
		return true
	}
	return false
}

func arithmetic64(kernel string, pairs bool, n int) bool {
	if kernel == "neon" {
		arithmetic64NEON(n, pairs)
		return true
	}
	return false
}

//go:noescape
func trafficNEON(p, grad, m, v *float32, n int)

//go:noescape
func moveNEON(list *Stream, count, n int)

func arithmeticNEON(n int, pairs bool)
func arithmetic64NEON(n int, pairs bool)
