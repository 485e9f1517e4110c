//go:build ignore

// Mutate changes the step one instruction, operand or line at a time and expects the tests to notice:
//
//	go run .ci/mutate.go
//	go run .ci/mutate.go pool "FMIN4S(2"    # only those whose file or text contains one of these
//
// It works in a copy of the module, prints which test caught each mutation and exits with 1 if one was
// not. The arm64 mutations need qemu-aarch64.
package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// A mutation replaces the first occurrence of old in a file by new.
type mutation struct{ file, old, new string }

const (
	amd64   = "adam_amd64.s"
	arm64   = "adam_arm64.s"
	generic = "adam_generic.go"
	scalars = "dispatch.go"
	api     = "adam.go"

	optimizer  = "optimizer.go"
	grid       = "grid.go"
	pool       = "pool.go"
	memory     = "memory.go"
	checkpoint = "checkpoint.go"
	loading    = "checkpoint_load.go"
	file       = "checkpoint_file.go"
)

var mutations = []mutation{
	// AVX-512
	{amd64, "LDMUL(AT(SI, o), S, G)", "LDMUL(AT(SI, o), KAPPA, G)"},
	{amd64, "VMULPS    LAMBDA, U, U", "VMULPS    KAPPA, U, U"},
	{amd64, "VADDPS    U, G, G", "VSUBPS    U, G, G"},
	{amd64, "VMULPS    C2, G, U", "VMULPS    C1, G, U"},
	{amd64, "VMULPS    G, U, U", "VMULPS    U, U, U"},
	{amd64, "VPTESTMD  LIVE, V, K1", "VPTESTMD  V, V, K1"},
	{amd64, "VMOVAPS.Z V, K1, V", "VMOVAPS   V, K1, V"},
	{amd64, "VMOVAPS.Z m, K2, m", "VMOVAPS.Z m, K1, m"},
	{amd64, "VCMPPS    $3, U, U, K1", "VCMPPS    $7, U, U, K1"},
	{amd64, "VMOVAPS   U, K1, V", "VMOVAPS   V, K1, V"},
	{amd64, "VMAXPS    V, U, V", "VMAXPS    U, V, V"},
	{amd64, "VADDPS    EPS, r, r", "VADDPS    ALPHA, r, r"},
	{amd64, "VDIVPS    r, m, r", "VDIVPS    m, r, r"},
	{amd64, "VSUBPS    r, G, G", "VADDPS    r, G, G"},
	{amd64, "LEAQ -48(R10), R11", "LEAQ -32(R10), R11"},
	{amd64, "LEAQ 16(BX), R11", "LEAQ 15(BX), R11"},
	{amd64, "DECL R11", "INCL R11"},
	{amd64, "VPTESTMD  LIVE, m, K2", "VPTESTMD  LIVE, V, K2"},
	{amd64, "VBROADCASTSS coeffs_c2(AX), C2", "VBROADCASTSS coeffs_c1(AX), C2"},
	{amd64, "ST(V, AT(R9, o))", "ST(U, AT(R9, o))"},
	// AVX2
	{amd64, "VMULPS    LAMBDAY, UY, UY", "VMULPS    ALPHAY, UY, UY"},
	{amd64, "VPAND     LIVEY, VY, UY", "VPAND     LIVEY, GY, UY"},
	{amd64, "VPANDN    m, UY, m", "VPAND     m, UY, m"},
	{amd64, "VORPS     UY, VY, VY", "VORPS     VY, VY, VY"},
	{amd64, "VCMPPS    $3, UY, UY, UY", "VCMPPS    $3, VY, VY, UY"},
	{amd64, "VPCMPGTD ordinals<>(SB), UY, LANESY", "VPCMPEQD ordinals<>(SB), UY, LANESY"},
	{amd64, "VMULPS    ALPHAY, r, r", "VMULPS    LAMBDAY, r, r"},
	{amd64, "ADDQ $8, BX", "ADDQ $7, BX"},
	{amd64, "VSQRTPS   VY, r", "VSQRTPS   UY, r"},
	{amd64, "LEAQ -24(R10), R11", "LEAQ -16(R10), R11"},
	{amd64, "$0x0000000700000006", "$0x0000000600000007"},
	{amd64, "VMULPS    C1Y, GY, GY", "VMULPS    C2Y, GY, GY"},
	// NEON
	{arm64, "FMUL4S(SCALE, G, G)", "FMUL4S(B2, G, G)"},
	{arm64, "FMUL4S(LAMBDA, U, U)", "FADD4S(LAMBDA, U, U)"},
	{arm64, "FMUL4S(C2, G, U)", "FMUL4S(C1, G, U)"},
	{arm64, "FMAX4S(V, U, V)", "FMAX4S(V, V, V)"},
	{arm64, "VCMTST V25.S4, V1.S4, V2.S4", "VCMTST V1.S4, V1.S4, V2.S4"},
	{arm64, "VAND   V2.B16, V4.B16, V4.B16", "VAND   V4.B16, V4.B16, V4.B16"},
	{arm64, "FDIV4S(R, M, R)", "FDIV4S(M, R, R)"},
	{arm64, "FSUB4S(R, G, G)", "FADD4S(R, G, G)"},
	{arm64, "MOV   F4, -size(R2)", "MOV   F1, -size(R2)"},
	{arm64, "SUBS  $1, R5", "SUBS  $2, R5"},
	{arm64, "STEP(FMOVS, 4, VL2, VMAX)", "STEP(FMOVS, 8, VL2, VMAX)"},
	{arm64, "FSQRT4S(V, R)", "FSQRT4S(U, R)"},
	{arm64, "#define FMUL4S(m, n, d) WORD $(0x6e20dc00", "#define FMUL4S(m, n, d) WORD $(0x6e20d400"},
	// Go: the generic kernel, which the comparison of kernels cannot see alone, and what stands before all
	{generic, "float32(k.s * g[i])", "g[i]"},
	{generic, "float32(k.c2*gi)*gi", "k.c2*float32(gi*gi)"},
	{generic, "vi = max(x[i], vi)", "vi = max(vi, vi)"},
	{generic, "mi = 0", "_ = 0"},
	{generic, "vi = 0", "_ = 0"},
	{generic, "+ k.eps", "+ 0*k.eps"},
	{generic, "float32(k.kappa*pi)", "pi"},
	{generic, "gi += float32(k.lambda * pi)", "gi -= float32(k.lambda * pi)"},
	{scalars, "float32(1-c.Beta1)", "1-float32(c.Beta1)"},
	{scalars, "float32(c.LR * q / (1 - b1t))", "float32(c.LR / (1 - b1t))"},
	{scalars, "float32(c.Eps * q)", "float32(c.Eps)"},
	{scalars, "k.s = -1", "k.s = 1"},
	{scalars, "k.live = 0x7f800000", "k.live = 0x7fffffff"},
	{scalars, "beta *= beta", "beta *= 0.999999999 * beta"},
	{scalars, "g[tile:]", "g[tile-1:]"},
	{api, "k.set(&c, s.T+1)", "k.set(&c, s.T+2)"},
	{api, "overlap(m, v)", "overlap(p, v)"},
	{api, "len(v) != n", "len(v) > n"},
	// the small kernels
	{amd64, "VFMADD231PD Z6, Z6, Z2", "VFMADD231PD Z6, Z5, Z2"},
	{amd64, "VMOVUPD Z3, 192(DI)", "VMOVUPD Z2, 192(DI)"},
	{amd64, "VMAXPS Z3, Z2, Z3", "VMAXPS Z2, Z3, Z3"},
	{amd64, "VMINPS Z4, Z1, Z4", "VMINPS Z1, Z4, Z4"},
	{amd64, "VSUBPS    Z2, Z3, Z3", "VSUBPS    Z3, Z2, Z3"},
	{amd64, "VPTESTMD  Z1, Z2, K1", "VPTESTMD  Z2, Z2, K1"},
	{amd64, "ADDSQUARES(112, Y15, Y7)", "ADDSQUARES(96, Y15, Y7)"},
	{amd64, "VMAXPS  t, Y2, t", "VMAXPS  Y2, t, t"},
	{amd64, "VPANDN    Y3, Y4, Y3", "VPAND    Y3, Y4, Y3"},
	{arm64, "FCVTLH2D(0, 2)", "FCVTL2D(0, 2)"},
	{arm64, "FMIN4S(2, 0, 0)", "FMIN4S(3, 0, 0)"},
	{arm64, "FSUB4S(0, 1, 1)", "FSUB4S(1, 0, 1)"},
	{generic, "sums[i%len(sums)]", "sums[i%(len(sums)-1)]"},
	{generic, "math.Float32bits(x)&exponent", "math.Float32bits(x)"},
	{scalars, "k.s = -k.s", "k.s = -1"},
	// the step of many tensors
	{optimizer, "GradNorm+1e-6", "GradNorm+1e-3"},
	{optimizer, "o.prepare(clip / o.GradScale)", "o.prepare(clip)"},
	{optimizer, "math.Sqrt(squares) / o.GradScale", "math.Sqrt(squares)"},
	{optimizer, "o.averaged = true", "_ = 0"},
	{optimizer, "t.T != count", "false"},
	{optimizer, "!(squares <= math.MaxFloat64)", "squares != squares"},
	{optimizer, "moved = moved || t.place != t.now()", "_ = moved"},
	{optimizer, "p.Name != o.tensors[i].name", "false"},
	{optimizer, "g.Config.AMSGrad && len(t.VMax) != t.n", "false"},
	{grid, "cmp.Compare(tensors[i].name, tensors[j].name)", "cmp.Compare(i, j)"},
	{grid, "if o.pass == sumPass {\n\t\t\t\to.sums[from+i] = 0", "if false {\n\t\t\t\to.sums[from+i] = 0"},
	{grid, "o.scratch[worker]", "o.scratch[0]"},
	{grid, "clear(grad)", "_ = grad"},
	{pool, "p.pending.Add(-done) == 0", "p.pending.Add(-done) < 0"},
	{pool, "part.end-1-int(left)", "part.end-int(left)"},
	{pool, "if ready() && s.asleep.CompareAndSwap(true, false) {", "if false {"},
	{pool, "return p.closed.Load() || ", "return "},
	{pool, "p.jobs.Add(1)\n\tfor i := range min", "for i := range min"},
	{memory, "s[i].from < s[i-1].to", "s[i].to < s[i-1].to"},
	{memory, "o.options.ZeroGrad && now.grad != t.place.grad", "false"},
	{checkpoint, "crc32.Update(sum, crc32.IEEETable, chunk)", "sum"},
	{loading, "needed = l.configs[j].AMSGrad", "needed = l.configs[j].Maximize"},
	{file, "err := f.Sync()", "err := f.Truncate(100)"},
	{file, "path + \".tmp\"", "path"},
}

