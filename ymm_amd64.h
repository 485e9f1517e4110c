// The registers of the AVX-512 step in step_amd64.h on 256 bits.

#define LANES  YLEN

#define S      Y16
#define LAMBDA Y17
#define B1     Y18
#define C1     Y19
#define B2     Y20
#define C2     Y21
#define ALPHA  Y22
#define EPS    Y23
#define KAPPA  Y24
#define LIVE   Y25

#define G      Y0 // gradient, in PARAMETERS the parameter
#define V      Y1
#define U      Y2 // scratch
#define R      Y3 // root of the second moment
#define M      Y4
#define NEXTR  Y5 // R and M of every other vector
#define NEXTM  Y6

// Two vectors are one cache line.
#define ASK(base) ASKAT(base, 0, CX)
#define ASKAT(base, o, index) PREFETCHT0 (o)(base)(index*1)

// The registers of storage_amd64.h: constants, the place of the words, and scratch.
#define MUL1     Y26
#define MUL2     Y27
#define KEY      Y28 // k1
#define PLACE    Y29
#define LOW      Y30 // 0xffff
#define HIGH     Y31 // 0xffff0000
#define QUIET1   Y15 // 0x7fc00000
#define QUIET2   Y14 // 0xffc00000
#define NEAR     Y12 // from the words of one vector to those of the other
#define FAR      Y17 // from turn to turn
#define W        Y7
#define NEXTW    Y8
#define T        Y9
#define NEXTT    Y10
#define NEXTV    Y11
#define NANS     Y15 // VFIXUPIMMPS's table
#define ROOT     Y14 // R of the elements that come next, and of the vector behind
#define NEXTROOT Y13
#define OLDW     Y15 // W of the elements that came before
#define NEXTOLDW Y12

// A block of 64 elements are four pairs of vectors, or eight vectors whose codes fill two.
#define PAIRS(PAIR)  PAIR(0) PAIR(1) PAIR(2) PAIR(3)
#define GROUPS(ARRANGE, order, READY, FINISH) \
	GROUP(ARRANGE, order, READY, FINISH, 0) \
	GROUP(ARRANGE, order, READY, FINISH, 1)
#define OTHERS(ONE)  ONE(1) ONE(2) ONE(3) ONE(4) ONE(5) ONE(6) ONE(7) // vectors behind the first

// Orders of the dwords of codes that packing within lanes of 128 bits leaves: of neighbours, and of
// even and odd elements.
DATA natural<>+0(SB)/8, $0x0703060205010400
GLOBL natural<>(SB), RODATA|NOPTR, $8
DATA paired<>+0(SB)/8, $0x0706030205040100
GLOBL paired<>(SB), RODATA|NOPTR, $8

// FOLD leaves the maxima of even and of odd lanes in the first two of Y0.
#define FOLD \
	VSHUFI64X2 $1, Y0, Y0, Y1 \
	VPMAXUD Y1, Y0, Y0       \
	VPSHUFD $0x4e, Y0, Y1    \
	VPMAXUD Y1, Y0, Y0
