//go:build gc && !purego && !noasm

#include "go_asm.h"
#include "funcdata.h"
#include "textflag.h"
#include "float32_amd64.h"
#include "ymm_amd64.h"
#include "step_amd64.h"
#include "schedule_amd64.h"
#include "storage_avx2_amd64.h"

// The fused steps in AVX2, built as those of AVX-512 (fused_amd64.h): two vectors a turn, of the
// even and the odd elements where no stream is of float32. They flush subnormal moments: where c
// keeps them, c.fusedAVX2 makes no step.
//
//	DI p or hi   R9 lo or copy   SI grad   DX m   R8 v   R10 n
//	BX index of the elements at hand   CX prefetch   R11 scratch
//
// The scalars and constants lie on the stack at R14, in all lanes, as operands of instructions.

#undef SY
#undef B1Y
#undef C1Y
#undef B2Y
#undef C2Y
#undef ALPHAY
#undef EPSY
#undef KAPPAY
#undef LIVEY
#define SY      0(R14)
#define B1Y     32(R14)
#define C1Y     64(R14)
#define B2Y     96(R14)
#define C2Y     128(R14)
#define ALPHAY  160(R14)
#define EPSY    192(R14)
#define KAPPAY  224(R14)
#define LIVEY   256(R14)
#define MUL1Y   288(R14)
#define MUL2Y   320(R14)
#define NEARY   352(R14) // from the words of one vector to those of the other
#define FARY    384(R14) // from turn to turn
#define LOWY    416(R14) // 0xffff
#define HALFY   448(R14) // 0x8000
#define QUIET1Y 480(R14) // 0x7fc00000
#define QUIET2Y 512(R14) // 0xffc00000

#define KEYY    544(R14) // k1
#define OLDWY   576(R14) // WY of the elements that came before, and NEXTWY
#define NEXTOLDWY 608(R14)

#define NEXTVY  Y7
#define WY      Y8
#define NEXTWY  Y9
#define TY      Y10
#define NEXTTY  Y11
#define PLACEY  Y12
#define ROOTY   Y13 // RY of the elements that come next, and of the vector behind
#define NEXTROOTY Y15
#define HIGHY   Y14 // 0xffff0000

// The bits in LIVEY are those of the exponent: VPSIGND, which takes the sign of its first operand,
// makes d zero where they are.
#undef FLUSHY
#define FLUSHY(d) \
	VPAND   LIVEY, d, UY     \
	VPSIGND UY, d, d

#define SPREAD(from, to) \
	VBROADCASTSS from, Y0    \
	VMOVUPS Y0, to
#define CONSTANT(value, to) \
	MOVL $value, R11         \
	VMOVD R11, X0            \
	VPBROADCASTD X0, Y0      \
	VMOVUPS Y0, to

// Frames have room for the constants on cache lines.
#define LOAD_FUSEDY(frame, p, grad, m, v) \
	LEAQ constants-frame(SP), R14 \
	ADDQ $63, R14            \
	ANDQ $~63, R14           \
	MOVQ c+16(FP), AX        \
	SPREAD(coeffs_s(AX), SY) \
	SPREAD(coeffs_b1(AX), B1Y) \
	SPREAD(coeffs_c1(AX), C1Y) \
	SPREAD(coeffs_b2(AX), B2Y) \
	SPREAD(coeffs_c2(AX), C2Y) \
	SPREAD(coeffs_alpha(AX), ALPHAY) \
	SPREAD(coeffs_eps(AX), EPSY) \
	SPREAD(coeffs_kappa(AX), KAPPAY) \
	SPREAD(coeffs_live(AX), LIVEY) \
	CONSTANT(0xffff, LOWY)   \
	CONSTANT(0x8000, HALFY)  \
	CONSTANT(0x7fc00000, QUIET1Y) \
	CONSTANT(0xffc00000, QUIET2Y) \
	VPCMPEQD HIGHY, HIGHY, HIGHY \
	VPSLLD $16, HIGHY, HIGHY \
	MOVQ a+0(FP), CX         \
	MOVQ n+8(FP), R10        \
	MOVQ p(CX), DI           \
	MOVQ grad(CX), SI        \
	MOVQ m(CX), DX           \
	MOVQ v(CX), R8           \
	XORL BX, BX

