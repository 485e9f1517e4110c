//go:build gc && !purego && !noasm

#include "go_asm.h"
#include "textflag.h"

// Both kernels compute, with the scalars of coeffs in every lane of a vector,
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
// Operands are in Go's order: VSUBPS a, b, d is d = b-a and VDIVPS a, b, d is d = b/a.
//
//	DI p   SI grad   DX m   R8 v   R9 x   R10 n   AX c
//	BX index of the vector at hand   R11 limit, mask   CX shift

#define LOAD_ARGUMENTS \
	MOVQ p+0(FP), DI     \
	MOVQ grad+8(FP), SI  \
	MOVQ m+16(FP), DX    \
	MOVQ v+24(FP), R8    \
	MOVQ x+32(FP), R9    \
	MOVQ n+40(FP), R10   \
	MOVQ c+48(FP), AX    \
	XORL BX, BX

// A call for k runs makes KERNEL, which ends at done, for each. SI lies as far before the gradients
// of the run as DI before its parameters, so that BX is the index of all.
//
//	BX, R10 ends of the run   R12 next run   R13 its gradients   R14 runs left   CX scratch

#define LOAD_RUNS \
	MOVQ p+0(FP), DI     \
	MOVQ grad+8(FP), R13 \
	MOVQ m+16(FP), DX    \
	MOVQ v+24(FP), R8    \
	MOVQ x+32(FP), R9    \
	MOVQ runs+40(FP), R12 \
	MOVQ k+48(FP), R14   \
	MOVQ c+56(FP), AX

#define NEXT_RUN(end) \
done:                        \
	SUBQ $1, R14             \
	JLT  end                 \
	MOVQ run_from(R12), BX   \
	MOVQ run_to(R12), R10    \
	ADDQ $run__size, R12     \
	LEAQ (BX*4), CX          \
	MOVQ R13, SI             \
	SUBQ CX, SI              \
	LEAQ (SI)(R10*4), R13

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

// func controlRegister() uint32
TEXT ·controlRegister(SB), NOSPLIT, $0-4
	STMXCSR ret+0(FP)
	RET

// func setControlRegister(value uint32) (before uint32)
TEXT ·setControlRegister(SB), NOSPLIT, $0-12
	STMXCSR before+8(FP)
	LDMXCSR value+0(FP)
	RET

#define AT(base, offset) offset(base)(BX*4)

// The loops ask for the lines 320 bytes ahead. The hardware's prefetching stops at each page, and a
// step has too many instructions for the loads of the next page to begin early on their own. On
// Zen 4 a step is up to an eighth faster for it between the caches and the memory, and no slower in
// cache; 256 to 448 bytes do as well, from 640 it is slower than without.
#define AHEAD(base, offset) PREFETCHT0 AT(base, offset+320)

// KERNEL is the schedule of every width. FIRST makes the moments of one vector up to the square
// root, SECOND its parameters. The loop makes two vectors a turn; before and after each turn, FIRST
// of the vector at BX is done and SECOND is not. LAST makes the elements that do not fill a vector.
// r, m and r2, m2 are the registers of R and M of alternate vectors.
#define KERNEL(FIRST, SECOND, ASK, LAST, lanes, r, m, r2, m2, VL2, VMAX, next, loop, last, tail) \
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
	FIRST(VL2, VMAX, 4*lanes, r2, m2) \
	ASK(R8)                  \
	SECOND(0, r, m)          \
	ASK(DX)                  \
	FIRST(VL2, VMAX, 8*lanes, r, m) \
	ASK(DI)                  \
	SECOND(4*lanes, r2, m2)  \
	ADDQ $(2*lanes), BX      \
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

#define S      Z16
#define LAMBDA Z17
#define B1     Z18
#define C1     Z19
#define B2     Z20
#define C2     Z21
#define ALPHA  Z22
#define EPS    Z23
#define KAPPA  Z24
#define LIVE   Z25

#define G      Z0 // gradient, in PARAMETERS the parameter
#define V      Z1
#define U      Z2 // scratch
#define R      Z3 // root of the second moment
#define M      Z4
#define NEXTR  Z5 // R and M of every other vector
#define NEXTM  Z6

