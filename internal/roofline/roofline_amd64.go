//go:build gc && !purego && !noasm

package roofline

// widths are the bits of a vector of the kernels of package adam with ceilings in assembly.
var widths = map[string]int{"avx512": 512, "avx512vl": 256, "avx2": 256}

// distances are those of the kernels, 320 or 1024 bytes, and one with which this loop is up to 4 %
// faster on Zen 4, between the caches and the memory.
var distances = []ahead{{320, 0}, {1024, 0}, {320, 1024}}

func (w Way) traffic(p, g, m, v *float32, n int) {
	if w.bits == 512 {
		trafficAVX512(p, g, m, v, n, w.l1, w.l2)
	} else {
		trafficAVX2(p, g, m, v, n, w.l1, w.l2)
	}
}

func arithmetic(kernel string, n int) {
	if widths[kernel] == 512 {
		arithmeticAVX512(n)
	} else {
		arithmeticAVX2(n)
	}
}

func arithmetic64(kernel string, n int) {
	if widths[kernel] == 512 {
		arithmetic64AVX512(n)
	} else {
		arithmetic64AVX2(n)
	}
}

//go:noescape
func trafficAVX512(p, grad, m, v *float32, n, l1, l2 int)

//go:noescape
func trafficAVX2(p, grad, m, v *float32, n, l1, l2 int)

func arithmeticAVX512(n int)
func arithmeticAVX2(n int)
func arithmetic64AVX512(n int)
func arithmetic64AVX2(n int)
