package machine

import (
	"io/fs"
	"strconv"
	"strings"
)

// complete fills in what is unknown from the files of Linux below root. Other systems have none.
func (c *CPU) complete(root fs.FS) {
	if c.Name == "" {
		info := cpuinfo(root)
		for _, key := range []string{"model name", "cpu", "uarch"} { // as POWER and RISC-V call it
			if c.Name == "" {
				c.Name = info[key]
			}
		}
		// Arm gives numbers: implementer 0x41 part 0xd0c is the Neoverse N1.
		if part := info["CPU part"]; c.Name == "" && part != "" {
			c.Name = "Arm implementer " + info["CPU implementer"] + " part " + part
		}
	}
	const dir = "sys/devices/system/cpu/cpu0/cache"
	entries, _ := fs.ReadDir(root, dir)
	for _, e := range entries {
		read := func(name string) string {
			text, _ := fs.ReadFile(root, dir+"/"+e.Name()+"/"+name)
			return strings.TrimSpace(string(text))
		}
		if read("type") == "Instruction" {
			continue
		}
		size := map[string]*int{"1": &c.L1D, "2": &c.L2, "3": &c.L3}[read("level")]
		kib, err := strconv.Atoi(strings.TrimSuffix(read("size"), "K"))
		if err == nil && size != nil && *size == 0 {
			*size = kib << 10
		}
		if line, err := strconv.Atoi(read("coherency_line_size")); err == nil && c.Line == 0 {
			c.Line = line
		}
	}
}

// cpuinfo returns the fields of the first processor in /proc/cpuinfo.
func cpuinfo(root fs.FS) map[string]string { return fields(root, "proc/cpuinfo") }

// Available returns the bytes of memory that can be had without swapping, 0 if unknown.
func Available(root fs.FS) int64 {
	available := fields(root, "proc/meminfo")["MemAvailable"]
	kib, _ := strconv.ParseInt(strings.TrimSuffix(available, " kB"), 10, 64)
	return kib << 10
}

// fields reads lines of the form “key : value”; the first of a key counts.
func fields(root fs.FS, file string) map[string]string {
	m := map[string]string{}
	text, _ := fs.ReadFile(root, file)
	for line := range strings.Lines(string(text)) {
		key, value, found := strings.Cut(line, ":")
		if key = strings.TrimSpace(key); found && m[key] == "" {
			m[key] = strings.TrimSpace(value)
		}
	}
	return m
}