// WORDS_FUSEDY prepares the words of the elements from the first on, each stride-th.
#define WORDS_FUSEDY(stride, near, far) \
	CONSTANT(const_wordMul1, MUL1Y) \
	CONSTANT(const_wordMul2, MUL2Y) \
	CONSTANT((const_wordStep*near&0xffffffff), NEARY) \
	CONSTANT((const_wordStep*far&0xffffffff), FARY) \
	MOVL $(const_wordStep*stride&0xffffffff), R11 \
	VMOVD R11, X0            \
	VPBROADCASTD X0, PLACEY  \
	VPMULLD ordinal<>(SB), PLACEY, PLACEY \
	VPBROADCASTD operands16_next(CX), TY \
	VPADDD  TY, PLACEY, PLACEY \
	SPREAD(operands16_k1(CX), KEYY)

#define QUOTIENTSY \
	QUOTIENTY(ROOTY, MY, RY) \
	QUOTIENTY(NEXTROOTY, NEXTMY, NEXTRY)

// ASK32 asks for streams of 32 bits as many bytes ahead: at R11, which INDEX32 sets.
#define ASK32(base) PREFETCHT0 (base)(R11*1)
#define INDEX32     LEAQ (CX)(BX*2), R11

// The bfloat16 at BX and o: the even and the odd ones, or the first and the second YLEN.
#define EVENY(base, o, d)   VMOVUPS (o)(base)(BX*2), d \
	VPSLLD $16, d, d
#define ODDY(base, o, d)    VPAND (o)(base)(BX*2), HIGHY, d
#define FIRSTHALF(base, o, d)  VPMOVZXWD (o)(base)(BX*2), d \
	VPSLLD $16, d, d
#define SECONDHALF(base, o, d) FIRSTHALF(base, o+2*YLEN, d)

// MULY multiplies what is decoded by a scalar. ADDRESSY does it with what lies in memory.
#define MULY(from, scalar, d) VMULP scalar, from, d
#define ADDRESSY(mem, scalar, d) VMOVUP mem, d \
	VMULP scalar, d, d

// UPPERSY makes even the upper halves of both.
#define UPPERSY(odd, even) \
	VPSRLD $16, even, even   \
	VPBLENDW $0xaa, odd, even, even

// PACKY makes first the upper halves of both, one vector behind the other.
#define PACKY(second, first) \
	VPSRLD $16, first, first \
	VPSRLD $16, second, second \
	VPACKUSDW second, first, first \
	VPERMQ $0xd8, first, first

// SECOND16Y and FIRST16Y make bfloat16 moments with the gradient in GY.
#define SECOND16Y(DECODE, o, v, r) \
	DECODE(R8, o, v)         \
	SECONDMOMENTY(MULY, v, v) \
	VSQRTP  v, r
#define FIRST16Y(DECODE, o, m) \
	DECODE(DX, o, m)         \
	FIRSTMOMENTY(MULY, m, m)

// MOMENTS16Y makes the moments and the words of a turn, in turns: GRADIENT and DECODE are those of
// its first vector.
#define MOMENTS16Y(o, GRADIENT, DECODE, NEXTGRADIENT, NEXTDECODE) \
	GRADIENT(o)              \
	WORD1Y(WY)               \
	SECOND16Y(DECODE, o, VY, ROOTY) \
	VPADDD  NEARY, PLACEY, PLACEY \
	WORD2Y(WY, TY)           \
	FIRST16Y(DECODE, o, MY)  \
	NEXTGRADIENT(o)          \
	WORD1Y(NEXTWY)           \
	SECOND16Y(NEXTDECODE, o, NEXTVY, NEXTROOTY) \
	WORD3Y(WY, TY)           \
	WORD2Y(NEXTWY, NEXTTY)   \
	FIRST16Y(NEXTDECODE, o, NEXTMY) \
	VPADDD  FARY, PLACEY, PLACEY \
	WORD3Y(NEXTWY, NEXTTY)

#define EVENGRADIENTY(o) \
	EVENY(SI, o, GY)         \
	VMULP   SY, GY, GY
#define ODDGRADIENTY(o) \
	ODDY(SI, o, GY)          \
	VMULP   SY, GY, GY