// Moves and a multiplication from memory, of a whole vector and of the lanes in K3.
#define LOAD(mem, d)           VMOVUPS   mem, d
#define LOADMUL(mem, a, d)     VMULPS    mem, a, d
#define STORE(a, mem)          VMOVUPS   a, mem
#define LOADK3(mem, d)         VMOVUPS.Z mem, K3, d
#define LOADMULK3(mem, a, d)   VMULPS.Z  mem, a, K3, d
#define STOREK3(a, mem)        VMOVUPS   a, K3, mem

// What the variants have more, empty without.
#define NOL2(LD, o)
#define L2(LD, o) \
	LD(AT(DI, o), U)         \
	VMULPS    LAMBDA, U, U   \
	VADDPS    U, G, G

// VMAXPS gives its last source, here v, where either is NaN; a NaN of x is put back.
#define NOMAX(LD, ST, o)
#define MAX(LD, ST, o) \
	AHEAD(R9, o)             \
	LD(AT(R9, o), U)         \
	VMAXPS    V, U, V        \
	VCMPPS    $3, U, U, K1   \
	VMOVAPS   U, K1, V       \
	ST(V, AT(R9, o))

#define MOMENTS(LD, LDMUL, ST, VL2, VMAX, o, r, m) \
	LDMUL(AT(SI, o), S, G)   \
	VL2(LD, o)               \
	LDMUL(AT(R8, o), B2, V)  \
	VMULPS    C2, G, U       \
	VMULPS    G, U, U        \
	VADDPS    U, V, V        \
	VPTESTMD  LIVE, V, K1    \
	VMOVAPS.Z V, K1, V       \
	ST(V, AT(R8, o))         \
	VMAX(LD, ST, o)          \
	VSQRTPS   V, r           \
	LDMUL(AT(DX, o), B1, m)  \
	VMULPS    C1, G, G       \
	VADDPS    G, m, m        \
	VPTESTMD  LIVE, m, K2    \
	VMOVAPS.Z m, K2, m       \
	ST(m, AT(DX, o))

#define PARAMETERS(LDMUL, ST, o, r, m) \
	VADDPS    EPS, r, r      \
	VDIVPS    r, m, r        \
	VMULPS    ALPHA, r, r    \
	LDMUL(AT(DI, o), KAPPA, G) \
	VSUBPS    r, G, G        \
	ST(G, AT(DI, o))

// A vector of zmm registers, and the last elements of a slice under the mask K3.
#define FIRSTZ(VL2, VMAX, o, r, m) MOMENTS(LOAD, LOADMUL, STORE, VL2, VMAX, o, r, m)
#define SECONDZ(o, r, m)           PARAMETERS(LOADMUL, STORE, o, r, m)
#define ASKZ(base) \
	AHEAD(base, 0)           \
	AHEAD(base, 64)
#define LASTZ(VL2, VMAX) \
	MOVQ R10, CX             \
	SUBQ BX, CX              \
	JEQ  done                \
	MOVL $1, R11             \
	SHLL CX, R11             \
	DECL R11                 \
	KMOVW R11, K3            \
	MOMENTS(LOADK3, LOADMULK3, STOREK3, VL2, VMAX, 0, R, M) \
	PARAMETERS(LOADMULK3, STOREK3, 0, R, M)

#define KERNELZ(VL2, VMAX, top, loop, end, tail) \
	KERNEL(FIRSTZ, SECONDZ, ASKZ, LASTZ, 16, R, M, NEXTR, NEXTM, VL2, VMAX, top, loop, end, tail)

#define SCALARSZ \
	VBROADCASTSS coeffs_alpha(AX), ALPHA \
	VBROADCASTSS coeffs_eps(AX), EPS \
	VBROADCASTSS coeffs_kappa(AX), KAPPA \
	VBROADCASTSS coeffs_live(AX), LIVE \
	VBROADCASTSS coeffs_s(AX), S \
	VBROADCASTSS coeffs_lambda(AX), LAMBDA \
	VBROADCASTSS coeffs_b1(AX), B1 \
	VBROADCASTSS coeffs_c1(AX), C1 \
	VBROADCASTSS coeffs_b2(AX), B2 \
	VBROADCASTSS coeffs_c2(AX), C2

#define VARIANTSZ \
	CMPB coeffs_amsgrad(AX), $0 \
	JNE  amsgrad             \
	CMPB coeffs_l2(AX), $0   \
	JNE  l2                  \
	KERNELZ(NOL2, NOMAX, next, loop, last, tail) \
