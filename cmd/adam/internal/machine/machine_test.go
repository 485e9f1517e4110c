package machine

import (
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"
)

func files(texts map[string]string) fs.FS {
	m := fstest.MapFS{}
	for name, text := range texts {
		m[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return m
}

func TestComplete(t *testing.T) {
	const dir = "sys/devices/system/cpu/cpu0/cache/"
	linux := files(map[string]string{
		"proc/cpuinfo": "processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd0c\n\n" +
			"processor\t: 1\nCPU part\t: 0xd40\n",
		dir + "index0/level":               "1\n",
		dir + "index0/type":                "Data\n",
		dir + "index0/size":                "64K\n",
		dir + "index0/coherency_line_size": "64\n",
		dir + "index1/level":               "1\n",
		dir + "index1/type":                "Instruction\n",
		dir + "index1/size":                "48K\n",
		dir + "index2/level":               "2\n",
		dir + "index2/type":                "Unified\n",
		dir + "index2/size":                "1024K\n",
	})
	riscv := files(map[string]string{"proc/cpuinfo": "uarch\t: sifive,u74-mc\n"})
	known := CPU{Name: "X", L1D: 1, L2: 2, L3: 3, Line: 4}
	for _, test := range []struct {
		name       string
		root       fs.FS
		have, want CPU
	}{
		{"nothing known", files(nil), CPU{}, CPU{}},
		{"arm", linux, CPU{}, CPU{
			Name: "Arm implementer 0x41 part 0xd0c", L1D: 64 << 10, L2: 1 << 20, Line: 64,
		}},
		{"known", linux, known, known},
		{"risc-v", riscv, CPU{}, CPU{Name: "sifive,u74-mc"}},
	} {
		got := test.have
		if got.complete(test.root); got != test.want {
			t.Errorf("%s: %+v, want %+v", test.name, got, test.want)
		}
	}
}

func TestAvailable(t *testing.T) {
	for text, want := range map[string]int64{
		"": 0,
		"MemTotal: 9 kB\nMemAvailable:   8000000 kB\n": 8000000 << 10,
	} {
		if got := Available(files(map[string]string{"proc/meminfo": text})); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
}

func TestNames(t *testing.T) {
	for _, test := range []struct {
		cpu                  CPU
		name, caches, prefix string
	}{
		{CPU{}, "unknown CPU", "L1D unknown, L2 unknown, L3 unknown, line unknown", "unknown-"},
		{
			CPU{
				Name: "Intel(R) Xeon(R) Gold 6130 CPU @ 2.10GHz", Family: 6, Model: 85,
				L1D: 32 << 10, L2: 1 << 20, L3: 22 << 20, Line: 64,
			},
			"Intel(R) Xeon(R) Gold 6130 CPU @ 2.10GHz (family 6, model 85)",
			"L1D 32 KiB, L2 1 MiB, L3 22 MiB, line 64 bytes",
			"Intel-Xeon-Gold-6130-CPU-at-2.10GHz",
		},
		{
			CPU{Name: "AMD EPYC", Micro: "Zen 4", Family: 25, Model: 17},
			"AMD EPYC (Zen 4, family 25, model 17)",
			"L1D unknown, L2 unknown, L3 unknown, line unknown", "AMD-EPYC-Zen-4",
		},
	} {
		if got := test.cpu.String(); got != test.name {
			t.Errorf("String %q, want %q", got, test.name)
		}
		if got := test.cpu.Caches(); got != test.caches {
			t.Errorf("Caches %q, want %q", got, test.caches)
		}
		if got := test.cpu.File(); !strings.HasPrefix(got, test.prefix) {
			t.Errorf("File %q, want %q", got, test.prefix)
		}
	}
}

func TestMicroarchitecture(t *testing.T) {
	for _, test := range []struct {
		vendor        string
		family, model int
		want          string
	}{
		{amd, 25, 17, "Zen 4"}, {amd, 25, 0x61, "Zen 4"}, {amd, 25, 1, "Zen 3"},
		{amd, 25, 0x50, "Zen 3"}, {amd, 26, 2, "Zen 5"}, {amd, 26, 0x44, "Zen 5"},
		{amd, 23, 0x31, "Zen 2"}, {amd, 23, 1, "Zen"}, {amd, 21, 2, ""}, {amd, 26, 0x90, ""},
		{hygon, 24, 1, "Zen"}, {intel, 6, 106, "Ice Lake"}, {intel, 6, 85, "Skylake-SP"},
		{intel, 6, 143, "Sapphire Rapids"}, {intel, 6, 255, ""}, {intel, 25, 17, ""},
		{"", 0, 0, ""},
	} {
		if got := microarchitecture(test.vendor, test.family, test.model); got != test.want {
			t.Errorf("%s, family %d, model %d: %q, want %q", test.vendor, test.family, test.model,
				got, test.want)
		}
	}
}
