// The fused steps in AVX-512, for vectors of 512 and of 256 bits. Each makes n elements, a multiple
// of 64 and not 0, two vectors a turn. Where no stream is of float32 one vector has the even
// elements and one the odd ones: that takes the fewest instructions. Otherwise one follows the
// other. The limit in cache is the number of vector instructions.
//
//	DI p or hi   R9 lo or copy   SI grad   DX m   R8 v   R12, R13 scales   R10 n   AX c
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
	CONSTANT(0xffff0000, HIGH) \
	MASKS

#define QUOTIENTS \
	QUOTIENT(ROOT, M, R)     \
	QUOTIENT(NEXTROOT, NEXTM, NEXTR)

// ASK32 asks for streams of 32 bits as many bytes ahead: at R11, which INDEX32 sets.
#define ASK32(base) ASKAT(base, 0, R11)
#define INDEX32     LEAQ (CX)(BX*2), R11

// The bfloat16 at BX: the even and the odd ones, or the first and the second LANES.
#define EVEN(base, o, d)   VPSLLD $16, (o)(base)(BX*2), d
#define ODD(base, o, d)    VPANDD (o)(base)(BX*2), HIGH, d
#define FIRST(base, o, d)  VPMOVZXWD (o)(base)(BX*2), d \
	VPSLLD $16, d, d
#define SECOND(base, o, d) FIRST(base, o+2*LANES, d)

// CANONICAL makes each NaN 0xffc00000.
#define CANONICAL(d) VFIXUPIMMPS $0, NANS, d, d
#define CANONICALS   CONSTANT(0x33, NANS) // of a quiet NaN, of another

// WORDEND ends a word: its lower half is in w, its upper one in t.
#define WORDEND(w, t) \
	LOWERZ(w, t)             \
	VPTERNLOGD $0x28, LOW, t, w

// SECOND16 and FIRST16 make bfloat16 moments with the gradient in G. Where k has no bit, v has yet
// to become +0.
#define SECOND16(DECODE, o, v, k, r) \
	DECODE(R8, o, v)         \
	SECONDMOMENT(LOADMUL, v, v, k) \
	VSQRTP.Z v, k, r
#define FIRST16(DECODE, o, m) \
	DECODE(DX, o, m)         \
	FIRSTMOMENT(LOADMUL, m, m)

// MOMENTS16 makes the moments and the words of a turn, in turns: GRADIENT, DECODE and near are
// those of its first vector.
#define MOMENTS16(o, GRADIENT, DECODE, VPADD, near, NEXTGRADIENT, NEXTDECODE) \
	GRADIENT(o)              \
	WORD1(W)                 \
	SECOND16(DECODE, o, V, K1, ROOT) \
	VPADD   near, PLACE, PLACE \
	WORD2(W, T)              \
	FIRST16(DECODE, o, M)    \
	NEXTGRADIENT(o)          \
	WORD1(NEXTW)             \
	SECOND16(NEXTDECODE, o, NEXTV, K3, NEXTROOT) \
	WORDEND(W, T)            \
	WORD2(NEXTW, NEXTT)      \
	FIRST16(NEXTDECODE, o, NEXTM) \
	VPADDD  FAR, PLACE, PLACE \
	WORDEND(NEXTW, NEXTT)

// BOTH16 makes and stores the moments of even and odd elements. A NaN has zeros in its lower half,
// as all have that it may come from: no word carries into the upper half.
//
//	m = m + word mod 2^16    v = v + word>>16
#define BOTH16(o) \
	MOMENTS16(o, EVENGRADIENT, EVEN, VPADDD.BCST, step<>(SB), ODDGRADIENT, ODD) \
	VPADDD.Z T, V, K1, V     \
	VPADDD.Z NEXTT, NEXTV, K3, NEXTV \
	LOWER(V, NEXTV)          \
	VMOVUPS NEXTV, (o)(R8)(BX*2) \
	VPADDD  M, W, V          \
	VPADDD  NEXTM, NEXTW, NEXTV \
	LOWER(V, NEXTV)          \
	VMOVUPS NEXTV, (o)(DX)(BX*2)
#define EVENGRADIENT(o) \
	EVEN(SI, o, G)           \
	VMULP   S, G, G
#define ODDGRADIENT(o) \
	ODD(SI, o, G)            \
	VMULP   S, G, G

