// Storage of 16 and 8 bits in AVX2: what the codecs and the fused steps share. The file that
// includes this one says where the constants and the places of the words are:
//
//	MUL1Y MUL2Y KEYY PLACEY   of the words; KEYY is k1
//	QUIET1Y QUIET2Y           0x7fc00000 and 0xffc00000

DATA ordinal<>+0(SB)/8, $0x0000000100000000
DATA ordinal<>+8(SB)/8, $0x0000000300000002
DATA ordinal<>+16(SB)/8, $0x0000000500000004
DATA ordinal<>+24(SB)/8, $0x0000000700000006
GLOBL ordinal<>(SB), RODATA|NOPTR, $32

// A word, see words.go, in three parts, between which other work hides the multiplications. Behind
// them t is the upper half of the word.
//
//	w = (PLACEY ^ PLACEY>>16)·MUL1Y
//	w = ((w ^ w>>15) + KEYY)·MUL2Y
//	w = w ^ w>>16
#define WORD1Y(w) \
	VPSRLD  $16, PLACEY, w   \
	VPXOR   PLACEY, w, w     \
	VPMULLD MUL1Y, w, w

#define WORD2Y(w, t) \
	VPSRLD  $15, w, t        \
	VPXOR   t, w, w          \
	VPADDD  KEYY, w, w       \
	VPMULLD MUL2Y, w, w

#define WORD3Y(w, t) \
	VPSRLD  $16, w, t        \
	VPXOR   t, w, w

// QUIETY makes every NaN that arithmetic returns ±0x7fc00000.
#define QUIETY(d) \
	VPMINSD QUIET1Y, d, d    \
	VPMINUD QUIET2Y, d, d

DATA magnitude<>+0(SB)/8, $0x7fffffff7fffffff
DATA magnitude<>+8(SB)/8, $0x7fffffff7fffffff
DATA magnitude<>+16(SB)/8, $0x7fffffff7fffffff
DATA magnitude<>+24(SB)/8, $0x7fffffff7fffffff
GLOBL magnitude<>(SB), RODATA|NOPTR, $32
DATA lower20<>+0(SB)/8, $0x000fffff000fffff
DATA lower20<>+8(SB)/8, $0x000fffff000fffff
DATA lower20<>+16(SB)/8, $0x000fffff000fffff
DATA lower20<>+24(SB)/8, $0x000fffff000fffff
GLOBL lower20<>(SB), RODATA|NOPTR, $32

// Where the bytes of four packed vectors belong: packs work on each half of a vector.
DATA unpacked<>+0(SB)/8, $0x0000000400000000
DATA unpacked<>+8(SB)/8, $0x0000000500000001
DATA unpacked<>+16(SB)/8, $0x0000000600000002
DATA unpacked<>+24(SB)/8, $0x0000000700000003
GLOBL unpacked<>(SB), RODATA|NOPTR, $32
