//go:build gc && !purego && !noasm

#include "go_asm.h"
#include "textflag.h"
#include "step_arm64.h"

// As in adam_arm64.s.
#define FADD2D(m, n, d) WORD $(0x4e60d400 | (m)<<16 | (n)<<5 | (d))
#define FSUB2D(m, n, d) WORD $(0x4ee0d400 | (m)<<16 | (n)<<5 | (d))
#define FMUL2D(m, n, d) WORD $(0x6e60dc00 | (m)<<16 | (n)<<5 | (d))
#define FDIV2D(m, n, d) WORD $(0x6e60fc00 | (m)<<16 | (n)<<5 | (d))
#define FMAX2D(m, n, d) WORD $(0x4e60f400 | (m)<<16 | (n)<<5 | (d))
#define FMIN2D(m, n, d) WORD $(0x4ee0f400 | (m)<<16 | (n)<<5 | (d))
#define FSQRT2D(n, d)   WORD $(0x6ee1f800 | (n)<<5 | (d))

#define SIZE           8
#define LEN            2
#define USE_L2         coeffs64_l2
#define USE_MAX        coeffs64_amsgrad
#define FMOVT          FMOVD
#define FADD(m, n, d)  FADD2D(m, n, d)
#define FSUB(m, n, d)  FSUB2D(m, n, d)
#define FMUL(m, n, d)  FMUL2D(m, n, d)
#define FDIV(m, n, d)  FDIV2D(m, n, d)
#define FMAX(m, n, d)  FMAX2D(m, n, d)
#define FMIN(m, n, d)  FMIN2D(m, n, d)
#define FSQRT(n, d)    FSQRT2D(n, d)
#define DUP(v)         VDUP v.D[0], v.D2
#define CMTST(m, n, d) VCMTST m.D2, n.D2, d.D2

// func step64NEON(p, grad, m, v, x *float64, n int, c *coeffs64)
TEXT ·step64NEON(SB), NOSPLIT, $0-56
	ENTER(usual)
	MOVD p+0(FP), R0
	MOVD grad+8(FP), R1
	MOVD m+16(FP), R2
	MOVD v+24(FP), R3
	MOVD x+32(FP), R4
	MOVD n+40(FP), R5
	MOVD c+48(FP), R6
	SCALAR(coeffs64_s, F16, V16)
	SCALAR(coeffs64_lambda, F17, V17)
	SCALAR(coeffs64_b1, F18, V18)
	SCALAR(coeffs64_c1, F19, V19)
	SCALAR(coeffs64_b2, F20, V20)
	SCALAR(coeffs64_c2, F21, V21)
	SCALAR(coeffs64_alpha, F22, V22)
	SCALAR(coeffs64_eps, F23, V23)
	SCALAR(coeffs64_kappa, F24, V24)
	SCALAR(coeffs64_live, F25, V25)
	FLAGS
	VARIANTS
done:
	LEAVE(left)

// A square is not exact: product and sum are rounded, each for itself, as in Go.
#define ADDSQUARES(low, high) \
	FMOVQ.P 16(R1), F0       \
	FMOVQ.P 16(R1), F1       \
	FMUL(0, 0, 0)            \
	FMUL(1, 1, 1)            \
	FADD(0, low, low)        \
	FADD(1, high, high)

#define SQUARES \
	ADDSQUARES(16, 17) \
	ADDSQUARES(18, 19) \
	ADDSQUARES(20, 21) \
	ADDSQUARES(22, 23) \
	ADDSQUARES(24, 25) \
	ADDSQUARES(26, 27) \
	ADDSQUARES(28, 29) \
	ADDSQUARES(30, 31)

// func sumSquares64NEON(grad *float64, n int, sums *partialSums)
//
//	sums[i%32] += grad[i]*grad[i]
TEXT ·sumSquares64NEON(SB), NOSPLIT, $0-24
	ENTER(usual)
	MOVD grad+0(FP), R1
	MOVD n+8(FP), R2
	MOVD sums+16(FP), R0
	SUMS(SQUARES)
	LEAVE(left)

// func clamp64NEON(d, grad *float64, n int, s, limit float64)
TEXT ·clamp64NEON(SB), NOSPLIT, $0-40
	ENTER(usual)
	MOVD  d+0(FP), R0
	MOVD  grad+8(FP), R1
	MOVD  n+16(FP), R2
	FMOVD s+24(FP), F1
	DUP(V1)
	FMOVD limit+32(FP), F2
	FNEGD F2, F3
	DUP(V2)
	DUP(V3)
	CLAMP
	LEAVE(left)

// func average64NEON(e, p *float64, n int, c float64)
TEXT ·average64NEON(SB), NOSPLIT, $0-32
	ENTER(usual)
	MOVD  e+0(FP), R0
	MOVD  p+8(FP), R1
	MOVD  n+16(FP), R2
	FMOVD c+24(FP), F3
	DUP(V3)
	MOVD  $const_exponent64, R3
	VDUP  R3, V4.D2
	AVERAGE
	LEAVE(left)

// func add64NEON(to, from *float64, n int)
TEXT ·add64NEON(SB), NOSPLIT, $0-24
	ENTER(usual)
	MOVD to+0(FP), R0
	MOVD from+8(FP), R1
	MOVD n+16(FP), R2
	ADDTO
	LEAVE(left)
