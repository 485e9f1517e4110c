// The schedule of the fused steps in AVX-512 and AVX2: of turns of two vectors, and of blocks with
// moments of 8 bits. Registers are those of fused_amd64.h.

#include "scales_amd64.h"

// EACHTURN is the schedule. ONE makes the moments of a turn up to the square root, at an offset in
// bytes of the streams of 16 bits, BETWEEN the quotients, and TWO the parameters. Between these two
// ONE is done for the elements of the next turn.
#define EACHTURN(ONE, BETWEEN, TWO) \
	MOVQ ·ahead(SB), CX      \
	ONE(0)                   \
	SUBQ $(2*LANES), R10     \
	PCALIGN $64              \
loop:                        \
	BETWEEN                  \
	ONE(4*LANES)             \
	TWO                      \
	ADDQ $(2*LANES), BX      \
	ADDQ $(4*LANES), CX      \
	CMPQ BX, R10             \
	JLT  loop                \
	BETWEEN                  \
	TWO

// ASK16 asks for a stream of 16 bits, ahead bytes from the turn.
#define ASK16(base) PREFETCHT0 (base)(CX*1)

// NEXTBLOCK sets AX to the index of the next block and leaves its bases as BASES does. The last
// block is its own next one, to no effect.
#define NEXTBLOCK \
	LEAQ 64(BX), AX          \
	CMPQ AX, R10             \
	CMOVQEQ BX, AX           \
	MOVQ AX, CX              \
	SUBQ BX, CX              \
	SHRQ $6, CX              \
	BASES

// ASKCODES asks for the codes, and leaves in CX where ASK16 asks.
#define ASKCODES \
	MOVQ ·ahead(SB), CX      \
	ADDQ BX, CX              \
	PREFETCHT0 (DX)(CX*1)    \
	PREFETCHT0 (R8)(CX*1)    \
	ADDQ BX, CX
