// The step in AVX-512 and AVX2, of float32 and of float64. The file that includes this one defines
// the type: SIZE, the bytes of an element; ZLEN and YLEN, the elements of a vector; USE_L2 and
// USE_MAX, where its coefficients have the flags l2 and amsgrad; and the instructions under their
// names without the last letter, VMULP for VMULPS or VMULPD. The small kernels are at the end of
// each width.
//
// Each kernel of a step computes, with the scalars of coeffs or coeffs64 in every lane of a vector,
//
//	g = s*g
//	g = g + λ*p                           L2
//	v = b2*v + (c2*g)*g
//	v = +0 where bits(v)&live == 0
//	x = max(x, v), NaN if either is NaN   AMSGrad; else x = v
//	m = b1*m + c1*g
//	m = +0 where bits(m)&live == 0
//	p = κ*p - α*(m/(√x + ε))
//
// in two halves: MOMENTS ends with the square root, PARAMETERS begins behind it. The loop makes the
// MOMENTS of a vector before the PARAMETERS of the vector in front of it. Thus no instruction waits
// long for the divide/square-root unit, and the unit never waits for data.
//
// Operands are in Go's order: VSUBP a, b, d is d = b-a and VDIVP a, b, d is d = b/a.
//
//	DI p   SI grad   DX m   R8 v   R9 x   R10 n   AX c
//	BX index of the vector at hand   R11 limit, mask   CX prefetch, shift

#define LOAD_ARGUMENTS \
	MOVQ p+0(FP), DI     \
	MOVQ grad+8(FP), SI  \
	MOVQ m+16(FP), DX    \
	MOVQ v+24(FP), R8    \
	MOVQ x+32(FP), R9    \
	MOVQ n+40(FP), R10   \
	MOVQ c+48(FP), AX    \
	XORL BX, BX

// All kernels compute in the usual floating-point mode: rounding to nearest, subnormals kept,
// exceptions masked. A C library may have put the thread into another one. ENTER looks at MXCSR and
// sets the usual mode only if it must; LEAVE restores the old one. usual and left are labels.
#define ENTER(usual) \
	STMXCSR saved-8(SP)       \
	MOVL    saved-8(SP), R11  \
	ANDL    $const_modeBits, R11 \
	CMPL    R11, $const_usualMode \
	JEQ     usual             \
	MOVL    $const_usualMode, fresh-4(SP) \
	LDMXCSR fresh-4(SP)       \
usual:

#define LEAVE(left) \
	VZEROUPPER                \
	MOVL    saved-8(SP), R11  \
	ANDL    $const_modeBits, R11 \
	CMPL    R11, $const_usualMode \
	JEQ     left              \
	LDMXCSR saved-8(SP)       \
left:                         \
	RET

#define AT(base, offset) offset(base)(BX*SIZE)

// The loops ask for the lines ahead bytes from here: CX is BX in bytes and ahead. The hardware's
// prefetching stops at each page, and a step has too many instructions for the loads of the next
// page to begin early on their own. How far is best depends on the CPU (dispatch_amd64.go). Before
// and behind the loop CX is of no use but does no harm: no prefetch faults.
#define AHEAD(base, offset) PREFETCHT0 offset(base)(CX*1)

// KERNEL is the schedule of every width. FIRST makes the moments of one vector up to the square
// root, SECOND its parameters. The loop makes two vectors a turn; before and after each turn, FIRST
// of the vector at BX is done and SECOND is not. LAST makes the elements that do not fill a vector.
// r, m and r2, m2 are the registers of R and M of alternate vectors.
#define KERNEL(FIRST, SECOND, ASK, LAST, lanes, r, m, r2, m2, VL2, VMAX, next, loop, last, tail) \
	MOVQ ·ahead(SB), CX      \
	LEAQ (CX)(BX*SIZE), CX   \
next:                        \
	LEAQ lanes(BX), R11      \
	CMPQ R11, R10            \
	JGT  tail                \
	FIRST(VL2, VMAX, 0, r, m) \
	LEAQ -3*lanes(R10), R11  \
	CMPQ BX, R11             \
	JGT  last                \
	PCALIGN $64              \
loop:                        \
	ASK(SI)                  \
	FIRST(VL2, VMAX, SIZE*lanes, r2, m2) \
	ASK(R8)                  \
	SECOND(0, r, m)          \
	ASK(DX)                  \
	FIRST(VL2, VMAX, 2*SIZE*lanes, r, m) \
	ASK(DI)                  \
	SECOND(SIZE*lanes, r2, m2) \
	ADDQ $(2*lanes), BX      \
	ADDQ $(2*lanes*SIZE), CX \
	CMPQ BX, R11             \
	JLE  loop                \