func main() {
	dir, err := os.MkdirTemp("", "mutate")
	check(err)
	defer os.RemoveAll(dir)
	check(os.CopyFS(dir, os.DirFS(".")))
	check(os.RemoveAll(filepath.Join(dir, "go.work"))) // the root module alone
	for _, file := range []string{amd64, arm64} {
		if out, err := test(dir, file); err != nil {
			fmt.Printf("the tests fail without a mutation:\n%s", out)
			os.Exit(1)
		}
	}
	if only := os.Args[1:]; len(only) > 0 {
		mutations = slices.DeleteFunc(mutations, func(m mutation) bool {
			return !slices.ContainsFunc(only, func(s string) bool { return strings.Contains(m.file+" "+m.old, s) })
		})
	}
	caught := 0
	for i, m := range mutations {
		path := filepath.Join(dir, m.file)
		original, err := os.ReadFile(path)
		check(err)
		changed := strings.Replace(string(original), m.old, m.new, 1)
		verdict := "NOT FOUND"
		if changed != string(original) {
			check(os.WriteFile(path, []byte(changed), 0o644))
			out, err := test(dir, m.file)
			if verdict = catch(out, err); verdict == "" {
				verdict = "NOT CAUGHT"
			} else {
				caught++
			}
			check(os.WriteFile(path, original, 0o644))
		}
		fmt.Printf("%2d %s: %s → %s: %s\n", i+1, m.file, m.old, m.new, verdict)
	}
	fmt.Printf("%d mutations, %d caught\n", len(mutations), caught)
	if caught < len(mutations) {
		os.Exit(1)
	}
}

