// Storage of 16 and 8 bits in AVX-512, for vectors of 512 and of 256 bits: what the codecs and the
// fused steps share. The file that includes this one has included zmm_amd64.h or ymm_amd64.h, and
// step_amd64.h.

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

// MERGE adds to d, which has zeros there, what mask covers of from.
#define MERGE(mask, from, d) VPTERNLOGD $0xf8, mask, from, d

// A word, see words.go:
//
//	w = (PLACE ^ PLACE>>16)·MUL1
//	w = ((w ^ w>>15) + KEY)·MUL2
//	w = w ^ w>>16
//
// PLACE is (i mod 8192)·wordStep + k0. WORD0 leaves out the last line; t is w>>16 then, the upper
// half of the word.
#define WORD(place, w, t) \
	WORD0(place, w, t)       \
	VPXORD  t, w, w

#define WORD0(place, w, t) \
	VPSRLD  $16, place, w    \
	VPXORD  place, w, w      \
	VPMULLD MUL1, w, w       \
	VPSRLD  $15, w, t        \
	VPXORD  t, w, w          \
	VPADDD  KEY, w, w        \
	VPMULLD MUL2, w, w       \
	VPSRLD  $16, w, t

// WORDS prepares WORD, with PLACE for the elements from the first on, each stride-th.
#define WORDS(next, k1, stride) \
	CONSTANT(const_wordMul1, MUL1) \
	CONSTANT(const_wordMul2, MUL2) \
	CONSTANT((const_wordStep*stride&0xffffffff), PLACE) \
	VPMULLD iota<>(SB), PLACE, PLACE \
	VPBROADCASTD next, T     \
	VPADDD  T, PLACE, PLACE  \
	VPBROADCASTD k1, KEY

// HALVES are indices for VPERMT2W, of the words of two vectors with the places UPPER or LOWER.
#define UPPER 0x00030001
#define LOWER 0x00020000
#define HALVES(places, d) \
	CONSTANT(0x00040004, d)  \
	VPMULLD iota<>(SB), d, d \
	CONSTANT(places, T)      \
	VPADDD  T, d, d

// Moments of 8 bits. A block at BX has its codes at DX and R8, its scales at R12 and R13; its first
// and second moments in float32 are at R14 and where VAT says. BASEM and BASEV are L of
// codec_generic.go, and the base of the second moments for codes from -128 on, to encode with its
// sign changed.

#define BASEM NEXTW
#define BASEV NEXTT

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
DATA poisonM<>(SB)/4, $0x7fc
GLOBL poisonM<>(SB), RODATA|NOPTR, $4
DATA poisonV<>(SB)/4, $2043
GLOBL poisonV<>(SB), RODATA|NOPTR, $4
DATA newV<>(SB)/4, $8
GLOBL newV<>(SB), RODATA|NOPTR, $4

// BASES puts those of the scales at index CX to m and v.
#define BASES(PUT, m, v) \
	MOVBLZX (R13)(CX*1), R11 \
	MOVBLZX (R12)(CX*1), CX  \
	CMPL CX, $255            \
	LEAL -118(CX*8), CX      \
	CMOVLEQ poisonM<>(SB), CX \
	SHLL $20, CX             \
	PUT  CX, m               \
	CMPL R11, $255           \
	LEAL -119(R11*8), R11    \
	CMOVLEQ poisonV<>(SB), R11 \
	CMPL R11, $-119          \
	CMOVLEQ newV<>(SB), R11  \
	SHLL $20, R11            \
	PUT  R11, v

// FROMCODEM decodes codes that VPSLLD has to move by shift:
//
//	m = (bits(|code|·2^20 + L) - L) with the sign of code
#define FROMCODEM(shift, code, base, m) \
	VPABSD  code, m          \
	VPSLLD  $shift, m, m     \
	VPADDD  base, m, m       \
	VSUBPS  base, m, m       \
	VPTERNLOGD.BCST $0xf8, sign<>(SB), code, m

#define FROMCODEV(shift, code, base, v) \
	VPSLLD  $shift, code, v  \
	VPADDD  base, v, v

// LARGEST adds the vector at k to the maxima in G and V.
#define LARGEST(k) \
	VPANDD  (k*4*LANES)(R14), T, U \
	VPMAXUD U, G, G          \
	VPMAXUD VAT(k), V, V

