// Storage of 16 and 8 bits in AVX-512, for vectors of 512 and of 256 bits: what the codecs and the
// fused steps share. The file that includes this one has included zmm_amd64.h or ymm_amd64.h,
// step_amd64.h and scales_amd64.h.

DATA iota<>+0(SB)/8, $0x0000000100000000
DATA iota<>+8(SB)/8, $0x0000000300000002
DATA iota<>+16(SB)/8, $0x0000000500000004
DATA iota<>+24(SB)/8, $0x0000000700000006
DATA iota<>+32(SB)/8, $0x0000000900000008
DATA iota<>+40(SB)/8, $0x0000000b0000000a
DATA iota<>+48(SB)/8, $0x0000000d0000000c
DATA iota<>+56(SB)/8, $0x0000000f0000000e
GLOBL iota<>(SB), RODATA|NOPTR, $64

// CONSTANT sets all lanes of d.
#define CONSTANT(value, d) \
	MOVL $value, R11         \
	VPBROADCASTD R11, d

// QUIET makes each NaN ±0x7fc00000.
#define QUIET(d) \
	VPMINSD QUIET1, d, d     \
	VPMINUD QUIET2, d, d

#define QUIETS \
	CONSTANT(0x7fc00000, QUIET1) \
	CONSTANT(0xffc00000, QUIET2)

// LOWERS and UPPERS are masks of the bytes of lower and of upper halves of dwords. RAISE moves the
// lower halves of from into the upper ones of d, LOWER the upper ones into the lower ones. The
// other halves of d stay, or are zeros. This takes one instruction where shifting and merging take
// two, and not the one port of Intel's that shifts 512 bits.
#define LOWERS K4
#define UPPERS K5
#define MASKS \
	MOVQ  $0x3333333333333333, R11 \
	KMOVQ R11, LOWERS        \
	KNOTQ LOWERS, UPPERS
#define RAISE(from, d)  VPALIGNR $14, from, from, UPPERS, d
#define LOWER(from, d)  VPALIGNR $2, from, from, LOWERS, d
#define RAISEZ(from, d) VPALIGNR.Z $14, from, from, UPPERS, d
#define LOWERZ(from, d) VPALIGNR.Z $2, from, from, LOWERS, d

// A word, see words.go, in three parts, between which other work hides the multiplications:
//
//	w = (PLACE ^ PLACE>>16)·MUL1
//	w = ((w ^ w>>15) + KEY)·MUL2
//	w = w ^ w>>16
//
// PLACE is (i mod 8192)·wordStep + k0.
#define WORD1(w) \
	VPSRLD  $16, PLACE, w    \
	VPXORD  PLACE, w, w      \
	VPMULLD MUL1, w, w

#define WORD2(w, t) \
	VPSRLD  $15, w, t        \
	VPXORD  t, w, w          \
	VPADDD  KEY, w, w        \
	VPMULLD MUL2, w, w

#define WORD3(w, t) \
	VPSRLD  $16, w, t        \
	VPXORD  t, w, w

// WORDS prepares WORD, with PLACE for the elements from the first on, each stride-th.
#define WORDS(next, k1, stride) \
	CONSTANT(const_wordMul1, MUL1) \
	CONSTANT(const_wordMul2, MUL2) \
	CONSTANT((const_wordStep*stride&0xffffffff), PLACE) \
	VPMULLD iota<>(SB), PLACE, PLACE \
	VPBROADCASTD next, T     \
	VPADDD  T, PLACE, PLACE  \
	VPBROADCASTD k1, KEY

// PICKS are indices for VPERMT2W, of the ODDS or the EVENS of the words of two vectors.
#define ODDS  0x00030001
#define EVENS 0x00020000
#define PICKS(places, d) \
	CONSTANT(0x00040004, d)  \
	VPMULLD iota<>(SB), d, d \
	CONSTANT(places, T)      \
	VPADDD  T, d, d

// Moments of 8 bits. A block at BX has its codes at DX and R8, its scales at R12 and R13; its first
// and second moments in float32 are at R14 and where VAT says. BASEM and BASEV are L of
// codec_generic.go, and the base of the second moments for codes from -128 on. To encode, BASEV has
// its sign changed, and has only its upper half, twice.

#define BASEM  NEXTW
#define BASEV  NEXTT
#define MINUSL LOW

DATA sign<>(SB)/4, $0x80000000
GLOBL sign<>(SB), RODATA|NOPTR, $4
DATA value<>(SB)/4, $0x7fffffff // all bits but the sign
GLOBL value<>(SB), RODATA|NOPTR, $4
DATA low20<>(SB)/4, $0xfffff
GLOBL low20<>(SB), RODATA|NOPTR, $4
DATA leastM<>(SB)/4, $(16<<23)
GLOBL leastM<>(SB), RODATA|NOPTR, $4
DATA leastV<>(SB)/4, $(32<<23)
GLOBL leastV<>(SB), RODATA|NOPTR, $4
DATA mostV<>(SB)/4, $(255<<23)
GLOBL mostV<>(SB), RODATA|NOPTR, $4