l2:                          \
	KERNELZ(L2, NOMAX, nextl2, loopl2, lastl2, taill2) \
amsgrad:                     \
	CMPB coeffs_l2(AX), $0   \
	JNE  both                \
	KERNELZ(NOL2, MAX, nextmax, loopmax, lastmax, tailmax) \
both:                        \
	KERNELZ(L2, MAX, nextboth, loopboth, lastboth, tailboth)

// func stepAVX512(p, grad, m, v, x *float32, n int, c *coeffs)
TEXT ·stepAVX512(SB), NOSPLIT, $8-56
	ENTER(usual)
	LOAD_ARGUMENTS
	SCALARSZ
	VARIANTSZ
done:
	LEAVE(left)

// func stepRunsAVX512(p, grad, m, v, x *float32, runs *run, k int, c *coeffs)
TEXT ·stepRunsAVX512(SB), NOSPLIT, $8-64
	ENTER(usual)
	LOAD_RUNS
	SCALARSZ
	NEXT_RUN(end)
	VARIANTSZ
end:
	LEAVE(left)

// The small kernels work on whole blocks of 32 elements.
//
//	DI, SI slices   CX elements left

// func sumSquaresAVX512(grad *float32, n int, sums *partialSums)
//
//	sums[i%32] += grad[i]*grad[i]
//
// A square of a float32 is exact in float64: the multiply-add rounds as the addition alone would.
TEXT ·sumSquaresAVX512(SB), NOSPLIT, $8-24
	ENTER(usual)
	MOVQ grad+0(FP), SI
	MOVQ n+8(FP), CX
	MOVQ sums+16(FP), DI
	VMOVUPD (DI), Z0
	VMOVUPD 64(DI), Z1
	VMOVUPD 128(DI), Z2
	VMOVUPD 192(DI), Z3
	SUBQ $32, CX
	JLT  stored
	PCALIGN $64
loop:
	VCVTPS2PD (SI), Z4
	VCVTPS2PD 32(SI), Z5
	VCVTPS2PD 64(SI), Z6
	VCVTPS2PD 96(SI), Z7
	VFMADD231PD Z4, Z4, Z0
	VFMADD231PD Z5, Z5, Z1
	VFMADD231PD Z6, Z6, Z2
	VFMADD231PD Z7, Z7, Z3
	ADDQ $128, SI
	SUBQ $32, CX
	JGE  loop
stored:
	VMOVUPD Z0, (DI)
	VMOVUPD Z1, 64(DI)
	VMOVUPD Z2, 128(DI)
	VMOVUPD Z3, 192(DI)
	LEAVE(left)

// func clampAVX512(d, grad *float32, n int, s, limit float32)
//
//	d = min(max(s*grad, -limit), limit), NaN if s*grad is
//
// Where either is NaN, VMAXPS and VMINPS give their first operand here, Intel's second.
TEXT ·clampAVX512(SB), NOSPLIT, $8-32
	ENTER(usual)
	MOVQ d+0(FP), DI
	MOVQ grad+8(FP), SI
	MOVQ n+16(FP), CX
	VBROADCASTSS s+24(FP), Z0
	VBROADCASTSS limit+28(FP), Z1
	VPXORD Z2, Z2, Z2
	VSUBPS Z1, Z2, Z2 // -limit
	SUBQ $32, CX
	JLT  done
	PCALIGN $64
loop:
	VMULPS (SI), Z0, Z3
	VMULPS 64(SI), Z0, Z4
	VMAXPS Z3, Z2, Z3
	VMAXPS Z4, Z2, Z4
	VMINPS Z3, Z1, Z3
	VMINPS Z4, Z1, Z4
	VMOVUPS Z3, (DI)
	VMOVUPS Z4, 64(DI)
	ADDQ $128, SI
	ADDQ $128, DI
	SUBQ $32, CX
	JGE  loop
done:
	LEAVE(left)

#define AVERAGE(o) \
	VMOVUPS   o(DI), Z2        \
	VMOVUPS   o(SI), Z3        \
	VSUBPS    Z2, Z3, Z3       \
	VMULPS    Z0, Z3, Z3       \
	VADDPS    Z3, Z2, Z2       \
	VPTESTMD  Z1, Z2, K1       \
	VMOVAPS.Z Z2, K1, Z2       \
	VMOVUPS   Z2, o(DI)