last:                        \
	SECOND(0, r, m)          \
	ADDQ $lanes, BX          \
	JMP  next                \
tail:                        \
	LAST(VL2, VMAX)          \
	JMP  done

// ---------------------------------------------------------------------------------------- AVX-512

// The step is written for vectors of 512 and of 256 bits: zmm_amd64.h and ymm_amd64.h, of which a
// file includes one, give the registers of
//
//	S LAMBDA B1 C1 B2 C2 ALPHA EPS KAPPA LIVE   the scalars
//	G                                           gradient, in PARAMETERS the parameter
//	V M                                         moments
//	R                                           root of the second moment
//	U                                           scratch
//	NEXTR NEXTM                                 R and M of every other vector
//
// and LANES, the elements of a vector, and ASK, the prefetches of two vectors of a slice.

// Moves and a multiplication from memory, of a whole vector and of the lanes in K3.
#define LOAD(mem, d)           VMOVUP    mem, d
#define LOADMUL(mem, a, d)     VMULP     mem, a, d
#define STORE(a, mem)          VMOVUP    a, mem
#define LOADK3(mem, d)         VMOVUP.Z  mem, K3, d
#define LOADMULK3(mem, a, d)   VMULP.Z   mem, a, K3, d
#define STOREK3(a, mem)        VMOVUP    a, K3, mem

// What the variants have more, empty without.
#define NOL2(LD, o)
#define L2(LD, o) \
	LD(AT(DI, o), U)         \
	VMULP     LAMBDA, U, U   \
	VADDP     U, G, G

// VMAXP gives its last source, here v, where either is NaN; a NaN of x is put back.
#define NOMAX(LD, ST, o)
#define MAX(LD, ST, o) \
	AHEAD(R9, o)             \
	LD(AT(R9, o), U)         \
	VMAXP     V, U, V        \
	VCMPP     $3, U, U, K1   \
	VMOVAP    U, K1, V       \
	ST(V, AT(R9, o))

// The formulas; from is where the old value lies. SECONDMOMENT leaves in k which elements of v are
// not to be +0. G is the gradient, which FIRSTMOMENT uses up. QUOTIENT of the root r and the moment
// m is what PARAMETER takes.
#define SECONDMOMENT(LDMUL, from, v, k) \
	LDMUL(from, B2, v)       \
	VMULP     C2, G, U       \
	VMULP     G, U, U        \
	VADDP     U, v, v        \
	VPTESTM   LIVE, v, k

#define FIRSTMOMENT(LDMUL, from, m) \
	LDMUL(from, B1, m)       \
	VMULP     C1, G, G       \
	VADDP     G, m, m        \
	VPTESTM   LIVE, m, K2    \
	VMOVAP.Z  m, K2, m

#define QUOTIENT(r, m, q) \
	VADDP     EPS, r, q      \
	VDIVP     q, m, q

#define PARAMETER(LDMUL, from, q, p) \
	VMULP     ALPHA, q, q    \
	LDMUL(from, KAPPA, p)    \
	VSUBP     q, p, p

#define MOMENTS(LD, LDMUL, ST, VL2, VMAX, o, r, m) \
	LDMUL(AT(SI, o), S, G)   \
	VL2(LD, o)               \
	SECONDMOMENT(LDMUL, AT(R8, o), V, K1) \
	VMOVAP.Z  V, K1, V       \
	ST(V, AT(R8, o))         \
	VMAX(LD, ST, o)          \
	VSQRTP    V, r           \
	FIRSTMOMENT(LDMUL, AT(DX, o), m) \
	ST(m, AT(DX, o))

#define PARAMETERS(LDMUL, ST, o, r, m) \
	QUOTIENT(r, m, r)        \
	PARAMETER(LDMUL, AT(DI, o), r, G) \
	ST(G, AT(DI, o))

// A vector, and the last elements of a slice under the mask K3.
#define FIRSTK(VL2, VMAX, o, r, m) MOMENTS(LOAD, LOADMUL, STORE, VL2, VMAX, o, r, m)
#define SECONDK(o, r, m)           PARAMETERS(LOADMUL, STORE, o, r, m)
#define LASTK(VL2, VMAX) \
	MOVQ R10, CX             \
	SUBQ BX, CX              \
	JEQ  done                \
	MOVL $1, R11             \
	SHLL CX, R11             \
	DECL R11                 \
	KMOVW R11, K3            \
	MOMENTS(LOADK3, LOADMULK3, STOREK3, VL2, VMAX, 0, R, M) \
	PARAMETERS(LOADMULK3, STOREK3, 0, R, M)