// FROMCODEM makes first moments of |code|·2^20 and the sign of code. Second ones are code·2^20 and
// their base.
//
//	m = (bits(|code|·2^20 + L) - L) with the sign of code
#define FROMCODEM(code, base, m) \
	VPADDD  base, m, m       \
	VSUBPS  base, m, m       \
	VPTERNLOGD.BCST $0xf8, sign<>(SB), code, m

// LARGEST adds the vector at k to the maxima in G and V.
#define LARGEST(k) \
	VPANDD  (k*4*LANES)(R14), T, U \
	VPMAXUD U, G, G          \
	VPMAXUD VAT(k), V, V

// CODES makes the bits from which the codes of the vector at k are taken, and moves PLACE by step:
//
//	b = bits(|m| + L) - bits(L) + word mod 2^20
//	c = bits(v) + word>>12
//
// g has m. MINUSL is -bits(L).
#define CODES(k, step, b, c, g) \
	WORD1(W)                 \
	VPADDD  step, PLACE, PLACE \
	VMOVUPS ((k)*4*LANES)(R14), g \
	VPANDD.BCST value<>(SB), g, b \
	VADDPS  BASEM, b, b      \
	WORD2(W, T)              \
	WORD3(W, T)              \
	VPSRLD  $12, W, T        \
	VPTERNLOGD.BCST $0xec, low20<>(SB), MINUSL, W \
	VPADDD  W, b, b          \
	VPADDD  VAT(k), T, c

// TWOCODES makes words of the codes at k and k+1, in turns: those of the first moments are negative
// where the moments are, those of the second ones are yet to be clamped.
//
//	m = ±(b >> 20)    v = (c + BASEV) >> 20
#define TWOCODES(k, m, v) \
	CODES(k, NEAR, V, NEXTV, G) \
	CODES(k+1, FAR, m, v, U) \
	LOWER(V, m)              \
	LOWER(NEXTV, v)          \
	LOWER(G, U)              \
	VPSRLW  $4, m, m         \
	VPADDW  BASEV, v, v      \
	VPMOVW2M U, K1           \
	VPSRAW  $4, v, v         \
	VPXORD  T, T, T          \
	VPSUBW  m, T, K1, m

// GROUP encodes the four vectors from 4k on. READY and FINISH are what a fused step does for a pair
// before and behind its codes, or NONE: R, M, BASEM, BASEV and MINUSL are not theirs. Packing
// clamps the second moments; ARRANGE and order are what it leaves to do.
#define GROUP(ARRANGE, order, READY, FINISH, k) \
	READY(2*k)               \
	TWOCODES(4*k, R, M)      \
	FINISH(2*k)              \
	READY(2*k+1)             \
	TWOCODES(4*k+2, NEXTR, NEXTM) \
	VPACKSSWB NEXTR, R, R    \
	VPACKSSWB NEXTM, M, M    \
	ARRANGE(R)               \
	ARRANGE(M)               \
	VPMOVZXBD order<>(SB), T \
	VPERMD  R, T, R          \
	VPERMD  M, T, M          \
	VMOVUPS R, (k*4*LANES)(DX)(BX*1) \
	VMOVUPS M, (k*4*LANES)(R8)(BX*1) \
	FINISH(2*k+1)

// ENCODE encodes a block. A scale is the largest exponent, or the least there is. A block that is
// not finite, or negative where it may not be, has the codes 1.
#define NONE(k)
#define ENCODE(ARRANGE, order, finiteM, finiteV) \
	SCALES                   \
	GROUPS(ARRANGE, order, NONE, NONE) \
	FINITE(finiteM, finiteV)

// SCALES stores the scales of a block.
#define SCALES \
	VPBROADCASTD value<>(SB), T \
	VPANDD  (R14), T, U      \
	VPMAXUD.BCST leastM<>(SB), U, G \
	VMOVDQU32 VAT(0), V      \
	VPMAXUD.BCST leastV<>(SB), V, V \
	OTHERS(LARGEST)          \
	VPMINUD.BCST mostV<>(SB), V, V \
	VPUNPCKLDQ V, G, U       \
	VPUNPCKHDQ V, G, G       \
	VPMAXUD U, G, G          \
	FOLD                     \
	PUTSCALES                \
	SHLL    $20, CX          \
	SHLL    $4, R11          \
	NEGL    R11              \
	VPBROADCASTD CX, BASEM   \
	VPBROADCASTW R11, BASEV  \
	NEGL    CX               \
	VPBROADCASTD CX, MINUSL

// Two ways to ARRANGE within lanes of 128 bits, before order: of pairs of neighbours, and of pairs
// of even and odd elements, which turns have put where they belong.
DATA neighbours<>+0(SB)/8, $0x0705030106040200
DATA neighbours<>+8(SB)/8, $0x0f0d0b090e0c0a08
GLOBL neighbours<>(SB), RODATA|NOPTR, $16
#define NEIGHBOURS(d) \
	VBROADCASTI32X4 neighbours<>(SB), T \
	VPSHUFB T, d, d
#define EVENODD(d)
