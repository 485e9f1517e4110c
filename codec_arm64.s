//go:build gc && !purego && !noasm

#include "go_asm.h"
#include "textflag.h"
#include "step_arm64.h"
#include "float32_arm64.h"
#include "storage_arm64.h"

// The codecs in NEON. The formulas are in codec_generic.go.
//
//	R0 what is written, first   R5 elements left

// LOOP does BODY for the elements, four at a time.
#define LOOP(BODY, loop, none) \
	CBZ   R5, none           \
loop:                        \
	BODY                     \
	BODY                     \
	BODY                     \
	BODY                     \
	SUBS  $16, R5            \
	BGT   loop               \
none:

#define DECODEBF16 \
	LOADBF16(R1, F0, 0)      \
	FMOVQ.P F0, 16(R0)

// func decodeBF16NEON(d *float32, s *BF16, n int)
TEXT ·decodeBF16NEON(SB), NOSPLIT, $0-24
	MOVD d+0(FP), R0
	MOVD s+8(FP), R1
	MOVD n+16(FP), R5
	LOOP(DECODEBF16, loop, none)
	RET

#define DECODEF16 \
	FMOVD.P 8(R1), F0        \
	FCVTL4S(0, 0)            \
	FMOVQ.P F0, 16(R0)

// func decodeF16NEON(d *float32, s *F16, n int)
TEXT ·decodeF16NEON(SB), NOSPLIT, $0-24
	ENTER(usual)
	MOVD d+0(FP), R0
	MOVD s+8(FP), R1
	MOVD n+16(FP), R5
	LOOP(DECODEF16, loop, none)
	LEAVE(left)

#define DECODESPLIT \
	LOADSPLIT(R1, R2)        \
	FMOVQ.P F0, 16(R0)

// func decodeSplitNEON(d *float32, hi *BF16, lo *int16, n int)
TEXT ·decodeSplitNEON(SB), NOSPLIT, $0-32
	MOVD d+0(FP), R0
	MOVD hi+8(FP), R1
	MOVD lo+16(FP), R2
	MOVD n+24(FP), R5
	LOOP(DECODESPLIT, loop, none)
	RET

// To nearest, ties to even: b + 0x7fff + (b>>16 & 1), with 1 in V12 and 0x7fff in V13.
#define ENCODEBF16 \
	FMOVQ.P 16(R1), F0       \
	QUIET(0)                 \
	VUSHR $16, V5.S4, V6.S4  \
	VAND  V12.B16, V6.B16, V6.B16 \
	VADD  V13.S4, V5.S4, V5.S4 \
	VADD  V6.S4, V5.S4, V5.S4 \
	SHRN4H(5, 5)             \
	FMOVD.P F5, 8(R0)

// func encodeBF16NEON(d *BF16, s *float32, n int)
TEXT ·encodeBF16NEON(SB), NOSPLIT, $0-24
	MOVD d+0(FP), R0
	MOVD s+8(FP), R1
	MOVD n+16(FP), R5
	QUIETS
	CONSTANT($1, V12)
	CONSTANT($0x7fff, V13)
	LOOP(ENCODEBF16, loop, none)
	RET

#define ENCODEF16 \
	FMOVQ.P 16(R1), F0       \
	FCVTN4H(0, 0)            \
	FMOVD.P F0, 8(R0)

// func encodeF16NEON(d *F16, s *float32, n int)
TEXT ·encodeF16NEON(SB), NOSPLIT, $0-24
	ENTER(usual)
	MOVD d+0(FP), R0
	MOVD s+8(FP), R1
	MOVD n+16(FP), R5
	LOOP(ENCODEF16, loop, none)
	LEAVE(left)

#define ENCODESPLIT \
	FMOVQ.P 16(R2), F0       \
	STORESPLIT(FMOVD.P, 8(R0), 8(R1))

// func encodeSplitNEON(hi *BF16, lo *int16, s *float32, n int)
TEXT ·encodeSplitNEON(SB), NOSPLIT, $0-32
	MOVD hi+0(FP), R0
	MOVD lo+8(FP), R1
	MOVD s+16(FP), R2
	MOVD n+24(FP), R5
	QUIETS
	CONSTANT($0x8000, V13)
	LOOP(ENCODESPLIT, loop, none)
	RET

#define ROUND(HALF) \
	HASH                     \
	FMOVQ.P 16(R1), F0       \
	HALF(FMOVD.P, 8(R0), 0)

// func roundBF16NEON(d *BF16, s *float32, n int, next, k1, shift uint32)
TEXT ·roundBF16NEON(SB), NOSPLIT, $0-36
	MOVD  d+0(FP), R0
	MOVD  s+8(FP), R1
	MOVD  n+16(FP), R5
	MOVWU next+24(FP), R8
	MOVWU k1+28(FP), R9
	MOVWU shift+32(FP), R2
	WORDS
	QUIETS
	CBNZ  R2, upper
	CONSTANT($0xffff, V14)
	LOOP(ROUND(LOWER), loop, none)
	RET
upper:
	LOOP(ROUND(UPPER), loopupper, noneupper)
	RET

#define DECODEQ8 \
	LOADM8                   \
	FMOVQ.P F4, 16(R0)       \
	LOADV8                   \
	FMOVQ.P F1, 16(R1)

// func decodeQ8NEON(m, v *float32, m8, v8 *int8, mScale, vScale *uint8, n int)
TEXT ·decodeQ8NEON(SB), NOSPLIT, $0-56
	ENTER(usual)
	MOVD m+0(FP), R0
	MOVD v+8(FP), R1
	MOVD m8+16(FP), R2
	MOVD v8+24(FP), R3
	MOVD mScale+32(FP), R14
	MOVD vScale+40(FP), R15
	MOVD n+48(FP), R7
	CBZ  R7, done
block:
	BASES
	ADD  $1, R14
	ADD  $1, R15
	MOVD $const_block16, R5
	LOOP(DECODEQ8, loop, none)
	SUBS $const_block16, R7
	BGT  block
done:
	LEAVE(left)

// func encodeQ8NEON(m8, v8 *int8, mScale, vScale *uint8, m, v *float32, n int, next, k1 uint32)
TEXT ·encodeQ8NEON(SB), NOSPLIT, $0-64
	ENTER(usual)
	MOVD  m8+0(FP), R2
	MOVD  v8+8(FP), R3
	MOVD  mScale+16(FP), R14
	MOVD  vScale+24(FP), R15
	MOVD  m+32(FP), R12
	MOVD  v+40(FP), R13
	MOVD  n+48(FP), R5
	MOVWU next+56(FP), R8
	MOVWU k1+60(FP), R9
	WORDS
	CONSTANT($0xfffff, V14)
	CBZ   R5, done
block:
	STOREQ8(codes, finitem, finitev)
	SUBS  $const_block16, R5
	BGT   block
done:
	LEAVE(left)