// ROUNDY stores them; UPPER puts upper halves together, and ADD is QUIETPLUSY where NaNs may have
// more than zeros in their lower half. It leaves the lower halves of the words in WY and NEXTWY.
//
//	m = m + word mod 2^16    v = v + word>>16
#define ROUNDY(o, UPPER, ADD) \
	ADD(VY, TY, VY)          \
	ADD(NEXTVY, NEXTTY, NEXTVY) \
	UPPER(NEXTVY, VY)        \
	VMOVUPS VY, (o)(R8)(BX*2) \
	VPAND   LOWY, WY, WY     \
	VPAND   LOWY, NEXTWY, NEXTWY \
	ADD(MY, WY, VY)          \
	ADD(NEXTMY, NEXTWY, NEXTVY) \
	UPPER(NEXTVY, VY)        \
	VMOVUPS VY, (o)(DX)(BX*2)
#define PLUSY(from, w, d) VPADDD w, from, d
#define QUIETPLUSY(from, w, d) \
	VPMINSD QUIET1Y, from, d \
	VPMINUD QUIET2Y, d, d    \
	VPADDD  w, d, d

// SPLITY makes the parameters of a split master.
//
//	upper half hi - lo>>15, lower half lo    hi = (p + 0x8000)>>16, lo = p
#define SPLITY(o, q, nextq) \
	VMOVUPS (o)(R9)(BX*2), TY \
	VMOVUPS (o)(DI)(BX*2), WY \
	VPSRLW  $15, TY, VY      \
	VPSUBW  VY, WY, WY       \
	VPSLLD  $16, WY, VY      \
	VPBLENDW $0x55, TY, VY, VY \
	VPSRLD  $16, TY, NEXTVY  \
	VPBLENDW $0xaa, WY, NEXTVY, NEXTVY \
	PARAMETERY(MULY, VY, q, VY) \
	PARAMETERY(MULY, NEXTVY, nextq, NEXTVY) \
	QUIETY(VY)               \
	QUIETY(NEXTVY)           \
	VPSLLD  $16, NEXTVY, TY  \
	VPBLENDW $0x55, VY, TY, TY \
	VMOVUPS TY, (o)(R9)(BX*2) \
	VPADDD  HALFY, VY, VY    \
	VPADDD  HALFY, NEXTVY, NEXTVY \
	UPPERSY(NEXTVY, VY)      \
	VMOVUPS VY, (o)(DI)(BX*2)

#define TWOSPLITY SPLITY(0, RY, NEXTRY)
#define ONESPLITY(o) \
	ASK16(SI)                \
	ASK16(R8)                \
	ASK16(DX)                \
	ASK16(DI)                \
	ASK16(R9)                \
	MOMENTS16Y(o, EVENGRADIENTY, EVENY, ODDGRADIENTY, ODDY) \
	ROUNDY(o, UPPERSY, PLUSY)

// func fusedSplitAVX2(a *operands16, n int, c *coeffs)
TEXT ·fusedSplitAVX2(SB), NOSPLIT, $704-24
	ENTER(usual)
	LOAD_FUSEDY(704, operands16_hi, operands16_grad16, operands16_m16, operands16_v16)
	MOVQ operands16_lo(CX), R9
	WORDS_FUSEDY(2, 1, (2*YLEN-1))
	EACHTURN(ONESPLITY, QUOTIENTSY, TWOSPLITY)
	LEAVE(left)

// Parameters and moments share the lower halves of their words.
#define ONEBF16Y(o) \
	ASK16(SI)                \
	ASK16(R8)                \
	ASK16(DX)                \
	ASK16(DI)                \
	MOMENTS16Y(o, EVENGRADIENTY, EVENY, ODDGRADIENTY, ODDY) \
	ROUNDY(o, UPPERSY, PLUSY)

#define BETWEENBF16Y \
	QUOTIENTSY               \
	VMOVUPS WY, OLDWY        \
	VMOVUPS NEXTWY, NEXTOLDWY

#define TWOBF16Y \
	EVENY(DI, 0, VY)         \
	ODDY(DI, 0, NEXTVY)      \
	PARAMETERY(MULY, VY, RY, VY) \
	PARAMETERY(MULY, NEXTVY, NEXTRY, NEXTVY) \
	VPADDD  OLDWY, VY, VY    \
	VPADDD  NEXTOLDWY, NEXTVY, NEXTVY \
	UPPERSY(NEXTVY, VY)      \
	VMOVUPS VY, (DI)(BX*2)

// func fusedBF16AVX2(a *operands16, n int, c *coeffs)
TEXT ·fusedBF16AVX2(SB), NOSPLIT, $704-24
	ENTER(usual)
	LOAD_FUSEDY(704, operands16_hi, operands16_grad16, operands16_m16, operands16_v16)
	WORDS_FUSEDY(2, 1, (2*YLEN-1))
	EACHTURN(ONEBF16Y, BETWEENBF16Y, TWOBF16Y)
	LEAVE(left)