#define KERNELK(l2, x, top, loop, end, tail) \
	KERNEL(FIRSTK, SECONDK, ASK, LASTK, LANES, R, M, NEXTR, NEXTM, l2, x, top, loop, end, tail)

// VARIANTSK makes the variant that the coefficients ask for. It ends at done.
#define VARIANTSK \
	CMPB USE_MAX(AX), $0     \
	JNE  amsgrad             \
	CMPB USE_L2(AX), $0      \
	JNE  l2                  \
	KERNELK(NOL2, NOMAX, next, loop, last, tail) \
l2:                          \
	KERNELK(L2, NOMAX, nextl2, loopl2, lastl2, taill2) \
amsgrad:                     \
	CMPB USE_L2(AX), $0      \
	JNE  both                \
	KERNELK(NOL2, MAX, nextmax, loopmax, lastmax, tailmax) \
both:                        \
	KERNELK(L2, MAX, nextboth, loopboth, lastboth, tailboth)

// The small kernels work on whole blocks of 32 elements. Each macro is the kernel after the loads
// of its arguments.
//
//	DI, SI slices   CX elements left

// SUMSZ adds to the partial sums at DI. SQUARES adds the squares of a block, with the sums in Z0 to
// Z3, and moves SI behind it.
#define SUMSZ(SQUARES) \
	VMOVUPD (DI), Z0         \
	VMOVUPD 64(DI), Z1       \
	VMOVUPD 128(DI), Z2      \
	VMOVUPD 192(DI), Z3      \
	SUBQ $32, CX             \
	JLT  stored              \
	PCALIGN $64              \
loop:                        \
	SQUARES                  \
	SUBQ $32, CX             \
	JGE  loop                \
stored:                      \
	VMOVUPD Z0, (DI)         \
	VMOVUPD Z1, 64(DI)       \
	VMOVUPD Z2, 128(DI)      \
	VMOVUPD Z3, 192(DI)

// CLAMPZ computes, with s in all lanes of Z0 and limit in those of Z1,
//
//	d = min(max(s*grad, -limit), limit), NaN if s*grad is
//
// Where either is NaN, VMAXP and VMINP give their first operand here, Intel's second.
#define CLAMPZ \
	VPXORD Z2, Z2, Z2        \
	VSUBP Z1, Z2, Z2         \
	SUBQ $(2*ZLEN), CX       \
	JLT  done                \
	PCALIGN $64              \
loop:                        \
	VMULP (SI), Z0, Z3       \
	VMULP 64(SI), Z0, Z4     \
	VMAXP Z3, Z2, Z3         \
	VMAXP Z4, Z2, Z4         \
	VMINP Z3, Z1, Z3         \
	VMINP Z4, Z1, Z4         \
	VMOVUP Z3, (DI)          \
	VMOVUP Z4, 64(DI)        \
	ADDQ $128, SI            \
	ADDQ $128, DI            \
	SUBQ $(2*ZLEN), CX       \
	JGE  loop                \
done:

// AVERAGEZ computes, with c in all lanes of Z0 and the bits of the exponent in those of Z1,
//
//	e = e + c*(p-e)
//	e = +0 where bits(e)&exponent == 0
#define AVERAGEZ \
	SUBQ $(2*ZLEN), CX       \
	JLT  done                \
	PCALIGN $64              \
loop:                        \
	AVERAGE(0)               \
	AVERAGE(64)              \
	ADDQ $128, SI            \
	ADDQ $128, DI            \
	SUBQ $(2*ZLEN), CX       \
	JGE  loop                \
done:

#define AVERAGE(o) \
	VMOVUP   o(DI), Z2       \
	VMOVUP   o(SI), Z3       \
	VSUBP    Z2, Z3, Z3      \
	VMULP    Z0, Z3, Z3      \
	VADDP    Z3, Z2, Z2      \
	VPTESTM  Z1, Z2, K1      \
	VMOVAP.Z Z2, K1, Z2      \
	VMOVUP   Z2, o(DI)

// ------------------------------------------------------------------------------------------- AVX2

// Sixteen registers have no room for all scalars: two come from the stack, in all lanes.
#define ALPHAY  alpha-40(SP)
#define LAMBDAY lambda-72(SP)
#define KAPPAY  Y7
#define SY      Y8
#define B1Y     Y9
#define C1Y     Y10
#define B2Y     Y11
#define C2Y     Y12
#define EPSY    Y13
#define LIVEY   Y14
#define ZEROY   Y15

