// The fused steps in AVX-512, for vectors of 512 and of 256 bits. Each makes n elements, a multiple
// of 64 and not 0, two vectors a turn: the moments of both, then their words and what is stored of
// the moments, which needs no divider, then the parameters. Where no stream is of float32 one
// vector has the even elements and one the odd ones. Otherwise one follows the other.
//
//	DI p or hi   R9 lo   SI grad   DX m   R8 v   R12, R13 scales   R10 n   AX c
//	BX index of the elements at hand   CX prefetch   R11 scratch

#define LOAD_FUSED(p, grad, m, v) \
	MOVQ a+0(FP), CX         \
	MOVQ n+8(FP), R10        \
	MOVQ c+16(FP), AX        \
	MOVQ p(CX), DI           \
	MOVQ grad(CX), SI        \
	MOVQ m(CX), DX           \
	MOVQ v(CX), R8           \
	SCALARS                  \
	XORL BX, BX

#define WORDS_FUSED(stride, near, far) \
	WORDS(operands16_next(CX), operands16_k1(CX), stride) \
	CONSTANT((const_wordStep*near&0xffffffff), NEAR) \
	CONSTANT((const_wordStep*far&0xffffffff), FAR)

#define HALVES_FUSED \
	CONSTANT(0xffff, LOW)    \
	CONSTANT(0xffff0000, HIGH)

// EACHTURN makes BODY of two vectors a turn.
#define EACHTURN(BODY) \
	MOVQ ·ahead(SB), CX      \
	PCALIGN $64              \
loop:                        \
	BODY                     \
	ADDQ $(2*LANES), BX      \
	ADDQ $(4*LANES), CX      \
	CMPQ BX, R10             \
	JLT  loop

// ASK16 and ASK32 ask for streams of 16 and of 32 bits, as many elements ahead.
#define ASK16(base) PREFETCHT0 (base)(CX*1)
#define ASK32(base) PREFETCHT0 (base)(CX*2)

// The bfloat16 at BX: the even and the odd ones, or the first and the second LANES.
#define EVEN(base, d)   VPSLLD $16, (base)(BX*2), d
#define ODD(base, d)    VPANDD (base)(BX*2), HIGH, d
#define FIRST(base, d)  VPMOVZXWD (base)(BX*2), d \
	VPSLLD $16, d, d
#define SECOND(base, d) VPMOVZXWD (2*LANES)(base)(BX*2), d \
	VPSLLD $16, d, d

// UPPERS makes even the upper halves of both.
#define UPPERS(odd, even) \
	VPSRLD $16, even, even   \
	MERGE(HIGH, odd, even)

// TWOWORDS makes the words of a turn.
#define TWOWORDS \
	WORD(PLACE, W, T)        \
	VPADDD  NEAR, PLACE, PLACE \
	WORD(PLACE, NEXTW, NEXTT) \
	VPADDD  FAR, PLACE, PLACE

// MOMENTS16 makes bfloat16 moments with a bfloat16 gradient.
#define MOMENTS16(DECODE, v, r, m) \
	DECODE(SI, G)            \
	VMULP   S, G, G          \
	DECODE(R8, v)            \
	SECONDMOMENT(LOADMUL, v, v) \
	VSQRTP  v, r             \
	DECODE(DX, m)            \
	FIRSTMOMENT(LOADMUL, m, m)

// ROUND16 stores them. A NaN has zeros in its lower half, as all had that it may come from: no word
// carries into the upper half. It leaves the lower halves of the words in W and NEXTW.
//
//	m = m + word mod 2^16    v = v + word>>16
#define ROUND16 \
	VPSRLD  $16, W, T        \
	VPSRLD  $16, NEXTW, NEXTT \
	VPADDD  T, V, V          \
	VPADDD  NEXTT, NEXTV, NEXTV \
	UPPERS(NEXTV, V)         \
	VMOVUPS V, (R8)(BX*2)    \
	VPANDD  LOW, W, W        \
	VPANDD  LOW, NEXTW, NEXTW \
	VPADDD  M, W, V          \
	VPADDD  NEXTM, NEXTW, NEXTV \
	UPPERS(NEXTV, V)         \
	VMOVUPS V, (DX)(BX*2)

// SPLIT makes the parameters of a split master.
//
//	upper half hi - lo>>15, lower half lo    hi = (p + 0x8000)>>16, lo = p
#define SPLIT \
	VMOVDQU32 (R9)(BX*2), T  \
	VMOVDQU32 (DI)(BX*2), W  \
	VPSRLW  $15, T, V        \
	VPSUBW  V, W, W          \
	VPSLLD  $16, W, V        \
	MERGE(LOW, T, V)         \
	VPSRLD  $16, T, NEXTV    \
	MERGE(HIGH, W, NEXTV)    \
	PARAMETER(LOADMUL, V, R, M, V) \
	PARAMETER(LOADMUL, NEXTV, NEXTR, NEXTM, NEXTV) \
	QUIET(V)                 \
	QUIET(NEXTV)             \
	VPSLLD  $16, NEXTV, T    \
	MERGE(LOW, V, T)         \
	VMOVUPS T, (R9)(BX*2)    \
	VPADDD  HALF, V, V       \
	VPADDD  HALF, NEXTV, NEXTV \
	UPPERS(NEXTV, V)         \
	VMOVUPS V, (DI)(BX*2)

