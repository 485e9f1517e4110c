//go:build gc && !purego && !noasm

#include "go_asm.h"
#include "textflag.h"
#include "float32_amd64.h"
#include "ymm_amd64.h"
#include "step_amd64.h"
#include "storage_avx2_amd64.h"

#define QUIET1Y Y9
#define QUIET2Y Y10
#define STEPY   Y11 // from the words of one vector to those of the next
#define PLACEY  Y12
#define KEYY    Y13
#define MUL1Y   Y14
#define MUL2Y   Y15

// The codecs on 256 bits, for whole blocks of 64 elements. avx512vl has them, too.
//
//	DI to   SI from   R9 lower halves   CX elements left

// The constants of words, in all lanes, and others.
DATA wordMul1<>+0(SB)/4, $const_wordMul1
GLOBL wordMul1<>(SB), RODATA|NOPTR, $4
DATA wordMul2<>+0(SB)/4, $const_wordMul2
GLOBL wordMul2<>(SB), RODATA|NOPTR, $4
DATA wordStep<>+0(SB)/4, $const_wordStep
GLOBL wordStep<>(SB), RODATA|NOPTR, $4
// CONSTANTY puts a number into all lanes of a vector.
#define CONSTANTY(value, x, y) \
	MOVL $value, R11         \
	VMOVD R11, x             \
	VPBROADCASTD x, y

// EACHY makes BODY of each 32 elements, CX of them.
#define EACHY(BODY) \
	SUBQ $32, CX             \
	JLT  done                \
	PCALIGN $64              \
loop:                        \
	BODY                     \
	SUBQ $32, CX             \
	JGE  loop                \
done:

#define LOAD_CODECY \
	MOVQ d+0(FP), DI         \
	MOVQ s+8(FP), SI         \
	MOVQ n+16(FP), CX

#define FROMBF16Y(o, d) \
	VPMOVZXWD (o/2)(SI), d   \
	VPSLLD  $16, d, d        \
	VMOVUPS d, o(DI)
#define DECODEBF16Y \
	FROMBF16Y(0, Y0)         \
	FROMBF16Y(32, Y1)        \
	FROMBF16Y(64, Y2)        \
	FROMBF16Y(96, Y3)        \
	ADDQ $64, SI             \
	ADDQ $128, DI

// func decodeBF16AVX2(d *float32, s *BF16, n int)
TEXT ·decodeBF16AVX2(SB), NOSPLIT, $0-24
	LOAD_CODECY
	EACHY(DECODEBF16Y)
	VZEROUPPER
	RET

#define FROMF16Y(o, d) \
	VCVTPH2PS (o/2)(SI), d   \
	VMOVUPS d, o(DI)
#define DECODEF16Y \
	FROMF16Y(0, Y0)          \
	FROMF16Y(32, Y1)         \
	FROMF16Y(64, Y2)         \
	FROMF16Y(96, Y3)         \
	ADDQ $64, SI             \
	ADDQ $128, DI

// func decodeF16AVX2(d *float32, s *F16, n int)
TEXT ·decodeF16AVX2(SB), NOSPLIT, $8-24
	ENTER(usual)
	LOAD_CODECY
	EACHY(DECODEF16Y)
	LEAVE(left)

#define FROMSPLITY(o, d, t) \
	VPMOVZXWD (o/2)(SI), d   \
	VPMOVSXWD (o/2)(R9), t   \
	VPSLLD  $16, d, d        \
	VPADDD  t, d, d          \
	VMOVUPS d, o(DI)
#define DECODESPLITY \
	FROMSPLITY(0, Y0, Y4)    \
	FROMSPLITY(32, Y1, Y5)   \
	FROMSPLITY(64, Y2, Y6)   \
	FROMSPLITY(96, Y3, Y7)   \
	ADDQ $64, SI             \
	ADDQ $64, R9             \
	ADDQ $128, DI

// func decodeSplitAVX2(d *float32, hi *BF16, lo *int16, n int)
TEXT ·decodeSplitAVX2(SB), NOSPLIT, $0-32
	MOVQ d+0(FP), DI
	MOVQ hi+8(FP), SI
	MOVQ lo+16(FP), R9
	MOVQ n+24(FP), CX
	EACHY(DECODESPLITY)
	VZEROUPPER
	RET

// QUIETSY loads the constants of QUIETY.
#define QUIETSY \
	CONSTANTY(0x7fc00000, X9, QUIET1Y) \
	CONSTANTY(0xffc00000, X10, QUIET2Y)

