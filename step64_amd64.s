//go:build gc && !purego && !noasm

#include "go_asm.h"
#include "textflag.h"
#include "float64_amd64.h"
#include "zmm_amd64.h"
#include "step_amd64.h"

// func step64AVX512(p, grad, m, v, x *float64, n int, c *coeffs64)
TEXT ·step64AVX512(SB), NOSPLIT, $8-56
	ENTER(usual)
	LOAD_ARGUMENTS
	SCALARS
	VARIANTSK
done:
	LEAVE(left)

// A square is not exact: product and sum are rounded, each for itself, as in Go.
#define ADDSQUARES(o, t, sum) \
	VMOVUPD o(SI), t         \
	VMULPD  t, t, t          \
	VADDPD  t, sum, sum

#define SQUARESZ \
	ADDSQUARES(0, Z4, Z0)    \
	ADDSQUARES(64, Z5, Z1)   \
	ADDSQUARES(128, Z6, Z2)  \
	ADDSQUARES(192, Z7, Z3)  \
	ADDQ $256, SI

// func sumSquares64AVX512(grad *float64, n int, sums *partialSums)
//
//	sums[i%32] += grad[i]*grad[i]
TEXT ·sumSquares64AVX512(SB), NOSPLIT, $8-24
	ENTER(usual)
	MOVQ grad+0(FP), SI
	MOVQ n+8(FP), CX
	MOVQ sums+16(FP), DI
	SUMSZ(SQUARESZ)
	LEAVE(left)

// func clamp64AVX512(d, grad *float64, n int, s, limit float64)
TEXT ·clamp64AVX512(SB), NOSPLIT, $8-40
	ENTER(usual)
	MOVQ d+0(FP), DI
	MOVQ grad+8(FP), SI
	MOVQ n+16(FP), CX
	VBROADCASTSD s+24(FP), Z0
	VBROADCASTSD limit+32(FP), Z1
	CLAMPZ
	LEAVE(left)

// func average64AVX512(e, p *float64, n int, c float64)
TEXT ·average64AVX512(SB), NOSPLIT, $8-32
	ENTER(usual)
	MOVQ e+0(FP), DI
	MOVQ p+8(FP), SI
	MOVQ n+16(FP), CX
	VBROADCASTSD c+24(FP), Z0
	MOVQ $const_exponent64, AX
	VPBROADCAST AX, Z1
	AVERAGEZ
	LEAVE(left)

DATA ordinals<>+0(SB)/8, $0
DATA ordinals<>+8(SB)/8, $1
DATA ordinals<>+16(SB)/8, $2
DATA ordinals<>+24(SB)/8, $3
GLOBL ordinals<>(SB), RODATA|NOPTR, $32

// func step64AVX2(p, grad, m, v, x *float64, n int, c *coeffs64)
TEXT ·step64AVX2(SB), NOSPLIT, $72-56
	ENTER(usual)
	LOAD_ARGUMENTS
	VBROADCASTSD coeffs64_alpha(AX), UY
	VMOVUPS UY, ALPHAY
	VBROADCASTSD coeffs64_lambda(AX), UY
	VMOVUPS UY, LAMBDAY
	VBROADCASTSD coeffs64_kappa(AX), KAPPAY
	VBROADCASTSD coeffs64_s(AX), SY
	VBROADCASTSD coeffs64_b1(AX), B1Y
	VBROADCASTSD coeffs64_c1(AX), C1Y
	VBROADCASTSD coeffs64_b2(AX), B2Y
	VBROADCASTSD coeffs64_c2(AX), C2Y
	VBROADCASTSD coeffs64_eps(AX), EPSY
	VBROADCASTSD coeffs64_live(AX), LIVEY
	VPXOR ZEROY, ZEROY, ZEROY
	VARIANTSY
done:
	LEAVE(left)

#define SQUARESY \
	ADDSQUARES(0, Y8, Y0)    \
	ADDSQUARES(32, Y9, Y1)   \
	ADDSQUARES(64, Y10, Y2)  \
	ADDSQUARES(96, Y11, Y3)  \
	ADDSQUARES(128, Y12, Y4) \
	ADDSQUARES(160, Y13, Y5) \
	ADDSQUARES(192, Y14, Y6) \
	ADDSQUARES(224, Y15, Y7) \
	ADDQ $256, SI

// func sumSquares64AVX2(grad *float64, n int, sums *partialSums)
//
//	sums[i%32] += grad[i]*grad[i]
TEXT ·sumSquares64AVX2(SB), NOSPLIT, $8-24
	ENTER(usual)
	MOVQ grad+0(FP), SI
	MOVQ n+8(FP), CX
	MOVQ sums+16(FP), DI
	SUMSY(SQUARESY)
	LEAVE(left)

// func clamp64AVX2(d, grad *float64, n int, s, limit float64)
TEXT ·clamp64AVX2(SB), NOSPLIT, $8-40
	ENTER(usual)
	MOVQ d+0(FP), DI
	MOVQ grad+8(FP), SI
	MOVQ n+16(FP), CX
	VBROADCASTSD s+24(FP), Y0
	VBROADCASTSD limit+32(FP), Y1
	CLAMPY
	LEAVE(left)

// func average64AVX2(e, p *float64, n int, c float64)
TEXT ·average64AVX2(SB), NOSPLIT, $8-32
	ENTER(usual)
	MOVQ e+0(FP), DI
	MOVQ p+8(FP), SI
	MOVQ n+16(FP), CX
	VBROADCASTSD c+24(FP), Y0
	MOVQ $const_exponent64, AX
	MOVQ AX, X1
	VPBROADCAST X1, Y1
	AVERAGEY
	LEAVE(left)

// func add64AVX(to, from *float64, n int)
TEXT ·add64AVX(SB), NOSPLIT, $8-24
	ENTER(usual)
	MOVQ to+0(FP), DI
	MOVQ from+8(FP), SI
	MOVQ n+16(FP), CX
	ADDY
	LEAVE(left)
