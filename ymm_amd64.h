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
#define ASK(base) AHEAD(base, 0)
