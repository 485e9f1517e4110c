//go:build gc && linux && go1.26 && !purego && !noasm

#include "go_asm.h"
#include "textflag.h"
#include "step_riscv64.h"

// As in adam_riscv64.s.
#define SHIFT   3
#define WIDTH   E64
#define USE_L2  coeffs64_l2
#define USE_MAX coeffs64_amsgrad
#define LOAD    VLE64V
#define STORE   VSE64V
#define FMOVT   MOVD

// func step64RVV(p, grad, m, v, x *float64, n int, c *coeffs64)
TEXT ·step64RVV(SB), NOSPLIT, $0-56
	ENTER(usual)
	MOV p+0(FP), X10
	MOV grad+8(FP), X11
	MOV m+16(FP), X12
	MOV v+24(FP), X13
	MOV x+32(FP), X14
	MOV n+40(FP), X15
	MOV c+48(FP), X16
	FMOVT coeffs64_s(X16), SCALE
	FMOVT coeffs64_lambda(X16), LAMBDA
	FMOVT coeffs64_b1(X16), B1
	FMOVT coeffs64_c1(X16), C1
	FMOVT coeffs64_b2(X16), B2
	FMOVT coeffs64_c2(X16), C2
	FMOVT coeffs64_alpha(X16), ALPHA
	FMOVT coeffs64_eps(X16), EPS
	FMOVT coeffs64_kappa(X16), KAPPA
	MOV   coeffs64_live(X16), LIVE
	FLAGS
	VARIANTS
done:
	LEAVE(left)

// A square is not exact: product and sum are rounded, each for itself, as in Go.
#define ADDSQUARES(sums) \
	VLE64V  (X11), V8        \
	ADD     $128, X11        \
	VFMULVV V8, V8, V8       \
	VFADDVV V8, sums, sums

#define SQUARES \
	ADDSQUARES(V16) \
	ADDSQUARES(V24)

// func sumSquares64RVV(grad *float64, n int, sums *partialSums)
//
//	sums[i%32] += grad[i]*grad[i]
TEXT ·sumSquares64RVV(SB), NOSPLIT, $0-24
	ENTER(usual)
	MOV grad+0(FP), X11
	MOV n+8(FP), X15
	MOV sums+16(FP), X10
	SUMS(SQUARES)
	LEAVE(left)

// func clamp64RVV(d, grad *float64, n int, s, limit float64)
TEXT ·clamp64RVV(SB), NOSPLIT, $0-40
	ENTER(usual)
	MOV   d+0(FP), X10
	MOV   grad+8(FP), X11
	MOV   n+16(FP), X15
	FMOVT s+24(FP), F10
	FMOVT limit+32(FP), F11
	FNEGD F11, F12
	CLAMP
	LEAVE(left)

// func average64RVV(e, p *float64, n int, c float64)
TEXT ·average64RVV(SB), NOSPLIT, $0-32
	ENTER(usual)
	MOV   e+0(FP), X10
	MOV   p+8(FP), X11
	MOV   n+16(FP), X15
	FMOVT c+24(FP), F10
	MOV   $const_exponent64, X21
	AVERAGE
	LEAVE(left)

// func add64RVV(to, from *float64, n int)
TEXT ·add64RVV(SB), NOSPLIT, $0-24
	ENTER(usual)
	MOV to+0(FP), X10
	MOV from+8(FP), X11
	MOV n+16(FP), X15
	ADDTO
	LEAVE(left)
