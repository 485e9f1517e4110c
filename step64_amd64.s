//go:build gc && !purego && !noasm

#include "go_asm.h"
#include "textflag.h"
#include "step_amd64.h"

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
#define VCMPP       VCMPPD
#define VORP        VORPD
#define VPTESTM     VPTESTMQ
#define VPCMPEQ     VPCMPEQQ
#define VPCMPGT     VPCMPGTQ
#define VPBROADCAST VPBROADCASTQ

// func step64AVX512(p, grad, m, v, x *float64, n int, c *coeffs64)
TEXT ·step64AVX512(SB), NOSPLIT, $8-56
	ENTER(usual)
	LOAD_ARGUMENTS
	VBROADCASTSD coeffs64_s(AX), S
	VBROADCASTSD coeffs64_lambda(AX), LAMBDA
	VBROADCASTSD coeffs64_b1(AX), B1
	VBROADCASTSD coeffs64_c1(AX), C1
	VBROADCASTSD coeffs64_b2(AX), B2
	VBROADCASTSD coeffs64_c2(AX), C2
	VBROADCASTSD coeffs64_alpha(AX), ALPHA
	VBROADCASTSD coeffs64_eps(AX), EPS
	VBROADCASTSD coeffs64_kappa(AX), KAPPA
	VBROADCASTSD coeffs64_live(AX), LIVE
	VARIANTSZ
done:
	LEAVE(left)

DATA ordinals<>+0(SB)/8, $0
DATA ordinals<>+8(SB)/8, $1
DATA ordinals<>+16(SB)/8, $2
DATA ordinals<>+24(SB)/8, $3
GLOBL ordinals<>(SB), RODATA|NOPTR, $32

// func step64AVX2(p, grad, m, v, x *float64, n int, c *coeffs64)
TEXT ·step64AVX2(SB), NOSPLIT, $72-56
	ENTER(usual)
	LOAD_ARGUMENTS
	VBROADCASTSD coeffs64_alpha(AX), UY
	VMOVUPS UY, ALPHAY
	VBROADCASTSD coeffs64_lambda(AX), UY
	VMOVUPS UY, LAMBDAY
	VBROADCASTSD coeffs64_kappa(AX), KAPPAY
	VBROADCASTSD coeffs64_s(AX), SY
	VBROADCASTSD coeffs64_b1(AX), B1Y
	VBROADCASTSD coeffs64_c1(AX), C1Y
	VBROADCASTSD coeffs64_b2(AX), B2Y
	VBROADCASTSD coeffs64_c2(AX), C2Y
	VBROADCASTSD coeffs64_eps(AX), EPSY
	VBROADCASTSD coeffs64_live(AX), LIVEY
	VPXOR ZEROY, ZEROY, ZEROY
	VARIANTSY
done:
	LEAVE(left)
