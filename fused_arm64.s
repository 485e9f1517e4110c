//go:build gc && !purego && !noasm

#include "go_asm.h"
#include "textflag.h"
#include "step_arm64.h"
#include "float32_arm64.h"
#include "storage_arm64.h"

// The fused steps in NEON: the arithmetic of step_arm64.h between loads and stores of 16 and 8
// bits, four elements at a time.
//
//	R0 p or hi   R1 grad   R2 m   R3 v   R4 lo   R5 elements left   R6 c   R7 a

#define OPERANDS(param, gradient, first, second) \
	ENTER(usual)             \
	MOVD  a+0(FP), R7        \
	MOVD  n+8(FP), R5        \
	MOVD  c+16(FP), R6       \
	SCALARS                  \
	QUIETS                   \
	CONSTANT($0x8000, V13)   \
	CONSTANT($0xffff, V14)   \
	MOVD  param(R7), R0      \
	MOVD  gradient(R7), R1   \
	MOVD  first(R7), R2      \
	MOVD  second(R7), R3     \
	MOVD  operands16_lo(R7), R4 \
	MOVWU operands16_next(R7), R8 \
	MOVWU operands16_k1(R7), R9 \
	WORDS

// The moments in bfloat16, in float32, and in 8 bits: these go through the memory at R12 and R13.
#define MOMENTSBF16 \
	LOADBF16(R3, F1, 1)      \
	SECOND                   \
	UPPER(FMOVD, -8(R3), 1)  \
	ROOT                     \
	LOADBF16(R2, F4, 4)      \
	FIRST                    \
	LOWER(FMOVD, -8(R2), 4)  \
	UPDATE

#define MOMENTSFLOAT32 \
	FMOVQ.P 16(R3), F1       \
	SECOND                   \
	FMOVQ F1, -16(R3)        \
	ROOT                     \
	FMOVQ.P 16(R2), F4       \
	FIRST                    \
	FMOVQ F4, -16(R2)        \
	UPDATE

#define MOMENTSQ8 \
	LOADV8                   \
	SECOND                   \
	FMOVQ.P F1, 16(R13)      \
	ROOT                     \
	LOADM8                   \
	FIRST                    \
	FMOVQ.P F4, 16(R12)      \
	UPDATE

#define PARAMSPLIT \
	LOADSPLIT(R0, R4)        \
	PARAMETER                \
	STORESPLIT(FMOVD, -8(R0), -8(R4))

#define PARAMFLOAT32 \
	FMOVQ.P 16(R0), F0       \
	PARAMETER                \
	FMOVQ F0, -16(R0)

#define PARAMBF16 \
	LOADBF16(R0, F0, 0)      \
	PARAMETER                \
	LOWER(FMOVD, -8(R0), 0)

// func fusedSplitNEON(a *operands16, n int, c *coeffs)
TEXT ·fusedSplitNEON(SB), NOSPLIT, $0-24
	OPERANDS(operands16_hi, operands16_grad16, operands16_m16, operands16_v16)
	PCALIGN $32
loop:
	HASH
	LOADBF16(R1, F0, 0)
	SCALED
	MOMENTSBF16
	PARAMSPLIT
	SUBS  $4, R5
	BGT   loop
	LEAVE(left)

// func fusedBF16NEON(a *operands16, n int, c *coeffs)
TEXT ·fusedBF16NEON(SB), NOSPLIT, $0-24
	OPERANDS(operands16_hi, operands16_grad16, operands16_m16, operands16_v16)
	PCALIGN $32
loop:
	HASH
	LOADBF16(R1, F0, 0)
	SCALED
	MOMENTSBF16
	PARAMBF16
	SUBS  $4, R5
	BGT   loop
	LEAVE(left)

// func fusedMomentsNEON(a *operands16, n int, c *coeffs)
TEXT ·fusedMomentsNEON(SB), NOSPLIT, $0-24
	OPERANDS(operands16_p, operands16_grad, operands16_m16, operands16_v16)
	PCALIGN $32
loop:
	HASH
	FMOVQ.P 16(R1), F0
	SCALED
	MOMENTSBF16
	PARAMFLOAT32
	SUBS  $4, R5
	BGT   loop
	LEAVE(left)

// func fusedGradientNEON(a *operands16, n int, c *coeffs)
TEXT ·fusedGradientNEON(SB), NOSPLIT, $0-24
	OPERANDS(operands16_p, operands16_grad16, operands16_m, operands16_v)
	PCALIGN $32
loop:
	LOADBF16(R1, F0, 0)
	SCALED
	MOMENTSFLOAT32
	PARAMFLOAT32
	SUBS  $4, R5
	BGT   loop
	LEAVE(left)

// With 8 bits the largest of a block is needed before its first code. Both moments of a block stay
// in the frame until then. STOREQ8 uses V13, which BEGINBLOCK sets again.
#define BEGINQ8 \
	MOVD operands16_mScale(R7), R14 \
	MOVD operands16_vScale(R7), R15 \
	CONSTANT($0xfffff, V14)

#define BEGINBLOCK \
	BASES                    \
	CONSTANT($0x8000, V13)   \
	MOVD $m-256(SP), R12     \
	MOVD $v-512(SP), R13     \
	MOVD $const_block16, R19

#define ENDBLOCK \
	SUB  $256, R12           \
	SUB  $256, R13           \
	SUB  $const_block16, R2  \
	SUB  $const_block16, R3  \
	STOREQ8(codes, finitem, finitev) \
	SUBS $const_block16, R5

// func fusedSplitQ8NEON(a *operands16, n int, c *coeffs)
TEXT ·fusedSplitQ8NEON(SB), NOSPLIT, $512-24
	OPERANDS(operands16_hi, operands16_grad16, operands16_m8, operands16_v8)
	BEGINQ8
block:
	BEGINBLOCK
loop:
	LOADBF16(R1, F0, 0)
	SCALED
	MOMENTSQ8
	PARAMSPLIT
	SUBS $4, R19
	BGT  loop
	ENDBLOCK
	BGT  block
	LEAVE(left)

// func fusedQ8NEON(a *operands16, n int, c *coeffs)
TEXT ·fusedQ8NEON(SB), NOSPLIT, $512-24
	OPERANDS(operands16_p, operands16_grad, operands16_m8, operands16_v8)
	BEGINQ8
block:
	BEGINBLOCK
loop:
	FMOVQ.P 16(R1), F0
	SCALED
	MOMENTSQ8
	PARAMFLOAT32
	SUBS $4, R19
	BGT  loop
	ENDBLOCK
	BGT  block
	LEAVE(left)
