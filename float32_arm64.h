// The float32 of step_arm64.h.

// The vector operations that the Go assembler lacks, on register numbers: d = n op m.
#define FADD4S(m, n, d) WORD $(0x4e20d400 | (m)<<16 | (n)<<5 | (d))
#define FSUB4S(m, n, d) WORD $(0x4ea0d400 | (m)<<16 | (n)<<5 | (d))
#define FMUL4S(m, n, d) WORD $(0x6e20dc00 | (m)<<16 | (n)<<5 | (d))
#define FDIV4S(m, n, d) WORD $(0x6e20fc00 | (m)<<16 | (n)<<5 | (d))
#define FMAX4S(m, n, d) WORD $(0x4e20f400 | (m)<<16 | (n)<<5 | (d))
#define FMIN4S(m, n, d) WORD $(0x4ea0f400 | (m)<<16 | (n)<<5 | (d))
#define FSQRT4S(n, d)   WORD $(0x6ea1f800 | (n)<<5 | (d))

#define SIZE           4
#define LEN            4
#define USE_L2         coeffs_l2
#define USE_MAX        coeffs_amsgrad
#define FMOVT          FMOVS
#define FADD(m, n, d)  FADD4S(m, n, d)
#define FSUB(m, n, d)  FSUB4S(m, n, d)
#define FMUL(m, n, d)  FMUL4S(m, n, d)
#define FDIV(m, n, d)  FDIV4S(m, n, d)
#define FMAX(m, n, d)  FMAX4S(m, n, d)
#define FMIN(m, n, d)  FMIN4S(m, n, d)
#define FSQRT(n, d)    FSQRT4S(n, d)
#define DUP(v)         VDUP v.S[0], v.S4
#define CMTST(m, n, d) VCMTST m.S4, n.S4, d.S4

#define SCALARS \
	SCALAR(coeffs_s, F16, V16) \
	SCALAR(coeffs_lambda, F17, V17) \
	SCALAR(coeffs_b1, F18, V18) \
	SCALAR(coeffs_c1, F19, V19) \
	SCALAR(coeffs_b2, F20, V20) \
	SCALAR(coeffs_c2, F21, V21) \
	SCALAR(coeffs_alpha, F22, V22) \
	SCALAR(coeffs_eps, F23, V23) \
	SCALAR(coeffs_kappa, F24, V24) \
	SCALAR(coeffs_live, F25, V25)
