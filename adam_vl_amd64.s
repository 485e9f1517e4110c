//go:build gc && !purego && !noasm

#include "go_asm.h"
#include "textflag.h"
#include "float32_amd64.h"
#include "ymm_amd64.h"
#include "step_amd64.h"

// AVX-512's step on 256 bits.

// func stepAVX512VL(p, grad, m, v, x *float32, n int, c *coeffs)
TEXT ·stepAVX512VL(SB), NOSPLIT, $8-56
	ENTER(usual)
	LOAD_ARGUMENTS
	SCALARS
	VARIANTSK
done:
	LEAVE(left)

// func stepRunsAVX512VL(p, grad, m, v, x *float32, runs *run, k int, c *coeffs)
TEXT ·stepRunsAVX512VL(SB), NOSPLIT, $8-64
	ENTER(usual)
	LOAD_RUNS
	SCALARS
	NEXT_RUN(end)
	VARIANTSK
end:
	LEAVE(left)