#define GY      Y0
#define VY      Y1
#define UY      Y2
#define RY      Y3
#define MY      Y4
#define NEXTRY  Y5
#define NEXTMY  Y6
#define LANESY  Y5 // in the tail, which makes one vector only

#define LOADY(mem, d)           VMOVUP     mem, d
#define LOADMULY(mem, a, d)     VMULP      mem, a, d
#define STOREY(a, mem)          VMOVUP     a, mem
#define LOADLANES(mem, d)       VMASKMOVP  mem, LANESY, d
#define LOADMULLANES(mem, a, d) VMASKMOVP  mem, LANESY, d \
	VMULP      a, d, d
#define STORELANES(a, mem)      VMASKMOVP  a, LANESY, mem

#define NOL2Y(LD, o)
#define L2Y(LD, o) \
	LD(AT(DI, o), UY)        \
	VMULP     LAMBDAY, UY, UY \
	VADDP     UY, GY, GY

// As MAX; the mask of the lanes where x is NaN is all ones, itself a NaN.
#define NOMAXY(LD, ST, o)
#define MAXY(LD, ST, o) \
	AHEAD(R9, o)             \
	LD(AT(R9, o), UY)        \
	VMAXP     VY, UY, VY     \
	VCMPP     $3, UY, UY, UY \
	VORP      UY, VY, VY     \
	ST(VY, AT(R9, o))

// The formulas, as those of AVX-512.
#define SECONDMOMENTY(LDMUL, from, v) \
	LDMUL(from, B2Y, v)      \
	VMULP     C2Y, GY, UY    \
	VMULP     GY, UY, UY     \
	VADDP     UY, v, v       \
	FLUSHY(v)

#define FIRSTMOMENTY(LDMUL, from, m) \
	LDMUL(from, B1Y, m)      \
	VMULP     C1Y, GY, GY    \
	VADDP     GY, m, m       \
	FLUSHY(m)

#define FLUSHY(d) \
	VPAND     LIVEY, d, UY   \
	VPCMPEQ   ZEROY, UY, UY  \
	VPANDN    d, UY, d

#define QUOTIENTY(r, m, q) \
	VADDP     EPSY, r, q     \
	VDIVP     q, m, q

#define PARAMETERY(LDMUL, from, q, p) \
	VMULP     ALPHAY, q, q   \
	LDMUL(from, KAPPAY, p)   \
	VSUBP     q, p, p

#define MOMENTSY(LD, LDMUL, ST, VL2, VMAX, o, r, m) \
	LDMUL(AT(SI, o), SY, GY) \
	VL2(LD, o)               \
	SECONDMOMENTY(LDMUL, AT(R8, o), VY) \
	ST(VY, AT(R8, o))        \
	VMAX(LD, ST, o)          \
	VSQRTP    VY, r          \
	FIRSTMOMENTY(LDMUL, AT(DX, o), m) \
	ST(m, AT(DX, o))

#define PARAMETERSY(LDMUL, ST, o, r, m) \
	QUOTIENTY(r, m, r)       \
	PARAMETERY(LDMUL, AT(DI, o), r, GY) \
	ST(GY, AT(DI, o))

#define FIRSTY(VL2, VMAX, o, r, m) MOMENTSY(LOADY, LOADMULY, STOREY, VL2, VMAX, o, r, m)
#define SECONDY(o, r, m)           PARAMETERSY(LOADMULY, STOREY, o, r, m)
#define ASKY(base)                 AHEAD(base, 0)
#define LASTY(VL2, VMAX) \
	SUBQ BX, R10             \
	JEQ  done                \
	MOVQ R10, X2             \
	VPBROADCAST X2, UY       \
	VPCMPGT ordinals<>(SB), UY, LANESY \
	MOMENTSY(LOADLANES, LOADMULLANES, STORELANES, VL2, VMAX, 0, RY, MY) \
	PARAMETERSY(LOADMULLANES, STORELANES, 0, RY, MY)

#define KERNELY(l2, x, top, loop, end, tail) \
	KERNEL(FIRSTY, SECONDY, ASKY, LASTY, YLEN, RY, MY, NEXTRY, NEXTMY, l2, x, top, loop, end, tail)

// As VARIANTSK.
#define VARIANTSY \
	CMPB USE_MAX(AX), $0     \
	JNE  amsgrad             \
	CMPB USE_L2(AX), $0      \
	JNE  l2                  \
	KERNELY(NOL2Y, NOMAXY, next, loop, last, tail) \
