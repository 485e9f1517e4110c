//go:build gc && !purego && !noasm

#include "go_asm.h"
#include "textflag.h"

// The streams in blocks of 64 elements, R3 the first of one. A block of a stream has as many lines
// of 64 bytes as its elements have bytes; a line becomes its complement, is looked at or gets ones.
//
// func moveNEON(list *Stream, count, n int)
TEXT ·moveNEON(SB), NOSPLIT, $0-24
	MOVD list+0(FP), R0
	MOVD count+8(FP), R1
	MOVD n+16(FP), R2
	MOVD $0, R3
	VMOVI $255, V4.B16
	VMOVI $255, V5.B16
	VMOVI $255, V6.B16
	VMOVI $255, V7.B16
block:
	MOVD R0, R4
	MOVD R1, R5
stream:
	MOVD Stream_at(R4), R6
	MOVD Stream_bytes(R4), R7
	MOVD Stream_access(R4), R8
	MADD R7, R6, R3, R6
	CMP  $2, R8
	BLT  read
	BEQ  write
both:
	VLD1 (R6), [V0.B16, V1.B16, V2.B16, V3.B16]
	VEOR V4.B16, V0.B16, V0.B16
	VEOR V4.B16, V1.B16, V1.B16
	VEOR V4.B16, V2.B16, V2.B16
	VEOR V4.B16, V3.B16, V3.B16
	VST1.P [V0.B16, V1.B16, V2.B16, V3.B16], 64(R6)
	SUBS $1, R7
	BGT  both
	B    next
read:
	VLD1.P 64(R6), [V0.B16, V1.B16, V2.B16, V3.B16]
	SUBS $1, R7
	BGT  read
	B    next
write:
	VST1.P [V4.B16, V5.B16, V6.B16, V7.B16], 64(R6)
	SUBS $1, R7
	BGT  write
next:
	ADD  $Stream__size, R4
	SUBS $1, R5
	BGT  stream
	ADD  $64, R3
	CMP  R2, R3
	BLT  block
	RET
