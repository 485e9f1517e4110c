// What step_amd64.h leaves open, of float32.

#define SIZE        4
#define ZLEN        16
#define YLEN        8
#define USE_L2      coeffs_l2
#define USE_MAX     coeffs_amsgrad
#define VMOVUP      VMOVUPS
#define VMOVAP      VMOVAPS
#define VMASKMOVP   VMASKMOVPS
#define VADDP       VADDPS
#define VSUBP       VSUBPS
#define VMULP       VMULPS
#define VDIVP       VDIVPS
#define VSQRTP      VSQRTPS
#define VMAXP       VMAXPS
#define VMINP       VMINPS
#define VCMPP       VCMPPS
#define VORP        VORPS
#define VPTESTM     VPTESTMD
#define VPCMPEQ     VPCMPEQD
#define VPCMPGT     VPCMPGTD
#define VPBROADCAST VPBROADCASTD

// The scalars of AVX-512.
#define SCALARS \
	VBROADCASTSS coeffs_s(AX), S \
	VBROADCASTSS coeffs_lambda(AX), LAMBDA \
	VBROADCASTSS coeffs_b1(AX), B1 \
	VBROADCASTSS coeffs_c1(AX), C1 \
	VBROADCASTSS coeffs_b2(AX), B2 \
	VBROADCASTSS coeffs_c2(AX), C2 \
	VBROADCASTSS coeffs_alpha(AX), ALPHA \
	VBROADCASTSS coeffs_eps(AX), EPS \
	VBROADCASTSS coeffs_kappa(AX), KAPPA \
	VBROADCASTSS coeffs_live(AX), LIVE

// A call for k runs makes the VARIANTS, which end at done, for each. SI lies as far before the
// gradients of the run as DI before its parameters, so that BX is the index of all.
//
//	BX, R10 ends of the run   R12 next run   R13 its gradients   R14 runs left   CX scratch

#define LOAD_RUNS \
	MOVQ p+0(FP), DI     \
	MOVQ grad+8(FP), R13 \
	MOVQ m+16(FP), DX    \
	MOVQ v+24(FP), R8    \
	MOVQ x+32(FP), R9    \
	MOVQ runs+40(FP), R12 \
	MOVQ k+48(FP), R14   \
	MOVQ c+56(FP), AX

#define NEXT_RUN(end) \
done:                        \
	SUBQ $1, R14             \
	JLT  end                 \
	MOVQ run_from(R12), BX   \
	MOVQ run_to(R12), R10    \
	ADDQ $run__size, R12     \
	LEAQ (BX*4), CX          \
	MOVQ R13, SI             \
	SUBQ CX, SI              \
	LEAQ (SI)(R10*4), R13
