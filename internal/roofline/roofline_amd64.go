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

func (w Way) move(list *Stream, count, n int) {
	if w.bits == 512 {
		moveAVX512(list, count, n, w.l1, w.l2)
	} else {
		moveAVX2(list, count, n, w.l1, w.l2)
	}
}

func arithmetic(kernel string, pairs bool, n int) bool {
	switch widths[kernel] {
	case 512:
		arithmeticAVX512(n, pairs)
	case 256:
		arithmeticAVX2(n, pairs)
	default:
		arithmeticScalar(n, pairs)
	}
	return true
}

func arithmetic64(kernel string, pairs bool, n int) bool {
	switch widths[kernel] {
	case 512:
		arithmetic64AVX512(n, pairs)
	case 256:
		arithmetic64AVX2(n, pairs)
	default:
		arithmetic64Scalar(n, pairs)
	}
	return true
}

//go:noescape
func trafficAVX512(p, grad, m, v *float32, n, l1, l2 int)

//go:noescape
func trafficAVX2(p, grad, m, v *float32, n, l1, l2 int)

//go:noescape
func moveAVX512(list *Stream, count, n, l1, l2 int)

//go:noescape
func moveAVX2(list *Stream, count, n, l1, l2 int)

func arithmeticAVX512(n int, pairs bool)
func arithmeticAVX2(n int, pairs bool)

// arithmeticScalar is in assembly because Go's compiler lets each root wait for the register that
// it writes, which makes this loop slower than a step.
func arithmeticScalar(n int, pairs bool)

func arithmetic64AVX512(n int, pairs bool)
func arithmetic64AVX2(n int, pairs bool)
func arithmetic64Scalar(n int, pairs bool)
