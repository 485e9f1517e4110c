//go:build gc && linux && go1.26 && !purego && !noasm

#include "go_asm.h"
#include "textflag.h"
#include "step_riscv64.h"

// The codecs. Without Zvfhmin there is no conversion of binary16, and multiplications and additions
// of float32 do it. A turn has a group of four registers of 32 bits, so that 16 bits are a group of
// two and 8 bits one register. Kernels that compute with floats need the usual mode: even where
// results are exact, x-x is -0 when rounding down.
//
//	X10 d or hi   X11 s   X12 lo   X15 elements left   X17 elements of the turn

// TURN begins a turn: X18 and X19 are its bytes of 16 and of 32 bits.
#define TURN \
	VSETVLI X15, E32, M4, TA, MA, X17 \
	SLL     $1, X17, X18     \
	SLL     $2, X17, X19

// HALVES stores the upper halves of s at X10.
#define HALVES(s) \
	VSETVLI X17, E16, M2, TA, MA, X17 \
	VNSRLWI $16, s, V2       \
	VSE16V  V2, (X10)        \
	ADD     X18, X10

#define NEXT(loop) \
	SUB     X17, X15         \
	BNEZ    X15, loop

// LIMITS is before QUIET, which makes every NaN ±0x7fc00000:
//
//	b = min(b, 0x7fc00000) signed, min(b, 0xffc00000) unsigned
#define LIMITS \
	MOV     $0x7fc00000, X5  \
	MOV     $0xffc00000, X6

#define QUIET(b) \
	VMINVX  X5, b, b         \
	VMINUVX X6, b, b

// The words of stochastic rounding: see words.go.
#define PLACES V28 // i·wordStep of the elements i of a turn
#define FIRST  X21 // words.next of the turn
#define K1     X22
#define STEP   X23
#define MUL1   X24
#define MUL2   X25

#define KEYS \
	MOV     $const_wordStep, STEP \
	MOV     $const_wordMul1, MUL1 \
	MOV     $const_wordMul2, MUL2 \
	VSETVLI X0, E32, M4, TA, MA, X17 \
	VIDV    PLACES           \
	VMULVX  STEP, PLACES, PLACES

// WORDS makes the words w of the X17 elements of a turn, with t and X28 as scratch:
//
//	w = (w ^ w>>16)·wordMul1
//	w = ((w ^ w>>15) + k1)·wordMul2
//	w = w ^ w>>16
#define WORDS(w, t) \
	VADDVX  FIRST, PLACES, w \
	VSRLVI  $16, w, t        \
	VXORVV  t, w, w          \
	VMULVX  MUL1, w, w       \
	VSRLVI  $15, w, t        \
	VXORVV  t, w, w          \
	VADDVX  K1, w, w         \
	VMULVX  MUL2, w, w       \
	VSRLVI  $16, w, t        \
	VXORVV  t, w, w          \
	MUL     STEP, X17, X28   \
	ADD     X28, FIRST

// func decodeBF16RVV(d *float32, s *BF16, n int)
//
//	d = s<<16
TEXT ·decodeBF16RVV(SB), NOSPLIT, $0-24
	MOV    d+0(FP), X10
	MOV    s+8(FP), X11
	MOV    n+16(FP), X15
	BEQZ   X15, done
loop:
	TURN
	VLE16V (X11), V2
	ADD    X18, X11
	VZEXTVF2 V2, V4
	VSLLVI $16, V4, V4
	VSE32V V4, (X10)
	ADD    X19, X10
	NEXT(loop)
done:
	RET

// func decodeF16RVV(d *float32, s *F16, n int)
//
//	x = (s & 0x7fff)<<13
//	d = x·2^112                          exact, subnormals too
//	d = x | 0x7f800000  where x is Inf or NaN
//	d = d | 0x400000    where x is NaN
//	d = d | sign of s
TEXT ·decodeF16RVV(SB), NOSPLIT, $0-24
	ENTER(usual)
	MOV    d+0(FP), X10
	MOV    s+8(FP), X11
	MOV    n+16(FP), X15
	MOV    $0x77800000, X5 // 2^112
	FMVWX  X5, F10
	MOV    $0x7f800000, X5
	MOV    $0x400000, X6
	MOV    $0x7fff, X7
	MOV    $0xf7fffff, X12
	MOV    $0xf800000, X13 // Inf<<13
	BEQZ   X15, done
