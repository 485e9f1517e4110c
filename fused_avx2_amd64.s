//go:build gc && !purego && !noasm

#include "go_asm.h"
#include "textflag.h"
#include "float32_amd64.h"
#include "ymm_amd64.h"
#include "step_amd64.h"
#include "storage_avx2_amd64.h"

// The fused steps in AVX2, built as those of AVX-512 (fused_amd64.h): two vectors a turn, of the
// even and the odd elements where no stream is of float32.
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

#define NEXTVY  Y7
#define WY      Y8
#define NEXTWY  Y9
#define TY      Y10
#define NEXTTY  Y11
#define PLACEY  Y12
#define KEYY    Y13 // k1
#define HIGHY   Y14 // 0xffff0000

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
	LEAQ constants-616(SP), R14 \
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
	VPXOR ZEROY, ZEROY, ZEROY \
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
	VPBROADCASTD operands16_k1(CX), KEYY

// EACHTURN makes BODY of two vectors a turn.
#define EACHTURN(BODY) \
	MOVQ ·ahead(SB), CX      \
	PCALIGN $64              \
loop:                        \
	BODY                     \
	ADDQ $(2*YLEN), BX       \
	ADDQ $(4*YLEN), CX       \
	CMPQ BX, R10             \
	JLT  loop

// ASK16 and ASK32 ask for streams of 16 and of 32 bits, as many elements ahead.
#define ASK16(base) PREFETCHT0 (base)(CX*1)
#define ASK32(base) PREFETCHT0 (base)(CX*2)

// The bfloat16 at BX: the even and the odd ones, or the first and the second YLEN.
#define EVENY(base, d)   VMOVUPS (base)(BX*2), d \
	VPSLLD $16, d, d
#define ODDY(base, d)    VPAND (base)(BX*2), HIGHY, d
#define FIRSTHALF(base, d)  VPMOVZXWD (base)(BX*2), d \
	VPSLLD $16, d, d
#define SECONDHALF(base, d) VPMOVZXWD (2*YLEN)(base)(BX*2), d \
	VPSLLD $16, d, d

// MULY multiplies what is decoded by a scalar. ADDRESSY does it with what lies in memory.
#define MULY(from, scalar, d) VMULP scalar, from, d
#define ADDRESSY(mem, scalar, d) VMOVUP mem, d \
	VMULP scalar, d, d

// TWOWORDSY makes the words of a turn.
#define TWOWORDSY \
	WORDY(WY, TY)            \
	VPADDD  NEARY, PLACEY, PLACEY \
	WORDY(NEXTWY, NEXTTY)    \
	VPADDD  FARY, PLACEY, PLACEY

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

// MOMENTS16Y makes bfloat16 moments with a bfloat16 gradient.
#define MOMENTS16Y(DECODE, v, r, m) \
	DECODE(SI, GY)           \
	VMULP   SY, GY, GY       \
	DECODE(R8, v)            \
	SECONDMOMENTY(MULY, v, v) \
	VSQRTP  v, r             \
	DECODE(DX, m)            \
	FIRSTMOMENTY(MULY, m, m)

// ROUNDY stores them; UPPER puts upper halves together, and ADD is QUIETPLUSY where NaNs may have
// more than zeros in their lower half. It leaves the lower halves of the words in WY and NEXTWY.
//
//	m = m + word mod 2^16    v = v + word>>16
#define ROUNDY(UPPER, ADD) \
	ADD(VY, TY, VY)          \
	ADD(NEXTVY, NEXTTY, NEXTVY) \
	UPPER(NEXTVY, VY)        \
	VMOVUPS VY, (R8)(BX*2)   \
	VPAND   LOWY, WY, WY     \
	VPAND   LOWY, NEXTWY, NEXTWY \
	ADD(MY, WY, VY)          \
	ADD(NEXTMY, NEXTWY, NEXTVY) \
	UPPER(NEXTVY, VY)        \
	VMOVUPS VY, (DX)(BX*2)
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
	PARAMETERY(MULY, VY, RY, MY, VY) \
	PARAMETERY(MULY, NEXTVY, NEXTRY, NEXTMY, NEXTVY) \
	QUIETY(VY)               \
	QUIETY(NEXTVY)           \
	VPSLLD  $16, NEXTVY, TY  \
	VPBLENDW $0x55, VY, TY, TY \
	VMOVUPS TY, (R9)(BX*2)   \
	VPADDD  HALFY, VY, VY    \
	VPADDD  HALFY, NEXTVY, NEXTVY \
	UPPERSY(NEXTVY, VY)      \
	VMOVUPS VY, (DI)(BX*2)

