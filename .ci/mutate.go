//go:build ignore

// Mutate changes the module one instruction, operand or line at a time and expects the tests to
// notice:
//
//	go run .ci/mutate.go                      # all
//	go run .ci/mutate.go pool "FMIN4S(2"      # those whose file or text contains one of these,
//	                                          # which must not end in .go
//	go run .ci/mutate.go -random 12           # so many, drawn; none begins after two minutes
//	go run .ci/mutate.go -check               # only that each pattern stands in its file once
//
// It works in copies of the repository, prints which test caught each mutation and exits with 1 if
// one was not. The mutations of arm64 and riscv64 need qemu-aarch64 and qemu-riscv64.
package main

import (
	"cmp"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A mutation replaces old, which its file contains once, by new. The tests of the file's package,
// or else those of its module's root package, must fail.
type mutation struct{ old, new string }

var mutations = []struct {
	file string
	list []mutation
}{
	{"step_amd64.h", []mutation{ // all widths
		{"LEAQ lanes(BX), R11", "LEAQ lanes-1(BX), R11"},
		{"LEAQ -3*lanes(R10), R11", "LEAQ -2*lanes(R10), R11"},
		{"ADDQ $lanes, BX", "ADDQ $(lanes-1), BX"},
		{"MOVL    $const_usualMode, fresh-4(SP)", "MOVL    R11, fresh-4(SP)"},
		{`LDMXCSR saved-8(SP)       \`, `LDMXCSR fresh-4(SP)       \`},
		{`VADDP  96(SI), Y3, Y3`, `VADDP  64(SI), Y3, Y3`},
		{`VMOVUP Y2, 64(DI)`, `VMOVUP Y1, 64(DI)`},
		{`VADDP  32(SI), Y1, Y1    \`, `VMULP  32(SI), Y1, Y1    \`},
	}},
	{"step_amd64.h", []mutation{ // AVX-512
		{"LDMUL(AT(SI, o), S, G)", "LDMUL(AT(SI, o), KAPPA, G)"},
		{"VMULP     LAMBDA, U, U", "VMULP     KAPPA, U, U"},
		{"VADDP     U, G, G", "VSUBP     U, G, G"},
		{"VMULP     C2, G, U", "VMULP     C1, G, U"},
		{"VMULP     G, U, U", "VMULP     U, U, U"},
		{"VPTESTM   LIVE, V, K1", "VPTESTM   V, V, K1"},
		{"VMOVAP.Z  V, K1, V", "VMOVAP    V, K1, V"},
		{"VMOVAP.Z  m, K2, m", "VMOVAP.Z  m, K1, m"},
		{"VCMPP     $3, U, U, K1", "VCMPP     $7, U, U, K1"},
		{"VMOVAP    U, K1, V", "VMOVAP    V, K1, V"},
		{"VMAXP     V, U, V", "VMAXP     U, V, V"},
		{"VADDP     EPS, r, r", "VADDP     ALPHA, r, r"},
		{"ALPHA, r, r", "LAMBDA, r, r"},
		{"VSUBP     r, G, G", "VADDP     r, G, G"},
		{"DECL R11", "INCL R11"},
		{"VPTESTM   LIVE, m, K2", "VPTESTM   LIVE, V, K2"},
		{"ST(V, AT(R9, o))", "ST(U, AT(R9, o))"},
	}},
	{"step_amd64.h", []mutation{ // the small kernels
		{"VMOVUPD Z3, 192(DI)", "VMOVUPD Z2, 192(DI)"},
		{"VMAXP Z3, Z2, Z3", "VMAXP Z2, Z3, Z3"},
		{"VMINP Z4, Z1, Z4", "VMINP Z1, Z4, Z4"},
		{"VSUBP    Z2, Z3, Z3", "VSUBP    Z3, Z2, Z3"},
		{"VPTESTM  Z1, Z2, K1", "VPTESTM  Z2, Z2, K1"},
		{"VMAXP  t, Y2, t", "VMAXP  Y2, t, t"},
		{"VPANDN  Y3, Y4, Y3", "VPAND   Y3, Y4, Y3"},
	}},
	{"step_amd64.h", []mutation{ // AVX2
		{"VMULP     LAMBDAY, UY, UY", "VMULP     ALPHAY, UY, UY"},
		{"VPAND     LIVEY, VY, UY", "VPAND     LIVEY, GY, UY"},
		{"VPANDN    m, UY, m", "VPAND     m, UY, m"},
		{"VORP      UY, VY, VY", "VORP      VY, VY, VY"},
		{"VCMPP     $3, UY, UY, UY", "VCMPP     $3, VY, VY, UY"},
		{"VPCMPGT ordinals<>(SB), UY, LANESY", "VPCMPEQ ordinals<>(SB), UY, LANESY"},
		{"VMULP     ALPHAY, r, r", "VMULP     LAMBDAY, r, r"},
		{"VSQRTP    VY, r", "VSQRTP    UY, r"},
		{"VMULP     C1Y, GY, GY", "VMULP     C2Y, GY, GY"},
	}},
	{"adam_amd64.s", []mutation{ // AVX-512
		{"VFMADD231PD Z6, Z6, Z2", "VFMADD231PD Z6, Z5, Z2"},
	}},
	{"adam_amd64.s", []mutation{ // AVX2
		{"$0x0000000700000006", "$0x0000000600000007"},
		{"NOSPLIT, $72-56", "NOSPLIT, $40-56"},
		{"ADDSQUARES(112, Y15, Y7)", "ADDSQUARES(96, Y15, Y7)"},
		{"LEAQ 4(BX), CX", "LEAQ 3(BX), CX"},
		{"FOUR(L2Y, NOMAXY)", "FOUR(NOL2Y, NOMAXY)"},
	}},
	{"float32_amd64.h", []mutation{
		{"VBROADCASTSS coeffs_c2(AX), C2 ", "VBROADCASTSS coeffs_c1(AX), C2 "},
		{"LEAQ (SI)(R10*4), R13", "LEAQ (SI)(BX*4), R13"},
	}},
	{"float64_amd64.h", []mutation{
		{"#define VPTESTM     VPTESTMQ", "#define VPTESTM     VPTESTMD"},
		{"#define VPCMPEQ     VPCMPEQQ", "#define VPCMPEQ     VPCMPEQD"},
		{"#define YLEN        4", "#define YLEN        8"},
		{"#define VMINP       VMINPD", "#define VMINP       VMINPS"},
		{"VBROADCASTSD coeffs64_c2(AX), C2 ", "VBROADCASTSD coeffs64_c1(AX), C2 "},
	}},
	{"ymm_amd64.h", []mutation{ // avx512vl alone
		{"#define LANES  YLEN", "#define LANES  ZLEN"},
		{"#define LIVE   Y25", "#define LIVE   Y24"},
		{"#define NEXTM  Y6", "#define NEXTM  Y4"},
	}},
	{"adam_vl_amd64.s", []mutation{
		{"\tNEXT_RUN(end)\n\tVARIANTSK", "\tNEXT_RUN(end)\n\tADDQ $1, BX\n\tVARIANTSK"},
	}},
	{"step64_amd64.s", []mutation{
		{"ordinals<>+16(SB)/8, $2", "ordinals<>+16(SB)/8, $3"},
		{"VBROADCASTSD coeffs64_live(AX), LIVEY", "VBROADCASTSD coeffs64_eps(AX), LIVEY"},
		{"NOSPLIT, $72-56", "NOSPLIT, $40-56"},
		{"ADDSQUARES(192, Z7, Z3)", "ADDSQUARES(128, Z7, Z3)"},
		{"ADDSQUARES(224, Y15, Y7)", "ADDSQUARES(192, Y15, Y7)"},
		{"VBROADCASTSD limit+32(FP), Z1", "VBROADCASTSD s+24(FP), Z1"},
		{"\tVMULPD  t, t, t          \\\n\tVADDPD  t, sum, sum", "\tVFMADD231PD t, t, sum"},
	}},
	{"step_arm64.h", []mutation{
		{"FMUL(SCALE, G, G)", "FMUL(B2, G, G)"},
		{"FMUL(LAMBDA, U, U)", "FADD(LAMBDA, U, U)"},
		{"FMUL(C2, G, U)", "FMUL(C1, G, U)"},
		{"FMAX(V, U, V)", "FMAX(V, V, V)"},
		{"CMTST(V25, V1, V2)", "CMTST(V1, V1, V2)"},
		{"VAND  V2.B16, V4.B16, V4.B16", "VAND  V4.B16, V4.B16, V4.B16"},
		{"FDIV(R, M, R)", "FDIV(M, R, R)"},
		{"FSUB(R, G, G)", "FADD(R, G, G)"},
		{"MOV   F4, -size(R2)", "MOV   F1, -size(R2)"},
		{"SUBS  $1, R5", "SUBS  $2, R5"},
		{"STEP(FMOVT, SIZE, VL2, VMAX)", "STEP(FMOVT, 2*SIZE, VL2, VMAX)"},
		{"FSQRT(V, R)", "FSQRT(U, R)"},
		{"FMIN(2, 0, 0)", "FMIN(3, 0, 0)"},
		{"FSUB(0, 1, 1)", "FSUB(1, 0, 1)"},
		{"CMTST(V4, V0, V2)", "CMTST(V0, V0, V2)"},
		{"MSR  ZR, FPCR", "NOP"},
		{"MSR  R10, FPCR", "NOP"},
		{`FADD(3, 1, 1)`, `FADD(2, 1, 1)`},
	}},
	{"adam_arm64.s", []mutation{
		{"#define FMUL4S(m, n, d) WORD $(0x6e20dc00", "#define FMUL4S(m, n, d) WORD $(0x6e20d400"},
		{"FCVTLH2D(0, 2)", "FCVTL2D(0, 2)"},
	}},
	{"step64_arm64.s", []mutation{
		{"#define FMAX2D(m, n, d) WORD $(0x4e60f400", "#define FMAX2D(m, n, d) WORD $(0x4ee0f400"},
		{"VCMTST m.D2, n.D2, d.D2", "VCMTST m.S4, n.S4, d.S4"},
		{"SCALAR(coeffs64_c2, F21, V21)", "SCALAR(coeffs64_c1, F21, V21)"},
		{"FMUL(1, 1, 1)", "FMUL(0, 1, 1)"},
		{"ADDSQUARES(30, 31)", "ADDSQUARES(30, 30)"},
		{"$const_exponent64, R3", "$const_exponent, R3"},
		{"#define FMIN2D(m, n, d) WORD $(0x4ee0f400", "#define FMIN2D(m, n, d) WORD $(0x4e60f400"},
	}},
	{"step_riscv64.h", []mutation{
		{"VFMULVF SCALE, G, G", "VFMULVF B2, G, G"},
		{"VFMULVF LAMBDA, U, U", "VFADDVF LAMBDA, U, U"},
		{"VFMULVF C2, G, U", "VFMULVF C1, G, U"},
		{"VFMULVV G, U, U", "VFMULVV U, U, U"},
		{"FLUSH(LIVE, M)", "FLUSH(X0, M)"},
		{"VMSEQVI   $0, U, V0", "VMSEQVI   $1, U, V0"},
		{"VFMAXVV V, U, R", "VFMAXVV V, V, R"},
		{"NAN(U, R, R)", "NAN(V, R, R)"},
		{"NAN(V, R, V)", "NAN(U, R, V)"},
		{"VFSQRTV V, R", "VFSQRTV U, R"},
		{"VFDIVVV R, M, R", "VFDIVVV M, R, R"},
		{"VFSUBVV R, G, G", "VFSUBVV G, R, G"},
		{"STORE   M, (X12)", "STORE   V, (X12)"},
		{"CSRRW X0, FRM, X0", "NOP"},
		{"CSRRW X20, FRM, X0", "NOP"},
		{"MOV     $16, X17", "MOV     $15, X17"},
		{"VFMINVF F11, V8, V8", "VFMINVF F12, V8, V8"},
		{"NAN(V4, V8, V8)", "NAN(V8, V8, V8)"},
		{"VFSUBVV V4, V8, V8", "VFSUBVV V8, V4, V8"},
		{"FLUSH(X21, V4)", "FLUSH(X0, V4)"},
	}},
	{"adam_riscv64.s", []mutation{
		{"E8, M1, TA, MA", "E64, MF8, TA, MA"},
		{"ADD  $run__size, X24", "ADD  $8, X24"},
		{"VFWMACCVV V12, V12, V24", "VFWMACCVV V8, V12, V24"},
		{"MOVWU coeffs_live(X16), LIVE", "MOVWU coeffs_eps(X16), LIVE"},
		{"FMOVT limit+28(FP), F11", "FMOVT s+24(FP), F11"},
	}},
	{"step64_riscv64.s", []mutation{
		{"#define WIDTH   E64", "#define WIDTH   E32"},
		{"FMOVT coeffs64_c2(X16), C2", "FMOVT coeffs64_c1(X16), C2"},
		{"MOV   coeffs64_live(X16), LIVE", "MOVWU coeffs64_live(X16), LIVE"},
		{"VFMULVV V8, V8, V8       \\\n\tVFADDVV V8, sums, sums", "VFMACCVV V8, V8, sums"},
		{"ADDSQUARES(V24)", "ADDSQUARES(V16)"},
		{"$const_exponent64, X21", "$const_exponent, X21"},
	}},
	{"dispatch_riscv64.go", []mutation{
		{"auxv = auxv[16:] {", "auxv = auxv[8:] {"},
		{"auxv[8:])&v != 0", "auxv[8:])&^v != 0"},
		{"rounding[mode>>5]", "rounding[mode>>5&3]"},
	}},
	{"tile64.go", []mutation{
		{"== exponent64 {", "== 0x7ff8000000000000 {"},
		{"sums[i%len(sums)]", "sums[i%(len(sums)-1)]"},
		{"sumSquaresBlocks64(last[:], &sums)", "sumSquaresGeneric64(last[:], &sums)"},
		{"clampBlocks64(last[:], last[:], s, limit)", "clampGeneric64(last[:], last[:], s, limit)"},
		{"averageBlocks64(last[:], to[:], c)", "averageGeneric64(last[:], to[:], c)"},
	}},
	{"step64.go", []mutation{
		{"float64(float64(c2*gi)*gi)", "float64(c2*float64(gi*gi))"},
		{"overlap(a, b, 2*n)", "overlap(a, b, n)"},
		{"k.set(&c, s.T+1, 1)", "k.set(&c, s.T+2, 1)"},
		{"d *= 2 - d", "d *= 1.999999999 - d"},
		{"float64(d * (1 - r))", "float64(d)"},
		{"if c.Eps >= flushEps64 {", "if c.Eps > flushEps64 {"},
		{"k.live = exponent64", "k.live = 0x7fffffffffffffff"},
		{"g[tile64:]", "g[tile64-1:]"},
		{"usually(func() {", "func(f func()) { f() }(func() {"},
	}},
	{"adam_generic.go", []mutation{
		{"float32(s * g[i])", "float32(s * s * g[i])"},
		{"float32(c2*gi)*gi", "c2*float32(gi*gi)"},
		{"vi = max(x[i], vi)", "vi = max(vi, vi)"},
		{"mi = 0", "_ = 0"},
		{"vi = 0", "_ = 0"},
		{"+ eps", "+ 0*eps"},
		{"float32(kappa*pi)", "float32(kappa*kappa*pi)"},
		{"gi += float32(lambda * pi)", "gi -= float32(lambda * pi)"},
		{"sums[i%len(sums)]", "sums[i%(len(sums)-1)]"},
		{"math.Float32bits(x)&exponent", "math.Float32bits(x)"},
		{"g = g[n:]", "g = g[n-1:]"},
	}},
	{"adam.go", []mutation{
		{"k.set(&c, s.T+1, 1)", "k.set(&c, s.T+2, 1)"},
		{"overlap(at[2], at[3], n)", "false"},
		{"overlap(at[3], at[4], n)", "false"},
		{"len(v) != n", "len(v) > n"},
	}},
	{"internal/selection/selection.go", []mutation{
		{"kernels[:best]...", "kernels[:0]..."},
	}},
	{"dispatch_amd64.go", []mutation{
		{"modeBits  = 0xffc0", "modeBits  = 0x7f80"},
		{"if family == 6 || family == 15 {", "if family == 15 {"},
		{"family += int(signature >> 20 & 0xff)", "family += 0"},
		{"m[0] <= model && model <= m[1]", "m[0] <= model"},
		{"best  = taken.kernel", "best  = avx2"},
		{"ahead = taken.ahead", "ahead = 0"},
		{`{"other Intel CPUs", "Ice Lake", "GenuineIntel"`, `{"other Intel CPUs", "Ice Lake", ""`},
	}},
	{"dispatch.go", []mutation{
		{"usually(func() { k.compute(c, t, scale) })", "k.compute(c, t, scale)"},
		{"float32(1-c.Beta1)", "1-float32(c.Beta1)"},
		{"return c.LR * q / q1,", "return c.LR / q1,"},
		{"= float32(alpha), float32(eps)", "= math.Nextafter32(float32(alpha), 9), float32(eps)"},
		{"eps = c.Eps * q", "eps = c.Eps"},
		{"1 - float64(c.LR*c.WeightDecay)", "1 - float64(float32(c.LR*c.WeightDecay))"},
		{"k.s = -k.s", "k.s = -1"},
		{"k.live = exponent", "k.live = 0x7fffffff"},
		{"beta *= beta", "beta *= 0.999999999 * beta"},
		{"g[tile:]", "g[tile-1:]"},
		{"sumSquaresBlocks(last[:], &sums)", "sumSquaresGeneric(last[:], &sums)"},
		{"clampBlocks(last[:], last[:], s, limit)", "clampGeneric(last[:], last[:], s, limit)"},
		{"averageBlocks(last[:], to[:], c)", "averageGeneric(last[:], to[:], c)"},
		{"s[i] = sums[i] + sums[i+len(s)]", "s[i] = sums[i] + sums[i]"},
	}},
	{"dispatch.go", []mutation{
		{"if c.EpsUncorrected {", "if false {"},
		{"eps = c.Eps\n", "eps = c.Eps * 1.0000001\n"},
	}},
	{"step.go", []mutation{
		{"s := State{T: t - 1, M: m, V: v}", "s := State{T: t, M: m, V: v}"},
		{"s := State64{T: t - 1, M: m, V: v}", "s := State64{T: t, M: m, V: v}"},
		{"if t == 0 || c.AMSGrad {\n\t\treturn stepError(t)\n\t}\n\ts := State{",
			"if t == 0 {\n\t\treturn stepError(t)\n\t}\n\ts := State{"},
		{"if t == 0 || c.AMSGrad {\n\t\treturn stepError(t)\n\t}\n\ts := State64{",
			"if c.AMSGrad {\n\t\treturn stepError(t)\n\t}\n\ts := State64{"},
	}},
	{"accumulate.go", []mutation{
		{`addBlocks(sum[:], more[:])`, `addGeneric(sum[:], more[:])`},
		{`addBlocks64(sum[:], more[:])`, `addGeneric(sum[:], more[:])`},
		{`from[tile:]`, `from[tile-1:]`},
		{`from[tile64:]`, `from[tile64-1:]`},
		{`unsafe.Sizeof(F(0))/4`, `unsafe.Sizeof(F(0))/8`},
		{`if len(from) != n {`, `if len(from) < n {`},
		{`to[i] += x`, `to[i] = x`},
	}},
	{"part.go", []mutation{
		{`at < 0 || n > of || at > of-n`, `at < 0 || at+n > of`},
		{`case n == 0 && at != 0:`, `case false:`},
		{`a.from == b.from || a.from+a.n > b.from`, `a.from+a.n > b.from`},
		{`case a.group != b.group:`, `case false:`},
		{`if t.hasGrad != first.hasGrad {`, `if false {`},
	}},
	{"step_with.go", []mutation{
		{`o.squares, o.normed = squares, false`, `o.squares = squares`},
		{`o.normed = false // the caller`, `_ = 0 // the caller`},
		{`runs[0] < 0 ||`, `false ||`},
	}},
	{"zero/leaves.go", []mutation{
		{"for k := range z.merging - 1 {", "for k := range z.merging {"},
		{"z.added = z.want + 1", "_ = z.want"},
	}},
	{"zero/step.go", []mutation{
		{"found = min(found, all[next])", "found = all[next]"},
		{"if !t.hasGrad && !all {", "if !t.hasGrad {"},
		{"return z.own.Check()", "return nil"},
		{"\t\tz.clearOthers()", "\t\t_ = z.want"},
	}},
	{"zero/shards.go", []mutation{
		{"left += due(owner)", "left = due(owner)"},
		{"if s.from < last.to {", "if false {"},
	}},
	{"zero/file.go", []mutation{
		{"s.z.agree(s.failed)", "s.z.agree(nil)"},
		{"if z.heard[r*said+3] != z.heard[3] {", "if z.heard[r*said+3] == 0 {"},
		{"if heard[r*said+1] != heard[1] {", "if false {"},
	}},
	{"internal/checkpoint/parts.go", []mutation{
		{"a = product(a, power)", "a = product(a, a)"},
		{"uint32(1 << 23)", "uint32(1 << 24)"},
		{"return a ^ b", "return a | b"},
	}},
	{"checkpoint_parts.go", []mutation{
		{"d.From = data[i].From + t.before()", "d.From = data[i].From"},
		{"int64(4*t.words())", "4"},
		{"if err == nil && n < len(head) {", "if err == nil && n < 0 {"},
	}},
	{"rows.go", []mutation{
		{"k.set(&c, s.T+1, 1)", "k.set(&c, s.T+2, 1)"},
		{"r <= last || int(r) >= n", "r < last || int(r) >= n"},
		{"if r < 0 || int(r) >= n {", "if int(r) >= n {"},
		{"(*marks)[uint32(r)/64] = 0", "_ = (*marks)[uint32(r)/64]"},
		{"(n + 63) / 64", "n / 64"},
		{"range min(j, 4)", "range min(j, 3)"},
		{"n%width != 0", "false"},
		{"len(g) != len(rows)*width", "len(g) < len(rows)*width"},
		{"from += skip", "_ = skip"},
		{"end = min(end, from+len(g)-n)", "_ = n"},
	}},
	{"moving.go", []mutation{
		{"group < 0 || group >= len(groups)", "group >= len(groups)"},
		{"g.Params64 = append(g.Params64, more.Params64...)", "_ = g"},
		{"if old.given != nil || old.lent {", "if old.given != nil {"},
		{"grown.T = old.T", "_ = old.T"},
		{"copy(grown.VMax, old.VMax)", "copy(grown.VMax, old.V)"},
		{"copy(grown.ema, value)", "_ = value"},
		{"begun: old.begun}", "begun: true}"},
		{"*old.state = *grown.state", "_ = old"},
		{`t.state, t.steps = old.state, &old`, `t.state, t.steps = t.state, &old`},
		{"amsgrad || groups[w.group].Config.AMSGrad", "amsgrad"},
		{"t.n != len(*f.value) && !changes[t.name]", "false"},
		{"o.workers, o.Options.Workers = n, n", "o.workers = n"},
		{"fresh.model, false", "fresh.model, o.normed"},
		{"slices.DeleteFunc(g.Tables, func", "slices.DeleteFunc(g.Tables[:0], func"},
		{`t.part && (t.from != from || t.of != of)`,
			`t.part && (t.from != from && t.of != of)`},
		{`t.state, t.steps = old.state, &old.state.T`, `t.state = old.state`},
	}},
	{"optimizer.go", []mutation{
		{"workers = o.pool.Workers()", "workers = o.crew()"},
		{"= copyOf(groups), map", "= groups, map"},
		{"slices.Clone(g.Params), slices.Clone(g.Params64)", "g.Params, g.Params64"},
		{"limit/(norm+1e-6)", "limit/(norm+1e-3)"},
		{"scale = clip / o.GradScale", "scale = clip"},
		{"norm = math.Sqrt(o.squares) / o.GradScale", "norm = math.Sqrt(o.squares)"},
		{"SkipNonFinite && found", "SkipNonFinite && (found || o.squares > math.MaxFloat64)"},
		{"last.group != t.group", "false"},
		{"o.count()\n\tstats.T = o.T", "stats.T = o.T\n\to.count()"},
		{"\t\t\tt.begun = true", "\t\t\t_ = t.begun"},
		{"moved || m, o.uncut", "moved || m && false, o.uncut"},
		{"o.uncut || t.extent != extent", "o.uncut || t.extent != extent && err == nil"},
		{"bound = o.bound[i] == o.Groups[i].lists()", "bound = true"},
		{"o.bound[:0], false", "o.bound[:0], true"},
		{"d.clampBy, d.clampTo, d.toward = by, to, toward", "d.clampBy, d.clampTo = by, to"},
		{"o.run(averagePass, &o.whole)", "_ = averagePass"},
		{"owners[*f.state]; ok &&", "owners[*f.state]; false && ok &&"},
		{`if !t.follows {`, `if !t.part {`},
		{`g.Parts, g.Parts64 = slices.Clone(g.Parts), slices.Clone(g.Parts64)`,
			`_ = 0`},
		{`last.base != nil && last.group != t.group`, `false`},
	}},
	{"tensor.go", []mutation{
		{"w.group, w.index)\n\t}", "w.index, w.group)\n\t}"},
		{"unsafe.StringData(n) != unsafe.StringData(t.name) && n != t.name ||", "false ||"},
		{"len(n) != len(t.name) {", "false {"},
		{"*t.at.state != t.given ||", "false ||"},
		{"address(*t.at.ema) != address(t.ema)", "false"},
		{"(f.table != nil) != (t.at.table != nil)", "false"},
		{"(!amsgrad || len(t.VMax) == t.n)", "true"},
		{"t.hasGrad && len(grad) != t.n", "false"},
		{"moved = address(grad) != p.grad ||", "moved = false ||"},
		{"p.Width != t.width ||", "false ||"},
		{"t.amsgrad = len(p.Grad), p.Grad != nil", "t.amsgrad = len(p.Grad), len(p.Grad) > 0"},
		{"len(p.Grad) != len(p.Rows)*t.width {", "false {"},
		{"p.rows, p.extent = address(t.at.table.Rows), t.extent", "_ = p"},
		{`spanOf(t.name, "VMax", t.VMax),`, ""},
		{`spanOf(t.name, "EMA", t.ema))`, ")"},
		{`spans[1] = spanOf(t.name, "Rows", t.at.table.Rows)`, "_ = spans"},
		{"l != nil && l.T == t.T", "l != nil"},
		{"t.amsgrad = amsgrad\n", "t.amsgrad = t.amsgrad || amsgrad\n"},
		{"s.scratch[worker]", "s.scratch[0]"},
		{"tile/t.words(), 1)", "tile/4, 1)"},
		{"t.width, p.Rows, from, t", "t.width, p.Rows, 0, t"},
		{"old.n == t.n", "old.n > 0"},
		{"clear(t.VMax)", "_ = 0"},
		{"{ clear((*t.at.grad)", "{ _ = ((*t.at.grad)"},
		{`old.from == t.from && old.of == t.of`, `old.from == t.from`},
		{`from != t.from || of != t.of {`, `from != t.from {`},
	}},
	{"grid.go", []mutation{
		{"cmp.Compare(tensors[i].name, tensors[j].name)", "cmp.Compare(i, j)"},
		{"if o.pass == sumPass {\n\t\t\t\to.sums[from+i] = 0",
			"if false {\n\t\t\t\to.sums[from+i] = 0"},
		{"from += tile / words", "from += tile"},
		{"o.sums = slices.Grow(o.sums[:0], n)[:n]", "_ = n"},
		{"!t.finite(c.from, c.to)", "t.finite(c.from, c.to)"},
		{`cmp.Compare(tensors[i].from, tensors[j].from))`, `0)`},
		{`max(from, o.begin), min(to, o.end)`, `from, to`},
		{`sort.SearchInts(g.chunks, o.end)-o.first`,
			`sort.SearchInts(g.chunks, o.end)-o.first-1`},
		{`if !done { // stepped`, `if !done && len(runs) < 0 { // stepped`},
	}},
	{"memory.go", []mutation{
		{"s[i].from < s[i-1].to", "s[i].to < s[i-1].to"},
		{"return a.from == a.to", "return false"},
		{"a.from < a.to && i < len(s)", "i < len(s)"},
		{"zero && now != t.place", "false"},
		{"!moved && t.now() == t.place", "t.now() == t.place"},
		{"i == 0 && zero", "i >= 0 && zero"},
		{"unsafe.Sizeof(*new(E))", "4"},
		{"if moved {\n\t\to.written", "if true {\n\t\to.written"},
	}},
	{"internal/pool/pool.go", []mutation{
		{"p.pending.Add(-done) == 0", "p.pending.Add(-done) < 0"},
		{"if ready() && s.asleep.CompareAndSwap(true, false) {", "if false {"},
		{"return p.closed.Load() || ", "return "},
		{"p.jobs.Add(1)\n", "\n"},
		{"chunks * (i + 1) / len(p.team)", "chunks * (i + 1) / len(p.parts)"},
		{"debug.SetPanicOnFault(p.faults)\n\t\t\t}", "_ = debug.SetPanicOnFault\n\t\t\t}"},
		{"p.parts[w].end = to", "p.parts[i].end = to"},
		{"defer p.fail()", ""},
		{"p.pending.Swap(0)", "_ = 0"},
		{"p.failure.CompareAndSwap(nil, &v)", "_ = v"},
		{"p.discard()\n\tp.Close()", "p.Close()"},
		{"p.alive.Wait()", "_ = 0"},
		{"i < p.wakes || !p.helpers[i].asleep.Load()", "i < p.wakes"},
		{"p.wakes = p.workers - 1", "p.wakes = 0"},
		{"elements/Share", "len(p.parts)"},
		{"p.ended = time.Now()", "_ = 0"},
		{"\tp.Close()\n\tp.job = nil", "\tp.job = nil"},
	}},
	{"checkpoint_load.go", []mutation{
		{"needed = amsgrad && ", "needed = false && "},
		{"needed = found[what] && l.r.Format == 1 && ", "needed = false && "},
		{"case ok && l.saved[i].claimed:", "case false:"},
		{"if !t.hasMoments(false)", "if false"},
		{"at = from + int64(len(to))", "at = from"},
		{"[]int64{int64(l.o.tensors[i].of)}", "[]int64{int64(l.o.tensors[i].n)}"},
	}},
	{"checkpoint.go", []mutation{
		{"return limit + 8*300*uint64(len(o.Groups))", "return limit"},
		{"d.Shape[0] = int64(t.of)", "d.Shape[0] = int64(t.n)"},
		{"params64: 1, parts64: 1, tables: 2", "params64: 1, parts64: 2, tables: 2"},
	}},
	{"internal/safetensors/json.go", []mutation{
		{"keys[:needed] {", "keys {"},
	}},
	{"internal/checkpoint/read.go", []mutation{
		{"if r.Format == 1 {", "if false {"},
		{"case len(r.Metadata) == MaxMetadata:", "case false:"},
		{"len(groupOf) > len(r.Tensors)/3 {", "false {"},
		{"shift += 3", "shift += 1"},
	}},
	{"internal/checkpoint/foreign.go", []mutation{
		{"case n == len(last):", "case false:"},
	}},
	{"internal/safetensors/safetensors.go", []mutation{
		{"shapes:  len(header)/8 + maxDimensions", "shapes:  1 << 40"},
		{"if hasMetadata {", "if hasMetadata && false {"},
	}},
	{"internal/golden/golden.go", []mutation{
		{"recorded && !lost[i] {", "recorded {"},
		{"subnormal && config.Eps >= limits.flush", "subnormal"},
	}},
	{"internal/golden/read.go", []mutation{
		{"x.snapshots = snapshots(t.F64NoFMA)", "x.snapshots = snapshots(t.F64)"},
	}},
	{"internal/golden/exact64.go", []mutation{
		{"if c.Maximize {", "if false {"},
		{"rest, _ := minus(x, wide(near)).Float64()", "rest := 0.0"},
	}},
	{"internal/golden/exact.go", []mutation{
		{"ours <= max(MaxRatio*torch, limits.floor)",
			"ours <= 100*max(MaxRatio*torch, limits.floor)"},
		{"if c.Maximize {", "if false {"},
	}},
	{"internal/stats/stats.go", []mutation{
		{"q[i] += part *", "q[i] += 0 *"},
	}},
	{"internal/report/table.go", []mutation{
		{`"%.*f", 2-exponent, x`, `"%.*f", 1-exponent, x`},
	}},
	{"internal/progress/progress.go", []mutation{
		{"case b.done >= b.total:", "case b.done > b.total:"},
	}},
	{"torchstate/from.go", []mutation{
		{"info.T = max(info.T, e.count)", "info.T = e.count"},
		{"case p == checkpoint.V, p == checkpoint.VMax:", "case p == checkpoint.V:"},
		{"case errors.Is(err, checkpoint.ErrChanged):", "case false:"},
	}},
	{"torchstate/entry.go", []mutation{
		{"x == math.Trunc(x)", "true"},
		{"if with != nil && without != nil", "if false"},
		{"\tclear(b)\n", ""},
	}},
	{"torchstate/group.go", []mutation{
		{"\t\tEpsUncorrected: c.EpsUncorrected,\n", ""},
		{"case class == classAdamW:", "case false:"},
	}},
	{"torchstate/to.go", []mutation{
		{"if g.config.EpsUncorrected {", "if false {"},
		{"elements(shape) == e.shape[0]", "true"},
		{"if err := c.Close(); err != nil {", "if err := c.Close(); false {"},
		{"if uint64(steps) != e.count", "if false"},
	}},
	{"cmd/adam/internal/verify/verify.go", []mutation{
		{"defer selection.Use(selection.Use(kernel))", ""},
		{"selection.Tile/2, operands.Variants64", "0, nil"},
		{"if k := adam.Kernel(); k != kernel {", `if k := adam.Kernel(); k == "" {`},
	}},
	{"cmd/adam/check.go", []mutation{
		{`if mode != "usual" && mode != "unknown" {`, `if mode == "" {`},
	}},
	{"cmd/adam/info.go", []mutation{
		{"case s.active == selection.Generic:", "case false:"},
	}},
	{"cmd/adam/main.go", []mutation{
		{"case n < operands:", "case n < -9:"},
	}},
	{"cmd/adam/bench.go", []mutation{
		{`f.save = dir; dir == "true"`, `f.save = dir; dir == "x"`},
	}},
	{"cmd/adam/inspect.go", []mutation{
		{"return r.Close()", "return nil"},
	}},
	{"examples/mnist/train.go", []mutation{
		{"saved != settings", `saved == ""`},
	}},
	{"examples/shapes/nnue.go", []mutation{
		{"if w > limit {", "if w >= limit {"},
		{"clamp(n.w1, weightLimit) + clamp(n.w2, weightLimit)", "clamp(n.w1, weightLimit)"},
	}},
	{"examples/recommend/rows.go", []mutation{
		{"\tr.ids = slices.Compact(r.ids)", ""},
		{"\tslices.Sort(r.ids)", ""},
	}},
	{"examples/recommend/train.go", []mutation{
		{"MaxNorm: maxNorm, ZeroGrad: true", "ZeroGrad: true"},
	}},
	{"examples/shapes/float64.go", []mutation{
		{"all[i*cols:(i+1)*cols:(i+1)*cols]", "all[i*cols:]"},
	}},
	{"examples/shapes/rows.go", []mutation{
		{`"batch": strconv.Itoa(batch)`, `"batch": strconv.Itoa(int(a.opt.T))`},
		{"if norm > 1000 {", "if norm > 1e7 {"},
	}},
	{"examples/shapes/flat.go", []mutation{
		{"SkipNonFinite: true, ", ""},
	}},
	{"cmd/compare/docs.go", []mutation{
		{"r.Date != spoken", `r.Date == ""`},
	}},
	{"adapters/gorgonia/solver.go", []mutation{
		{"case e.dtype != p.dtype:", "case false:"},
		{"p.index = len(g.Params64)", "p.index = 0"},
		{"e.double = unsafe.Slice((*float64)(v), 1)", "e.double = []float64{float64(*v)}"},
		{"s.closed = true", ""},
		{"if err == nil {\n\t\ts.Stats = stats\n\t}", "s.Stats = stats"},
		{"p.group = 1", "p.group = 0"},
		{"s.params = params", "if len(s.params) == 0 {\n\t\ts.params = params\n\t}"},
	}},
	{"adapters/gomlx/optimizer.go", []mutation{
		{"v.double.Value = values[i].double", "v.double.Value = v.double.Value"},
		{"v.double.Grad = grad.double", "v.double.Grad = nil"},
		{"o.variables = o.variables[:known]", "_ = known"},
		{"if !bound {", "if !bound && o.optimizer == nil {"},
		{"case o.closed:\n\t\treturn adam.ErrClosed\n\tcase", "case"},
		{"o.closed = true", ""},
		{"if err := o.optimizer.Close(); err != nil {\n\t\t\treturn err\n\t\t}\n\t}\n\to.closed",
			"}\n\to.closed"},
		{"if err := o.optimizer.Close(); err != nil {\n\t\t\treturn err\n\t\t}\n\t}\n\to.ctx",
			"}\n\to.ctx"},
	}},
	{"adapters/spago/adam.go", []mutation{
		{"others.Wait()", ""},
		{"defer cancel()", "_ = cancel"},
		{"m == n && ", ""},
		{"v == n && ", ""},
		{"if none := *new(S); state != none {", "if ok {"},
		{"if _, ok := t.value.(*mat.Dense[float64]); ok {", "if false {"},
		{"if states[t.state] {", "if false {"},
	}},
	{"internal/checkpoint/write.go", []mutation{
		{"if info.Groups[i].Config.EpsUncorrected {", "if false {"},
		{"sum = crc32.Update(sum, crc32.IEEETable, chunk)", "sum += 0"},
		{"written = crc32.Update(written, crc32.IEEETable, chunk)", "_ = chunk"},
		{"info.GradScale, 'g', -1, 64", "info.GradScale, 'g', 16, 64"},
	}},
	{"internal/atomicfile/atomicfile.go", []mutation{
		{"err = f.Sync()", "err = nil"},
		{"if err2 := f.Close(); err == nil {", "if err2 := f.Close(); false {"},
		{"return s.rename(temporary, path)", "return nil"},
		{"_ = s.remove(temporary)\n\t\treturn err\n\t}\n\tif err := s.patiently",
			"return err\n\t}\n\tif err := s.patiently"},
		{"if err := dir.Sync(); err != nil {", "if err := error(nil); err != nil {"},
		{"base, rand.Uint32())", "base, 0&rand.Uint32())"},
		{"if keep { // what", "if keep && false { // what"},
	}},
}

// A job is a mutation and the tests that may catch it, the quickest first.
type job struct {
	mutation
	file   string
	suites []suite
}

// A suite is the tests of a package.
type suite struct{ module, pkg, arch string }

func suitesOf(file string) []suite {
	dir, arch := filepath.Dir(file), runtime.GOARCH
	for _, a := range []string{"amd64", "arm64", "riscv64"} {
		if name, _, _ := strings.Cut(filepath.Base(file), "."); strings.HasSuffix(name, "_"+a) {
			arch = a
		}
	}
	module := dir
	for ; module != "."; module = filepath.Dir(module) {
		if _, err := os.Stat(filepath.Join(module, "go.mod")); err == nil {
			break
		}
	}
	pkg, err := filepath.Rel(module, dir)
	check(err)
	list := []suite{{module, "./" + pkg, arch}}
	if root, _ := filepath.Glob(filepath.Join(module, "*.go")); len(root) > 0 {
		list = append(list, suite{module, "./.", arch})
	}
	return slices.Compact(list)
}

// run runs the suite in a copy of the repository.
func (s suite) run(dir string, timeout time.Duration) (out string, err error) {
	args := []string{"test", "-count=1", "-short", "-failfast", "-timeout=" + timeout.String()}
	require := ""
	switch {
	case s.arch == runtime.GOARCH:
	case s.arch == "arm64":
		args = append(args, "-exec=qemu-aarch64")
	case s.arch == "riscv64": // with a gate that is closed the generic kernel would pass
		args = append(args, "-exec=qemu-riscv64 -cpu rv64,v=true,vext_spec=v1.0",
			"-run=Gates|LetterV|Kernel|Guard|SameBits|Mode")
		require = "rvv"
	}
	c := exec.Command("go", append(args, s.pkg)...)
	c.Dir = filepath.Join(dir, s.module)
	c.Env = append(os.Environ(), "GOWORK=off", "GOARCH="+s.arch, "ADAM_TEST_REQUIRE="+require)
	b, err := c.CombinedOutput()
	return string(b), err
}

var failure = regexp.MustCompile(
	`(?m)^--- FAIL: (\w+)|^(?:SIG\w+|fatal error|panic|FAIL): .*|^unexpected fault address`)

// run returns the tests that caught the mutation, or how they died; "" if none did. The tests may
// take some times as long as without it.
func (j job) run(dir string, took map[suite]time.Duration) string {
	path := filepath.Join(dir, j.file)
	text, err := os.ReadFile(path)
	check(err)
	check(os.WriteFile(path, []byte(strings.Replace(string(text), j.old, j.new, 1)), 0o644))
	defer func() { check(os.WriteFile(path, text, 0o644)) }()
	for _, s := range j.suites {
		out, err := s.run(dir, 30*time.Second+4*took[s])
		if err == nil {
			continue
		}
		var names []string
		for _, m := range failure.FindAllStringSubmatch(out, -1) {
			names = append(names, cmp.Or(m[1], "("+m[0]+")"))
		}
		if len(names) == 0 {
			fmt.Print(out) // it was not built
		}
		return strings.Join(names, ", ")
	}
	return ""
}

func main() {
	only := flag.Bool("check", false, "look for the patterns and change nothing")
	count := flag.Int("random", 0, "draw so many")
	seed := flag.Uint64("seed", uint64(time.Now().UnixNano()%1e6), "of -random")
	flag.Parse()
	jobs, faults := list(flag.Args())
	if len(faults) > 0 {
		fmt.Println(strings.Join(faults, "\n"))
		os.Exit(1)
	}
	limit := time.Duration(math.MaxInt64)
	if *count > 0 {
		fmt.Printf("drawn with -seed %d\n", *seed)
		r := rand.New(rand.NewPCG(*seed, 0))
		r.Shuffle(len(jobs), func(i, j int) { jobs[i], jobs[j] = jobs[j], jobs[i] })
		jobs, limit = jobs[:min(*count, len(jobs))], 2*time.Minute
	}
	if *only {
		fmt.Printf("%d mutations, each pattern found once\n", len(jobs))
	} else if !tryAll(jobs, limit) {
		os.Exit(1)
	}
}

// tryAll reports whether all jobs are caught that begin within limit, once all is ready.
func tryAll(jobs []job, limit time.Duration) bool {
	began := time.Now()
	var copies []string
	for range min(runtime.NumCPU(), len(jobs)) {
		dir, err := os.MkdirTemp("", "mutate")
		check(err)
		defer os.RemoveAll(dir)
		check(os.CopyFS(dir, os.DirFS(".")))
		check(os.RemoveAll(filepath.Join(dir, ".git")))
		copies = append(copies, dir)
	}
	var suites []suite
	for _, j := range jobs {
		suites = append(suites, j.suites...)
	}
	slices.SortFunc(suites, func(a, b suite) int { // emulators take longest
		return cmp.Or(-cmp.Compare(a.arch, b.arch), cmp.Compare(a.module+a.pkg, b.module+b.pkg))
	})
	var done, caught atomic.Int64
	took := map[suite]time.Duration{} // without a mutation, which must pass
	var lock sync.Mutex
	suites = slices.Compact(suites)
	share(copies, suites, func(dir string, s suite) {
		begin := time.Now()
		out, err := s.run(dir, 10*time.Minute)
		if err != nil {
			fmt.Printf("%v fails without a mutation:\n%s", s, out)
			return
		}
		lock.Lock()
		defer lock.Unlock()
		took[s] = time.Since(begin).Round(time.Second)
	})
	if len(took) < len(suites) {
		return false
	}
	fmt.Printf("%d packages pass without a mutation, %.0f s\n", len(took),
		time.Since(began).Seconds())
	ready := time.Now()
	share(copies, jobs, func(dir string, j job) {
		if time.Since(ready) > limit {
			return
		}
		verdict := j.run(dir, took)
		if verdict != "" {
			caught.Add(1)
		}
		fmt.Printf("%3d %s: %s → %s: %s\n", done.Add(1), j.file, j.old, j.new,
			cmp.Or(verdict, "NOT CAUGHT"))
	})
	fmt.Printf("%d mutations, %d caught, %.0f s\n", done.Load(), caught.Load(),
		time.Since(began).Seconds())
	return caught.Load() == done.Load()
}

// list returns the mutations whose file or text contains one of only, all if there is none, and
// what is wrong with any.
func list(only []string) (jobs []job, faults []string) {
	for _, m := range mutations {
		text, err := os.ReadFile(m.file)
		if err != nil {
			faults = append(faults, err.Error())
			continue
		}
		suites := suitesOf(m.file)
		for _, x := range m.list {
			if n := strings.Count(string(text), x.old); n != 1 {
				faults = append(faults,
					fmt.Sprintf("%s: found %d times, want once: %q", m.file, n, x.old))
			}
			chosen := func(s string) bool { return strings.Contains(m.file+" "+x.old, s) }
			if len(only) == 0 || slices.ContainsFunc(only, chosen) {
				jobs = append(jobs, job{x, m.file, suites})
			}
		}
	}
	return jobs, faults
}

// share calls do for all of list, at one time for one of them in each of dirs.
func share[T any](dirs []string, list []T, do func(dir string, x T)) {
	next := make(chan T)
	var workers sync.WaitGroup
	for _, dir := range dirs {
		workers.Add(1)
		go func() {
			defer workers.Done()
			for x := range next {
				do(dir, x)
			}
		}()
	}
	for _, x := range list {
		next <- x
	}
	close(next)
	workers.Wait()
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutate:", err)
		os.Exit(1)
	}
}