#define FIRSTGRADIENTY(o)  ADDRESSY(AT(SI, (2*(o))), SY, GY)
#define SECONDGRADIENTY(o) ADDRESSY(AT(SI, (2*(o)+SIZE*YLEN)), SY, GY)

#define ONEMOMENTSY(o) \
	INDEX32                  \
	ASK32(SI)                \
	ASK16(R8)                \
	ASK16(DX)                \
	ASK32(DI)                \
	MOMENTS16Y(o, FIRSTGRADIENTY, FIRSTHALF, SECONDGRADIENTY, SECONDHALF) \
	ROUNDY(o, PACKY, QUIETPLUSY)

#define FLOATSY(o, q, nextq) \
	PARAMETERY(ADDRESSY, AT(DI, o), q, GY) \
	STOREY(GY, AT(DI, o))    \
	PARAMETERY(ADDRESSY, AT(DI, (o+SIZE*YLEN)), nextq, GY) \
	STOREY(GY, AT(DI, (o+SIZE*YLEN)))
#define TWO32Y FLOATSY(0, RY, NEXTRY)

// func fusedMomentsAVX2(a *operands16, n int, c *coeffs)
TEXT ·fusedMomentsAVX2(SB), NOSPLIT, $704-24
	ENTER(usual)
	LOAD_FUSEDY(704, operands16_p, operands16_grad, operands16_m16, operands16_v16)
	WORDS_FUSEDY(1, YLEN, YLEN)
	EACHTURN(ONEMOMENTSY, QUOTIENTSY, TWO32Y)
	LEAVE(left)

// MOMENTSGY makes float32 moments with a bfloat16 gradient.
#define MOMENTSGY(o, r, m) \
	VMULP   SY, GY, GY       \
	SECONDMOMENTY(ADDRESSY, AT(R8, o), VY) \
	STOREY(VY, AT(R8, o))    \
	VSQRTP  VY, r            \
	FIRSTMOMENTY(ADDRESSY, AT(DX, o), m) \
	STOREY(m, AT(DX, o))

#define ONEGRADIENTY(o) \
	INDEX32                  \
	ASK16(SI)                \
	ASK32(R8)                \
	ASK32(DX)                \
	ASK32(DI)                \
	FIRSTHALF(SI, o, GY)     \
	MOMENTSGY((2*(o)), ROOTY, MY) \
	SECONDHALF(SI, o, GY)    \
	MOMENTSGY((2*(o)+SIZE*YLEN), NEXTROOTY, NEXTMY)

// func fusedGradientAVX2(a *operands16, n int, c *coeffs)
TEXT ·fusedGradientAVX2(SB), NOSPLIT, $704-24
	ENTER(usual)
	LOAD_FUSEDY(704, operands16_p, operands16_grad16, operands16_m, operands16_v)
	EACHTURN(ONEGRADIENTY, QUOTIENTSY, TWO32Y)
	LEAVE(left)

// The copy of the parameters is rounded to nearest, ties to even.
//
//	copy = (p + 0x7fff + (p>>16 & 1)) >> 16
#define NEARESTY(d, t) \
	QUIETY(d)                \
	VPSRLD  $16, d, t        \
	VPAND   ONEY, t, t       \
	VPADDD  BELOWY, d, d     \
	VPADDD  t, d, d
#define ONEY   576(R14) // 1
#define BELOWY 608(R14) // 0x7fff

#define TWOCOPYY \
	PARAMETERY(ADDRESSY, AT(DI, 0), RY, VY) \
	STOREY(VY, AT(DI, 0))    \
	PARAMETERY(ADDRESSY, AT(DI, SIZE*YLEN), NEXTRY, NEXTVY) \
	STOREY(NEXTVY, AT(DI, SIZE*YLEN)) \
	NEARESTY(VY, TY)         \
	NEARESTY(NEXTVY, NEXTTY) \
	PACKY(NEXTVY, VY)        \
	VMOVUPS VY, (R9)(BX*2)

