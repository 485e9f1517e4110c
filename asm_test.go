package adam

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// An asmFunc is a function of an assembly file with its macros expanded, a statement each.
type asmFunc struct {
	name       string
	frame      int // bytes of its local variables
	statements []string
}

type macro struct {
	params []string // nil: without parentheses
	body   string
}

var (
	defineRE = regexp.MustCompile(`^#define\s+(\w+)(\(([^)]*)\))?\s*(?s:(.*))$`)
	textRE   = regexp.MustCompile(`^TEXT\s+·(\w+)\(SB\),\s*(?:NOSPLIT|0),\s*\$(\d+)-\d+$`)
	// Of the package's own macros; the others are the toolchain's.
	includeRE = regexp.MustCompile(`^#include "(\w+_(?:amd64|arm64|riscv64)\.h)"$`)
	wordRE    = regexp.MustCompile(`\b[A-Za-z_]\w*`)
)

// readAssembly expands the macros of an assembly file as the Go assembler does, but for those that
// keep says it should leave.
func readAssembly(t *testing.T, file string, keep func(name string) bool) []asmFunc {
	macros := map[string]macro{}
	var funcs []asmFunc
	lines := assemblyLines(t, file)
	for len(lines) > 0 {
		line := strings.TrimSpace(lines[0])
		lines = lines[1:]
		if i := includeRE.FindStringSubmatch(line); i != nil {
			lines = append(assemblyLines(t, i[1]), lines...)
			continue
		}
		if d := defineRE.FindStringSubmatch(line); d != nil {
			if !keep(d[1]) {
				m := macro{body: strings.TrimSpace(d[4])}
				if d[2] != "" {
					m.params = splitArgs(d[3])
				}
				macros[d[1]] = m
			}
			continue
		}
		if f := textRE.FindStringSubmatch(line); f != nil {
			frame, err := strconv.Atoi(f[2])
			require.NoError(t, err)
			funcs = append(funcs, asmFunc{name: f[1], frame: frame})
			continue
		}
		require.False(t, strings.HasPrefix(line, "TEXT"), "%s: not understood: %s", file, line)
		data := strings.HasPrefix(line, "DATA ") || strings.HasPrefix(line, "GLOBL ")
		if len(funcs) == 0 || line == "" || data {
			continue
		}
		f := &funcs[len(funcs)-1]
		for _, s := range strings.Split(expand(t, line, macros), ";") {
			if s = strings.TrimSpace(s); s != "" {
				f.statements = append(f.statements, s)
			}
		}
	}
	require.NotEmpty(t, funcs, file)
	return funcs
}

// assemblyLines returns the lines of a file without comments, a macro on one line.
func assemblyLines(t *testing.T, file string) []string {
	data, err := os.ReadFile(file)
	require.NoError(t, err)
	source := regexp.MustCompile(`//[^\n]*`).ReplaceAllString(string(data), "")
	source = regexp.MustCompile(`[ \t]*\\\n`).ReplaceAllString(source, ";")
	return strings.Split(source, "\n")
}

// assemblyFiles returns the files of the patterns, of all architectures.
func assemblyFiles(t *testing.T, patterns ...string) (files []string) {
	for _, p := range patterns {
		list, err := filepath.Glob(p)
		require.NoError(t, err)
		require.NotEmpty(t, list, p)
		files = append(files, list...)
	}
	return files
}

// expand replaces the macros of s and those in what replaces them.
func expand(t *testing.T, s string, macros map[string]macro) string {
	var out strings.Builder
	for s != "" {
		w := wordRE.FindStringIndex(s)
		if w == nil {
			break
		}
		name := s[w[0]:w[1]]
		out.WriteString(s[:w[0]])
		s = s[w[1]:]
		m, ok := macros[name]
		if !ok {
			out.WriteString(name)
			continue
		}
		body := m.body
		if m.params != nil {
			end := closing(s)
			args := splitArgs(s[1:end])
			require.Len(t, args, len(m.params), "%s%s", name, s[:end])
			body = wordRE.ReplaceAllStringFunc(body, func(word string) string {
				if i := slices.Index(m.params, word); i >= 0 {
					return args[i]
				}
				return word
			})
			s = s[end+1:]
		}
		out.WriteString(expand(t, body, macros))
	}
	return out.String() + s
}

