//go:build gc && !purego && !noasm

#include "go_asm.h"
#include "textflag.h"

// One cache line at DI: its complement, a look at it, or ones. Register 1 has ones.
#define FLIP512 \
	VPXORD  (DI), Z1, Z0 \
	VMOVUPS Z0, (DI)

#define LOOK512 VMOVUPS (DI), Z0

#define ONES512 VMOVUPS Z1, (DI)

#define FLIP256 \
	VPXOR   (DI), Y1, Y0   \
	VPXOR   32(DI), Y1, Y2 \
	VMOVUPS Y0, (DI)       \
	VMOVUPS Y2, 32(DI)

#define LOOK256 \
	VMOVUPS (DI), Y0   \
	VMOVUPS 32(DI), Y2

#define ONES256 \
	VMOVUPS Y1, (DI)   \
	VMOVUPS Y1, 32(DI)

// R11 bytes beyond DI into L1, and R12 bytes beyond it into L2. At 0 it is the line at hand, which
// costs an instruction and no more.
#define FETCH \
	PREFETCHT0 (DI)(R11*1) \
	PREFETCHT1 (DI)(R12*1)

// LINES does one thing to the DX lines from DI on.
#define LINES(label, LINE) \
label: \
	FETCH         \
	LINE          \
	ADDQ $64, DI  \
	SUBQ $1, DX   \
	JGT  label

// MOVE goes through all streams in blocks of 64 elements, BX the first of one. A block of a stream
// has as many lines as its elements have bytes.
#define MOVE(FLIP, LOOK, ONES) \
	MOVQ  list+0(FP), SI   \
	MOVQ  count+8(FP), R8  \
	MOVQ  n+16(FP), R10    \
	MOVQ  l1+24(FP), R11   \
	MOVQ  l2+32(FP), R12   \
	XORL  BX, BX           \
block: \
	MOVQ  SI, R9           \
	MOVQ  R8, CX           \
stream: \
	MOVQ  Stream_at(R9), DI     \
	MOVQ  Stream_bytes(R9), DX  \
	MOVQ  Stream_access(R9), AX \
	MOVQ  BX, R13          \
	IMULQ DX, R13          \
	ADDQ  R13, DI          \
	CMPQ  AX, $2           \
	JLT   read             \
	JEQ   write            \
	LINES(both, FLIP)      \
	JMP   next             \
	LINES(read, LOOK)      \
	JMP   next             \
	LINES(write, ONES)     \
next: \
	ADDQ  $Stream__size, R9 \
	SUBQ  $1, CX           \
	JGT   stream           \
	ADDQ  $64, BX          \
	CMPQ  BX, R10          \
	JLT   block            \
	VZEROUPPER             \
	RET

// func moveAVX512(list *Stream, count, n, l1, l2 int)
TEXT ·moveAVX512(SB), NOSPLIT, $0-40
	VPTERNLOGD $0xff, Z1, Z1, Z1
	MOVE(FLIP512, LOOK512, ONES512)

// func moveAVX2(list *Stream, count, n, l1, l2 int)
TEXT ·moveAVX2(SB), NOSPLIT, $0-40
	VPCMPEQD Y1, Y1, Y1
	MOVE(FLIP256, LOOK256, ONES256)