// func fusedCopyAVX2(a *operands16, n int, c *coeffs)
TEXT ·fusedCopyAVX2(SB), NOSPLIT, $704-24
	ENTER(usual)
	LOAD_FUSEDY(704, operands16_p, operands16_grad16, operands16_m, operands16_v)
	MOVQ operands16_hi(CX), R9
	CONSTANT(1, ONEY)
	CONSTANT(0x7fff, BELOWY)
	EACHTURN(ONEGRADIENTY, QUOTIENTSY, TWOCOPYY)
	LEAVE(left)

// Moments of 8 bits, as in fused_amd64.h: they go through float32 on the stack, and a turn makes a
// block, pair by pair.
//
//	R12, R13 scales   AX index of the next block

#define OLDBASEMY 576(R14) // of the next block's codes
#define OLDBASEVY 608(R14)
#define BASEMY    640(R14) // L
#define UPPERLY   672(R14) // its upper half, twice
#define BASEVY    704(R14) // that of the second moments' base with its sign changed, twice
#define SIGNY     736(R14) // 0x80000000
#define MAT(k)    (768+32*(k))(R14)
#define VAT(k)    (1024+32*(k))(R14)

#define PUT(from, to) \
	VMOVD from, X0           \
	VPBROADCASTD X0, Y0      \
	VMOVUPS Y0, to
#define PUTTWICE(from, to) \
	VMOVD from, X0           \
	VPBROADCASTW X0, Y0      \
	VMOVUPS Y0, to

#define LOAD_FUSEDQ8Y(p, grad) \
	LOAD_FUSEDY(1344, p, grad, operands16_m8, operands16_v8) \
	CONSTANT(0x80000000, SIGNY) \
	MOVQ operands16_mScale(CX), R12 \
	MOVQ operands16_vScale(CX), R13 \
	XORL AX, AX

#define PAIRSY(PAIR) PAIR(0) PAIR(1) PAIR(2) PAIR(3)

#define EACHBLOCKY(ASK, PAIR, ARRANGE, FINISH) \
	XORL CX, CX              \
	BASES                    \
	PUT(CX, OLDBASEMY)       \
	PUT(R11, OLDBASEVY)      \
	PAIRSY(PAIR)             \
	PCALIGN $64              \
loop:                        \
	SCALESY                  \
	NEXTBLOCK                \
	PUT(CX, OLDBASEMY)       \
	PUT(R11, OLDBASEVY)      \
	ASKCODES                 \
	ASK                      \
	GROUPY(ARRANGE, READYQ8Y, FINISH, 0) \
	GROUPY(ARRANGE, READYQ8Y, FINISH, 1) \
	FINITE(finiteM, finiteV) \
	ADDQ $64, BX             \
	CMPQ BX, R10             \
	JLT  loop

// SCALESY stores the scales of a block: the largest exponents, or the least there are.
#define SCALESY \
	VMOVUPS magnitude<>(SB), TY \
	VPAND   MAT(0), TY, Y0   \
	VMOVUPS VAT(0), Y1       \
	LARGESTY(1)              \
	LARGESTY(2)              \
	LARGESTY(3)              \
	LARGESTY(4)              \
	LARGESTY(5)              \
	LARGESTY(6)              \
	LARGESTY(7)              \
	VPUNPCKLDQ Y1, Y0, Y2    \
	VPUNPCKHDQ Y1, Y0, Y0    \
	VPMAXUD Y2, Y0, Y0       \
	VEXTRACTI128 $1, Y0, X1  \
	VPMAXUD X1, X0, X0       \
	VPSHUFD $0x4e, X0, X1    \
	VPMAXUD X1, X0, X0       \
	VPMAXUD least<>(SB), X0, X0 \
	VPMINUD most<>(SB), X0, X0 \
	PUTSCALES                \
	SHLL    $20, CX          \
	PUT(CX, BASEMY)          \
	SHRL    $16, CX          \
	PUTTWICE(CX, UPPERLY)    \
	SHLL    $4, R11          \
	NEGL    R11              \
	PUTTWICE(R11, BASEVY)

#define LARGESTY(k) \
	VPAND   MAT(k), TY, Y2   \
	VPMAXUD Y2, Y0, Y0       \
	VPMAXUD VAT(k), Y1, Y1

DATA least<>+0(SB)/8, $(32<<55|16<<23)
DATA least<>+8(SB)/8, $(32<<55|16<<23)
GLOBL least<>(SB), RODATA|NOPTR, $16
DATA most<>+0(SB)/8, $(255<<55|255<<23)
DATA most<>+8(SB)/8, $(255<<55|255<<23)
GLOBL most<>(SB), RODATA|NOPTR, $16

