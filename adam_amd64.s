//go:build gc && !purego && !noasm

#include "go_asm.h"
#include "textflag.h"
#include "float32_amd64.h"
#include "zmm_amd64.h"
#include "step_amd64.h"

// func cpuid(leaf uint32) (a, b, c, d uint32)
TEXT ·cpuid(SB), NOSPLIT, $0-24
	MOVL leaf+0(FP), AX
	XORL CX, CX
	CPUID
	MOVL AX, a+8(FP)
	MOVL BX, b+12(FP)
	MOVL CX, c+16(FP)
	MOVL DX, d+20(FP)
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

// func stepAVX512(p, grad, m, v, x *float32, n int, c *coeffs)
TEXT ·stepAVX512(SB), NOSPLIT, $8-56
	ENTER(usual)
	LOAD_ARGUMENTS
	SCALARS
	VARIANTSK
done:
	LEAVE(left)

// func stepRunsAVX512(p, grad, m, v, x *float32, runs *run, k int, c *coeffs)
TEXT ·stepRunsAVX512(SB), NOSPLIT, $8-64
	ENTER(usual)
	LOAD_RUNS
	SCALARS
	NEXT_RUN(end)
	VARIANTSK
end:
	LEAVE(left)

// A square of a float32 is exact in float64: the multiply-add rounds as the addition alone would.
#define SQUARESZ \
	VCVTPS2PD (SI), Z4       \
	VCVTPS2PD 32(SI), Z5     \
	VCVTPS2PD 64(SI), Z6     \
	VCVTPS2PD 96(SI), Z7     \
	VFMADD231PD Z4, Z4, Z0   \
	VFMADD231PD Z5, Z5, Z1   \
	VFMADD231PD Z6, Z6, Z2   \
	VFMADD231PD Z7, Z7, Z3   \
	ADDQ $128, SI

// func sumSquaresAVX512(grad *float32, n int, sums *partialSums)
//
//	sums[i%32] += grad[i]*grad[i]
TEXT ·sumSquaresAVX512(SB), NOSPLIT, $8-24
	ENTER(usual)
	MOVQ grad+0(FP), SI
	MOVQ n+8(FP), CX
	MOVQ sums+16(FP), DI
	SUMSZ(SQUARESZ)
	LEAVE(left)

// func clampAVX512(d, grad *float32, n int, s, limit float32)
TEXT ·clampAVX512(SB), NOSPLIT, $8-32
	ENTER(usual)
	MOVQ d+0(FP), DI
	MOVQ grad+8(FP), SI
	MOVQ n+16(FP), CX
	VBROADCASTSS s+24(FP), Z0
	VBROADCASTSS limit+28(FP), Z1
	CLAMPZ
	LEAVE(left)

// func averageAVX512(e, p *float32, n int, c float32)
TEXT ·averageAVX512(SB), NOSPLIT, $8-28
	ENTER(usual)
	MOVQ e+0(FP), DI
	MOVQ p+8(FP), SI
	MOVQ n+16(FP), CX
	VBROADCASTSS c+24(FP), Z0
	MOVL $const_exponent, AX
	VPBROADCAST AX, Z1
	AVERAGEZ
	LEAVE(left)

// ------------------------------------------------------------------------------------------- AVX2

DATA ordinals<>+0(SB)/8, $0x0000000100000000
DATA ordinals<>+8(SB)/8, $0x0000000300000002
DATA ordinals<>+16(SB)/8, $0x0000000500000004
DATA ordinals<>+24(SB)/8, $0x0000000700000006
GLOBL ordinals<>(SB), RODATA|NOPTR, $32

#define SCALARSY \
	VBROADCASTSS coeffs_alpha(AX), UY \
	VMOVUPS UY, ALPHAY \
	VBROADCASTSS coeffs_lambda(AX), UY \
	VMOVUPS UY, LAMBDAY \
	VBROADCASTSS coeffs_kappa(AX), KAPPAY \
	VBROADCASTSS coeffs_s(AX), SY \
	VBROADCASTSS coeffs_b1(AX), B1Y \
	VBROADCASTSS coeffs_c1(AX), C1Y \
	VBROADCASTSS coeffs_b2(AX), B2Y \
	VBROADCASTSS coeffs_c2(AX), C2Y \
	VBROADCASTSS coeffs_eps(AX), EPSY \
	VBROADCASTSS coeffs_live(AX), LIVEY \
	VPXOR ZEROY, ZEROY, ZEROY

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
	VCVTPS2PD o(SI), t       \
	VMULPD    t, t, t        \
	VADDPD    t, sum, sum

#define SQUARESY \
	ADDSQUARES(0, Y8, Y0)    \
	ADDSQUARES(16, Y9, Y1)   \
	ADDSQUARES(32, Y10, Y2)  \
	ADDSQUARES(48, Y11, Y3)  \
	ADDSQUARES(64, Y12, Y4)  \
	ADDSQUARES(80, Y13, Y5)  \
	ADDSQUARES(96, Y14, Y6)  \
	ADDSQUARES(112, Y15, Y7) \
	ADDQ $128, SI

// func sumSquaresAVX2(grad *float32, n int, sums *partialSums)
//
//	sums[i%32] += grad[i]*grad[i]
TEXT ·sumSquaresAVX2(SB), NOSPLIT, $8-24
	ENTER(usual)
	MOVQ grad+0(FP), SI
	MOVQ n+8(FP), CX
	MOVQ sums+16(FP), DI
	SUMSY(SQUARESY)
	LEAVE(left)

// func clampAVX2(d, grad *float32, n int, s, limit float32)
TEXT ·clampAVX2(SB), NOSPLIT, $8-32
	ENTER(usual)
	MOVQ d+0(FP), DI
	MOVQ grad+8(FP), SI
	MOVQ n+16(FP), CX
	VBROADCASTSS s+24(FP), Y0
	VBROADCASTSS limit+28(FP), Y1
	CLAMPY
	LEAVE(left)

// func averageAVX2(e, p *float32, n int, c float32)
TEXT ·averageAVX2(SB), NOSPLIT, $8-28
	ENTER(usual)
	MOVQ e+0(FP), DI
	MOVQ p+8(FP), SI
	MOVQ n+16(FP), CX
	VBROADCASTSS c+24(FP), Y0
	MOVL $const_exponent, AX
	MOVQ AX, X1
	VPBROADCAST X1, Y1
	AVERAGEY
	LEAVE(left)

// func addAVX(to, from *float32, n int)
TEXT ·addAVX(SB), NOSPLIT, $8-24
	ENTER(usual)
	MOVQ to+0(FP), DI
	MOVQ from+8(FP), SI
	MOVQ n+16(FP), CX
	ADDY
	LEAVE(left)
