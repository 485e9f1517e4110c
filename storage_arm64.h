// Storage of 16 and 8 bits in NEON: each macro reads or writes four elements. A store is given the
// move, FMOVD.P or FMOVD, and its address. See codec_generic.go for the formulas.
//
//	V7 the words   V5, V6 scratch

// Operations that the Go assembler lacks, on register numbers. The suffix is the result's format.
#define MUL4S(m, n, d)   WORD $(0x4ea09c00 | (m)<<16 | (n)<<5 | (d))
#define SMIN4S(m, n, d)  WORD $(0x4ea06c00 | (m)<<16 | (n)<<5 | (d))
#define ABS4S(n, d)      WORD $(0x4ea0b800 | (n)<<5 | (d))
#define FABS4S(n, d)     WORD $(0x4ea0f800 | (n)<<5 | (d))
#define UMAXV4S(n, d)    WORD $(0x6eb0a800 | (n)<<5 | (d))
#define SSHR20X4S(n, d)  WORD $(0x4f2c0400 | (n)<<5 | (d))
#define SSHR31X4S(n, d)  WORD $(0x4f210400 | (n)<<5 | (d))
#define SHLL4S(n, d)     WORD $(0x2e613800 | (n)<<5 | (d))
#define SXTL8H(n, d)     WORD $(0x0f08a400 | (n)<<5 | (d))
#define SXTL4S(n, d)     WORD $(0x0f10a400 | (n)<<5 | (d))
#define SHRN4H(n, d)     WORD $(0x0f108400 | (n)<<5 | (d))
#define XTN4H(n, d)      WORD $(0x0e612800 | (n)<<5 | (d))
#define SQXTN4H(n, d)    WORD $(0x0e614800 | (n)<<5 | (d))
#define SQXTN8H(n, d)    WORD $(0x4e614800 | (n)<<5 | (d))
#define SQXTN8B(n, d)    WORD $(0x0e214800 | (n)<<5 | (d))
#define SQXTN16B(n, d)   WORD $(0x4e214800 | (n)<<5 | (d))
#define FCVTL4S(n, d)    WORD $(0x0e217800 | (n)<<5 | (d))
#define FCVTN4H(n, d)    WORD $(0x0e216800 | (n)<<5 | (d))

#define CONSTANT(value, v) \
	MOVD value, R9           \
	VDUP R9, v.S4

// WORDS begins the words, with next in R8 and k1 in R9; HASH makes the next four.
//
//	w = (w ^ w>>16)*mul1
//	w = ((w ^ w>>15) + k1)*mul2
//	w = w ^ w>>16
//
//	V15 step of four   V26 next   V27 k1   V28 mul1   V29 mul2
#define WORDS \
	VDUP R9, V27.S4          \
	MOVD $const_wordStep, R9 \
	VMOV R8, V26.S[0]        \
	ADD  R9, R8              \
	VMOV R8, V26.S[1]        \
	ADD  R9, R8              \
	VMOV R8, V26.S[2]        \
	ADD  R9, R8              \
	VMOV R8, V26.S[3]        \
	LSL  $2, R9              \
	VDUP R9, V15.S4          \
	CONSTANT($const_wordMul1, V28) \
	CONSTANT($const_wordMul2, V29)

#define HASH \
	VUSHR $16, V26.S4, V7.S4 \
	VEOR  V26.B16, V7.B16, V7.B16 \
	VADD  V15.S4, V26.S4, V26.S4 \
	MUL4S(28, 7, 7)          \
	VUSHR $15, V7.S4, V6.S4  \
	VEOR  V6.B16, V7.B16, V7.B16 \
	VADD  V27.S4, V7.S4, V7.S4 \
	MUL4S(29, 7, 7)          \
	VUSHR $16, V7.S4, V6.S4  \
	VEOR  V6.B16, V7.B16, V7.B16

// QUIET makes every NaN of n ±0x7fc00000, in V5.
//
//	V30 0x7fc00000   V31 0xffc00000
#define QUIETS \
	CONSTANT($0x7fc00000, V30) \
	CONSTANT($0xffc00000, V31)

#define QUIET(n) \
	SMIN4S(30, n, 5)         \
	VUMIN V31.S4, V5.S4, V5.S4

