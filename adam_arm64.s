//go:build gc && !purego && !noasm

#include "go_asm.h"
#include "textflag.h"

// The kernel computes, with the scalars of coeffs in every lane of a vector,
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
// with v before m, so that the square root begins early.
//
//	R0 p   R1 grad   R2 m   R3 v   R4 x   R5 elements left   R6 c

// All kernels compute in the usual floating-point mode: rounding to nearest, subnormals kept, no
// trapped exceptions. A C library may have put the thread into another one. ENTER looks at FPCR and
// sets the usual mode only if it must; LEAVE restores the old one. usual and left are labels.
//
//	R10 FPCR as it was
#define ENTER(usual) \
	MRS  FPCR, R10           \
	MOVD $const_modeBits, R11 \
	TST  R11, R10            \
	BEQ  usual               \
	MSR  ZR, FPCR            \
usual:

#define LEAVE(left) \
	MOVD $const_modeBits, R11 \
	TST  R11, R10            \
	BEQ  left                \
	MSR  R10, FPCR           \
left:                        \
	RET

// func controlRegister() uint32
TEXT ·controlRegister(SB), NOSPLIT, $0-4
	MRS  FPCR, R0
	MOVW R0, ret+0(FP)
	RET

// func setControlRegister(value uint32) (before uint32)
TEXT ·setControlRegister(SB), NOSPLIT, $0-12
	MRS   FPCR, R1
	MOVW  R1, before+8(FP)
	MOVWU value+0(FP), R0
	MSR   R0, FPCR
	RET

// The vector operations that the Go assembler lacks, on register numbers: d = n op m.
#define FADD4S(m, n, d) WORD $(0x4e20d400 | (m)<<16 | (n)<<5 | (d))
#define FSUB4S(m, n, d) WORD $(0x4ea0d400 | (m)<<16 | (n)<<5 | (d))
#define FMUL4S(m, n, d) WORD $(0x6e20dc00 | (m)<<16 | (n)<<5 | (d))
#define FDIV4S(m, n, d) WORD $(0x6e20fc00 | (m)<<16 | (n)<<5 | (d))
#define FMAX4S(m, n, d) WORD $(0x4e20f400 | (m)<<16 | (n)<<5 | (d))
#define FMIN4S(m, n, d) WORD $(0x4ea0f400 | (m)<<16 | (n)<<5 | (d))
#define FSQRT4S(n, d)   WORD $(0x6ea1f800 | (n)<<5 | (d))

// Numbers of the registers; Go's own instructions name them V0 or F0 to V25 or F25.
#define G      0 // gradient, then the parameter
#define V      1
#define U      2 // scratch
#define R      3 // root of the second moment, then the update
#define M      4
#define SCALE  16
#define LAMBDA 17
#define B1     18
#define C1     19
#define B2     20
#define C2     21
#define ALPHA  22
#define EPS    23
#define KAPPA  24
#define LIVE   25

#define SCALAR(offset, f, v) \
	FMOVS offset(R6), f      \
	VDUP  v.S[0], v.S4

// What the variants have more, empty without. MOV is FMOVQ for a vector, FMOVS for one element,
// which zeroes the lanes above it; size is its bytes. The loads move the pointers: a store would do
// so only when its data is there.
#define NOL2(MOV, size)
#define L2(MOV, size) \
	MOV   (R0), F2           \
	FMUL4S(LAMBDA, U, U)     \
	FADD4S(U, G, G)

#define NOMAX(MOV, size)
#define MAX(MOV, size) \
	MOV.P size(R4), F2       \
	FMAX4S(V, U, V)          \
	MOV   F1, -size(R4)