l2:                          \
	KERNELY(L2Y, NOMAXY, nextl2, loopl2, lastl2, taill2) \
amsgrad:                     \
	CMPB USE_L2(AX), $0      \
	JNE  both                \
	KERNELY(NOL2Y, MAXY, nextmax, loopmax, lastmax, tailmax) \
both:                        \
	KERNELY(L2Y, MAXY, nextboth, loopboth, lastboth, tailboth)

// The small kernels, as those of AVX-512.

// SUMSY is SUMSZ with the sums in Y0 to Y7.
#define SUMSY(SQUARES) \
	VMOVUPD (DI), Y0         \
	VMOVUPD 32(DI), Y1       \
	VMOVUPD 64(DI), Y2       \
	VMOVUPD 96(DI), Y3       \
	VMOVUPD 128(DI), Y4      \
	VMOVUPD 160(DI), Y5      \
	VMOVUPD 192(DI), Y6      \
	VMOVUPD 224(DI), Y7      \
	SUBQ $32, CX             \
	JLT  stored              \
	PCALIGN $64              \
loop:                        \
	SQUARES                  \
	SUBQ $32, CX             \
	JGE  loop                \
stored:                      \
	VMOVUPD Y0, (DI)         \
	VMOVUPD Y1, 32(DI)       \
	VMOVUPD Y2, 64(DI)       \
	VMOVUPD Y3, 96(DI)       \
	VMOVUPD Y4, 128(DI)      \
	VMOVUPD Y5, 160(DI)      \
	VMOVUPD Y6, 192(DI)      \
	VMOVUPD Y7, 224(DI)

// CLAMPY is CLAMPZ with s in Y0 and limit in Y1.
#define CLAMPY \
	VXORPS Y2, Y2, Y2        \
	VSUBP Y1, Y2, Y2         \
	SUBQ $(4*YLEN), CX       \
	JLT  done                \
	PCALIGN $64              \
loop:                        \
	CLAMPV(0, Y3)            \
	CLAMPV(32, Y4)           \
	CLAMPV(64, Y5)           \
	CLAMPV(96, Y6)           \
	ADDQ $128, SI            \
	ADDQ $128, DI            \
	SUBQ $(4*YLEN), CX       \
	JGE  loop                \
done:

#define CLAMPV(o, t) \
	VMULP  o(SI), Y0, t      \
	VMAXP  t, Y2, t          \
	VMINP  t, Y1, t          \
	VMOVUP t, o(DI)

// AVERAGEY is AVERAGEZ with c in Y0 and the bits of the exponent in Y1.
#define AVERAGEY \
	VPXOR Y2, Y2, Y2         \
	SUBQ $(4*YLEN), CX       \
	JLT  done                \
	PCALIGN $64              \
loop:                        \
	AVERAGEV(0)              \
	AVERAGEV(32)             \
	AVERAGEV(64)             \
	AVERAGEV(96)             \
	ADDQ $128, SI            \
	ADDQ $128, DI            \
	SUBQ $(4*YLEN), CX       \
	JGE  loop                \
done:

#define AVERAGEV(o) \
	VMOVUP  o(DI), Y3        \
	VMOVUP  o(SI), Y4        \
	VSUBP   Y3, Y4, Y4       \
	VMULP   Y0, Y4, Y4       \
	VADDP   Y4, Y3, Y3       \
	VPAND   Y1, Y3, Y4       \
	VPCMPEQ Y2, Y4, Y4       \
	VPANDN  Y3, Y4, Y3       \
	VMOVUP  Y3, o(DI)

// ADDY computes
//
//	to = to + from
//
// with to at DI. It needs no more than AVX.
#define ADDY \
	SUBQ $(4*YLEN), CX       \
	JLT  done                \
	PCALIGN $64              \
loop:                        \
	VMOVUP (DI), Y0          \
	VMOVUP 32(DI), Y1        \
	VMOVUP 64(DI), Y2        \
	VMOVUP 96(DI), Y3        \
	VADDP  (SI), Y0, Y0      \
	VADDP  32(SI), Y1, Y1    \
	VADDP  64(SI), Y2, Y2    \
	VADDP  96(SI), Y3, Y3    \
	VMOVUP Y0, (DI)          \
	VMOVUP Y1, 32(DI)        \
	VMOVUP Y2, 64(DI)        \
	VMOVUP Y3, 96(DI)        \
	ADDQ $128, SI            \
	ADDQ $128, DI            \
	SUBQ $(4*YLEN), CX       \
	JGE  loop                \
done:
