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
