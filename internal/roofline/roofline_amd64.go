//go:build gc && !purego && !noasm

package roofline

// The kernels of package adam with a ceiling in assembly. avx512vl has that of its width, AVX2's.
var assembled = []string{"avx512", "avx512vl", "avx2"}

func traffic(kernel string, p, g, m, v *float32, n int, prefetch bool) {
	if kernel == "avx512" {
		trafficAVX512(p, g, m, v, n, prefetch)
	} else {
		trafficAVX2(p, g, m, v, n, prefetch)
	}
}

func arithmetic(kernel string, n int) {
	if kernel == "avx512" {
		arithmeticAVX512(n)
	} else {
		arithmeticAVX2(n)
	}
}

func arithmetic64(kernel string, n int) {
	if kernel == "avx512" {
		arithmetic64AVX512(n)
	} else {
		arithmetic64AVX2(n)
	}
}

//go:noescape
func trafficAVX512(p, grad, m, v *float32, n int, prefetch bool)

//go:noescape
func trafficAVX2(p, grad, m, v *float32, n int, prefetch bool)

func arithmeticAVX512(n int)
func arithmeticAVX2(n int)
func arithmetic64AVX512(n int)
func arithmetic64AVX2(n int)
