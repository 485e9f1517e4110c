// The scales of moments of 8 bits in AVX-512 and AVX2: see codec_generic.go.

DATA poisonM<>(SB)/4, $0x7fc
GLOBL poisonM<>(SB), RODATA|NOPTR, $4
DATA poisonV<>(SB)/4, $2043
GLOBL poisonV<>(SB), RODATA|NOPTR, $4
DATA newV<>(SB)/4, $8
GLOBL newV<>(SB), RODATA|NOPTR, $4

// BASES leaves those of the first and of the second moments in CX and R11: of the scales at index
// CX.
#define BASES \
	MOVBLZX (R13)(CX*1), R11 \
	MOVBLZX (R12)(CX*1), CX  \
	CMPL CX, $255            \
	LEAL -118(CX*8), CX      \
	CMOVLEQ poisonM<>(SB), CX \
	SHLL $20, CX             \
	CMPL R11, $255           \
	LEAL -119(R11*8), R11    \
	CMOVLEQ poisonV<>(SB), R11 \
	CMPL R11, $-119          \
	CMOVLEQ newV<>(SB), R11  \
	SHLL $20, R11

// PUTSCALES stores those of the maxima in the first two lanes of X0. It leaves 8·scale - 118 and
// 8·scale - 119, the bases over 2^20, in CX and R11.
#define PUTSCALES \
	VMOVQ   X0, R11          \
	MOVL    R11, CX          \
	SHRL    $23, CX          \
	SHRQ    $55, R11         \
	MOVB    CX, (R12)        \
	MOVB    R11, (R13)       \
	LEAL    -118(CX*8), CX   \
	LEAL    -119(R11*8), R11

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