loop:
	TURN
	VLE16V (X11), V2
	ADD    X18, X11
	VSEXTVF2 V2, V4
	VANDVX X7, V4, V8
	VSLLVI $13, V8, V8
	VFMULVF F10, V8, V12
	VORVX  X5, V8, V16
	VORVX  X6, V16, V20
	VMSGTUVX X12, V8, V0
	VMERGEVVM V16, V12, V0, V12
	VMSGTUVX X13, V8, V0
	VMERGEVVM V20, V12, V0, V12
	VFSGNJVV V4, V12, V12
	VSE32V V12, (X10)
	ADD    X19, X10
	NEXT(loop)
done:
	LEAVE(left)

// func decodeSplitRVV(d *float32, hi *BF16, lo *int16, n int)
//
//	d = hi<<16 + lo
TEXT ·decodeSplitRVV(SB), NOSPLIT, $0-32
	MOV    d+0(FP), X10
	MOV    hi+8(FP), X11
	MOV    lo+16(FP), X12
	MOV    n+24(FP), X15
	BEQZ   X15, done
loop:
	TURN
	VLE16V (X11), V2
	ADD    X18, X11
	VLE16V (X12), V12
	ADD    X18, X12
	VZEXTVF2 V2, V4
	VSEXTVF2 V12, V8
	VSLLVI $16, V4, V4
	VADDVV V8, V4, V4
	VSE32V V4, (X10)
	ADD    X19, X10
	NEXT(loop)
done:
	RET

// func encodeBF16RVV(d *BF16, s *float32, n int)
//
//	d = (b + 0x7fff + (b>>16 & 1))>>16   of the quiet bits b of s
TEXT ·encodeBF16RVV(SB), NOSPLIT, $0-24
	MOV    d+0(FP), X10
	MOV    s+8(FP), X11
	MOV    n+16(FP), X15
	LIMITS
	MOV    $0x7fff, X7
	BEQZ   X15, done
loop:
	TURN
	VLE32V (X11), V4
	ADD    X19, X11
	QUIET(V4)
	VSRLVI $16, V4, V8
	VANDVI $1, V8, V8
	VADDVX X7, V4, V4
	VADDVV V8, V4, V4
	HALVES(V4)
	NEXT(loop)
done:
	RET

// func encodeF16RVV(d *F16, s *float32, n int)
//
//	a = |s|, as bits
//	c = min(a, 65520)
//	d = (c + 0xfff + (c>>13 & 1) - 112<<23)>>13
//	d = bits(a + 0.5) - bits(0.5)             where a < 2^-14
//	d = 0x7e00 | (a>>13 & 0x1ff)              where a is NaN
//	d = d | sign of s
TEXT ·encodeF16RVV(SB), NOSPLIT, $0-24
	ENTER(usual)
	MOV    d+0(FP), X10
	MOV    s+8(FP), X11
	MOV    n+16(FP), X15
	MOV    $0x3f000000, X5 // 0.5, whose last place is the smallest subnormal of binary16
	FMVWX  X5, F10
	MOV    $0x477ff000, X6 // 65520
	MOV    $0xffffffffc8000fff, X7
	MOV    $0x7fffffff, X12
	MOV    $0x38800000, X13 // 2^-14
	MOV    $0x7f800000, X14
	MOV    $0x1ff, X16
	MOV    $0x7e00, X21
	MOV    $0x8000, X22
	BEQZ   X15, done
loop:
	TURN
	VLE32V (X11), V4
	ADD    X19, X11
	VANDVX X12, V4, V8
	VMINUVX X6, V8, V12
	VSRLVI $13, V12, V16
	VANDVI $1, V16, V16
	VADDVX X7, V12, V12
	VADDVV V16, V12, V12
	VSRLVI $13, V12, V12
	VFADDVF F10, V8, V16
	VSUBVX X5, V16, V16
	VMSLTUVX X13, V8, V0
	VMERGEVVM V16, V12, V0, V12
	VSRLVI $13, V8, V16
	VANDVX X16, V16, V16
	VORVX  X21, V16, V16
	VMSGTUVX X14, V8, V0
	VMERGEVVM V16, V12, V0, V12
	VSRLVI $16, V4, V4
	VANDVX X22, V4, V4
	VORVV  V4, V12, V12
	VSETVLI X17, E16, M2, TA, MA, X17
	VNSRLWI $0, V12, V2
	VSE16V V2, (X10)
	ADD    X18, X10
	NEXT(loop)