#define LOADBF16(r, f, n) \
	FMOVD.P 8(r), f          \
	SHLL4S(n, n)

// LOWER and UPPER round stochastically, by the lower and by the upper half of the words.
//
//	V14 0xffff
#define LOWER(MOVE, to, n) \
	QUIET(n)                 \
	VAND  V14.B16, V7.B16, V6.B16 \
	VADD  V6.S4, V5.S4, V5.S4 \
	SHRN4H(5, 5)             \
	MOVE  F5, to

#define UPPER(MOVE, to, n) \
	QUIET(n)                 \
	VUSHR $16, V7.S4, V6.S4  \
	VADD  V6.S4, V5.S4, V5.S4 \
	SHRN4H(5, 5)             \
	MOVE  F5, to

// LOADSPLIT and STORESPLIT have the value in V0.
//
//	V13 0x8000
#define LOADSPLIT(hi, lo) \
	FMOVD.P 8(hi), F0        \
	FMOVD.P 8(lo), F5        \
	VUSHR $15, V5.H4, V6.H4  \
	VSUB  V6.H4, V0.H4, V0.H4 \
	VZIP1 V0.H8, V5.H8, V0.H8

#define STORESPLIT(MOVE, hi, lo) \
	QUIET(0)                 \
	XTN4H(5, 6)              \
	MOVE  F6, lo             \
	VADD  V13.S4, V5.S4, V5.S4 \
	SHRN4H(5, 5)             \
	MOVE  F5, hi

// BASES sets what the codes of a block count from, by the scales at R14 and R15: that of m in V8,
// and in V9 that of v with 128 more, as codes of v begin at -128.
#define BASES \
	MOVBU (R14), R8          \
	LSL   $23, R8, R9        \
	SUB   $((126-8)<<20), R9 \
	MOVD  $0x7fc00000, R11   \
	CMP   $const_poison, R8  \
	CSEL  EQ, R11, R9, R9    \
	VDUP  R9, V8.S4          \
	MOVBU (R15), R8          \
	LSL   $3, R8, R9         \
	SUB   $(255-8-128), R9   \
	MOVD  $(1915+128), R11   \
	CMP   $const_poison, R8  \
	CSEL  EQ, R11, R9, R9    \
	MOVD  $(128-120), R11    \
	CMP   $0, R8             \
	CSEL  EQ, R11, R9, R9    \
	LSL   $20, R9            \
	VDUP  R9, V9.S4

// LOADM8 loads m in V4.
#define LOADM8 \
	FMOVS.P 4(R2), F4        \
	SXTL8H(4, 4)             \
	SXTL4S(4, 4)             \
	VUSHR $31, V4.S4, V6.S4  \
	VSHL  $31, V6.S4, V6.S4  \
	ABS4S(4, 4)              \
	VSHL  $20, V4.S4, V4.S4  \
	VADD  V8.S4, V4.S4, V4.S4 \
	FSUB4S(8, 4, 4)          \
	VORR  V6.B16, V4.B16, V4.B16

// LOADV8 loads v in V1.
#define LOADV8 \
	FMOVS.P 4(R3), F1        \
	SXTL8H(1, 1)             \
	SXTL4S(1, 1)             \
	VSHL  $20, V1.S4, V1.S4  \
	VADD  V9.S4, V1.S4, V1.S4

// LARGER takes 16 more elements into the maxima: twice the bits of m, which drops the sign, in V4,
// and the bits of v in V5.
#define LARGER \
	VLD1.P 64(R12), [V0.S4, V1.S4, V2.S4, V3.S4] \
	VSHL  $1, V0.S4, V0.S4   \
	VSHL  $1, V1.S4, V1.S4   \
	VSHL  $1, V2.S4, V2.S4   \
	VSHL  $1, V3.S4, V3.S4   \
	VUMAX V0.S4, V1.S4, V0.S4 \
	VUMAX V2.S4, V3.S4, V2.S4 \
	VUMAX V0.S4, V4.S4, V4.S4 \
	VUMAX V2.S4, V4.S4, V4.S4 \
	VLD1.P 64(R13), [V0.S4, V1.S4, V2.S4, V3.S4] \
	VUMAX V0.S4, V1.S4, V0.S4 \
	VUMAX V2.S4, V3.S4, V2.S4 \
	VUMAX V0.S4, V5.S4, V5.S4 \
	VUMAX V2.S4, V5.S4, V5.S4