// test runs the tests of the module in dir where the file's code runs.
func test(dir, file string) (string, error) {
	args, env := []string{"test", "-count=1", "-short", "-failfast", "-timeout=2m", "."}, os.Environ()
	if file == arm64 {
		args = []string{"test", "-count=1", "-short", "-failfast", "-timeout=5m", "-exec", "qemu-aarch64", "."}
		env = append(env, "GOARCH=arm64")
	}
	c := exec.Command("go", args...)
	c.Dir, c.Env = dir, env
	out, err := c.CombinedOutput()
	return string(out), err
}

var failure = regexp.MustCompile(`(?m)^--- FAIL: (\w+)|^(SIG\w+|fatal error|panic): .*|^unexpected fault address`)

// catch returns the tests that failed, or how the run died; "" if none did or nothing was built.
func catch(out string, err error) string {
	if err == nil || strings.Contains(out, "[build failed]") || strings.Contains(out, "[setup failed]") {
		return ""
	}
	var names []string
	for _, m := range failure.FindAllStringSubmatch(out, -1) {
		if m[1] != "" {
			names = append(names, m[1])
		} else {
			names = append(names, "crash ("+m[0]+")")
		}
	}
	return strings.Join(names, ", ")
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutate:", err)
		os.Exit(1)
	}
}