// CODES makes the codes of the vector at k:
//
//	m = (bits(|m| + L) - bits(L) + word mod 2^20) >> 20, negative where m is
//	v = (bits(v) + BASEV + word>>12) >> 20
//
// and moves PLACE by step.
#define CODES(k, step, m, v) \
	WORD0(PLACE, W, T)       \
	VPADDD  step, PLACE, PLACE \
	VPXORD  T, W, T          \
	VPSRLD  $12, T, W        \
	VPANDD.BCST low20<>(SB), T, T \
	VPSUBD  BASEM, T, T      \
	VMOVUPS ((k)*4*LANES)(R14), G \
	VPANDD.BCST value<>(SB), G, m \
	VADDPS  BASEM, m, m      \
	VPADDD  T, m, m          \
	VPSRLD  $20, m, m        \
	VPMOVD2M G, K1           \
	VPXORD  T, T, T          \
	VPSUBD  m, T, K1, m      \
	VPADDD  VAT(k), BASEV, v \
	VPADDD  W, v, v          \
	VPSRAD  $20, v, v

// GROUP encodes the four vectors from 4k on, two pairs. READY and FINISH are what a fused step does
// for a pair before and behind its codes, or NONE: R, M, BASEM and BASEV are not theirs. Packing
// clamps the second moments.
#define GROUP(MEET, order, READY, FINISH, k) \
	READY(2*k)               \
	CODES(4*k, NEAR, R, M)   \
	CODES(4*k+1, FAR, NEXTR, NEXTM) \
	MEET(NEXTR, R)           \
	MEET(NEXTM, M)           \
	FINISH(2*k)              \
	READY(2*k+1)             \
	CODES(4*k+2, NEAR, NEXTR, NEXTM) \
	CODES(4*k+3, FAR, V, U)  \
	MEET(V, NEXTR)           \
	MEET(U, NEXTM)           \
	VPACKSSWB NEXTR, R, R    \
	VPACKSSWB NEXTM, M, M    \
	VPMOVZXBD order<>(SB), T \
	VPERMD  R, T, R          \
	VPERMD  M, T, M          \
	VMOVUPS R, (k*4*LANES)(DX)(BX*1) \
	VMOVUPS M, (k*4*LANES)(R8)(BX*1) \
	FINISH(2*k+1)

// ENCODE encodes a block. MEET makes one vector of words of two of dwords; order is of its codes. A
// scale is the largest exponent, or the least there is. A block that is not finite, or negative
// where it may not be, has the codes 1.
#define NONE(k)
#define ENCODE(MEET, order, finiteM, finiteV) \
	SCALES                   \
	GROUPS(MEET, order, NONE, NONE) \
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
	VMOVQ   X0, R11          \
	MOVL    R11, CX          \
	SHRL    $23, CX          \
	SHRQ    $55, R11         \
	MOVB    CX, (R12)        \
	MOVB    R11, (R13)       \
	LEAL    -118(CX*8), CX   \
	LEAL    -119(R11*8), R11 \
	SHLL    $20, CX          \
	SHLL    $20, R11         \
	NEGL    R11              \
	VPBROADCASTD CX, BASEM   \
	VPBROADCASTD R11, BASEV

// FINITE makes the codes 1 where the scales ask for it, and moves their pointers on.
#define FINITE(finiteM, finiteV) \
	CMPB    (R12), $255      \
	JNE     finiteM          \
	ONES(DX)                 \
finiteM:                     \
	CMPB    (R13), $255      \
	JNE     finiteV          \
	ONES(R8)                 \
finiteV:                     \
	ADDQ    $1, R12          \
	ADDQ    $1, R13

#define ONES(codes) \
	MOVQ $0x0101010101010101, R11 \
	MOVQ R11, (codes)(BX*1)  \
	MOVQ R11, 8(codes)(BX*1) \
	MOVQ R11, 16(codes)(BX*1) \
	MOVQ R11, 24(codes)(BX*1) \
	MOVQ R11, 32(codes)(BX*1) \
	MOVQ R11, 40(codes)(BX*1) \
	MOVQ R11, 48(codes)(BX*1) \
	MOVQ R11, 56(codes)(BX*1)

// Two ways to MEET: of neighbours in natural order within lanes of 128 bits, and of even and odd.
#define PACK(b, a) VPACKSSDW b, a, a
#define ALTERNATE(odd, even) \
	VPSLLD  $16, odd, odd    \
	MERGE(LOW, even, odd)    \
	VMOVDQA32 odd, even
