//go:build gc && !purego && !noasm

#include "textflag.h"

#define LOAD_ARGS \
	MOVQ p+0(FP), DI    \
	MOVQ grad+8(FP), SI \
	MOVQ m+16(FP), DX   \
	MOVQ v+24(FP), R8   \
	MOVQ n+32(FP), R10  \
	MOVQ l1+40(FP), R11 \
	MOVQ l2+48(FP), R12 \
	XORL BX, BX

// R11 bytes beyond element BX into L1, and R12 bytes beyond it into L2.
#define AHEAD1 \
	LEAQ (R11)(BX*4), R9  \
	PREFETCHT0 (SI)(R9*1) \
	PREFETCHT0 (DI)(R9*1) \
	PREFETCHT0 (DX)(R9*1) \
	PREFETCHT0 (R8)(R9*1)

#define AHEAD2 \
	LEAQ (R12)(BX*4), R9  \
	PREFETCHT1 (SI)(R9*1) \
	PREFETCHT1 (DI)(R9*1) \
	PREFETCHT1 (DX)(R9*1) \
	PREFETCHT1 (R8)(R9*1) \
	AHEAD1

#define NOAHEAD

// p, m and v = themselves xor grad, one vector at offset k after element BX.
#define LOAD(XORI, k, A, B, C, D) \
	VMOVUPS k(SI)(BX*4), A    \
	XORI    k(DI)(BX*4), A, B \
	XORI    k(DX)(BX*4), A, C \
	XORI    k(R8)(BX*4), A, D

#define STORE(k, B, C, D) \
	VMOVUPS B, k(DI)(BX*4) \
	VMOVUPS C, k(DX)(BX*4) \
	VMOVUPS D, k(R8)(BX*4)

#define XOR512 \
	LOAD(VPXORD, 0, Z0, Z1, Z2, Z3) \
	STORE(0, Z1, Z2, Z3)

// Loads before stores: on Zen 4 up to 4 % faster beyond the caches than vector after vector.
#define XOR256 \
	LOAD(VPXOR, 0, Y0, Y1, Y2, Y3)  \
	LOAD(VPXOR, 32, Y4, Y5, Y6, Y7) \
	STORE(0, Y1, Y2, Y3)            \
	STORE(32, Y5, Y6, Y7)

// Without PCALIGN: with it the assembler of Go 1.26 does not find an end here.
#define TRAFFIC(loop, VAHEAD, VXOR) \
loop: \
	VAHEAD \
	VXOR \
	ADDQ $16, BX \
	CMPQ BX, R10 \
	JLT  loop \
	VZEROUPPER \
	RET

// Values as they occur in training, of v and m. The loops take the root of v and divide it by m.
#define V32 $0x35a5ac47         // 1.2344e-6
#define M32 $0x3aa1d0e4         // 1.2346e-3
#define V64 $0x3eb4b5b527406b12
#define M64 $0x3f543a49a7e9be75

#define VALUES(MOV, V, M) \
	MOV  V, AX               \
	MOV  M, BX               \
	MOVQ AX, X0              \
	MOVQ BX, X1

// ROOTS makes roots and divisions, those of one vector a turn or of a pair; of an odd number of
// vectors it makes one more in pairs. V and M get the VALUES in all lanes.
#define ROOTS(BROADCAST, SQRT, DIV, V, M, A, B, C, D, lanes) \
	BROADCAST X0, V          \
	BROADCAST X1, M          \
	MOVQ    n+0(FP), R10     \
	CMPB    pairs+8(FP), $0  \
	JNE     pairs            \
	PCALIGN $64              \
loop:                        \
	SQRT    V, A             \
	DIV     M, V, B          \
	SUBQ    $lanes, R10      \
	JGT     loop             \
	VZEROUPPER               \
	RET                      \
