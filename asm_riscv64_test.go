//go:build gc && linux && go1.26 && !purego && !noasm

package adam

import (
	"encoding/binary"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// The kernels have instructions of every riscv64 CPU that Go runs on and of V, which its gate asks
// for, and no others: those of float16 (Zvfh) and of the many later extensions are none of V.
func TestGates(t *testing.T) {
	always := strings.Fields("MOV MOVW MOVWU MOVB MOVBU MOVF MOVD FMVWX FNEGS FNEGD ADD SUB MUL " +
		"SLL SRLW BEQZ BNEZ BNE BGEU JMP RET CSRRS CSRRW")
	vectors := strings.Fields("VSETVLI VLE32V VLE64V VSE32V VSE64V VFADDVV VFADDVF VFSUBVV " +
		"VFMULVV VFMULVF VFDIVVV VFSQRTV VFMAXVV VFMAXVF VFMINVF VFWMACCVV VANDVX VMSEQVI " +
		"VMFNEVV VMERGEVVM VMERGEVIM VLE8V VLE16V VSE8V VSE16V VFSUBVF VFSGNJVV VZEXTVF2 " +
		"VSEXTVF2 VSEXTVF4 VNSRLWI VADDVV VADDVX VSUBVV VSUBVX VRSUBVI VMULVX VANDVI VORVV " +
		"VORVX VXORVV VSLLVI VSRLVI VSRLVX VSRAVI VMAXVV VMAXVX VMINVX VMINUVX VREDMAXUVS " +
		"VMSGTUVX VMSLTUVX VMVXS VMVSX VMVVI VIDV")
	assert.Equal(t, "v", assembled[rvv].Needs[0].Name)
	seen := map[string]bool{}
	for _, file := range []string{"adam_riscv64.s", "step64_riscv64.s", "codec_riscv64.s"} {
		for _, f := range readAssembly(t, file, func(string) bool { return false }) {
			half := false // elements have 16 bits
			for _, s := range f.statements {
				op, operands, _ := strings.Cut(s, " ")
				if strings.HasSuffix(op, ":") || slices.Contains(always, op) {
					continue
				}
				seen[op] = true
				assert.Contains(t, vectors, op, "%s: what does %q need?", f.name, s)
				if op == "VSETVLI" {
					half = strings.Contains(operands, "E16")
				}
				float := strings.HasPrefix(op, "VF") || strings.HasPrefix(op, "VMF")
				assert.False(t, half && float, "%s: %s", f.name, s)
				assert.NotContains(t, operands, "MF", "%s: %s", f.name, s)
			}
		}
	}
	assert.Len(t, seen, len(vectors), "vector instructions seen")
}

func TestLetterV(t *testing.T) {
	auxv := func(pairs ...uint64) (b []byte) {
		for _, x := range pairs {
			b = binary.NativeEndian.AppendUint64(b, x)
		}
		return b
	}
	const v = 1 << 21
	for _, c := range []struct {
		auxv []byte
		want bool
	}{
		{nil, false},
		{auxv(6, 4096, 16, 0x112d, 0, 0), false},
		{auxv(6, 4096, 16, 0x112d|v, 0, 0), true},
		{auxv(16, v), true},
		{auxv(26, v, 16, 0x112d, 0, 0), false},
		{auxv(6, v, 0, 0), false},
		{auxv(16, v)[:15], false},
		{auxv(6, 16, v, 0), false},
	} {
		assert.Equal(t, c.want, letterV(c.auxv), "%x", c.auxv)
	}
}

// A gate is closed by the flag that is missing, and nothing but RVV 1.0 opens it: under an emulator
// or on a machine without vectors the kernel is not in the list.
func TestMissingFlag(t *testing.T) {
	one := assembled[rvv]
	one.Needs = slices.Clone(one.Needs)
	one.Needs[0].Have = false
	assert.Equal(t, []string{"v"}, one.Missing())
	assert.Equal(t, hasVectors(), slices.Contains(Kernels(), "rvv"))
}
