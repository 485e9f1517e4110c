//go:build gc && !purego && !noasm

#include "go_asm.h"
#include "textflag.h"
#include "float32_amd64.h"
#include "ymm_amd64.h"
#include "step_amd64.h"
#include "schedule_amd64.h"
#include "storage_amd64.h"
#include "fused_amd64.h"

// The fused steps on 256 bits.

// func fusedSplitAVX512VL(a *operands16, n int, c *coeffs)
TEXT ·fusedSplitAVX512VL(SB), NOSPLIT, $8-24
	ENTER(usual)
	FUSED_SPLIT
	LEAVE(left)

// func fusedBF16AVX512VL(a *operands16, n int, c *coeffs)
TEXT ·fusedBF16AVX512VL(SB), NOSPLIT, $8-24
	ENTER(usual)
	FUSED_BF16
	LEAVE(left)

// func fusedMomentsAVX512VL(a *operands16, n int, c *coeffs)
TEXT ·fusedMomentsAVX512VL(SB), NOSPLIT, $8-24
	ENTER(usual)
	FUSED_MOMENTS
	LEAVE(left)

// func fusedSplitQ8AVX512VL(a *operands16, n int, c *coeffs)
TEXT ·fusedSplitQ8AVX512VL(SB), NOSPLIT, $592-24
	ENTER(usual)
	FUSED_SPLITQ8
	LEAVE(left)

// func fusedQ8AVX512VL(a *operands16, n int, c *coeffs)
TEXT ·fusedQ8AVX512VL(SB), NOSPLIT, $592-24
	ENTER(usual)
	FUSED_Q8
	LEAVE(left)

// func fusedGradientAVX512VL(a *operands16, n int, c *coeffs)
TEXT ·fusedGradientAVX512VL(SB), NOSPLIT, $8-24
	ENTER(usual)
	FUSED_GRADIENT
	LEAVE(left)

// func fusedCopyAVX512VL(a *operands16, n int, c *coeffs)
TEXT ·fusedCopyAVX512VL(SB), NOSPLIT, $8-24
	ENTER(usual)
	FUSED_COPY
	LEAVE(left)