#define TURNSPLITY \
	ASK16(SI)                \
	ASK16(R8)                \
	ASK16(DX)                \
	ASK16(DI)                \
	ASK16(R9)                \
	MOMENTS16Y(EVENY, VY, RY, MY) \
	MOMENTS16Y(ODDY, NEXTVY, NEXTRY, NEXTMY) \
	TWOWORDSY                \
	ROUNDY(UPPERSY, PLUSY) \
	SPLITY

// func fusedSplitAVX2(a *operands16, n int, c *coeffs)
TEXT ·fusedSplitAVX2(SB), NOSPLIT, $616-24
	ENTER(usual)
	LOAD_FUSEDY(operands16_hi, operands16_grad16, operands16_m16, operands16_v16)
	MOVQ operands16_lo(CX), R9
	WORDS_FUSEDY(2, 1, (2*YLEN-1))
	EACHTURN(TURNSPLITY)
	LEAVE(left)

// Parameters and moments share the lower halves of their words.
#define TURNBF16Y \
	ASK16(SI)                \
	ASK16(R8)                \
	ASK16(DX)                \
	ASK16(DI)                \
	MOMENTS16Y(EVENY, VY, RY, MY) \
	MOMENTS16Y(ODDY, NEXTVY, NEXTRY, NEXTMY) \
	TWOWORDSY                \
	ROUNDY(UPPERSY, PLUSY) \
	EVENY(DI, VY)            \
	ODDY(DI, NEXTVY)         \
	PARAMETERY(MULY, VY, RY, MY, VY) \
	PARAMETERY(MULY, NEXTVY, NEXTRY, NEXTMY, NEXTVY) \
	VPADDD  WY, VY, VY       \
	VPADDD  NEXTWY, NEXTVY, NEXTVY \
	UPPERSY(NEXTVY, VY)      \
	VMOVUPS VY, (DI)(BX*2)

// func fusedBF16AVX2(a *operands16, n int, c *coeffs)
TEXT ·fusedBF16AVX2(SB), NOSPLIT, $616-24
	ENTER(usual)
	LOAD_FUSEDY(operands16_hi, operands16_grad16, operands16_m16, operands16_v16)
	WORDS_FUSEDY(2, 1, (2*YLEN-1))
	EACHTURN(TURNBF16Y)
	LEAVE(left)

// MOMENTS32Y makes bfloat16 moments with the gradient at o.
#define MOMENTS32Y(DECODE, o, v, r, m) \
	ADDRESSY(AT(SI, o), SY, GY) \
	DECODE(R8, v)            \
	SECONDMOMENTY(MULY, v, v) \
	VSQRTP  v, r             \
	DECODE(DX, m)            \
	FIRSTMOMENTY(MULY, m, m)

#define TURNMOMENTSY \
	ASK32(SI)                \
	ASK16(R8)                \
	ASK16(DX)                \
	ASK32(DI)                \
	MOMENTS32Y(FIRSTHALF, 0, VY, RY, MY) \
	MOMENTS32Y(SECONDHALF, SIZE*YLEN, NEXTVY, NEXTRY, NEXTMY) \
	TWOWORDSY                \
	ROUNDY(PACKY, QUIETPLUSY)    \
	PARAMETERSY(ADDRESSY, STOREY, 0, RY, MY) \
	PARAMETERSY(ADDRESSY, STOREY, SIZE*YLEN, NEXTRY, NEXTMY)

// func fusedMomentsAVX2(a *operands16, n int, c *coeffs)
TEXT ·fusedMomentsAVX2(SB), NOSPLIT, $616-24
	ENTER(usual)
	LOAD_FUSEDY(operands16_p, operands16_grad, operands16_m16, operands16_v16)
	WORDS_FUSEDY(1, YLEN, YLEN)
	EACHTURN(TURNMOMENTSY)
	LEAVE(left)