#define TURNSPLIT \
	ASK16(SI)                \
	ASK16(R8)                \
	ASK16(DX)                \
	ASK16(DI)                \
	ASK16(R9)                \
	MOMENTS16(EVEN, V, R, M) \
	MOMENTS16(ODD, NEXTV, NEXTR, NEXTM) \
	TWOWORDS                 \
	ROUND16                  \
	SPLIT

#define FUSED_SPLIT \
	LOAD_FUSED(operands16_hi, operands16_grad16, operands16_m16, operands16_v16) \
	MOVQ operands16_lo(CX), R9 \
	WORDS_FUSED(2, 1, (2*LANES-1)) \
	HALVES_FUSED             \
	QUIETS                   \
	CONSTANT(0x8000, HALF)   \
	EACHTURN(TURNSPLIT)

// Parameters and moments share the lower halves of their words.
#define TURNBF16 \
	ASK16(SI)                \
	ASK16(R8)                \
	ASK16(DX)                \
	ASK16(DI)                \
	MOMENTS16(EVEN, V, R, M) \
	MOMENTS16(ODD, NEXTV, NEXTR, NEXTM) \
	TWOWORDS                 \
	ROUND16                  \
	EVEN(DI, V)              \
	ODD(DI, NEXTV)           \
	PARAMETER(LOADMUL, V, R, M, V) \
	PARAMETER(LOADMUL, NEXTV, NEXTR, NEXTM, NEXTV) \
	VPADDD  W, V, V          \
	VPADDD  NEXTW, NEXTV, NEXTV \
	UPPERS(NEXTV, V)         \
	VMOVUPS V, (DI)(BX*2)

#define FUSED_BF16 \
	LOAD_FUSED(operands16_hi, operands16_grad16, operands16_m16, operands16_v16) \
	WORDS_FUSED(2, 1, (2*LANES-1)) \
	HALVES_FUSED             \
	EACHTURN(TURNBF16)

// MOMENTS32 makes bfloat16 moments with the gradient at o.
#define MOMENTS32(DECODE, o, v, r, m) \
	LOADMUL(AT(SI, o), S, G) \
	DECODE(R8, v)            \
	SECONDMOMENT(LOADMUL, v, v) \
	VSQRTP  v, r             \
	DECODE(DX, m)            \
	FIRSTMOMENT(LOADMUL, m, m)

// ROUND32 stores them, as ROUND16. NaNs come from float32, too. PICK picks upper halves.
#define PICK HALF
#define ROUND32 \
	QUIET(V)                 \
	QUIET(NEXTV)             \
	VPSRLD  $16, W, T        \
	VPSRLD  $16, NEXTW, NEXTT \
	VPADDD  T, V, V          \
	VPADDD  NEXTT, NEXTV, NEXTV \
	VPERMT2W NEXTV, PICK, V  \
	VMOVUPS V, (R8)(BX*2)    \
	VPMINSD QUIET1, M, V     \
	VPMINSD QUIET1, NEXTM, NEXTV \
	VPMINUD QUIET2, V, V     \
	VPMINUD QUIET2, NEXTV, NEXTV \
	VPANDD  LOW, W, W        \
	VPANDD  LOW, NEXTW, NEXTW \
	VPADDD  W, V, V          \
	VPADDD  NEXTW, NEXTV, NEXTV \
	VPERMT2W NEXTV, PICK, V  \
	VMOVUPS V, (DX)(BX*2)

#define TURNMOMENTS \
	ASK32(SI)                \
	ASK16(R8)                \
	ASK16(DX)                \
	ASK32(DI)                \
	MOMENTS32(FIRST, 0, V, R, M) \
	MOMENTS32(SECOND, SIZE*LANES, NEXTV, NEXTR, NEXTM) \
	TWOWORDS                 \
	ROUND32                  \
	PARAMETERS(LOADMUL, STORE, 0, R, M) \
	PARAMETERS(LOADMUL, STORE, SIZE*LANES, NEXTR, NEXTM)

#define FUSED_MOMENTS \
	LOAD_FUSED(operands16_p, operands16_grad, operands16_m16, operands16_v16) \
	WORDS_FUSED(1, LANES, LANES) \
	CONSTANT(0xffff, LOW)    \
	QUIETS                   \
	HALVES(UPPER, PICK)      \
	EACHTURN(TURNMOMENTS)

