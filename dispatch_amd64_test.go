//go:build gc && !purego && !noasm

package adam

import (
	"fmt"
	"os"
	"regexp"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestChoices(t *testing.T) {
	const amd, intel = "AuthenticAMD", "GenuineIntel"
	for _, test := range []struct {
		vendor    string
		signature uint32 // leaf 1 of CPUID, EAX
		kernel    int
		cpus, kin string
		ahead     int
	}{
		{amd, 0x00a10f11, avx512, "AMD Zen 4", "", 320},           // Genoa
		{amd, 0x00a60f12, avx512, "AMD Zen 4", "", 320},           // Raphael
		{amd, 0x00aa0f02, avx512, "AMD Zen 4", "", 320},           // Bergamo
		{amd, 0x00a00f11, avx512, "other AMD CPUs", "Zen 4", 320}, // Milan
		{amd, 0x00b00f21, avx512, "AMD Zen 5", "", 320},           // Turin
		{amd, 0x00b40f40, avx512, "AMD Zen 5", "", 320},           // Granite Ridge
		{amd, 0x00b50f00, avx512, "other AMD CPUs", "Zen 4", 320}, // family 26, not of Zen 5
		{"HygonGenuine", 0x00900f01, avx512, "CPUs of other makers", "Zen 4", 320},
		{intel, 0x000606a6, avx512vl, "Intel Ice Lake servers", "", 1024},
		{intel, 0x000606c1, avx512vl, "Intel Ice Lake servers", "", 1024},
		{intel, 0x00050657, avx512vl, "other Intel CPUs", "Ice Lake", 1024}, // Cascade Lake
		{intel, 0x000c06f2, avx512, "Intel Emerald Rapids", "", 1024},
		{intel, 0x000806f8, avx512, "Intel Sapphire Rapids and Granite Rapids", "Emerald Rapids",
			1024},
		{intel, 0x000a06d1, avx512, "Intel Sapphire Rapids and Granite Rapids", "Emerald Rapids",
			1024},
		{"", 0, avx512, "CPUs of other makers", "Zen 4", 320},
	} {
		family, model := familyAndModel(test.signature)
		c := choose(test.vendor, family, model)
		assert.Equal(t, test.cpus, c.cpus, "%#x", test.signature)
		assert.Equal(t, test.kin, c.kin, test.cpus)
		assert.Equal(t, test.kernel, c.kernel, test.cpus)
		assert.Equal(t, test.ahead, c.ahead, test.cpus)
	}
}

// The choice of this CPU is the first of Kernels, if it can run.
func TestBest(t *testing.T) {
	c := choose(identify())
	assert.Equal(t, c.ahead, ahead)
	k := kernels[c.kernel]
	if len(k.Missing()) > 0 {
		t.Skip("cannot run " + k.Name)
	}
	assert.Equal(t, k.Name, Kernels()[0])
}

// The CPU is the one that Linux sees.
func TestIdentify(t *testing.T) {
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		t.Skip("needs /proc/cpuinfo")
	}
	want := regexp.MustCompile(`vendor_id\s*: (\S+)\ncpu family\s*: (\d+)\nmodel\s*: (\d+)\n`).
		FindStringSubmatch(string(info))
	if want == nil {
		t.Skip("no CPU in /proc/cpuinfo")
	}
	vendor, family, model := identify()
	assert.Equal(t, want[1:], []string{vendor, fmt.Sprint(family), fmt.Sprint(model)})
}
