//go:build gc && !purego && !noasm

#include "go_asm.h"
#include "textflag.h"
#include "step_arm64.h"
#include "float32_arm64.h"

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
	FLAGS
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
	FLAGS
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

#define SQUARES \
	ADDSQUARES(V16.D2, V17.D2) \
	ADDSQUARES(V18.D2, V19.D2) \
	ADDSQUARES(V20.D2, V21.D2) \
	ADDSQUARES(V22.D2, V23.D2) \
	ADDSQUARES(V24.D2, V25.D2) \
	ADDSQUARES(V26.D2, V27.D2) \
	ADDSQUARES(V28.D2, V29.D2) \
	ADDSQUARES(V30.D2, V31.D2)

// func sumSquaresNEON(grad *float32, n int, sums *partialSums)
//
//	sums[i%32] += grad[i]*grad[i]
TEXT ·sumSquaresNEON(SB), NOSPLIT, $0-24
	ENTER(usual)
	MOVD grad+0(FP), R1
	MOVD n+8(FP), R2
	MOVD sums+16(FP), R0
	SUMS(SQUARES)
	LEAVE(left)

// func clampNEON(d, grad *float32, n int, s, limit float32)
TEXT ·clampNEON(SB), NOSPLIT, $0-32
	ENTER(usual)
	MOVD  d+0(FP), R0
	MOVD  grad+8(FP), R1
	MOVD  n+16(FP), R2
	FMOVS s+24(FP), F1
	DUP(V1)
	FMOVS limit+28(FP), F2
	FNEGS F2, F3
	DUP(V2)
	DUP(V3)
	CLAMP
	LEAVE(left)

// func averageNEON(e, p *float32, n int, c float32)
TEXT ·averageNEON(SB), NOSPLIT, $0-28
	ENTER(usual)
	MOVD  e+0(FP), R0
	MOVD  p+8(FP), R1
	MOVD  n+16(FP), R2
	FMOVS c+24(FP), F3
	DUP(V3)
	MOVW  $const_exponent, R3
	VDUP  R3, V4.S4
	AVERAGE
	LEAVE(left)

// func addNEON(to, from *float32, n int)
TEXT ·addNEON(SB), NOSPLIT, $0-24
	ENTER(usual)
	MOVD to+0(FP), R0
	MOVD from+8(FP), R1
	MOVD n+16(FP), R2
	ADDTO
	LEAVE(left)