// closing returns the index of the parenthesis that closes the one that s begins with.
func closing(s string) int {
	depth := 0
	for i, c := range s {
		switch c {
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return len(s) - 1
}

// splitArgs splits at the commas outside parentheses.
func splitArgs(s string) []string {
	var args []string
	depth, from := 0, 0
	for i, c := range s + "," {
		switch {
		case c == '(':
			depth++
		case c == ')':
			depth--
		case c == ',' && depth == 0:
			args = append(args, strings.TrimSpace(s[from:i]))
			from = i + 1
		}
	}
	return args
}

// The local variables of each function lie in its frame, whole and apart from each other. Neither
// the assembler nor go vet looks at that.
func TestFrames(t *testing.T) {
	local := regexp.MustCompile(`\b(\w+)-(\d+)\(SP\)`)
	wide, half := regexp.MustCompile(`\bZ\d+\b`), regexp.MustCompile(`\bY\d+\b`)
	seen := 0
	for _, file := range assemblyFiles(t, "*.s", "internal/roofline/*.s") {
		for _, f := range readAssembly(t, file, func(string) bool { return false }) {
			// owner[i] is the variable with the byte i below the top
			owner := make([]string, f.frame+1)
			for _, s := range f.statements {
				require.NotContains(t, local.ReplaceAllString(s, ""), "(SP)", "%s: %s", f.name, s)
				m := local.FindStringSubmatch(s)
				if m == nil {
					continue
				}
				seen++
				size := 4 // of MOVL and LDMXCSR
				if wide.MatchString(s) {
					size = 64
				} else if half.MatchString(s) {
					size = 32
				}
				top, err := strconv.Atoi(m[2])
				require.NoError(t, err)
				require.LessOrEqual(t, top, f.frame, "%s: below the frame: %s", f.name, s)
				require.LessOrEqual(t, size, top, "%s: above the frame: %s", f.name, s)
				for i := top - size + 1; i <= top; i++ {
					require.Contains(t, []string{"", m[1]}, owner[i], "%s: overlap: %s", f.name, s)
					owner[i] = m[1]
				}
			}
		}
	}
	assert.Greater(t, seen, 40, "uses of local variables")
}

// No kernel rounds once where the formula rounds twice. A square of a float32 is exact in float64,
// so that its sum may come from a multiply-add.
func TestNoFusedOperations(t *testing.T) {
	fused := regexp.MustCompile(`^V?FW?N?M(ADD|SUB|LA|LS|ACC|SAC)`)
	checked := 0
	for _, file := range assemblyFiles(t, "*.s") {
		for _, f := range readAssembly(t, file, func(string) bool { return false }) {
			seen := slices.ContainsFunc(f.statements, fused.MatchString)
			exact := slices.Contains([]string{"sumSquaresAVX512", "sumSquaresNEON",
				"sumSquaresRVV"}, f.name)
			assert.Equal(t, exact, seen, "%s: a fused operation", f.name)
			checked++
		}
	}
	assert.Greater(t, checked, 30, "functions")
}

// Each word that the arm64 files encode by hand disassembles to the operation that its macro names,
// on the registers that the macro is given.
func TestEncodings(t *testing.T) {
	if request != "" {
		t.Skip("it is the same whichever kernel is in use, and takes long")
	}
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("needs the go command")
	}
	if runtime.GOARCH != "amd64" && runtime.GOARCH != "arm64" {
		t.Skip("the go command does not run under the emulators that test this architecture")
	}
	binary := filepath.Join(t.TempDir(), "arm64.test")
	build := exec.Command("go", "test", "-c", "-o", binary, ".")
	build.Env = append(os.Environ(), "GOOS=linux", "GOARCH=arm64", "GOFLAGS=", "CGO_ENABLED=0")
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)
	operation := regexp.MustCompile(`^([A-Z]\w+(4S|2D|4H|8H|8B|16B))\(([^)]*)\)$`)
	suffix := regexp.MustCompile(`^[A-Z]\w+(4S|2D|4H|8H|8B|16B)$`)
	special := map[string]string{ // all others have one format in all operands
		"FCVTL2D": "VFCVTL V%s.S2, V%s.D2", "FCVTLH2D": "VFCVTL2 V%s.S4, V%s.D2",
		"FCVTL4S": "VFCVTL V%s.H4, V%s.S4", "FCVTN4H": "VFCVTN V%s.S4, V%s.H4",
		"MUL4S": "VMUL V%s.S4, V%s.S4, V%s.S4", "SMIN4S": "VSMIN V%s.S4, V%s.S4, V%s.S4",
		"ABS4S": "VABS V%s.S4, V%s.S4", "UMAXV4S": "VUMAXV V%s.S4, V%s",
		"SSHR20X4S": "VSSHR $20, V%s.S4, V%s.S4", "SSHR31X4S": "VSSHR $31, V%s.S4, V%s.S4",
		"SHLL4S": "VSHLL $16, V%s.H4, V%s.S4", "SHRN4H": "VSHRN $16, V%s.S4, V%s.H4",
		"SXTL8H": "VSXTL V%s.B8, V%s.H8", "SXTL4S": "VSXTL V%s.H4, V%s.S4",
		"XTN4H": "VXTN V%s.S4, V%s.H4", "SQXTN4H": "VSQXTN V%s.S4, V%s.H4",
		"SQXTN8H": "VSQXTN2 V%s.S4, V%s.H8", "SQXTN8B": "VSQXTN V%s.H8, V%s.B8",
		"SQXTN16B": "VSQXTN2 V%s.H8, V%s.B16",
	}
	// A line of objdump.
	instruction := regexp.MustCompile(`(?m)^\s+(\S+):\d+\s+0x[0-9a-f]+\s+[0-9a-f]{8}\s+(.*?)\s*$`)
	total := 0
	for _, file := range assemblyFiles(t, "*_arm64.s", "internal/roofline/*_arm64.s") {
		for _, f := range readAssembly(t, file, suffix.MatchString) {
			var want []string
			names := map[string]bool{}
			for _, s := range f.statements {
				assert.NotContains(t, s, "WORD", "an encoding without a macro that names it")
				if m := operation.FindStringSubmatch(s); m != nil {
					registers := splitArgs(m[3])
					if format := special[m[1]]; format != "" {
						for _, r := range registers {
							format = strings.Replace(format, "%s", r, 1)
						}
						want = append(want, format)
					} else {
						lanes := map[string]string{"4S": ".S4", "2D": ".D2"}[m[2]]
						want = append(want, strings.TrimSuffix(m[1], m[2])+" V"+
							strings.Join(registers, lanes+", V")+lanes)
					}
					op, _, _ := strings.Cut(want[len(want)-1], " ")
					names[op] = true
				}
			}
			symbol := `\.` + f.name + `(\.abi0)?$`
			dump, err := exec.Command("go", "tool", "objdump", "-s", symbol, binary).Output()
			require.NoError(t, err)
			var got []string
			for _, m := range instruction.FindAllStringSubmatch(string(dump), -1) {
				if m[1] != filepath.Base(file) {
					continue
				}
				if op, _, _ := strings.Cut(m[2], " "); names[op] && strings.Contains(m[2], ".") {
					got = append(got, m[2])
				}
			}
			for i, w := range want {
				require.Less(t, i, len(got), "%s: no %s in the binary", f.name, w)
				require.Equal(t, w, got[i], "%s: operation %d", f.name, i)
			}
			require.Len(t, got, len(want), f.name)
			total += len(want)
		}
	}
	assert.Greater(t, total, 100, "hand-encoded words compared")
	t.Log(total, "words")
}
