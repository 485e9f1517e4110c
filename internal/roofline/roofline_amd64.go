//go:build !purego && !noasm

package roofline

// The kernels of package adam with a ceiling in assembly.
var assembled = []string{"avx512", "avx2"}

func traffic(kernel string, p, g, m, v *float32, n int) {
	if kernel == "avx512" {
		trafficAVX512(p, g, m, v, n)
	} else {
		trafficAVX2(p, g, m, v, n)
	}
}

func arithmetic(kernel string, n int) {
	if kernel == "avx512" {
		arithmeticAVX512(n)
	} else {
		arithmeticAVX2(n)
	}
}

//go:noescape
func trafficAVX512(p, grad, m, v *float32, n int)

//go:noescape
func trafficAVX2(p, grad, m, v *float32, n int)

func arithmeticAVX512(n int)
func arithmeticAVX2(n int)