// MOMENTSG makes float32 moments with a bfloat16 gradient.
#define MOMENTSG(DECODE, o, r, m) \
	DECODE(SI, G)            \
	VMULP   S, G, G          \
	SECONDMOMENT(LOADMUL, AT(R8, o), V) \
	STORE(V, AT(R8, o))      \
	VSQRTP  V, r             \
	FIRSTMOMENT(LOADMUL, AT(DX, o), m) \
	STORE(m, AT(DX, o))

#define TURNGRADIENT \
	ASK16(SI)                \
	ASK32(R8)                \
	ASK32(DX)                \
	ASK32(DI)                \
	MOMENTSG(FIRST, 0, R, M) \
	MOMENTSG(SECOND, SIZE*LANES, NEXTR, NEXTM) \
	PARAMETERS(LOADMUL, STORE, 0, R, M) \
	PARAMETERS(LOADMUL, STORE, SIZE*LANES, NEXTR, NEXTM)

#define FUSED_GRADIENT \
	LOAD_FUSED(operands16_p, operands16_grad16, operands16_m, operands16_v) \
	EACHTURN(TURNGRADIENT)

// Moments of 8 bits go through float32 on the stack, from where ENCODE takes them: first moments at
// R14, second ones at AX.

#define LOAD_FUSEDQ8(p, grad) \
	LOAD_FUSED(p, grad, operands16_m8, operands16_v8) \
	MOVQ operands16_mScale(CX), R12 \
	MOVQ operands16_vScale(CX), R13 \
	LEAQ moments-584(SP), R14 \
	ADDQ $63, R14            \
	ANDQ $~63, R14           \
	LEAQ 256(R14), AX

#define EACHBLOCK(PAIR, MEET, order) \
	PCALIGN $64              \
loop:                        \
	BASES                    \
	PAIRS(PAIR)              \
	SUBQ $64, BX             \
	ENCODE(MEET, order, finiteM, finiteV) \
	ADDQ $64, BX             \
	CMPQ BX, R10             \
	JLT  loop

// MOMENTS8 makes the k-th moments of the block, with the gradient in G and the codes, which have to
// be moved by shift, in v and m.
#define MOMENTS8(shift, code8, code, k, v, r, m) \
	FROMCODEV(shift, code8, v) \
	SECONDMOMENT(LOADMUL, v, v) \
	VMOVUPS v, ((k)*4*LANES)(AX) \
	VSQRTP  v, r             \
	FROMCODEM(shift, code, m) \
	FIRSTMOMENT(LOADMUL, m, m) \
	VMOVUPS m, ((k)*4*LANES)(R14)

#define PAIRSPLITQ8(k) \
	MOVQ ·ahead(SB), CX      \
	LEAQ (CX)(BX*2), CX      \
	ASK16(SI)                \
	ASK16(DI)                \
	ASK16(R9)                \
	VPMOVSXBW (DX)(BX*1), W  \
	VPMOVSXBW (R8)(BX*1), T  \
	EVEN(SI, G)              \
	VMULP   S, G, G          \
	VPSLLD  $16, T, NEXTV    \
	VPSLLD  $16, W, NEXTM    \
	MOMENTS8(4, NEXTV, NEXTM, 2*k, V, R, M) \
	ODD(SI, G)               \
	VMULP   S, G, G          \
	VPANDD  HIGH, T, T       \
	VPANDD  HIGH, W, W       \
	MOMENTS8(4, T, W, 2*k+1, NEXTV, NEXTR, NEXTM) \
	SPLIT                    \
	ADDQ $(2*LANES), BX

#define FUSED_SPLITQ8 \
	LOAD_FUSEDQ8(operands16_hi, operands16_grad16) \
	MOVQ operands16_lo(CX), R9 \
	WORDS_FUSED(2, 1, (2*LANES-1)) \
	HALVES_FUSED             \
	QUIETS                   \
	CONSTANT(0x8000, HALF)   \
	EACHBLOCK(PAIRSPLITQ8, ALTERNATE, paired)

#define VECTORQ8(o, k, v, r, m) \
	VPMOVSXBD o(R8)(BX*1), T \
	VPMOVSXBD o(DX)(BX*1), W \
	LOADMUL(AT(SI, SIZE*o), S, G) \
	MOMENTS8(20, T, W, k, v, r, m)

#define PAIRQ8(k) \
	MOVQ ·ahead(SB), CX      \
	LEAQ (CX)(BX*2), CX      \
	ASK32(SI)                \
	ASK32(DI)                \
	VECTORQ8(0, 2*k, V, R, M) \
	VECTORQ8(LANES, 2*k+1, NEXTV, NEXTR, NEXTM) \
	PARAMETERS(LOADMUL, STORE, 0, R, M) \
	PARAMETERS(LOADMUL, STORE, SIZE*LANES, NEXTR, NEXTM) \
	ADDQ $(2*LANES), BX

#define FUSED_Q8 \
	LOAD_FUSEDQ8(operands16_p, operands16_grad) \
	WORDS_FUSED(1, LANES, LANES) \
	EACHBLOCK(PAIRQ8, PACK, natural)
