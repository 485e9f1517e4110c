//go:build gc && !purego && !noasm

#include "go_asm.h"
#include "textflag.h"
#include "float64_amd64.h"
#include "ymm_amd64.h"
#include "step_amd64.h"

// func step64AVX512VL(p, grad, m, v, x *float64, n int, c *coeffs64)
TEXT ·step64AVX512VL(SB), NOSPLIT, $8-56
	ENTER(usual)
	LOAD_ARGUMENTS
	SCALARS
	VARIANTSK
done:
	LEAVE(left)