// func averageAVX512(e, p *float32, n int, c float32)
//
//	e = e + c*(p-e)
//	e = +0 where bits(e)&exponent == 0
TEXT ·averageAVX512(SB), NOSPLIT, $8-28
	ENTER(usual)
	MOVQ e+0(FP), DI
	MOVQ p+8(FP), SI
	MOVQ n+16(FP), CX
	VBROADCASTSS c+24(FP), Z0
	MOVL $const_exponent, AX
	VPBROADCASTD AX, Z1
	SUBQ $32, CX
	JLT  done
	PCALIGN $64
loop:
	AVERAGE(0)
	AVERAGE(64)
	ADDQ $128, SI
	ADDQ $128, DI
	SUBQ $32, CX
	JGE  loop
done:
	LEAVE(left)

// ------------------------------------------------------------------------------------------- AVX2

// Sixteen registers have no room for all scalars: two come from the stack, in all eight lanes.
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

#define LOADY(mem, d)           VMOVUPS    mem, d
#define LOADMULY(mem, a, d)     VMULPS     mem, a, d
#define STOREY(a, mem)          VMOVUPS    a, mem
#define LOADLANES(mem, d)       VMASKMOVPS mem, LANESY, d
#define LOADMULLANES(mem, a, d) VMASKMOVPS mem, LANESY, d \
	VMULPS a, d, d
#define STORELANES(a, mem)      VMASKMOVPS a, LANESY, mem

#define NOL2Y(LD, o)
#define L2Y(LD, o) \
	LD(AT(DI, o), UY)        \
	VMULPS    LAMBDAY, UY, UY \
	VADDPS    UY, GY, GY

// As MAX; the mask of the lanes where x is NaN is all ones, itself a NaN.
#define NOMAXY(LD, ST, o)
#define MAXY(LD, ST, o) \
	AHEAD(R9, o)             \
	LD(AT(R9, o), UY)        \
	VMAXPS    VY, UY, VY     \
	VCMPPS    $3, UY, UY, UY \
	VORPS     UY, VY, VY     \
	ST(VY, AT(R9, o))

#define MOMENTSY(LD, LDMUL, ST, VL2, VMAX, o, r, m) \
	LDMUL(AT(SI, o), SY, GY) \
	VL2(LD, o)               \
	LDMUL(AT(R8, o), B2Y, VY) \
	VMULPS    C2Y, GY, UY    \
	VMULPS    GY, UY, UY     \
	VADDPS    UY, VY, VY     \
	VPAND     LIVEY, VY, UY  \
	VPCMPEQD  ZEROY, UY, UY  \
	VPANDN    VY, UY, VY     \
	ST(VY, AT(R8, o))        \
	VMAX(LD, ST, o)          \
	VSQRTPS   VY, r          \
	LDMUL(AT(DX, o), B1Y, m) \
	VMULPS    C1Y, GY, GY    \
	VADDPS    GY, m, m       \
	VPAND     LIVEY, m, UY   \
	VPCMPEQD  ZEROY, UY, UY  \
	VPANDN    m, UY, m       \
	ST(m, AT(DX, o))

#define PARAMETERSY(LDMUL, ST, o, r, m) \
	VADDPS    EPSY, r, r     \
	VDIVPS    r, m, r        \
	VMULPS    ALPHAY, r, r   \
	LDMUL(AT(DI, o), KAPPAY, GY) \
	VSUBPS    r, GY, GY      \
	ST(GY, AT(DI, o))

#define FIRSTY(VL2, VMAX, o, r, m) MOMENTSY(LOADY, LOADMULY, STOREY, VL2, VMAX, o, r, m)
#define SECONDY(o, r, m)           PARAMETERSY(LOADMULY, STOREY, o, r, m)
#define ASKY(base)                 AHEAD(base, 0)
#define LASTY(VL2, VMAX) \
	SUBQ BX, R10             \
	JEQ  done                \
	MOVQ R10, X2             \
	VPBROADCASTD X2, UY      \
	VPCMPGTD ordinals<>(SB), UY, LANESY \
	MOMENTSY(LOADLANES, LOADMULLANES, STORELANES, VL2, VMAX, 0, RY, MY) \
	PARAMETERSY(LOADMULLANES, STORELANES, 0, RY, MY)

