//go:build gc && !purego && !noasm

package roofline

// The kernels of package adam with a ceiling in assembly.
var assembled = []string{"neon"}

// The kernel has no prefetch instructions.
func traffic(_ string, p, g, m, v *float32, n int, _ bool) { trafficNEON(p, g, m, v, n) }

func arithmetic(_ string, n int)   { arithmeticNEON(n) }
func arithmetic64(_ string, n int) { arithmetic64NEON(n) }

//go:noescape
func trafficNEON(p, grad, m, v *float32, n int)

func arithmeticNEON(n int)
func arithmetic64NEON(n int)
