package roofline

import "golang.org/x/sys/cpu"

func runnable() []string {
	names := []string{"generic"}
	if cpu.X86.HasAVX2 {
		names = append(names, "avx2")
	}
	if cpu.X86.HasAVX512F && cpu.X86.HasAVX512VL {
		names = append(names, "avx512", "avx512vl")
	}
	return names
}