#define STEP(MOV, size, VL2, VMAX) \
	MOV.P size(R1), F0       \
	FMUL4S(SCALE, G, G)      \
	VL2(MOV, size)           \
	MOV.P size(R3), F1       \
	FMUL4S(B2, V, V)         \
	FMUL4S(C2, G, U)         \
	FMUL4S(G, U, U)          \
	FADD4S(U, V, V)          \
	VCMTST V25.S4, V1.S4, V2.S4   \
	VAND   V2.B16, V1.B16, V1.B16 \
	MOV   F1, -size(R3)      \
	VMAX(MOV, size)          \
	FSQRT4S(V, R)            \
	MOV.P size(R2), F4       \
	FMUL4S(B1, M, M)         \
	FMUL4S(C1, G, G)         \
	FADD4S(G, M, M)          \
	VCMTST V25.S4, V4.S4, V2.S4   \
	VAND   V2.B16, V4.B16, V4.B16 \
	MOV   F4, -size(R2)      \
	FADD4S(EPS, R, R)        \
	FDIV4S(R, M, R)          \
	FMUL4S(ALPHA, R, R)      \
	MOV.P size(R0), F0       \
	FMUL4S(KAPPA, G, G)      \
	FSUB4S(R, G, G)          \
	MOV   F0, -size(R0)

#define KERNEL(VL2, VMAX, vector, tail, element) \
	SUBS  $4, R5             \
	BLT   tail               \
	PCALIGN $32              \
vector:                      \
	STEP(FMOVQ, 16, VL2, VMAX) \
	SUBS  $4, R5             \
	BGE   vector             \
tail:                        \
	ADDS  $4, R5             \
	BEQ   done               \
element:                     \
	STEP(FMOVS, 4, VL2, VMAX) \
	SUBS  $1, R5             \
	BNE   element            \
	B     done

#define SCALARS \
	SCALAR(coeffs_s, F16, V16) \
	SCALAR(coeffs_lambda, F17, V17) \
	SCALAR(coeffs_b1, F18, V18) \
	SCALAR(coeffs_c1, F19, V19) \
	SCALAR(coeffs_b2, F20, V20) \
	SCALAR(coeffs_c2, F21, V21) \
	SCALAR(coeffs_alpha, F22, V22) \
	SCALAR(coeffs_eps, F23, V23) \
	SCALAR(coeffs_kappa, F24, V24) \
	SCALAR(coeffs_live, F25, V25) \
	MOVBU coeffs_l2(R6), R8  \
	MOVBU coeffs_amsgrad(R6), R9

#define VARIANTS \
	CBNZ R9, amsgrad         \
	CBNZ R8, l2              \
	KERNEL(NOL2, NOMAX, vector, tail, element) \
l2:                          \
	KERNEL(L2, NOMAX, vectorl2, taill2, elementl2) \
amsgrad:                     \
	CBNZ R8, both            \
	KERNEL(NOL2, MAX, vectormax, tailmax, elementmax) \
both:                        \
	KERNEL(L2, MAX, vectorboth, tailboth, elementboth)

// func stepNEON(p, grad, m, v, x *float32, n int, c *coeffs)
TEXT ·stepNEON(SB), NOSPLIT, $0-56
	ENTER(usual)
	MOVD p+0(FP), R0
	MOVD grad+8(FP), R1
	MOVD m+16(FP), R2
	MOVD v+24(FP), R3
	MOVD x+32(FP), R4
	MOVD n+40(FP), R5
	MOVD c+48(FP), R6
	SCALARS
	VARIANTS
done:
	LEAVE(left)

// BEGIN sets r to the beginning of a run, whose first element is R13, in a slice.
#define BEGIN(slice, r) \
	MOVD slice(FP), r        \
	ADD  R13<<2, r

// func stepRunsNEON(p, grad, m, v, x *float32, runs *run, k int, c *coeffs)
//
//	R7 next run   R12 runs left   R1 is where the last run has left it
TEXT ·stepRunsNEON(SB), NOSPLIT, $0-64
	ENTER(usual)
	MOVD grad+8(FP), R1
	MOVD runs+40(FP), R7
	MOVD k+48(FP), R12
	MOVD c+56(FP), R6
	SCALARS
done:
	SUBS $1, R12
	BLT  end
	LDP.P run__size(R7), (R13, R5)
	SUB  R13, R5
	BEGIN(p+0, R0)
	BEGIN(m+16, R2)
	BEGIN(v+24, R3)
	BEGIN(x+32, R4)
	VARIANTS
end:
	LEAVE(left)

// The small kernels work on whole blocks of 32 elements.
//
//	R0, R1 slices   R2 elements left

// From float32 to float64: the lower and the upper two elements.
#define FCVTL2D(n, d)  WORD $(0x0e617800 | (n)<<5 | (d))
#define FCVTLH2D(n, d) WORD $(0x4e617800 | (n)<<5 | (d))