// CODES makes the codes of four m in V5, which PACKM packs, and then those of v for PACKV, with the
// bases as BASES leaves them.
//
//	V14 0xfffff
#define CODES(PACKM, PACKV) \
	HASH                     \
	FMOVQ.P 16(R12), F4      \
	FABS4S(4, 5)             \
	FADD4S(8, 5, 5)          \
	VSUB  V8.S4, V5.S4, V5.S4 \
	VAND  V14.B16, V7.B16, V6.B16 \
	VADD  V6.S4, V5.S4, V5.S4 \
	VUSHR $20, V5.S4, V5.S4  \
	SSHR31X4S(4, 4)          \
	VEOR  V4.B16, V5.B16, V5.B16 \
	VSUB  V4.S4, V5.S4, V5.S4 \
	PACKM                    \
	FMOVQ.P 16(R13), F5      \
	VSUB  V9.S4, V5.S4, V5.S4 \
	VUSHR $12, V7.S4, V6.S4  \
	VADD  V6.S4, V5.S4, V5.S4 \
	SSHR20X4S(5, 5)          \
	PACKV

// STOREQ8 encodes m at R12 and v at R13, a block of each: the codes to R2 and R3, the scales to R14
// and R15. It moves all six behind the block.
// The saturation of the packing is the clamp. A block with the scale poison is overwritten.
#define STOREQ8(codes, finitem, finitev) \
	VEOR  V4.B16, V4.B16, V4.B16 \
	VEOR  V5.B16, V5.B16, V5.B16 \
	LARGER                   \
	LARGER                   \
	LARGER                   \
	LARGER                   \
	SUB   $256, R12          \
	SUB   $256, R13          \
	UMAXV4S(4, 4)            \
	UMAXV4S(5, 5)            \
	FMOVS F4, R8             \
	FMOVS F5, R9             \
	LSRW  $24, R8            \
	LSRW  $23, R9            \
	MOVD  $const_minScaleM, R11 \
	CMP   R11, R8            \
	CSEL  LO, R11, R8, R8    \
	MOVD  $const_minScaleV, R11 \
	CMP   R11, R9            \
	CSEL  LO, R11, R9, R9    \
	MOVD  $const_poison, R11 \
	CMP   R11, R9            \
	CSEL  HI, R11, R9, R9    \
	MOVB.P R8, 1(R14)        \
	MOVB.P R9, 1(R15)        \
	LSL   $23, R8, R11       \
	SUB   $((126-8)<<20), R11 \
	VDUP  R11, V8.S4         \
	LSL   $3, R9, R11        \
	SUB   $(255-8-128), R11  \
	LSL   $20, R11           \
	VDUP  R11, V9.S4         \
	MOVD  $4, R11            \
codes:                       \
	CODES(SQXTN4H(5, 10), SQXTN4H(5, 12)) \
	CODES(SQXTN8H(5, 10), SQXTN8H(5, 12)) \
	CODES(SQXTN4H(5, 11), SQXTN4H(5, 13)) \
	CODES(SQXTN8H(5, 11), SQXTN8H(5, 13)) \
	SQXTN8B(10, 10)          \
	SQXTN16B(11, 10)         \
	SQXTN8B(12, 12)          \
	SQXTN16B(13, 12)         \
	FMOVQ.P F10, 16(R2)      \
	FMOVQ.P F12, 16(R3)      \
	SUBS  $1, R11            \
	BNE   codes              \
	MOVD  $0x01010101, R11   \
	VDUP  R11, V10.S4        \
	CMP   $const_poison, R8  \
	BNE   finitem            \
	FMOVQ F10, -64(R2)       \
	FMOVQ F10, -48(R2)       \
	FMOVQ F10, -32(R2)       \
	FMOVQ F10, -16(R2)       \
finitem:                     \
	CMP   $const_poison, R9  \
	BNE   finitev            \
	FMOVQ F10, -64(R3)       \
	FMOVQ F10, -48(R3)       \
	FMOVQ F10, -32(R3)       \
	FMOVQ F10, -16(R3)       \
finitev:
