// The registers of the AVX-512 step in step_amd64.h on 512 bits.

#define LANES  ZLEN

#define S      Z16
#define LAMBDA Z17
#define B1     Z18
#define C1     Z19
#define B2     Z20
#define C2     Z21
#define ALPHA  Z22
#define EPS    Z23
#define KAPPA  Z24
#define LIVE   Z25

#define G      Z0 // gradient, in PARAMETERS the parameter
#define V      Z1
#define U      Z2 // scratch
#define R      Z3 // root of the second moment
#define M      Z4
#define NEXTR  Z5 // R and M of every other vector
#define NEXTM  Z6

// Two vectors are two cache lines.
#define ASK(base) ASKAT(base, 0, CX)
#define ASKAT(base, o, index) \
	PREFETCHT0 (o)(base)(index*1) \
	PREFETCHT0 (o+64)(base)(index*1)

// The registers of storage_amd64.h: constants, the place of the words, and scratch.
#define MUL1     Z26
#define MUL2     Z27
#define KEY      Z28 // k1
#define PLACE    Z29
#define LOW      Z30 // 0xffff
#define HIGH     Z31 // 0xffff0000
#define QUIET1   Z15 // 0x7fc00000
#define QUIET2   Z14 // 0xffc00000
#define NEAR     Z12 // from the words of one vector to those of the other
#define FAR      Z17 // from turn to turn
#define W        Z7
#define NEXTW    Z8
#define T        Z9
#define NEXTT    Z10
#define NEXTV    Z11
#define NANS     Z15 // VFIXUPIMMPS's table
#define ROOT     Z14 // R of the elements that come next, and of the vector behind
#define NEXTROOT Z13
#define OLDW     Z15 // W of the elements that came before
#define NEXTOLDW Z12

// A block of 64 elements are two pairs of vectors, or four vectors whose codes fill one.
#define PAIRS(PAIR)  PAIR(0) PAIR(1)
#define GROUPS(ARRANGE, order, READY, FINISH) GROUP(ARRANGE, order, READY, FINISH, 0)
#define OTHERS(ONE)  ONE(1) ONE(2) ONE(3) // vectors behind the first

// Orders of the dwords of codes that packing within lanes of 128 bits leaves: of neighbours, and of
// even and odd elements.
DATA natural<>+0(SB)/8, $0x0d0905010c080400
DATA natural<>+8(SB)/8, $0x0f0b07030e0a0602
GLOBL natural<>(SB), RODATA|NOPTR, $16
DATA paired<>+0(SB)/8, $0x0d0c090805040100
DATA paired<>+8(SB)/8, $0x0f0e0b0a07060302
GLOBL paired<>(SB), RODATA|NOPTR, $16

// FOLD leaves the maxima of even and of odd lanes in the first two of Z0.
#define FOLD \
	VSHUFI64X2 $0x4e, Z0, Z0, Z1 \
	VPMAXUD Z1, Z0, Z0       \
	VSHUFI64X2 $0xb1, Z0, Z0, Z1 \
	VPMAXUD Z1, Z0, Z0       \
	VPSHUFD $0x4e, Z0, Z1    \
	VPMAXUD Z1, Z0, Z0