// HALVESY stores the halves in the lower 16 bits of two vectors.
#define HALVESY(b, c, to) \
	VPACKUSDW c, b, b        \
	VPERMQ $0xd8, b, b       \
	VMOVUPS b, to

// b = (b + 0x7fff + (b>>16 & 1)) >> 16
#define NEARESTBF16Y(o, b, t) \
	VMOVUPS o(SI), b         \
	QUIETY(b)                \
	VPSRLD  $16, b, t        \
	VPAND   Y12, t, t        \
	VPADDD  Y13, t, t        \
	VPADDD  t, b, b          \
	VPSRLD  $16, b, b
#define ENCODEBF16Y \
	NEARESTBF16Y(0, Y0, Y4)  \
	NEARESTBF16Y(32, Y1, Y5) \
	NEARESTBF16Y(64, Y2, Y6) \
	NEARESTBF16Y(96, Y3, Y7) \
	HALVESY(Y0, Y1, (DI))    \
	HALVESY(Y2, Y3, 32(DI))  \
	ADDQ $128, SI            \
	ADDQ $64, DI

// func encodeBF16AVX2(d *BF16, s *float32, n int)
TEXT ·encodeBF16AVX2(SB), NOSPLIT, $0-24
	LOAD_CODECY
	QUIETSY
	CONSTANTY(1, X12, Y12)
	CONSTANTY(0x7fff, X13, Y13)
	EACHY(ENCODEBF16Y)
	VZEROUPPER
	RET

#define TOF16Y(o, d) \
	VMOVUPS o(SI), d         \
	VCVTPS2PH $0, d, (o/2)(DI)
#define ENCODEF16Y \
	TOF16Y(0, Y0)            \
	TOF16Y(32, Y1)           \
	TOF16Y(64, Y2)           \
	TOF16Y(96, Y3)           \
	ADDQ $128, SI            \
	ADDQ $64, DI

// func encodeF16AVX2(d *F16, s *float32, n int)
TEXT ·encodeF16AVX2(SB), NOSPLIT, $8-24
	ENTER(usual)
	LOAD_CODECY
	EACHY(ENCODEF16Y)
	LEAVE(left)

// hi = (b + 0x8000) >> 16 and lo = b, of two vectors.
#define TOSPLITY(o, b, c, t, u) \
	VMOVUPS o(SI), b         \
	VMOVUPS (o+32)(SI), c    \
	QUIETY(b)                \
	QUIETY(c)                \
	VPAND   Y12, b, t        \
	VPAND   Y12, c, u        \
	HALVESY(t, u, (o/2)(R9)) \
	VPADDD  Y13, b, b        \
	VPADDD  Y13, c, c        \
	VPSRLD  $16, b, b        \
	VPSRLD  $16, c, c        \
	HALVESY(b, c, (o/2)(DI))
#define ENCODESPLITY \
	TOSPLITY(0, Y0, Y1, Y4, Y5) \
	TOSPLITY(64, Y2, Y3, Y6, Y7) \
	ADDQ $128, SI            \
	ADDQ $64, R9             \
	ADDQ $64, DI

// func encodeSplitAVX2(hi *BF16, lo *int16, s *float32, n int)
TEXT ·encodeSplitAVX2(SB), NOSPLIT, $0-32
	MOVQ hi+0(FP), DI
	MOVQ lo+8(FP), R9
	MOVQ s+16(FP), SI
	MOVQ n+24(FP), CX
	QUIETSY
	CONSTANTY(0xffff, X12, Y12)
	CONSTANTY(0x8000, X13, Y13)
	EACHY(ENCODESPLITY)
	VZEROUPPER
	RET

// NEXTWORDSY makes the words of a vector, and moves on. WORDSY begins with those of the first.
#define NEXTWORDSY(w, t) \
	WORD1Y(w)                \
	WORD2Y(w, t)             \
	WORD3Y(w, t)             \
	VPADDD  STEPY, PLACEY, PLACEY
#define WORDSY(next, k1) \
	VPBROADCASTD wordStep<>(SB), STEPY \
	VPBROADCASTD next, PLACEY \
	VPBROADCASTD k1, KEYY    \
	VPBROADCASTD wordMul1<>(SB), MUL1Y \
	VPBROADCASTD wordMul2<>(SB), MUL2Y \
	VPMULLD ordinal<>(SB), STEPY, Y0 \
	VPADDD  Y0, PLACEY, PLACEY \
	VPSLLD  $3, STEPY, STEPY

