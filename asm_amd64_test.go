//go:build gc && !purego && !noasm

package adam

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Instructions of the amd64 kernels and the CPU flag that each needs, on registers of 512 bits (or
// masks) and on shorter ones; "" for those of every amd64 CPU. From Intel's and AMD's manuals.
var needs = func() map[string][2]string {
	m := map[string][2]string{
		"VPAND": {"-", "avx2"}, "VPANDN": {"-", "avx2"}, "VPXOR": {"-", "avx2"},
		"VPCMPEQD": {"-", "avx2"},
		"VPCMPGTD": {"-", "avx2"}, "VPBROADCASTD": {"avx512f", "avx2"},
		"VORPS": {"avx512dq", "avx"}, "VMASKMOVPS": {"-", "avx"},
		"VBROADCASTF128": {"-", "avx"}, "VEXTRACTF128": {"-", "avx"}, "VZEROUPPER": {"-", "avx"},
		"VXORPS": {"avx512dq", "avx"}, "VPXORD": {"avx512f", "avx512vl"},
		"VFMADD231PD": {"avx512f", "fma"},
		"VPTESTMD":    {"avx512f", "avx512vl"}, "KMOVW": {"avx512f", "-"},
		"VPCMPEQQ": {"-", "avx2"}, "VPCMPGTQ": {"-", "avx2"},
		"VPBROADCASTQ": {"avx512f", "avx2"}, "VORPD": {"avx512dq", "avx"},
		"VMASKMOVPD": {"-", "avx"}, "VPTESTMQ": {"avx512f", "avx512vl"},
		"VPERMT2W": {"avx512bw", "avx512vl"}, "VPMOVW2M": {"avx512bw", "-"}, "VMOVD": {"-", "avx"},
		"VMOVQ": {"-", "avx"}, "VCVTPH2PS": {"avx512f", "f16c"}, "VCVTPS2PH": {"avx512f", "f16c"},
		"VPACKUSDW": {"avx512bw", "avx2"}, "VPSIGND": {"-", "avx2"}, "VPABSB": {"avx512bw", "avx2"},
		"VPERMQ": {"avx512f", "avx2"}, "VEXTRACTI128": {"-", "avx2"}, "VPOR": {"-", "avx2"},
		"VPCMPEQB": {"-", "avx2"}, "VPBLENDW": {"-", "avx2"},
		"KMOVQ": {"avx512bw", "-"}, "KNOTQ": {"avx512bw", "-"},
		"VBROADCASTI32X4": {"avx512f", "avx512vl"}, "VPBROADCASTW": {"avx512bw", "avx2"},
		"VPSIGNW": {"-", "avx2"},
	}
	for _, s := range strings.Fields("VMOVUPS VMOVAPS VADDPS VSUBPS VMULPS VDIVPS VSQRTPS VMAXPS " +
		"VMINPS VCMPPS VBROADCASTSS VCVTPS2PD VMOVUPD VMOVAPD VADDPD VSUBPD VMULPD VDIVPD " +
		"VSQRTPD VMAXPD VMINPD VCMPPD VBROADCASTSD") {
		m[s] = [2]string{"avx512f", "avx"}
	}
	for _, s := range strings.Fields("VPMINSD VPMINUD VPMAXUD VPSRLD VPSLLD VPSRAD VPMULLD " +
		"VPADDD VPSUBD VPABSD VPMOVZXWD VPMOVSXWD VPMOVZXBD VPMOVSXBD VPUNPCKLDQ VPUNPCKHDQ " +
		"VPSHUFD VPERMD") {
		m[s] = [2]string{"avx512f", "avx2"}
	}
	for _, s := range strings.Fields("VPACKSSDW VPACKSSWB VPSRLW VPSLLW VPSRAW VPADDW " +
		"VPSUBW VPABSW VPALIGNR VPSHUFB VPMOVSXBW") {
		m[s] = [2]string{"avx512bw", "avx2"}
	}
	for _, s := range strings.Fields("VPTERNLOGD VFIXUPIMMPS VPANDD VMOVDQU32 VMOVDQA32 " +
		"VSHUFI64X2") {
		m[s] = [2]string{"avx512f", "avx512vl"}
	}
	for _, s := range strings.Fields("MOVQ MOVL XORL ANDL LEAQ CMPQ CMPL CMPB JGT JGE JLT JLE " +
		"JEQ JNE JMP ADDQ SUBQ SHLL SHRL SHRQ DECL PREFETCHT0 RET PCALIGN STMXCSR LDMXCSR MOVB " +
		"MOVBLZX CMOVLEQ CMOVLLT CMOVLGT CMOVQEQ LEAL ANDQ NEGL " +
		"NO_LOCAL_POINTERS") {
		m[s] = [2]string{"-", ""}
	}
	return m
}()

// The gate of each kernel asks for every flag that one of its instructions needs.
func TestGates(t *testing.T) {
	wide := regexp.MustCompile(`\b(Z\d+|K\d)\b`)
	short := regexp.MustCompile(`\b[XY]\d+\b`)
	evex := regexp.MustCompile(`\bK\d\b|\b[XY](1[6-9]|2\d|3[01])\b`) // on short ones only AVX512VL
	// AVX2 broadcasts from vectors and memory, not from general registers.
	general := regexp.MustCompile(`^([A-D]X|[SD]I|R\d+),`)
	all := []string{"avx512", "avx512vl", "avx2"}
	users := map[string][]string{"addAVX": all, "add64AVX": all} // the kernels of a function
	for _, f := range []string{"step", "stepRuns", "step64", "sumSquares", "clamp", "average",
		"sumSquares64", "clamp64", "average64"} {
		users[f+"AVX512"], users[f+"AVX512VL"] = all[:1], all[1:2]
		users[f+"AVX2"] = all[1:] // avx512vl has the flags of avx2
	}
	for _, f := range []string{"decodeBF16", "decodeF16", "decodeSplit", "encodeBF16", "encodeF16",
		"encodeSplit", "roundBF16", "decodeQ8", "encodeQ8"} {
		users[f+"AVX512"], users[f+"AVX2"] = all[:1], all[1:]
	}
	for _, f := range fusions {
		users["fused"+f.name+"AVX512"], users["fused"+f.name+"AVX512VL"] = all[:1], all[1:2]
		users["fused"+f.name+"AVX2"] = all[2:]
	}
	keep := func(string) bool { return false }
	var functions []asmFunc
	for _, file := range assemblyFiles(t, "*_amd64.s") {
		functions = append(functions, readAssembly(t, file, keep)...)
	}
	for _, f := range functions {
		if f.name == "cpuid" || strings.HasSuffix(f.name, "ontrolRegister") {
			continue
		}
		require.Contains(t, users, f.name)
		gates := map[string]int{}
		for _, k := range kernels {
			if slices.Contains(users[f.name], k.Name) {
				for _, flag := range k.Needs {
					gates[flag.Name]++
				}
			}
		}
		if strings.HasSuffix(f.name, "codeF16AVX2") { // which f16c gates
			gates["f16c"] = len(users[f.name])
		}
		gate := func(flag string) bool { return flag == "" || gates[flag] == len(users[f.name]) }
		vectors := 0
		for _, s := range f.statements {
			if strings.HasSuffix(s, ":") {
				continue
			}
			op, operands, _ := strings.Cut(s, " ")
			op, _, _ = strings.Cut(op, ".") // .Z, .BCST
			flags, known := needs[op]
			assert.True(t, known, "%s: which flag does %q need? Add it to needs", f.name, s)
			flag := flags[1]
			if wide.MatchString(operands) {
				flag = flags[0]
			}
			assert.NotEqual(t, "-", flag, "%s: no such form: %s", f.name, s)
			assert.True(t, gate(flag), "%s: the gate lacks %s, which %q needs", f.name, flag, s)
			vl := short.MatchString(operands) && (evex.MatchString(operands) ||
				strings.HasPrefix(op, "VPBROADCAST") && general.MatchString(operands))
			assert.True(t, gate("avx512vl") || !vl,
				"%s: the gate lacks avx512vl, which %q needs", f.name, s)
			if flag != "" {
				vectors++
			}
		}
		least := 8
		if strings.HasPrefix(f.name, "step") {
			least = 100
		}
		assert.Greater(t, vectors, least, "%s: vector instructions seen", f.name)
		assert.Contains(t, f.statements, "VZEROUPPER")
	}
}

// A gate is closed by any one flag that is missing.
func TestMissingFlag(t *testing.T) {
	for _, k := range assembled {
		for i := range k.Needs {
			one := k
			one.Needs = append(k.Needs[:0:0], k.Needs...)
			one.Needs[i].Have = false
			assert.Contains(t, one.Missing(), k.Needs[i].Name)
		}
	}
}
