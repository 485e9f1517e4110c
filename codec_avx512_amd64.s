//go:build gc && !purego && !noasm

#include "go_asm.h"
#include "textflag.h"
#include "float32_amd64.h"
#include "zmm_amd64.h"
#include "step_amd64.h"
#include "scales_amd64.h"
#include "storage_amd64.h"

// The codecs on 512 bits, for whole blocks of 64 elements.
//
//	DI to   SI from   R9 lower halves   CX elements left

// EACH makes BODY of each 64 elements, CX of them.
#define EACH(BODY) \
	SUBQ $64, CX             \
	JLT  done                \
	PCALIGN $64              \
loop:                        \
	BODY                     \
	SUBQ $64, CX             \
	JGE  loop                \
done:

#define LOAD_CODEC \
	MOVQ d+0(FP), DI         \
	MOVQ s+8(FP), SI         \
	MOVQ n+16(FP), CX

#define FROMBF16(o, d) \
	VPMOVZXWD (o/2)(SI), d   \
	VPSLLD  $16, d, d        \
	VMOVUPS d, o(DI)
#define DECODEBF16 \
	FROMBF16(0, Z0)          \
	FROMBF16(64, Z1)         \
	FROMBF16(128, Z2)        \
	FROMBF16(192, Z3)        \
	ADDQ $128, SI            \
	ADDQ $256, DI

// func decodeBF16AVX512(d *float32, s *BF16, n int)
TEXT ·decodeBF16AVX512(SB), NOSPLIT, $0-24
	LOAD_CODEC
	EACH(DECODEBF16)
	VZEROUPPER
	RET

#define FROMF16(o, d) \
	VCVTPH2PS (o/2)(SI), d   \
	VMOVUPS d, o(DI)
#define DECODEF16 \
	FROMF16(0, Z0)           \
	FROMF16(64, Z1)          \
	FROMF16(128, Z2)         \
	FROMF16(192, Z3)         \
	ADDQ $128, SI            \
	ADDQ $256, DI

// func decodeF16AVX512(d *float32, s *F16, n int)
TEXT ·decodeF16AVX512(SB), NOSPLIT, $8-24
	ENTER(usual)
	LOAD_CODEC
	EACH(DECODEF16)
	LEAVE(left)

#define FROMSPLIT(o, d, t) \
	VPMOVZXWD (o/2)(SI), d   \
	VPMOVSXWD (o/2)(R9), t   \
	VPSLLD  $16, d, d        \
	VPADDD  t, d, d          \
	VMOVUPS d, o(DI)
#define DECODESPLIT \
	FROMSPLIT(0, Z0, Z4)     \
	FROMSPLIT(64, Z1, Z5)    \
	FROMSPLIT(128, Z2, Z6)   \
	FROMSPLIT(192, Z3, Z7)   \
	ADDQ $128, SI            \
	ADDQ $128, R9            \
	ADDQ $256, DI

// func decodeSplitAVX512(d *float32, hi *BF16, lo *int16, n int)
TEXT ·decodeSplitAVX512(SB), NOSPLIT, $0-32
	MOVQ d+0(FP), DI
	MOVQ hi+8(FP), SI
	MOVQ lo+16(FP), R9
	MOVQ n+24(FP), CX
	EACH(DECODESPLIT)
	VZEROUPPER
	RET

// b = b + 0x7fff + (b>>16 & 1)
#define NEARESTBF16(o, b, t) \
	VMOVUPS o(SI), b         \
	QUIET(b)                 \
	VPSRLD  $16, b, t        \
	VPANDD  Z20, t, t        \
	VPADDD  Z21, t, t        \
	VPADDD  t, b, b
#define ENCODEBF16 \
	NEARESTBF16(0, Z0, Z4)   \
	NEARESTBF16(64, Z1, Z5)  \
	NEARESTBF16(128, Z2, Z6) \
	NEARESTBF16(192, Z3, Z7) \
	VPERMT2W Z1, Z16, Z0     \
	VPERMT2W Z3, Z16, Z2     \
	VMOVUPS Z0, (DI)         \
	VMOVUPS Z2, 64(DI)       \
	ADDQ $256, SI            \
	ADDQ $128, DI

// func encodeBF16AVX512(d *BF16, s *float32, n int)
TEXT ·encodeBF16AVX512(SB), NOSPLIT, $0-24
	LOAD_CODEC
	QUIETS
	CONSTANT(1, Z20)
	CONSTANT(0x7fff, Z21)
	PICKS(ODDS, Z16)
	EACH(ENCODEBF16)
	VZEROUPPER
	RET

#define TOF16(o, d) \
	VMOVUPS o(SI), d         \
	VCVTPS2PH $0, d, (o/2)(DI)
#define ENCODEF16 \
	TOF16(0, Z0)             \
	TOF16(64, Z1)            \
	TOF16(128, Z2)           \
	TOF16(192, Z3)           \
	ADDQ $256, SI            \
	ADDQ $128, DI

// func encodeF16AVX512(d *F16, s *float32, n int)
TEXT ·encodeF16AVX512(SB), NOSPLIT, $8-24
	ENTER(usual)
	LOAD_CODEC
	EACH(ENCODEF16)
	LEAVE(left)

// hi = (b + 0x8000) >> 16 and lo = b, of two vectors.
#define TOSPLIT(o, b, c, t) \
	VMOVUPS o(SI), b         \
	VMOVUPS (o+64)(SI), c    \
	QUIET(b)                 \
	QUIET(c)                 \
	VMOVAPS b, t             \
	VPERMT2W c, Z17, t       \
	VMOVUPS t, (o/2)(R9)     \
	VPADDD  Z18, b, b       \
	VPADDD  Z18, c, c       \
	VPERMT2W c, Z16, b       \
	VMOVUPS b, (o/2)(DI)
