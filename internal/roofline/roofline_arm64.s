//go:build gc && !purego && !noasm

#include "textflag.h"

// The vector operations that the Go assembler lacks, on register numbers: d = n op m.
#define FDIV4S(m, n, d) WORD $(0x6e20fc00 | (m)<<16 | (n)<<5 | (d))
#define FSQRT4S(n, d)   WORD $(0x6ea1f800 | (n)<<5 | (d))
#define FDIV2D(m, n, d) WORD $(0x6e60fc00 | (m)<<16 | (n)<<5 | (d))
#define FSQRT2D(n, d)   WORD $(0x6ee1f800 | (n)<<5 | (d))

// ROOTS makes roots and divisions, those of one vector a turn or of a pair.
#define ROOTS(SQRT, DIV, lanes) \
	MOVD  n+0(FP), R4        \
	MOVBU pairs+8(FP), R5    \
	CBNZ  R5, pairs          \
	PCALIGN $32              \
loop:                        \
	SQRT(0, 2)               \
	DIV(1, 0, 3)             \
	SUBS  $lanes, R4         \
	BGT   loop               \
	RET                      \
pairs:                       \
	SQRT(0, 2)               \
	SQRT(0, 3)               \
	DIV(1, 0, 4)             \
	DIV(1, 0, 5)             \
	SUBS  $(2*lanes), R4     \
	BGT   pairs              \
	RET

// func trafficNEON(p, grad, m, v *float32, n int): p, m and v = themselves xor grad
TEXT ·trafficNEON(SB), NOSPLIT, $0-40
	MOVD p+0(FP), R0
	MOVD grad+8(FP), R1
	MOVD m+16(FP), R2
	MOVD v+24(FP), R3
	MOVD n+32(FP), R4
	PCALIGN $32
loop:
	FMOVQ.P 16(R1), F0
	FMOVQ (R0), F1
	FMOVQ (R2), F2
	FMOVQ (R3), F3
	VEOR  V0.B16, V1.B16, V1.B16
	VEOR  V0.B16, V2.B16, V2.B16
	VEOR  V0.B16, V3.B16, V3.B16
	FMOVQ.P F1, 16(R0)
	FMOVQ.P F2, 16(R2)
	FMOVQ.P F3, 16(R3)
	SUBS $4, R4
	BGT  loop
	RET

// func arithmeticNEON(n int, pairs bool): one square root and one division for each of n values
TEXT ·arithmeticNEON(SB), NOSPLIT, $0-9
	MOVW $0x35a5ac47, R0 // 1.2344e-6
	MOVW $0x3aa1d0e4, R1 // 1.2346e-3
	VDUP R0, V0.S4
	VDUP R1, V1.S4
	ROOTS(FSQRT4S, FDIV4S, 4)

// func arithmetic64NEON(n int, pairs bool): the same of float64
TEXT ·arithmetic64NEON(SB), NOSPLIT, $0-9
	MOVD $0x3eb4b5b527406b12, R0 // 1.2344e-6
	MOVD $0x3f543a49a7e9be75, R1 // 1.2346e-3
	VDUP R0, V0.D2
	VDUP R1, V1.D2
	ROOTS(FSQRT2D, FDIV2D, 2)
