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
#define ASK(base) \
	AHEAD(base, 0)           \
	AHEAD(base, 64)
