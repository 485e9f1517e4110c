// What step_amd64.h leaves open, of float64.

#define SIZE        8
#define ZLEN        8
#define YLEN        4
#define USE_L2      coeffs64_l2
#define USE_MAX     coeffs64_amsgrad
#define VMOVUP      VMOVUPD
#define VMOVAP      VMOVAPD
#define VMASKMOVP   VMASKMOVPD
#define VADDP       VADDPD
#define VSUBP       VSUBPD
#define VMULP       VMULPD
#define VDIVP       VDIVPD
#define VSQRTP      VSQRTPD
#define VMAXP       VMAXPD
#define VMINP       VMINPD
#define VCMPP       VCMPPD
#define VORP        VORPD
#define VPTESTM     VPTESTMQ
#define VPCMPEQ     VPCMPEQQ
#define VPCMPGT     VPCMPGTQ
#define VPBROADCAST VPBROADCASTQ

// The scalars of AVX-512.
#define SCALARS \
	VBROADCASTSD coeffs64_s(AX), S \
	VBROADCASTSD coeffs64_lambda(AX), LAMBDA \
	VBROADCASTSD coeffs64_b1(AX), B1 \
	VBROADCASTSD coeffs64_c1(AX), C1 \
	VBROADCASTSD coeffs64_b2(AX), B2 \
	VBROADCASTSD coeffs64_c2(AX), C2 \
	VBROADCASTSD coeffs64_alpha(AX), ALPHA \
	VBROADCASTSD coeffs64_eps(AX), EPS \
	VBROADCASTSD coeffs64_kappa(AX), KAPPA \
	VBROADCASTSD coeffs64_live(AX), LIVE