// SPLIT makes the parameters of a split master.
//
//	upper half hi - lo>>15, lower half lo    hi = (p + 0x8000)>>16, lo = p
#define SPLIT(o, q, nextq) \
	VMOVDQU32 (o)(R9)(BX*2), T \
	VMOVDQA32 T, V           \
	VPSRLW  $15, T, W        \
	VMOVDQU32 (o)(DI)(BX*2), NEXTV \
	VPSUBW  W, NEXTV, NEXTV  \
	RAISE(NEXTV, V)          \
	LOWER(T, NEXTV)          \
	PARAMETER(LOADMUL, V, q, V) \
	PARAMETER(LOADMUL, NEXTV, nextq, NEXTV) \
	CANONICAL(V)             \
	CANONICAL(NEXTV)         \
	VPADDD.BCST half<>(SB), V, T \
	VPADDD.BCST half<>(SB), NEXTV, W \
	RAISE(NEXTV, V)          \
	VMOVUPS V, (o)(R9)(BX*2) \
	LOWER(T, W)              \
	VMOVUPS W, (o)(DI)(BX*2)

DATA step<>(SB)/4, $const_wordStep
GLOBL step<>(SB), RODATA|NOPTR, $4
DATA half<>(SB)/4, $0x8000
GLOBL half<>(SB), RODATA|NOPTR, $4

#define TWOSPLIT SPLIT(0, R, NEXTR)
#define ONESPLIT(o) \
	ASK16(SI)                \
	ASK16(R8)                \
	ASK16(DX)                \
	ASK16(DI)                \
	ASK16(R9)                \
	BOTH16(o)

#define FUSED_SPLIT \
	LOAD_FUSED(operands16_hi, operands16_grad16, operands16_m16, operands16_v16) \
	MOVQ operands16_lo(CX), R9 \
	WORDS_FUSED(2, 1, (2*LANES-1)) \
	HALVES_FUSED             \
	CANONICALS               \
	EACHTURN(ONESPLIT, QUOTIENTS, TWOSPLIT)

// Parameters and moments share the lower halves of their words.
#define ONEBF16(o) \
	ASK16(SI)                \
	ASK16(R8)                \
	ASK16(DX)                \
	ASK16(DI)                \
	BOTH16(o)

#define BETWEENBF16 \
	QUOTIENTS                \
	VMOVDQA32 W, OLDW        \
	VMOVDQA32 NEXTW, NEXTOLDW

#define TWOBF16 \
	EVEN(DI, 0, V)           \
	ODD(DI, 0, NEXTV)        \
	PARAMETER(LOADMUL, V, R, V) \
	PARAMETER(LOADMUL, NEXTV, NEXTR, NEXTV) \
	VPADDD  OLDW, V, V       \
	VPADDD  NEXTOLDW, NEXTV, NEXTV \
	LOWER(V, NEXTV)          \
	VMOVUPS NEXTV, (DI)(BX*2)

#define FUSED_BF16 \
	LOAD_FUSED(operands16_hi, operands16_grad16, operands16_m16, operands16_v16) \
	WORDS_FUSED(2, 1, (2*LANES-1)) \
	HALVES_FUSED             \
	EACHTURN(ONEBF16, BETWEENBF16, TWOBF16)

// With float32 gradients and parameters, NaNs may have any lower half. PICK picks upper halves.
#define PICK HIGH
#define ONEMOMENTS(o) \
	INDEX32                  \
	ASK32(SI)                \
	ASK16(R8)                \
	ASK16(DX)                \
	ASK32(DI)                \
	MOMENTS16(o, FIRSTGRADIENT, FIRST, VPADDD, NEAR, SECONDGRADIENT, SECOND) \
	CANONICAL(V)             \
	CANONICAL(NEXTV)         \
	VPADDD.Z T, V, K1, V     \
	VPADDD.Z NEXTT, NEXTV, K3, NEXTV \
	VPERMT2W NEXTV, PICK, V  \
	VMOVUPS V, (o)(R8)(BX*2) \
	VMOVAPS M, V             \
	VMOVAPS NEXTM, NEXTV     \
	CANONICAL(V)             \
	CANONICAL(NEXTV)         \
	VPADDD  W, V, V          \
	VPADDD  NEXTW, NEXTV, NEXTV \
	VPERMT2W NEXTV, PICK, V  \
	VMOVUPS V, (o)(DX)(BX*2)

#define FIRSTGRADIENT(o)  LOADMUL(AT(SI, (2*(o))), S, G)
#define SECONDGRADIENT(o) LOADMUL(AT(SI, (2*(o)+SIZE*LANES)), S, G)

#define FLOATS(o, q, nextq) \
	PARAMETER(LOADMUL, AT(DI, o), q, G) \
	STORE(G, AT(DI, o))      \
	PARAMETER(LOADMUL, AT(DI, (o+SIZE*LANES)), nextq, G) \
	STORE(G, AT(DI, (o+SIZE*LANES)))