pairs:                       \
	SQRT    V, A             \
	SQRT    V, B             \
	DIV     M, V, C          \
	DIV     M, V, D          \
	SUBQ    $(2*lanes), R10  \
	JGT     pairs            \
	VZEROUPPER               \
	RET

// SCALAR is ROOTS of single elements. Each root and quotient is written to a register that a move
// has just filled, and so waits for none before it.
#define SCALAR(SQRT, DIV) \
	MOVQ   n+0(FP), R10      \
	CMPB   pairs+8(FP), $0   \
	JNE    pairs             \
	PCALIGN $64              \
loop:                        \
	MOVAPS X0, X2            \
	SQRT   X2, X2            \
	MOVAPS X0, X3            \
	DIV    X1, X3            \
	SUBQ   $1, R10           \
	JGT    loop              \
	RET                      \
pairs:                       \
	MOVAPS X0, X2            \
	SQRT   X2, X2            \
	MOVAPS X0, X3            \
	SQRT   X3, X3            \
	MOVAPS X0, X4            \
	DIV    X1, X4            \
	MOVAPS X0, X5            \
	DIV    X1, X5            \
	SUBQ   $2, R10           \
	JGT    pairs             \
	RET

// func trafficAVX512(p, grad, m, v *float32, n, l1, l2 int)
TEXT ·trafficAVX512(SB), NOSPLIT, $0-56
	LOAD_ARGS
	TESTQ R12, R12
	JNE   two
	TESTQ R11, R11
	JNE   one
	TRAFFIC(loop, NOAHEAD, XOR512)
one:
	TRAFFIC(loop1, AHEAD1, XOR512)
two:
	TRAFFIC(loop2, AHEAD2, XOR512)

// func trafficAVX2(p, grad, m, v *float32, n, l1, l2 int)
TEXT ·trafficAVX2(SB), NOSPLIT, $0-56
	LOAD_ARGS
	TESTQ R12, R12
	JNE   two
	TESTQ R11, R11
	JNE   one
	TRAFFIC(loop, NOAHEAD, XOR256)
one:
	TRAFFIC(loop1, AHEAD1, XOR256)
two:
	TRAFFIC(loop2, AHEAD2, XOR256)

// func arithmeticAVX512(n int, pairs bool)
TEXT ·arithmeticAVX512(SB), NOSPLIT, $0-9
	VALUES(MOVL, V32, M32)
	ROOTS(VBROADCASTSS, VSQRTPS, VDIVPS, Z0, Z1, Z2, Z3, Z4, Z5, 16)

// func arithmeticAVX2(n int, pairs bool)
TEXT ·arithmeticAVX2(SB), NOSPLIT, $0-9
	VALUES(MOVL, V32, M32)
	ROOTS(VBROADCASTSS, VSQRTPS, VDIVPS, Y0, Y1, Y2, Y3, Y4, Y5, 8)

// func arithmetic64AVX512(n int, pairs bool)
TEXT ·arithmetic64AVX512(SB), NOSPLIT, $0-9
	VALUES(MOVQ, V64, M64)
	ROOTS(VBROADCASTSD, VSQRTPD, VDIVPD, Z0, Z1, Z2, Z3, Z4, Z5, 8)

// func arithmetic64AVX2(n int, pairs bool)
TEXT ·arithmetic64AVX2(SB), NOSPLIT, $0-9
	VALUES(MOVQ, V64, M64)
	ROOTS(VBROADCASTSD, VSQRTPD, VDIVPD, Y0, Y1, Y2, Y3, Y4, Y5, 4)

// func arithmeticScalar(n int, pairs bool)
TEXT ·arithmeticScalar(SB), NOSPLIT, $0-9
	VALUES(MOVL, V32, M32)
	SCALAR(SQRTSS, DIVSS)

// func arithmetic64Scalar(n int, pairs bool)
TEXT ·arithmetic64Scalar(SB), NOSPLIT, $0-9
	VALUES(MOVQ, V64, M64)
	SCALAR(SQRTSD, DIVSD)