done:
	LEAVE(left)

// func encodeSplitRVV(hi *BF16, lo *int16, s *float32, n int)
//
//	hi = (b + 0x8000)>>16   of the quiet bits b of s
//	lo = b
TEXT ·encodeSplitRVV(SB), NOSPLIT, $0-32
	MOV    hi+0(FP), X10
	MOV    lo+8(FP), X12
	MOV    s+16(FP), X11
	MOV    n+24(FP), X15
	LIMITS
	MOV    $0x8000, X7
	BEQZ   X15, done
loop:
	TURN
	VLE32V (X11), V4
	ADD    X19, X11
	QUIET(V4)
	VADDVX X7, V4, V8
	HALVES(V8)
	VNSRLWI $0, V4, V2
	VSE16V V2, (X12)
	ADD    X18, X12
	NEXT(loop)
done:
	RET

// func roundBF16RVV(d *BF16, s *float32, n int, next, k1, shift uint32)
//
//	d = (b + (word>>shift & 0xffff))>>16   of the quiet bits b of s
TEXT ·roundBF16RVV(SB), NOSPLIT, $0-36
	MOV    d+0(FP), X10
	MOV    s+8(FP), X11
	MOV    n+16(FP), X15
	MOVWU  next+24(FP), FIRST
	MOVWU  k1+28(FP), K1
	MOVWU  shift+32(FP), X12
	KEYS
	LIMITS
	MOV    $0xffff, X7
	BEQZ   X15, done
loop:
	TURN
	VLE32V (X11), V4
	ADD    X19, X11
	QUIET(V4)
	WORDS(V8, V12)
	VSRLVX X12, V8, V8
	VANDVX X7, V8, V8
	VADDVV V8, V4, V4
	HALVES(V4)
	NEXT(loop)
done:
	RET

// The kernels of 8 bits go from block to block, whose scales are scalars. BASEM and BASEV make the
// bases of scales that are neither 0 nor poison.

#define BASEM(scale, base) \
	SLL     $3, scale, base  \
	ADD     $(8-126), base   \
	SLL     $20, base

#define BASEV(scale, base) \
	SLL     $3, scale, base  \
	ADD     $(8-255), base   \
	SLL     $20, base

// func decodeQ8RVV(m, v *float32, m8, v8 *int8, mScale, vScale *uint8, blocks int)
//
//	m = ((|m8|<<20 + base) - base) | sign of m8
//	v = (v8+128)<<20 + base
TEXT ·decodeQ8RVV(SB), NOSPLIT, $0-56
	ENTER(usual)
	MOV    m+0(FP), X10
	MOV    v+8(FP), X11
	MOV    m8+16(FP), X12
	MOV    v8+24(FP), X13
	MOV    mScale+32(FP), X14
	MOV    vScale+40(FP), X16
	MOV    blocks+48(FP), X22
	MOV    $(1<<31), X21
	MOV    $const_poison, X23
	MOV    $(128<<20), X24
	BEQZ   X22, done
block:
	MOVBU  (X14), X5
	ADD    $1, X14
	BASEM(X5, X6)
	BNE    X5, X23, finitem
	MOV    $0x7fc00000, X6
finitem:
	FMVWX  X6, F10
	MOVBU  (X16), X5
	ADD    $1, X16
	BASEV(X5, X7)
	BNEZ   X5, stepped
	MOV    $0xf8800000, X7
stepped:
	BNE    X5, X23, finitev
	MOV    $(1915<<20), X7
finitev:
	ADD    X24, X7
	MOV    $const_block16, X15
loop:
	TURN
	VLE8V  (X12), V1
	ADD    X17, X12
	VLE8V  (X13), V2
	ADD    X17, X13
	VSEXTVF4 V1, V4
	VRSUBVI $0, V4, V8
	VMAXVV V4, V8, V8
	VSLLVI $20, V8, V8
	VADDVX X6, V8, V8
	VFSUBVF F10, V8, V8
	VANDVX X21, V4, V4
	VORVV  V4, V8, V8
	VSE32V V8, (X10)
	ADD    X19, X10
	VSEXTVF4 V2, V12
	VSLLVI $20, V12, V12
	VADDVX X7, V12, V12
	VSE32V V12, (X11)
	ADD    X19, X11
	NEXT(loop)
	ADD    $-1, X22
	BNEZ   X22, block
