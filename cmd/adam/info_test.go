package main

import (
	"runtime"
	"strings"
	"testing"

	"github.com/fusedadam/adam"
	"github.com/fusedadam/adam/cmd/adam/internal/machine"
	"github.com/fusedadam/adam/internal/selection"
)

func TestInfo(t *testing.T) {
	avx := selection.Flag{Name: "avx", Have: true}
	kernels := func(wide bool) []selection.Kernel {
		return []selection.Kernel{
			{Name: "avx512", Needs: []selection.Flag{{Name: "avx512f", Have: wide}, avx}},
			{Name: "avx2", Needs: []selection.Flag{avx, {Name: "avx2", Have: true}}},
			{Name: selection.Generic},
		}
	}
	amd64 := selected{
		cpu:     machine.CPU{Name: "Some CPU", Cores: 4, L1D: 48 << 10, L2: 2 << 20, Line: 64},
		kernels: kernels(true), active: "avx512", mode: "usual", tile: 8192,
		goos: "plan9", goarch: "amd64",
	}
	for _, test := range []struct {
		name   string
		change func(s *selected)
		want   []string
	}{
		{"best", func(*selected) {}, []string{
			"CPU       Some CPU, 4 logical cores, plan9/amd64\n",
			"Caches    L1D 48 KiB, L2 2 MiB, L3 unknown, line 64 bytes\n",
			"Features  avx512f yes, avx yes, avx2 yes\n",
			"Kernels   avx512   available\n          avx2     available\n" +
				"          generic  available, on every CPU\n",
			"In use    avx512: the best that can run here\n",
			"FP mode   usual\n",
			"Tile      8192 elements in one call of the kernel, 128 KiB of",
			"Fused     no storage of 16 or 8 bits: avx512 steps all of them through float32 in L1",
		}},
		{"fused", func(s *selected) { s.fused = []string{"these", "those"} }, []string{
			"\nFused     these\n          those\n          all other storages of 16 and 8 bits, ",
		}},
		{"optional", func(s *selected) {
			s.extra = []selection.Flag{{Name: "f16c", Have: false}, avx}
		}, []string{"Features  avx512f yes, avx yes, avx2 yes, f16c no\n"}},
		{"flush to zero", func(s *selected) { s.mode = "flush-to-zero (MXCSR 0x9f80)" }, []string{
			"FP mode   flush-to-zero (MXCSR 0x9f80): no matter to avx512, which",
		}},
		{"measured", func(s *selected) {
			s.chosen = selection.Choice{CPUs: "Some CPUs", Ahead: 99}
		}, []string{
			"Order     that of Some CPUs, measured on one; steps prefetch 99 bytes ahead\n",
		}},
		{"not measured", func(s *selected) {
			s.chosen = selection.Choice{CPUs: "other CPUs", Kin: "theirs"}
		}, []string{
			"Order     that of other CPUs, measured on none of them but on theirs; steps",
		}},
		{"generic", func(s *selected) { s.mode, s.active = "flush-to-zero", "generic" }, []string{
			"FP mode   flush-to-zero: the generic kernel computes other bits in it\n",
		}},
		{"mode unknown", func(s *selected) { s.mode = "unknown" }, []string{
			"FP mode   unknown, as it is not seen without assembly",
		}},
		{"missing", func(s *selected) { s.kernels, s.active = kernels(false), "avx2" }, []string{
			"Features  avx512f no, avx yes",
			"avx512   not available: CPU or operating system without avx512f\n",
			"In use    avx2: the best that can run here\n",
		}},
		{"switched off", func(s *selected) {
			s.kernels, s.active, s.godebug = kernels(false), "avx2",
				"gctrace=1,avx512f=off,cpu.avx512f=off,cpu.fma=off,cpu.all=off"
		}, []string{
			"without avx512f (GODEBUG has cpu.avx512f=off, cpu.all=off)\n",
		}},
		{"requested", func(s *selected) { s.request, s.active = "AVX2", "avx2" }, []string{
			"In use    avx2: ADAM_KERNEL=AVX2\n",
		}},
		{"unavailable", func(s *selected) {
			s.kernels, s.request, s.active = kernels(false), "avx512", "avx2"
		}, []string{
			"In use    avx2: the best that can run here; " +
				"ADAM_KERNEL=avx512 was not followed, as avx512 is not available\n",
		}},
		{"unknown", func(s *selected) { s.request = "mmx" }, []string{
			"ADAM_KERNEL=mmx was not followed, as amd64 has no kernel of that name\n",
		}},
		{"pure Go", func(s *selected) {
			s.kernels, s.active = kernels(true)[2:], "generic"
		}, []string{
			"Features  no kernel looks at any\n",
			"Kernels   generic  available, the only one: " +
				"built without assembly (tag purego or noasm)\n",
		}},
		{"other architecture", func(s *selected) {
			*s = selected{
				kernels: kernels(true)[2:], active: "generic",
				goos: "linux", goarch: "riscv64", tile: 100,
			}
		}, []string{
			"CPU       unknown CPU, 0 logical cores, linux/riscv64\n",
			"Caches    L1D unknown, L2 unknown, L3 unknown, line unknown\n",
			"generic  available, the only one for riscv64\n",
			"100 elements in one call of the kernel, 1600 bytes of",
		}},
	} {
		s := amd64
		test.change(&s)
		var b strings.Builder
		s.print(&b)
		for _, want := range test.want {
			if !strings.Contains(b.String(), want) {
				t.Errorf("%s: no %q in\n%s", test.name, want, b.String())
			}
		}
	}
}

func TestInfoHere(t *testing.T) {
	out := mustRun(t, "info")
	wants := append(selection.Fused(), "In use    "+adam.Kernel()+": ",
		"FP mode   "+selection.Mode(), "\nFused     ")
	if runtime.GOARCH == "amd64" && adam.Kernels()[0] != selection.Generic {
		wants = append(wants, ", f16c ")
	}
	for _, want := range wants {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}