#define KERNELY(VL2, VMAX, top, loop, end, tail) \
	KERNEL(FIRSTY, SECONDY, ASKY, LASTY, 8, RY, MY, NEXTRY, NEXTMY, VL2, VMAX, top, loop, end, tail)

DATA ordinals<>+0(SB)/8, $0x0000000100000000
DATA ordinals<>+8(SB)/8, $0x0000000300000002
DATA ordinals<>+16(SB)/8, $0x0000000500000004
DATA ordinals<>+24(SB)/8, $0x0000000700000006
GLOBL ordinals<>(SB), RODATA|NOPTR, $32

#define SCALARSY \
	VBROADCASTSS coeffs_alpha(AX), UY \
	VMOVUPS UY, ALPHAY       \
	VBROADCASTSS coeffs_lambda(AX), UY \
	VMOVUPS UY, LAMBDAY      \
	VBROADCASTSS coeffs_kappa(AX), KAPPAY \
	VBROADCASTSS coeffs_s(AX), SY \
	VBROADCASTSS coeffs_b1(AX), B1Y \
	VBROADCASTSS coeffs_c1(AX), C1Y \
	VBROADCASTSS coeffs_b2(AX), B2Y \
	VBROADCASTSS coeffs_c2(AX), C2Y \
	VBROADCASTSS coeffs_eps(AX), EPSY \
	VBROADCASTSS coeffs_live(AX), LIVEY \
	VPXOR ZEROY, ZEROY, ZEROY

#define VARIANTSY \
	CMPB coeffs_amsgrad(AX), $0 \
	JNE  amsgrad             \
	CMPB coeffs_l2(AX), $0   \
	JNE  l2                  \
	KERNELY(NOL2Y, NOMAXY, next, loop, last, tail) \
l2:                          \
	KERNELY(L2Y, NOMAXY, nextl2, loopl2, lastl2, taill2) \
amsgrad:                     \
	CMPB coeffs_l2(AX), $0   \
	JNE  both                \
	KERNELY(NOL2Y, MAXY, nextmax, loopmax, lastmax, tailmax) \
both:                        \
	KERNELY(L2Y, MAXY, nextboth, loopboth, lastboth, tailboth)

// func stepAVX2(p, grad, m, v, x *float32, n int, c *coeffs)
TEXT ·stepAVX2(SB), NOSPLIT, $72-56
	ENTER(usual)
	LOAD_ARGUMENTS
	SCALARSY
	VARIANTSY
done:
	LEAVE(left)

// A run of four elements, half a vector, goes without masked moves: with them it takes twice as
// long on Zen 4. The upper half computes the same again.
#define LOADFOUR(mem, d)       VBROADCASTF128 mem, d
#define LOADMULFOUR(mem, a, d) VBROADCASTF128 mem, d \
	VMULPS a, d, d
#define STOREFOUR(a, mem)      VEXTRACTF128 $0, a, mem
#define FOUR(VL2, VMAX) \
	MOMENTSY(LOADFOUR, LOADMULFOUR, STOREFOUR, VL2, VMAX, 0, RY, MY) \
	PARAMETERSY(LOADMULFOUR, STOREFOUR, 0, RY, MY) \
	JMP  done

// func stepRunsAVX2(p, grad, m, v, x *float32, runs *run, k int, c *coeffs)
TEXT ·stepRunsAVX2(SB), NOSPLIT, $72-64
	ENTER(usual)
	LOAD_RUNS
	SCALARSY
	NEXT_RUN(end)
	LEAQ 4(BX), CX
	CMPQ CX, R10
	JEQ  four
	VARIANTSY
four:
	CMPB coeffs_amsgrad(AX), $0
	JNE  fourmax
	CMPB coeffs_l2(AX), $0
	JNE  fourl2
	FOUR(NOL2Y, NOMAXY)
fourl2:
	FOUR(L2Y, NOMAXY)
fourmax:
	CMPB coeffs_l2(AX), $0
	JNE  fourboth
	FOUR(NOL2Y, MAXY)
fourboth:
	FOUR(L2Y, MAXY)
end:
	LEAVE(left)

#define ADDSQUARES(o, t, sum) \
	VCVTPS2PD o(SI), t         \
	VMULPD    t, t, t          \
	VADDPD    t, sum, sum