#define TWO32 FLOATS(0, R, NEXTR)

#define FUSED_MOMENTS \
	LOAD_FUSED(operands16_p, operands16_grad, operands16_m16, operands16_v16) \
	WORDS_FUSED(1, LANES, LANES) \
	CONSTANT(0xffff, LOW)    \
	MASKS                    \
	CANONICALS               \
	PICKS(ODDS, PICK)        \
	EACHTURN(ONEMOMENTS, QUOTIENTS, TWO32)

// MOMENTSG makes float32 moments with a bfloat16 gradient.
#define MOMENTSG(o, r, m) \
	VMULP   S, G, G          \
	SECONDMOMENT(LOADMUL, AT(R8, o), V, K1) \
	VMOVAP.Z V, K1, V        \
	STORE(V, AT(R8, o))      \
	VSQRTP  V, r             \
	FIRSTMOMENT(LOADMUL, AT(DX, o), m) \
	STORE(m, AT(DX, o))

#define ONEGRADIENT(o) \
	INDEX32                  \
	ASK16(SI)                \
	ASK32(R8)                \
	ASK32(DX)                \
	ASK32(DI)                \
	FIRST(SI, o, G)          \
	MOMENTSG((2*(o)), ROOT, M) \
	SECOND(SI, o, G)         \
	MOMENTSG((2*(o)+SIZE*LANES), NEXTROOT, NEXTM)

#define FUSED_GRADIENT \
	LOAD_FUSED(operands16_p, operands16_grad16, operands16_m, operands16_v) \
	EACHTURN(ONEGRADIENT, QUOTIENTS, TWO32)

// The copy of the parameters is rounded to nearest, ties to even. It is only written, and not asked
// for: on Zen 5 that makes 512 bits take 1.4 times as long at 64 Mi, and is of no use to 256.
//
//	copy = (p + 0x7fff + (p>>16 & 1)) >> 16
#define NEAREST(d) \
	CANONICAL(d)             \
	VPTESTMD.BCST lowest<>(SB), d, K1 \
	VPADDD.BCST below<>(SB), d, d \
	VPADDD.BCST one<>(SB), d, K1, d

DATA lowest<>(SB)/4, $0x10000 // of the bits that stay
GLOBL lowest<>(SB), RODATA|NOPTR, $4
DATA below<>(SB)/4, $0x7fff
GLOBL below<>(SB), RODATA|NOPTR, $4
DATA one<>(SB)/4, $1
GLOBL one<>(SB), RODATA|NOPTR, $4

#define TWOCOPY \
	PARAMETER(LOADMUL, AT(DI, 0), R, V) \
	STORE(V, AT(DI, 0))      \
	PARAMETER(LOADMUL, AT(DI, SIZE*LANES), NEXTR, NEXTV) \
	STORE(NEXTV, AT(DI, SIZE*LANES)) \
	NEAREST(V)               \
	NEAREST(NEXTV)           \
	VPERMT2W NEXTV, PICK, V  \
	VMOVUPS V, (R9)(BX*2)

#define FUSED_COPY \
	LOAD_FUSED(operands16_p, operands16_grad16, operands16_m, operands16_v) \
	MOVQ operands16_hi(CX), R9 \
	CANONICALS               \
	PICKS(ODDS, PICK)        \
	EACHTURN(ONEGRADIENT, QUOTIENTS, TWOCOPY)

// Moments of 8 bits go through float32 on the stack: the first ones at R14, the second ones behind
// them, and the bases of their codes. A turn makes a block, pair by pair: the quotients, the codes
// of the moments, the moments of the next block in their place, the parameters. The last block is
// its own next one, to no effect.
//
//	AX index of the next block

#define VAT(k)    (256+(k)*4*LANES)(R14)
#define OLDBASEM  512(R14)
#define OLDBASEV  516(R14)

#define LOAD_FUSEDQ8(p, grad) \
	LOAD_FUSED(p, grad, operands16_m8, operands16_v8) \
	MOVQ operands16_mScale(CX), R12 \
	MOVQ operands16_vScale(CX), R13 \
	LEAQ moments-592(SP), R14 \
	ADDQ $63, R14            \
	ANDQ $~63, R14           \
	XORL AX, AX

#define EACHBLOCK(PAIR, ARRANGE, order, FINISH) \
	XORL CX, CX              \
	BASES                    \
	MOVL CX, OLDBASEM        \
	MOVL R11, OLDBASEV       \
	MOVQ ·ahead(SB), CX      \
	INDEX32                  \
	PAIRS(PAIR)              \
	PCALIGN $64              \
