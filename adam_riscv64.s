//go:build gc && linux && go1.26 && !purego && !noasm

#include "go_asm.h"
#include "textflag.h"
#include "step_riscv64.h"

#define SHIFT   2
#define WIDTH   E32
#define USE_L2  coeffs_l2
#define USE_MAX coeffs_amsgrad
#define LOAD    VLE32V
#define STORE   VSE32V
#define FMOVT   MOVF

// func controlRegister() uint32
TEXT ·controlRegister(SB), NOSPLIT, $0-4
	CSRRS X0, FCSR, X10
	MOVW  X10, ret+0(FP)
	RET

// func setControlRegister(value uint32) (before uint32)
TEXT ·setControlRegister(SB), NOSPLIT, $0-12
	MOVWU value+0(FP), X10
	CSRRW X10, FCSR, X11
	MOVW  X11, before+8(FP)
	RET

// func vectorType() int64
//
// What TA and MA set are reserved bits in RVV 0.7.1.
TEXT ·vectorType(SB), NOSPLIT, $0-8
	VSETVLI X0, E8, M1, TA, MA, X10
	CSRRS   X0, VTYPE, X10
	MOV     X10, ret+0(FP)
	RET

#define SCALARS \
	FMOVT coeffs_s(X16), SCALE \
	FMOVT coeffs_lambda(X16), LAMBDA \
	FMOVT coeffs_b1(X16), B1 \
	FMOVT coeffs_c1(X16), C1 \
	FMOVT coeffs_b2(X16), B2 \
	FMOVT coeffs_c2(X16), C2 \
	FMOVT coeffs_alpha(X16), ALPHA \
	FMOVT coeffs_eps(X16), EPS \
	FMOVT coeffs_kappa(X16), KAPPA \
	MOVWU coeffs_live(X16), LIVE \
	FLAGS

// func stepRVV(p, grad, m, v, x *float32, n int, c *coeffs)
TEXT ·stepRVV(SB), NOSPLIT, $0-56
	ENTER(usual)
	MOV p+0(FP), X10
	MOV grad+8(FP), X11
	MOV m+16(FP), X12
	MOV v+24(FP), X13
	MOV x+32(FP), X14
	MOV n+40(FP), X15
	MOV c+48(FP), X16
	SCALARS
	VARIANTS
done:
	LEAVE(left)

// BEGIN sets r to the beginning of a run, which is X26 bytes into a slice.
#define BEGIN(slice, r) \
	MOV slice(FP), r         \
	ADD X26, r

// func stepRunsRVV(p, grad, m, v, x *float32, runs *run, k int, c *coeffs)
//
//	X24 next run   X25 runs left   X11 is where the last run has left it
TEXT ·stepRunsRVV(SB), NOSPLIT, $0-64
	ENTER(usual)
	MOV grad+8(FP), X11
	MOV runs+40(FP), X24
	MOV k+48(FP), X25
	MOV c+56(FP), X16
	SCALARS
done:
	BEQZ X25, end
	ADD  $-1, X25
	MOV  run_from(X24), X26
	MOV  run_to(X24), X15
	ADD  $run__size, X24
	SUB  X26, X15
	SLL  $SHIFT, X26
	BEGIN(p+0, X10)
	BEGIN(m+16, X12)
	BEGIN(v+24, X13)
	BEGIN(x+32, X14)
	VARIANTS
end:
	LEAVE(left)

// A square of a float32 is exact in float64: the widening multiply-add rounds as the addition alone
// would. 16 elements of 32 bits are a group of four registers.
#define SQUARES \
	VSETVLI   X17, E32, M4, TA, MA, X19 \
	ADD       $64, X11, X19  \
	VLE32V    (X11), V8      \
	VLE32V    (X19), V12     \
	ADD       $128, X11      \
	VFWMACCVV V8, V8, V16    \
	VFWMACCVV V12, V12, V24

// func sumSquaresRVV(grad *float32, n int, sums *partialSums)
//
//	sums[i%32] += grad[i]*grad[i]
TEXT ·sumSquaresRVV(SB), NOSPLIT, $0-24
	ENTER(usual)
	MOV grad+0(FP), X11
	MOV n+8(FP), X15
	MOV sums+16(FP), X10
	SUMS(SQUARES)
	LEAVE(left)

// func clampRVV(d, grad *float32, n int, s, limit float32)
TEXT ·clampRVV(SB), NOSPLIT, $0-32
	ENTER(usual)
	MOV   d+0(FP), X10
	MOV   grad+8(FP), X11
	MOV   n+16(FP), X15
	FMOVT s+24(FP), F10
	FMOVT limit+28(FP), F11
	FNEGS F11, F12
	CLAMP
	LEAVE(left)

// func averageRVV(e, p *float32, n int, c float32)
TEXT ·averageRVV(SB), NOSPLIT, $0-28
	ENTER(usual)
	MOV   e+0(FP), X10
	MOV   p+8(FP), X11
	MOV   n+16(FP), X15
	FMOVT c+24(FP), F10
	MOV   $const_exponent, X21
	AVERAGE
	LEAVE(left)

// func addRVV(to, from *float32, n int)
TEXT ·addRVV(SB), NOSPLIT, $0-24
	ENTER(usual)
	MOV to+0(FP), X10
	MOV from+8(FP), X11
	MOV n+16(FP), X15
	ADDTO
	LEAVE(left)
