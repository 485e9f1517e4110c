//go:build gc && !purego && !noasm

#include "go_asm.h"
#include "textflag.h"
#include "float32_amd64.h"
#include "zmm_amd64.h"
#include "step_amd64.h"
#include "schedule_amd64.h"
#include "storage_amd64.h"
#include "fused_amd64.h"

// The fused steps on 512 bits.

// func fusedSplitAVX512(a *operands16, n int, c *coeffs)
TEXT ·fusedSplitAVX512(SB), NOSPLIT, $8-24
	ENTER(usual)
	FUSED_SPLIT
	LEAVE(left)

// func fusedBF16AVX512(a *operands16, n int, c *coeffs)
TEXT ·fusedBF16AVX512(SB), NOSPLIT, $8-24
	ENTER(usual)
	FUSED_BF16
	LEAVE(left)

// func fusedMomentsAVX512(a *operands16, n int, c *coeffs)
TEXT ·fusedMomentsAVX512(SB), NOSPLIT, $8-24
	ENTER(usual)
	FUSED_MOMENTS
	LEAVE(left)

// func fusedSplitQ8AVX512(a *operands16, n int, c *coeffs)
TEXT ·fusedSplitQ8AVX512(SB), NOSPLIT, $592-24
	ENTER(usual)
	FUSED_SPLITQ8
	LEAVE(left)

// func fusedQ8AVX512(a *operands16, n int, c *coeffs)
TEXT ·fusedQ8AVX512(SB), NOSPLIT, $592-24
	ENTER(usual)
	FUSED_Q8
	LEAVE(left)

// func fusedGradientAVX512(a *operands16, n int, c *coeffs)
TEXT ·fusedGradientAVX512(SB), NOSPLIT, $8-24
	ENTER(usual)
	FUSED_GRADIENT
	LEAVE(left)

// func fusedCopyAVX512(a *operands16, n int, c *coeffs)
TEXT ·fusedCopyAVX512(SB), NOSPLIT, $8-24
	ENTER(usual)
	FUSED_COPY
	LEAVE(left)