loop:                        \
	SCALES                   \
	NEXTBLOCK                \
	MOVL CX, OLDBASEM        \
	MOVL R11, OLDBASEV       \
	ASKCODES                 \
	INDEX32                  \
	GROUPS(ARRANGE, order, READYQ8, FINISH) \
	FINITE(finiteM, finiteV) \
	ADDQ $64, BX             \
	CMPQ BX, R10             \
	JLT  loop

// MOMENTS8 makes the k-th moments of the next block, with the gradient in G, of code·2^20 in v and
// the old moment in m.
#define MOMENTS8(v, m, k) \
	VPADDD.BCST OLDBASEV, v, v \
	SECONDMOMENT(LOADMUL, v, v, K1) \
	VMOVAP.Z v, K1, v        \
	VMOVUPS v, VAT(k)        \
	FIRSTMOMENT(LOADMUL, m, m) \
	VMOVUPS m, ((k)*4*LANES)(R14)

// READYQ8 makes the quotients of the k-th pair.
#define READYQ8(k) \
	VSQRTP  VAT(2*(k)), ROOT \
	VSQRTP  VAT(2*(k)+1), NEXTROOT \
	VMOVUPS ((k)*8*LANES)(R14), V \
	VMOVUPS ((k)*8*LANES+4*LANES)(R14), U \
	QUOTIENT(ROOT, V, ROOT)  \
	QUOTIENT(NEXTROOT, U, NEXTROOT)

#define PAIRSPLITQ8(k) \
	PREFETCHT0 ((k)*4*LANES)(SI)(CX*1) \
	PREFETCHT0 ((k)*4*LANES)(DI)(CX*1) \
	PREFETCHT0 ((k)*4*LANES)(R9)(CX*1) \
	VPMOVSXBW ((k)*2*LANES)(R8)(AX*1), V \
	VPMOVSXBW ((k)*2*LANES)(DX)(AX*1), W \
	VPSLLW  $4, V, V         \
	VPABSW  W, NEXTM         \
	VPSLLW  $4, NEXTM, NEXTM \
	VPBROADCASTD OLDBASEM, NEXTR \
	RAISEZ(W, U)             \
	RAISEZ(NEXTM, T)         \
	FROMCODEM(U, NEXTR, T)   \
	RAISEZ(V, NEXTV)         \
	VPSLLD  $16, ((k)*4*LANES)(SI)(AX*2), G \
	VMULP   S, G, G          \
	MOMENTS8(NEXTV, T, 2*(k)) \
	VPANDD  HIGH, NEXTM, NEXTM \
	FROMCODEM(W, NEXTR, NEXTM) \
	VPANDD  HIGH, V, V       \
	VPANDD  ((k)*4*LANES)(SI)(AX*2), HIGH, G \
	VMULP   S, G, G          \
	MOMENTS8(V, NEXTM, 2*(k)+1)

#define FINISHSPLITQ8(k) \
	PAIRSPLITQ8(k)           \
	SPLIT(((k)*4*LANES), ROOT, NEXTROOT)

#define FUSED_SPLITQ8 \
	LOAD_FUSEDQ8(operands16_hi, operands16_grad16) \
	MOVQ operands16_lo(CX), R9 \
	WORDS_FUSED(2, 1, (2*LANES-1)) \
	HALVES_FUSED             \
	CANONICALS               \
	EACHBLOCK(PAIRSPLITQ8, EVENODD, paired, FINISHSPLITQ8)

#define VECTORQ8(k) \
	VPMOVSXBD ((k)*LANES)(R8)(AX*1), V \
	VPMOVSXBD ((k)*LANES)(DX)(AX*1), W \
	VPSLLD  $20, V, V        \
	VPABSD  W, NEXTM         \
	VPSLLD  $20, NEXTM, NEXTM \
	VPBROADCASTD OLDBASEM, NEXTR \
	FROMCODEM(W, NEXTR, NEXTM) \
	LOADMUL(((k)*4*LANES)(SI)(AX*4), S, G) \
	MOMENTS8(V, NEXTM, k)

#define PAIRQ8(k) \
	ASKAT(SI, (k)*8*LANES, R11) \
	ASKAT(DI, (k)*8*LANES, R11) \
	VECTORQ8(2*(k))          \
	VECTORQ8(2*(k)+1)

#define FINISHQ8(k) \
	PAIRQ8(k)                \
	FLOATS(((k)*8*LANES), ROOT, NEXTROOT)

#define FUSED_Q8 \
	LOAD_FUSEDQ8(operands16_p, operands16_grad) \
	WORDS_FUSED(1, LANES, LANES) \
	MASKS                    \
	EACHBLOCK(PAIRQ8, NEIGHBOURS, natural, FINISHQ8)