// CODESY makes the bits of which the codes of the vector at k are taken, and moves PLACEY by step:
//
//	b = bits(|m| + L) + word mod 2^20
//	c = bits(v) + word>>12
//
// g has m.
#define CODESY(k, step, b, c, g) \
	WORD1Y(WY)               \
	VPADDD  step, PLACEY, PLACEY \
	VMOVUPS MAT(k), g        \
	VPAND   magnitude<>(SB), g, b \
	VADDPS  BASEMY, b, b     \
	WORD2Y(WY, TY)           \
	WORD3Y(WY, TY)           \
	VPSRLD  $12, WY, TY      \
	VPAND   lower20<>(SB), WY, WY \
	VPADDD  WY, b, b         \
	VPADDD  VAT(k), TY, c

// TWOCODESY makes words of the codes at k and k+1, in turns. An m whose upper half is zero is zero,
// as subnormals are flushed: VPSIGNW may take the sign of that half.
//
//	m = ±((b - bits(L)) >> 20)    v = (c + BASEV) >> 20
#define TWOCODESY(k, m, v) \
	CODESY(k, NEARY, VY, NEXTVY, GY) \
	CODESY(k+1, FARY, m, v, UY) \
	UPPERSY(m, VY)           \
	UPPERSY(v, NEXTVY)       \
	UPPERSY(UY, GY)          \
	VPSUBW  UPPERLY, VY, VY  \
	VPADDW  BASEVY, NEXTVY, NEXTVY \
	VPSRLW  $4, VY, VY       \
	VPSRAW  $4, NEXTVY, v    \
	VPSIGNW GY, VY, m

// GROUPY encodes the four vectors from 4k on. READY and FINISH are for a pair before and behind its
// codes: RY and MY are not theirs. Packing clamps the second moments.
#define GROUPY(ARRANGE, READY, FINISH, k) \
	READY(2*k)               \
	TWOCODESY(4*k, RY, MY)   \
	FINISH(2*k)              \
	READY(2*k+1)             \
	TWOCODESY(4*k+2, NEXTRY, NEXTMY) \
	VPACKSSWB NEXTRY, RY, RY \
	VPACKSSWB NEXTMY, MY, MY \
	ARRANGE(RY)              \
	ARRANGE(MY)              \
	VMOVUPS RY, (k*4*YLEN)(DX)(BX*1) \
	VMOVUPS MY, (k*4*YLEN)(R8)(BX*1) \
	FINISH(2*k+1)

// Codes are ordered where packing has left them: of even and odd elements, of neighbours.
#define EVENODDY(d) VPERMQ $0xd8, d, d
#define NEIGHBOURSY(d) \
	VPSHUFB neighbours<>(SB), d, d \
	VMOVUPS unpacked<>(SB), TY \
	VPERMD  d, TY, d

DATA neighbours<>+0(SB)/8, $0x0705030106040200
DATA neighbours<>+8(SB)/8, $0x0f0d0b090e0c0a08
DATA neighbours<>+16(SB)/8, $0x0705030106040200
DATA neighbours<>+24(SB)/8, $0x0f0d0b090e0c0a08
GLOBL neighbours<>(SB), RODATA|NOPTR, $32

// FROMCODEMY makes first moments of |code|·2^20 and the sign of code, which it uses up.
//
//	m = (bits(|code|·2^20 + L) - L) with the sign of code
#define FROMCODEMY(code, m) \
	VPADDD  OLDBASEMY, m, m  \
	VSUBPS  OLDBASEMY, m, m  \
	VPAND   SIGNY, code, code \
	VPOR    code, m, m

// MOMENTS8Y makes the k-th moments of the next block, with the gradient in GY, of code·2^20 in v
// and the old moment in m.
#define MOMENTS8Y(v, m, k) \
	VPADDD  OLDBASEVY, v, v  \
	SECONDMOMENTY(MULY, v, v) \
	VMOVUPS v, VAT(k)        \
	FIRSTMOMENTY(MULY, m, m) \
	VMOVUPS m, MAT(k)

// READYQ8Y makes the quotients of the k-th pair.
#define READYQ8Y(k) \
	VSQRTP  VAT(2*(k)), ROOTY \
	VSQRTP  VAT(2*(k)+1), NEXTROOTY \
	VMOVUPS MAT(2*(k)), VY   \
	VMOVUPS MAT(2*(k)+1), UY \
	QUOTIENTY(ROOTY, VY, ROOTY) \
	QUOTIENTY(NEXTROOTY, UY, NEXTROOTY)