// b = (b + (word>>shift & 0xffff)) >> 16
#define RANDOMBF16Y(o, b, t) \
	NEXTWORDSY(b, t)         \
	VPSRLD  X6, b, b         \
	VPAND   Y8, b, b         \
	VMOVUPS o(SI), t         \
	QUIETY(t)                \
	VPADDD  t, b, b          \
	VPSRLD  $16, b, b
#define ROUNDBF16Y \
	RANDOMBF16Y(0, Y0, Y4)   \
	RANDOMBF16Y(32, Y1, Y5)  \
	HALVESY(Y0, Y1, (DI))    \
	RANDOMBF16Y(64, Y2, Y4)  \
	RANDOMBF16Y(96, Y3, Y5)  \
	HALVESY(Y2, Y3, 32(DI))  \
	ADDQ $128, SI            \
	ADDQ $64, DI

// func roundBF16AVX2(d *BF16, s *float32, n int, next, k1, shift uint32)
TEXT ·roundBF16AVX2(SB), NOSPLIT, $0-36
	LOAD_CODECY
	WORDSY(next+24(FP), k1+28(FP))
	MOVL shift+32(FP), R11
	VMOVD R11, X6
	CONSTANTY(0xffff, X8, Y8)
	QUIETSY
	EACHY(ROUNDBF16Y)
	VZEROUPPER
	RET

// The moments of 8 bits.
//
//	DX m8   R8 v8   R12, R13 scales   DI, SI m, v in float32   CX elements left
//	Y10 base of m, the bits of L   Y9 base of v, with what takes the codes from -128 on to 0

// BASESY computes the bases from the scales in AX and BX: see baseM and baseV.
#define BASESY \
	LEAL -118(AX*8), R11     \
	SHLL $20, R11            \
	CMPL AX, $255            \
	JNE  finite              \
	MOVL $0x7fc00000, R11    \
finite:                      \
	VMOVD R11, X10           \
	VPBROADCASTD X10, Y10    \
	LEAL -119(BX*8), R11     \
	SHLL $20, R11            \
	CMPL BX, $0              \
	JNE  stepped             \
	MOVL $0x00800000, R11    \
stepped:                     \
	CMPL BX, $255            \
	JNE  based               \
	MOVL $0x7fb00000, R11    \
based:                       \
	VMOVD R11, X9            \
	VPBROADCASTD X9, Y9

// m = ±(the float32 with bits (|code|<<20 + base), - L)   v = the float32 with bits code<<20 + base
#define FROMQ8Y(k) \
	VPMOVSXBD (8*k)(DX), Y0  \
	VPABSD  Y0, Y1           \
	VPSLLD  $20, Y1, Y1      \
	VPADDD  Y10, Y1, Y1      \
	VSUBPS  Y10, Y1, Y1      \
	VPAND   Y15, Y0, Y0      \
	VPOR    Y0, Y1, Y1       \
	VMOVUPS Y1, (32*k)(DI)   \
	VPMOVSXBD (8*k)(R8), Y2  \
	VPSLLD  $20, Y2, Y2      \
	VPADDD  Y9, Y2, Y2       \
	VMOVUPS Y2, (32*k)(SI)

// func decodeQ8AVX2(m, v *float32, m8, v8 *int8, mScale, vScale *uint8, n int)
TEXT ·decodeQ8AVX2(SB), NOSPLIT, $8-56
	ENTER(usual)
	MOVQ m+0(FP), DI
	MOVQ v+8(FP), SI
	MOVQ m8+16(FP), DX
	MOVQ v8+24(FP), R8
	MOVQ mScale+32(FP), R12
	MOVQ vScale+40(FP), R13
	MOVQ n+48(FP), CX
	CONSTANTY(0x80000000, X15, Y15)
	SUBQ $64, CX
	JLT  done
loop:
	MOVBLZX (R12), AX
	MOVBLZX (R13), BX
	BASESY
	FROMQ8Y(0)
	FROMQ8Y(1)
	FROMQ8Y(2)
	FROMQ8Y(3)
	FROMQ8Y(4)
	FROMQ8Y(5)
	FROMQ8Y(6)
	FROMQ8Y(7)
	ADDQ $1, R12
	ADDQ $1, R13
	ADDQ $64, DX
	ADDQ $64, R8
	ADDQ $256, DI
	ADDQ $256, SI
	SUBQ $64, CX
	JGE  loop
done:
	LEAVE(left)

#define LARGESTY(k) \
	VMOVUPS (32*k)(DI), Y0   \
	VPAND   magnitude<>(SB), Y0, Y0 \
	VPMAXUD Y0, Y3, Y3       \
	VPMAXUD (32*k)(SI), Y4, Y4