// func sumSquaresAVX2(grad *float32, n int, sums *partialSums)
//
//	sums[i%32] += grad[i]*grad[i]
TEXT ·sumSquaresAVX2(SB), NOSPLIT, $8-24
	ENTER(usual)
	MOVQ grad+0(FP), SI
	MOVQ n+8(FP), CX
	MOVQ sums+16(FP), DI
	VMOVUPD (DI), Y0
	VMOVUPD 32(DI), Y1
	VMOVUPD 64(DI), Y2
	VMOVUPD 96(DI), Y3
	VMOVUPD 128(DI), Y4
	VMOVUPD 160(DI), Y5
	VMOVUPD 192(DI), Y6
	VMOVUPD 224(DI), Y7
	SUBQ $32, CX
	JLT  stored
	PCALIGN $64
loop:
	ADDSQUARES(0, Y8, Y0)
	ADDSQUARES(16, Y9, Y1)
	ADDSQUARES(32, Y10, Y2)
	ADDSQUARES(48, Y11, Y3)
	ADDSQUARES(64, Y12, Y4)
	ADDSQUARES(80, Y13, Y5)
	ADDSQUARES(96, Y14, Y6)
	ADDSQUARES(112, Y15, Y7)
	ADDQ $128, SI
	SUBQ $32, CX
	JGE  loop
stored:
	VMOVUPD Y0, (DI)
	VMOVUPD Y1, 32(DI)
	VMOVUPD Y2, 64(DI)
	VMOVUPD Y3, 96(DI)
	VMOVUPD Y4, 128(DI)
	VMOVUPD Y5, 160(DI)
	VMOVUPD Y6, 192(DI)
	VMOVUPD Y7, 224(DI)
	LEAVE(left)

#define CLAMPY(o, t) \
	VMULPS  o(SI), Y0, t       \
	VMAXPS  t, Y2, t           \
	VMINPS  t, Y1, t           \
	VMOVUPS t, o(DI)

// func clampAVX2(d, grad *float32, n int, s, limit float32)
//
//	d = min(max(s*grad, -limit), limit), NaN if s*grad is
TEXT ·clampAVX2(SB), NOSPLIT, $8-32
	ENTER(usual)
	MOVQ d+0(FP), DI
	MOVQ grad+8(FP), SI
	MOVQ n+16(FP), CX
	VBROADCASTSS s+24(FP), Y0
	VBROADCASTSS limit+28(FP), Y1
	VXORPS Y2, Y2, Y2
	VSUBPS Y1, Y2, Y2 // -limit
	SUBQ $32, CX
	JLT  done
	PCALIGN $64
loop:
	CLAMPY(0, Y3)
	CLAMPY(32, Y4)
	CLAMPY(64, Y5)
	CLAMPY(96, Y6)
	ADDQ $128, SI
	ADDQ $128, DI
	SUBQ $32, CX
	JGE  loop
done:
	LEAVE(left)

#define AVERAGEY(o) \
	VMOVUPS   o(DI), Y3        \
	VMOVUPS   o(SI), Y4        \
	VSUBPS    Y3, Y4, Y4       \
	VMULPS    Y0, Y4, Y4       \
	VADDPS    Y4, Y3, Y3       \
	VPAND     Y1, Y3, Y4       \
	VPCMPEQD  Y2, Y4, Y4       \
	VPANDN    Y3, Y4, Y3       \
	VMOVUPS   Y3, o(DI)

// func averageAVX2(e, p *float32, n int, c float32)
//
//	e = e + c*(p-e)
//	e = +0 where bits(e)&exponent == 0
TEXT ·averageAVX2(SB), NOSPLIT, $8-28
	ENTER(usual)
	MOVQ e+0(FP), DI
	MOVQ p+8(FP), SI
	MOVQ n+16(FP), CX
	VBROADCASTSS c+24(FP), Y0
	MOVL $const_exponent, AX
	MOVQ AX, X1
	VPBROADCASTD X1, Y1
	VPXOR Y2, Y2, Y2
	SUBQ $32, CX
	JLT  done
	PCALIGN $64
loop:
	AVERAGEY(0)
	AVERAGEY(32)
	AVERAGEY(64)
	AVERAGEY(96)
	ADDQ $128, SI
	ADDQ $128, DI
	SUBQ $32, CX
	JGE  loop
done:
	LEAVE(left)