done:
	LEAVE(left)

// ONES makes all codes of a block 1 that end at d, if its scale is that of a poisoned one. A group
// of four registers has 64 bytes at least.
#define ONES(scale, d, finite) \
	MOV     $const_poison, X5 \
	BNE     scale, X5, finite \
	ADD     $-const_block16, d, X5 \
	MOV     $const_block16, X6 \
	VSETVLI X6, E8, M4, TA, MA, X6 \
	VMVVI   $1, V4           \
	VSE8V   V4, (X5)         \
finite:

// func encodeQ8RVV(m8, v8 *int8, mScale, vScale *uint8, blocks int, m, v *float32, next, k1 uint32)
//
//	mScale = max(exponent of the block's largest m, 16), vScale of the largest v, 32
//	m8     = (bits(|m| + base) - base + (word & 0xfffff))>>20, with the sign of m
//	v8     = min(max((bits(v) - base + word>>12)>>20, 0), 255) - 128
//
// X29 and X30 are the scales of a block, X6 and X7 its bases.
TEXT ·encodeQ8RVV(SB), NOSPLIT, $0-64
	ENTER(usual)
	MOV    m8+0(FP), X10
	MOV    v8+8(FP), X11
	MOV    mScale+16(FP), X12
	MOV    vScale+24(FP), X13
	MOV    blocks+32(FP), X26
	MOV    m+40(FP), X14
	MOV    v+48(FP), X16
	MOVWU  next+56(FP), FIRST
	MOVWU  k1+60(FP), K1
	KEYS
	MOV    $0x7fffffff, X8
	MOV    $0xfffff, X9
	BEQZ   X26, done
block:
	MOV    X14, X6
	MOV    X16, X7
	MOV    $const_block16, X15
	TURN
	VMVSX  X0, V1
	VMVSX  X0, V2
largest:
	TURN
	VLE32V (X6), V4
	ADD    X19, X6
	VLE32V (X7), V8
	ADD    X19, X7
	VANDVX X8, V4, V4
	VREDMAXUVS V1, V4, V1
	VREDMAXUVS V2, V8, V2
	NEXT(largest)
	VMVXS  V1, X29
	SRLW   $23, X29, X29
	MOV    $const_minScaleM, X5
	BGEU   X29, X5, scalem
	MOV    X5, X29
scalem:
	VMVXS  V2, X30
	SRLW   $23, X30, X30
	MOV    $const_minScaleV, X5
	BGEU   X30, X5, large
	MOV    X5, X30
large:
	MOV    $const_poison, X5
	BGEU   X5, X30, scalev
	MOV    X5, X30
scalev:
	MOVB   X29, (X12)
	ADD    $1, X12
	MOVB   X30, (X13)
	ADD    $1, X13
	BASEM(X29, X6)
	FMVWX  X6, F10
	BASEV(X30, X7)
	MOV    $const_block16, X15
loop:
	TURN
	WORDS(V8, V12)
	VANDVX X9, V8, V12
	VSRLVI $12, V8, V8
	VLE32V (X14), V4
	ADD    X19, X14
	VANDVX X8, V4, V16
	VFADDVF F10, V16, V16
	VSUBVX X6, V16, V16
	VADDVV V12, V16, V16
	VSRLVI $20, V16, V16
	VSRAVI $31, V4, V4
	VXORVV V4, V16, V16
	VSUBVV V4, V16, V16
	VLE32V (X16), V20
	ADD    X19, X16
	VSUBVX X7, V20, V20
	VADDVV V8, V20, V20
	VSRAVI $20, V20, V20
	VMAXVX X0, V20, V20
	MOV    $255, X5
	VMINVX X5, V20, V20
	MOV    $-128, X5
	VADDVX X5, V20, V20
	VSETVLI X17, E16, M2, TA, MA, X17
	VNSRLWI $0, V16, V4
	VNSRLWI $0, V20, V8
	VSETVLI X17, E8, M1, TA, MA, X17
	VNSRLWI $0, V4, V1
	VNSRLWI $0, V8, V2
	VSE8V  V1, (X10)
	ADD    X17, X10
	VSE8V  V2, (X11)
	ADD    X17, X11
	NEXT(loop)
	ONES(X29, X10, finitem)
	ONES(X30, X11, finitev)
	ADD    $-1, X26
	BNEZ   X26, block
done:
	LEAVE(left)