// A square of a float32 is exact in float64: the multiply-add rounds as the addition alone would.
#define ADDSQUARES(low, high) \
	FMOVQ.P 16(R1), F0       \
	FCVTL2D(0, 1)            \
	FCVTLH2D(0, 2)           \
	VFMLA V1.D2, V1.D2, low  \
	VFMLA V2.D2, V2.D2, high

// func sumSquaresNEON(grad *float32, n int, sums *partialSums)
//
//	sums[i%32] += grad[i]*grad[i]
TEXT ·sumSquaresNEON(SB), NOSPLIT, $0-24
	ENTER(usual)
	MOVD grad+0(FP), R1
	MOVD n+8(FP), R2
	MOVD sums+16(FP), R0
	VLD1.P 64(R0), [V16.D2, V17.D2, V18.D2, V19.D2]
	VLD1.P 64(R0), [V20.D2, V21.D2, V22.D2, V23.D2]
	VLD1.P 64(R0), [V24.D2, V25.D2, V26.D2, V27.D2]
	VLD1   (R0), [V28.D2, V29.D2, V30.D2, V31.D2]
	SUB    $192, R0
	SUBS   $32, R2
	BLT    stored
	PCALIGN $32
loop:
	ADDSQUARES(V16.D2, V17.D2)
	ADDSQUARES(V18.D2, V19.D2)
	ADDSQUARES(V20.D2, V21.D2)
	ADDSQUARES(V22.D2, V23.D2)
	ADDSQUARES(V24.D2, V25.D2)
	ADDSQUARES(V26.D2, V27.D2)
	ADDSQUARES(V28.D2, V29.D2)
	ADDSQUARES(V30.D2, V31.D2)
	SUBS   $32, R2
	BGE    loop
stored:
	VST1.P [V16.D2, V17.D2, V18.D2, V19.D2], 64(R0)
	VST1.P [V20.D2, V21.D2, V22.D2, V23.D2], 64(R0)
	VST1.P [V24.D2, V25.D2, V26.D2, V27.D2], 64(R0)
	VST1   [V28.D2, V29.D2, V30.D2, V31.D2], (R0)
	LEAVE(left)

// func clampNEON(d, grad *float32, n int, s, limit float32)
//
//	d = min(max(s*grad, -limit), limit), NaN if s*grad is
TEXT ·clampNEON(SB), NOSPLIT, $0-32
	ENTER(usual)
	MOVD  d+0(FP), R0
	MOVD  grad+8(FP), R1
	MOVD  n+16(FP), R2
	FMOVS s+24(FP), F1
	VDUP  V1.S[0], V1.S4
	FMOVS limit+28(FP), F2
	FNEGS F2, F3
	VDUP  V2.S[0], V2.S4
	VDUP  V3.S[0], V3.S4
	CBZ   R2, done
loop:
	FMOVQ.P 16(R1), F0
	FMUL4S(1, 0, 0)
	FMAX4S(3, 0, 0)
	FMIN4S(2, 0, 0)
	FMOVQ.P F0, 16(R0)
	SUBS  $4, R2
	BGT   loop
done:
	LEAVE(left)

// func averageNEON(e, p *float32, n int, c float32)
//
//	e = e + c*(p-e)
//	e = +0 where bits(e)&exponent == 0
TEXT ·averageNEON(SB), NOSPLIT, $0-28
	ENTER(usual)
	MOVD  e+0(FP), R0
	MOVD  p+8(FP), R1
	MOVD  n+16(FP), R2
	FMOVS c+24(FP), F3
	VDUP  V3.S[0], V3.S4
	MOVW  $const_exponent, R3
	VDUP  R3, V4.S4
	CBZ   R2, done
loop:
	FMOVQ   (R0), F0
	FMOVQ.P 16(R1), F1
	FSUB4S(0, 1, 1)
	FMUL4S(3, 1, 1)
	FADD4S(1, 0, 0)
	VCMTST V4.S4, V0.S4, V2.S4
	VAND   V2.B16, V0.B16, V0.B16
	FMOVQ.P F0, 16(R0)
	SUBS  $4, R2
	BGT   loop
done:
	LEAVE(left)