#define ENCODESPLIT \
	TOSPLIT(0, Z0, Z1, Z4)   \
	TOSPLIT(128, Z2, Z3, Z5) \
	ADDQ $256, SI            \
	ADDQ $128, R9            \
	ADDQ $128, DI

// func encodeSplitAVX512(hi *BF16, lo *int16, s *float32, n int)
TEXT ·encodeSplitAVX512(SB), NOSPLIT, $0-32
	MOVQ hi+0(FP), DI
	MOVQ lo+8(FP), R9
	MOVQ s+16(FP), SI
	MOVQ n+24(FP), CX
	QUIETS
	CONSTANT(0x8000, Z18)
	PICKS(ODDS, Z16)
	PICKS(EVENS, Z17)
	EACH(ENCODESPLIT)
	VZEROUPPER
	RET

// b = b + (word>>shift & 0xffff), of two vectors.
#define RANDOMBF16(o) \
	WORD1(W)                 \
	WORD2(W, T)              \
	WORD3(W, T)              \
	VPADDD  NEAR, PLACE, PLACE \
	WORD1(NEXTW)             \
	WORD2(NEXTW, NEXTT)      \
	WORD3(NEXTW, NEXTT)      \
	VPADDD  NEAR, PLACE, PLACE \
	VPSRLD  X5, W, W         \
	VPSRLD  X5, NEXTW, NEXTW \
	VPANDD  LOW, W, W        \
	VPANDD  LOW, NEXTW, NEXTW \
	VMOVUPS o(SI), Z0        \
	VMOVUPS (o+64)(SI), Z1   \
	QUIET(Z0)                \
	QUIET(Z1)                \
	VPADDD  W, Z0, Z0        \
	VPADDD  NEXTW, Z1, Z1    \
	VPERMT2W Z1, Z16, Z0     \
	VMOVUPS Z0, (o/2)(DI)
#define ROUNDBF16 \
	RANDOMBF16(0)            \
	RANDOMBF16(128)          \
	ADDQ $256, SI            \
	ADDQ $128, DI

// func roundBF16AVX512(d *BF16, s *float32, n int, next, k1, shift uint32)
TEXT ·roundBF16AVX512(SB), NOSPLIT, $0-36
	LOAD_CODEC
	WORDS(next+24(FP), k1+28(FP), 1)
	MOVL shift+32(FP), R11
	VMOVD R11, X5
	CONSTANT((const_wordStep*LANES&0xffffffff), NEAR)
	CONSTANT(0xffff, LOW)
	QUIETS
	PICKS(ODDS, Z16)
	EACH(ROUNDBF16)
	VZEROUPPER
	RET

#define VAT(k) ((k)*4*LANES)(AX)

#define FROMQ8(k) \
	VPMOVSXBD (k*LANES)(DX)(BX*1), G \
	VPABSD  G, M             \
	VPSLLD  $20, M, M        \
	FROMCODEM(G, BASEM, M)   \
	VMOVUPS M, (k*4*LANES)(R14) \
	VPMOVSXBD (k*LANES)(R8)(BX*1), V \
	VPSLLD  $20, V, V        \
	VPADDD  BASEV, V, V      \
	VMOVUPS V, VAT(k)

// func decodeQ8AVX512(m, v *float32, m8, v8 *int8, mScale, vScale *uint8, n int)
TEXT ·decodeQ8AVX512(SB), NOSPLIT, $8-56
	ENTER(usual)
	MOVQ m+0(FP), R14
	MOVQ v+8(FP), AX
	MOVQ m8+16(FP), DX
	MOVQ v8+24(FP), R8
	MOVQ mScale+32(FP), R12
	MOVQ vScale+40(FP), R13
	MOVQ n+48(FP), R10
	XORL BX, BX
	CMPQ BX, R10
	JGE  done
	PCALIGN $64
loop:
	XORL CX, CX
	BASES
	VPBROADCASTD CX, BASEM
	VPBROADCASTD R11, BASEV
	FROMQ8(0)
	OTHERS(FROMQ8)
	ADDQ $1, R12
	ADDQ $1, R13
	ADDQ $256, R14
	ADDQ $256, AX
	ADDQ $64, BX
	CMPQ BX, R10
	JLT  loop
done:
	LEAVE(left)

// func encodeQ8AVX512(m8, v8 *int8, mScale, vScale *uint8, m, v *float32, n int, next, k1 uint32)
TEXT ·encodeQ8AVX512(SB), NOSPLIT, $8-64
	ENTER(usual)
	MOVQ m8+0(FP), DX
	MOVQ v8+8(FP), R8
	MOVQ mScale+16(FP), R12
	MOVQ vScale+24(FP), R13
	MOVQ m+32(FP), R14
	MOVQ v+40(FP), AX
	MOVQ n+48(FP), R10
	WORDS(next+56(FP), k1+60(FP), 1)
	CONSTANT((const_wordStep*LANES&0xffffffff), NEAR)
	VMOVDQA32 NEAR, FAR
	MASKS
	XORL BX, BX
	CMPQ BX, R10
	JGE  done
	PCALIGN $64
loop:
	ENCODE(NEIGHBOURS, natural, finiteM, finiteV)
	ADDQ $256, R14
	ADDQ $256, AX
	ADDQ $64, BX
	CMPQ BX, R10
	JLT  loop
done:
	LEAVE(left)
