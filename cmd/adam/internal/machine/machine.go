// Package machine describes the CPU that the command runs on.
package machine

import (
	"fmt"
	"os"
	"runtime"
	"strings"

	"github.com/klauspost/cpuid/v2"
)

// CPU is what results are filed under. A zero field is unknown.
type CPU struct {
	Name   string `json:"name"`
	Micro  string `json:"microarchitecture,omitempty"`
	Family int    `json:"family,omitempty"` // of x86; virtual machines cut names short
	Model  int    `json:"model,omitempty"`
	Cores  int    `json:"logical_cores"`
	L1D    int    `json:"l1d_bytes"`
	L2     int    `json:"l2_bytes"`
	L3     int    `json:"l3_bytes"`
	Line   int    `json:"line_bytes"`
}

// This returns the CPU of this machine: from the instruction CPUID where there is one, else what
// Linux tells.
func This() CPU {
	id := cpuid.CPU
	c := CPU{
		Name:  strings.Join(strings.Fields(id.BrandName), " "),
		Cores: runtime.NumCPU(),
		L1D:   max(0, id.Cache.L1D),
		L2:    max(0, id.Cache.L2),
		L3:    max(0, id.Cache.L3),
		Line:  id.CacheLine,
	}
	if runtime.GOARCH == "amd64" || runtime.GOARCH == "386" {
		c.Family, c.Model = id.Family, id.Model
		c.Micro = microarchitecture(id.VendorString, c.Family, c.Model)
	}
	c.complete(os.DirFS("/"))
	return c
}

// String names the CPU in a line.
func (c CPU) String() string {
	if c.Family == 0 {
		return c.Short()
	}
	numbers := fmt.Sprintf("family %d, model %d", c.Family, c.Model)
	if c.Micro != "" {
		numbers = c.Micro + ", " + numbers
	}
	return fmt.Sprintf("%s (%s)", c.name(), numbers)
}

// Short is String without the numbers.
func (c CPU) Short() string {
	if c.Micro == "" {
		return c.name()
	}
	return fmt.Sprintf("%s (%s)", c.name(), c.Micro)
}

func (c CPU) name() string {
	if c.Name == "" {
		return "unknown CPU"
	}
	return c.Name
}

// Caches lists the data caches in a line.
func (c CPU) Caches() string {
	line := "unknown"
	if c.Line > 0 {
		line = fmt.Sprintf("%d bytes", c.Line)
	}
	return fmt.Sprintf("L1D %s, L2 %s, L3 %s, line %s",
		Bytes(c.L1D), Bytes(c.L2), Bytes(c.L3), line)
}

// File is the name of the CPU and of its microarchitecture in letters, digits and dashes, for a
// file: CPUs of several generations may have one name.
func (c CPU) File() string {
	name := strings.NewReplacer("(R)", "", "(TM)", "", "@", "at").Replace(c.Name) + " " + c.Micro
	words := strings.FieldsFunc(name, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.')
	})
	if len(words) == 0 {
		return "unknown-" + runtime.GOARCH
	}
	return strings.Join(words, "-")
}

// Bytes writes a size in the largest binary unit that divides it; 0 is unknown.
func Bytes(n int) string {
	switch {
	case n <= 0:
		return "unknown"
	case n%(1<<20) == 0:
		return fmt.Sprintf("%d MiB", n>>20)
	case n%(1<<10) == 0:
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d bytes", n)
}