#define ASKSPLITQ8Y \
	PREFETCHT0 (SI)(CX*1)    \
	PREFETCHT0 64(SI)(CX*1)  \
	PREFETCHT0 (DI)(CX*1)    \
	PREFETCHT0 64(DI)(CX*1)  \
	PREFETCHT0 (R9)(CX*1)    \
	PREFETCHT0 64(R9)(CX*1)

#define PAIRSPLITQ8Y(k) \
	VPMOVSXBW ((k)*2*YLEN)(R8)(AX*1), VY \
	VPMOVSXBW ((k)*2*YLEN)(DX)(AX*1), WY \
	VPSLLW  $4, VY, VY       \
	VPABSW  WY, NEXTMY       \
	VPSLLW  $4, NEXTMY, NEXTMY \
	VPSLLD  $16, WY, UY      \
	VPSLLD  $16, NEXTMY, TY  \
	FROMCODEMY(UY, TY)       \
	VPSLLD  $16, VY, NEXTVY  \
	VMOVUPS ((k)*4*YLEN)(SI)(AX*2), GY \
	VPSLLD  $16, GY, GY      \
	VMULP   SY, GY, GY       \
	MOMENTS8Y(NEXTVY, TY, 2*(k)) \
	VPAND   HIGHY, NEXTMY, NEXTMY \
	FROMCODEMY(WY, NEXTMY)   \
	VPAND   HIGHY, VY, VY    \
	VPAND   ((k)*4*YLEN)(SI)(AX*2), HIGHY, GY \
	VMULP   SY, GY, GY       \
	MOMENTS8Y(VY, NEXTMY, 2*(k)+1)

#define FINISHSPLITQ8Y(k) \
	PAIRSPLITQ8Y(k)          \
	SPLITY(((k)*4*YLEN), ROOTY, NEXTROOTY)

// func fusedSplitQ8AVX2(a *operands16, n int, c *coeffs)
TEXT ·fusedSplitQ8AVX2(SB), 0, $1344-24
	NO_LOCAL_POINTERS
	ENTER(usual)
	LOAD_FUSEDQ8Y(operands16_hi, operands16_grad16)
	MOVQ operands16_lo(CX), R9
	WORDS_FUSEDY(2, 1, (2*YLEN-1))
	EACHBLOCKY(ASKSPLITQ8Y, PAIRSPLITQ8Y, EVENODDY, FINISHSPLITQ8Y)
	LEAVE(left)

#define ASKQ8Y \
	INDEX32                  \
	ASK32Q8Y(SI)             \
	ASK32Q8Y(DI)
#define ASK32Q8Y(base) \
	PREFETCHT0 (base)(R11*1) \
	PREFETCHT0 64(base)(R11*1) \
	PREFETCHT0 128(base)(R11*1) \
	PREFETCHT0 192(base)(R11*1)

#define VECTORQ8Y(k) \
	VPMOVSXBD ((k)*YLEN)(R8)(AX*1), VY \
	VPMOVSXBD ((k)*YLEN)(DX)(AX*1), WY \
	VPSLLD  $20, VY, VY      \
	VPABSD  WY, NEXTMY       \
	VPSLLD  $20, NEXTMY, NEXTMY \
	FROMCODEMY(WY, NEXTMY)   \
	ADDRESSY(((k)*4*YLEN)(SI)(AX*4), SY, GY) \
	MOMENTS8Y(VY, NEXTMY, k)

#define PAIRQ8Y(k) \
	VECTORQ8Y(2*(k))         \
	VECTORQ8Y(2*(k)+1)

#define FINISHQ8Y(k) \
	PAIRQ8Y(k)               \
	FLOATSY(((k)*8*YLEN), ROOTY, NEXTROOTY)

// func fusedQ8AVX2(a *operands16, n int, c *coeffs)
TEXT ·fusedQ8AVX2(SB), 0, $1344-24
	NO_LOCAL_POINTERS
	ENTER(usual)
	LOAD_FUSEDQ8Y(operands16_p, operands16_grad)
	WORDS_FUSEDY(1, YLEN, YLEN)
	EACHBLOCKY(ASKQ8Y, PAIRQ8Y, NEIGHBOURSY, FINISHQ8Y)
	LEAVE(left)
