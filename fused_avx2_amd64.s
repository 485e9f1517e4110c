//go:build gc && !purego && !noasm

#include "go_asm.h"
#include "textflag.h"
#include "float32_amd64.h"
#include "ymm_amd64.h"
#include "step_amd64.h"
#include "storage_avx2_amd64.h"

// The fused steps in AVX2, built as those of AVX-512 (fused_amd64.h): two vectors a turn, of the
// even and the odd elements where no stream is of float32. They flush subnormal moments: where c
// keeps them, c.fusedAVX2 makes no step.
//
//	DI p or hi   R9 lo   SI grad   DX m   R8 v   R10 n
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
#define LOAD_FUSEDY(p, grad, m, v) \
	LEAQ constants-704(SP), R14 \
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

// EACHTURN is the schedule, as in fused_amd64.h.
#define EACHTURN(ONE, BETWEEN, TWO) \
	MOVQ ·ahead(SB), CX      \
	ONE(0)                   \
	SUBQ $(2*YLEN), R10      \
	PCALIGN $64              \
loop:                        \
	BETWEEN                  \
	ONE(4*YLEN)              \
	TWO                      \
	ADDQ $(2*YLEN), BX       \
	ADDQ $(4*YLEN), CX       \
	CMPQ BX, R10             \
	JLT  loop                \
	BETWEEN                  \
	TWO

#define QUOTIENTSY \
	QUOTIENTY(ROOTY, MY, RY) \
	QUOTIENTY(NEXTROOTY, NEXTMY, NEXTRY)

// ASK16 and ASK32 ask for streams of 16 and of 32 bits, as many elements ahead.
#define ASK16(base) PREFETCHT0 (base)(CX*1)
#define ASK32(base) PREFETCHT0 (base)(CX*2)

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
#define SPLITY \
	VMOVUPS (R9)(BX*2), TY   \
	VMOVUPS (DI)(BX*2), WY   \
	VPSRLW  $15, TY, VY      \
	VPSUBW  VY, WY, WY       \
	VPSLLD  $16, WY, VY      \
	VPBLENDW $0x55, TY, VY, VY \
	VPSRLD  $16, TY, NEXTVY  \
	VPBLENDW $0xaa, WY, NEXTVY, NEXTVY \
	PARAMETERY(MULY, VY, RY, VY) \
	PARAMETERY(MULY, NEXTVY, NEXTRY, NEXTVY) \
	QUIETY(VY)               \
	QUIETY(NEXTVY)           \
	VPSLLD  $16, NEXTVY, TY  \
	VPBLENDW $0x55, VY, TY, TY \
	VMOVUPS TY, (R9)(BX*2)   \
	VPADDD  HALFY, VY, VY    \
	VPADDD  HALFY, NEXTVY, NEXTVY \
	UPPERSY(NEXTVY, VY)      \
	VMOVUPS VY, (DI)(BX*2)

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
	LOAD_FUSEDY(operands16_hi, operands16_grad16, operands16_m16, operands16_v16)
	MOVQ operands16_lo(CX), R9
	WORDS_FUSEDY(2, 1, (2*YLEN-1))
	EACHTURN(ONESPLITY, QUOTIENTSY, SPLITY)
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
	LOAD_FUSEDY(operands16_hi, operands16_grad16, operands16_m16, operands16_v16)
	WORDS_FUSEDY(2, 1, (2*YLEN-1))
	EACHTURN(ONEBF16Y, BETWEENBF16Y, TWOBF16Y)
	LEAVE(left)

#define FIRSTGRADIENTY(o)  ADDRESSY(AT(SI, (2*(o))), SY, GY)
#define SECONDGRADIENTY(o) ADDRESSY(AT(SI, (2*(o)+SIZE*YLEN)), SY, GY)

#define ONEMOMENTSY(o) \
	ASK32(SI)                \
	ASK16(R8)                \
	ASK16(DX)                \
	ASK32(DI)                \
	MOMENTS16Y(o, FIRSTGRADIENTY, FIRSTHALF, SECONDGRADIENTY, SECONDHALF) \
	ROUNDY(o, PACKY, QUIETPLUSY)

#define TWO32Y \
	PARAMETERY(ADDRESSY, AT(DI, 0), RY, GY) \
	STOREY(GY, AT(DI, 0))    \
	PARAMETERY(ADDRESSY, AT(DI, SIZE*YLEN), NEXTRY, GY) \
	STOREY(GY, AT(DI, SIZE*YLEN))

// func fusedMomentsAVX2(a *operands16, n int, c *coeffs)
TEXT ·fusedMomentsAVX2(SB), NOSPLIT, $704-24
	ENTER(usual)
	LOAD_FUSEDY(operands16_p, operands16_grad, operands16_m16, operands16_v16)
	WORDS_FUSEDY(1, YLEN, YLEN)
	EACHTURN(ONEMOMENTSY, QUOTIENTSY, TWO32Y)
	LEAVE(left)