// SCALEY puts the largest exponent of a vector's elements, at least least, into r: at most 511.
#define SCALEY(y, x, least, r) \
	VEXTRACTI128 $1, y, X0   \
	VPMAXUD X0, x, x         \
	VPSHUFD $0x4e, x, X0     \
	VPMAXUD X0, x, x         \
	VPSHUFD $0xb1, x, X0     \
	VPMAXUD X0, x, x         \
	VMOVD   x, r             \
	SHRL $23, r              \
	MOVL $least, R11         \
	CMPL r, R11              \
	CMOVLLT R11, r           \
	MOVL $255, R11           \
	CMPL r, R11              \
	CMOVLGT R11, r

// The codes of a vector, with the moments' bits and L, the base of m:
//
//	qm = ±((bits(|m| + L) - base + (word & 0xfffff)) >> 20)
//	qv = (v - base + word>>12) >> 20, which packing clamps
#define TOQ8Y(k, qm, qv) \
	NEXTWORDSY(Y0, Y1)       \
	VMOVUPS (32*k)(DI), Y1   \
	VPAND   magnitude<>(SB), Y1, qm \
	VADDPS  Y10, qm, qm      \
	VPSUBD  Y10, qm, qm      \
	VPAND   lower20<>(SB), Y0, Y2 \
	VPADDD  Y2, qm, qm       \
	VPSRLD  $20, qm, qm      \
	VPSIGND Y1, qm, qm       \
	VPSRLD  $12, Y0, Y0      \
	VPADDD  (32*k)(SI), Y0, qv \
	VPSUBD  Y9, qv, qv       \
	VPSRAD  $20, qv, qv

// HALFQ8Y encodes four vectors, half a block.
#define HALFQ8Y(k) \
	TOQ8Y((k+0), Y3, Y4)     \
	TOQ8Y((k+1), Y5, Y6)     \
	VPACKSSDW Y5, Y3, Y3     \
	VPACKSSDW Y6, Y4, Y4     \
	TOQ8Y((k+2), Y5, Y6)     \
	TOQ8Y((k+3), Y7, Y8)     \
	VPACKSSDW Y7, Y5, Y5     \
	VPACKSSDW Y8, Y6, Y6     \
	VPACKSSWB Y5, Y3, Y3     \
	VPACKSSWB Y6, Y4, Y4     \
	VMOVUPS unpacked<>(SB), Y5 \
	VPERMD  Y3, Y5, Y3       \
	VPERMD  Y4, Y5, Y4       \
	VMOVUPS Y3, (8*k)(DX)    \
	VMOVUPS Y4, (8*k)(R8)

// func encodeQ8AVX2(m8, v8 *int8, mScale, vScale *uint8, m, v *float32, n int, next, k1 uint32)
TEXT ·encodeQ8AVX2(SB), NOSPLIT, $8-64
	ENTER(usual)
	MOVQ m8+0(FP), DX
	MOVQ v8+8(FP), R8
	MOVQ mScale+16(FP), R12
	MOVQ vScale+24(FP), R13
	MOVQ m+32(FP), DI
	MOVQ v+40(FP), SI
	MOVQ n+48(FP), CX
	WORDSY(next+56(FP), k1+60(FP))
	SUBQ $64, CX
	JLT  done
loop:
	VPXOR Y3, Y3, Y3
	VPXOR Y4, Y4, Y4
	LARGESTY(0)
	LARGESTY(1)
	LARGESTY(2)
	LARGESTY(3)
	LARGESTY(4)
	LARGESTY(5)
	LARGESTY(6)
	LARGESTY(7)
	SCALEY(Y3, X3, const_minScaleM, AX)
	SCALEY(Y4, X4, const_minScaleV, BX)
	MOVB AX, (R12)
	MOVB BX, (R13)
	BASESY
	HALFQ8Y(0)
	HALFQ8Y(4)
	// A block that is not finite decodes to NaN: all its codes are 1.
	VPCMPEQB Y0, Y0, Y0
	VPABSB Y0, Y0
	CMPL AX, $255
	JNE  finiteM
	VMOVUPS Y0, (DX)
	VMOVUPS Y0, 32(DX)
finiteM:
	CMPL BX, $255
	JNE  finiteV
	VMOVUPS Y0, (R8)
	VMOVUPS Y0, 32(R8)
finiteV:
	ADDQ $1, R12
	ADDQ $1, R13
	ADDQ $64, DX
	ADDQ $64, R8
	ADDQ $256, DI
	ADDQ $256, SI
	SUBQ $64, CX
	JGE  loop
done:
	LEAVE(left)
