// The step in NEON, of float32 and of float64. The file that includes this one defines the type:
// SIZE, the bytes of an element; LEN, the elements of a vector; USE_L2 and USE_MAX, where its
// coefficients have the flags l2 and amsgrad; FMOVT, the move of one element; and the vector
// instructions FADD to FSQRT, DUP (element 0 to all lanes) and CMTST. The small kernels are at the
// end.
//
// The kernel of a step computes, with the scalars of coeffs or coeffs64 in every lane of a vector,
//
//	g = s*g
//	g = g + λ*p                           L2
//	v = b2*v + (c2*g)*g
//	v = +0 where bits(v)&live == 0
//	x = max(x, v), NaN if either is NaN   AMSGrad; else x = v
//	m = b1*m + c1*g
//	m = +0 where bits(m)&live == 0
//	p = κ*p - α*(m/(√x + ε))
//
// with v before m, so that the square root begins early.
//
//	R0 p   R1 grad   R2 m   R3 v   R4 x   R5 elements left   R6 c

// All kernels compute in the usual floating-point mode: rounding to nearest, subnormals kept, no
// trapped exceptions. A C library may have put the thread into another one. ENTER looks at FPCR and
// sets the usual mode only if it must; LEAVE restores the old one. usual and left are labels.
//
//	R10 FPCR as it was
#define ENTER(usual) \
	MRS  FPCR, R10           \
	MOVD $const_modeBits, R11 \
	TST  R11, R10            \
	BEQ  usual               \
	MSR  ZR, FPCR            \
usual:

#define LEAVE(left) \
	MOVD $const_modeBits, R11 \
	TST  R11, R10            \
	BEQ  left                \
	MSR  R10, FPCR           \
left:                        \
	RET

// Numbers of the registers; Go's own instructions name them V0 or F0 to V25 or F25.
#define G      0 // gradient, then the parameter
#define V      1
#define U      2 // scratch
#define R      3 // root of the second moment, then the update
#define M      4
#define SCALE  16
#define LAMBDA 17
#define B1     18
#define C1     19
#define B2     20
#define C2     21
#define ALPHA  22
#define EPS    23
#define KAPPA  24
#define LIVE   25

#define SCALAR(offset, f, v) \
	FMOVT offset(R6), f      \
	DUP(v)

// What the variants have more, empty without. MOV is FMOVQ for a vector, FMOVT for one element,
// which zeroes the lanes above it; size is its bytes. The loads move the pointers: a store would do
// so only when its data is there.
#define NOL2(MOV, size)
#define L2(MOV, size) \
	MOV   (R0), F2           \
	FMUL(LAMBDA, U, U)       \
	FADD(U, G, G)

#define NOMAX(MOV, size)
#define MAX(MOV, size) \
	MOV.P size(R4), F2       \
	FMAX(V, U, V)            \
	MOV   F1, -size(R4)

// The arithmetic without loads and stores: fused steps have their own, see fused_arm64.s.
#define SCALED \
	FMUL(SCALE, G, G)

#define SECOND \
	FMUL(B2, V, V)           \
	FMUL(C2, G, U)           \
	FMUL(G, U, U)            \
	FADD(U, V, V)            \
	CMTST(V25, V1, V2)       \
	VAND  V2.B16, V1.B16, V1.B16

#define ROOT \
	FSQRT(V, R)

#define FIRST \
	FMUL(B1, M, M)           \
	FMUL(C1, G, G)           \
	FADD(G, M, M)            \
	CMTST(V25, V4, V2)       \
	VAND  V2.B16, V4.B16, V4.B16

#define UPDATE \
	FADD(EPS, R, R)          \
	FDIV(R, M, R)            \
	FMUL(ALPHA, R, R)

#define PARAMETER \
	FMUL(KAPPA, G, G)        \
	FSUB(R, G, G)

#define STEP(MOV, size, VL2, VMAX) \
	MOV.P size(R1), F0       \
	SCALED                   \
	VL2(MOV, size)           \
	MOV.P size(R3), F1       \
	SECOND                   \
	MOV   F1, -size(R3)      \
	VMAX(MOV, size)          \
	ROOT                     \
	MOV.P size(R2), F4       \
	FIRST                    \
	MOV   F4, -size(R2)      \
	UPDATE                   \
	MOV.P size(R0), F0       \
	PARAMETER                \
	MOV   F0, -size(R0)

#define KERNEL(VL2, VMAX, vector, tail, element) \
	SUBS  $LEN, R5           \
	BLT   tail               \
	PCALIGN $32              \
vector:                      \
	STEP(FMOVQ, 16, VL2, VMAX) \
	SUBS  $LEN, R5           \
	BGE   vector             \
tail:                        \
	ADDS  $LEN, R5           \
	BEQ   done               \
element:                     \
	STEP(FMOVT, SIZE, VL2, VMAX) \
	SUBS  $1, R5             \
	BNE   element            \
	B     done

// FLAGS loads the flags, VARIANTS makes the variant that they ask for. It ends at done.
//
//	R8 l2   R9 amsgrad
#define FLAGS \
	MOVBU USE_L2(R6), R8     \
	MOVBU USE_MAX(R6), R9

#define VARIANTS \
	CBNZ R9, amsgrad         \
	CBNZ R8, l2              \
	KERNEL(NOL2, NOMAX, vector, tail, element) \
l2:                          \
	KERNEL(L2, NOMAX, vectorl2, taill2, elementl2) \
amsgrad:                     \
	CBNZ R8, both            \
	KERNEL(NOL2, MAX, vectormax, tailmax, elementmax) \
both:                        \
	KERNEL(L2, MAX, vectorboth, tailboth, elementboth)

// The small kernels work on whole blocks of 32 elements. Each macro is the kernel after the loads
// of its arguments.
//
//	R0, R1 slices   R2 elements left

// SUMS adds to the partial sums at R0. SQUARES adds the squares of a block, with the sums in V16 to
// V31, and moves R1 behind it.
#define SUMS(SQUARES) \
	VLD1.P 64(R0), [V16.D2, V17.D2, V18.D2, V19.D2] \
	VLD1.P 64(R0), [V20.D2, V21.D2, V22.D2, V23.D2] \
	VLD1.P 64(R0), [V24.D2, V25.D2, V26.D2, V27.D2] \
	VLD1   (R0), [V28.D2, V29.D2, V30.D2, V31.D2] \
	SUB    $192, R0          \
	SUBS   $32, R2           \
	BLT    stored            \
	PCALIGN $32              \
loop:                        \
	SQUARES                  \
	SUBS   $32, R2           \
	BGE    loop              \
stored:                      \
	VST1.P [V16.D2, V17.D2, V18.D2, V19.D2], 64(R0) \
	VST1.P [V20.D2, V21.D2, V22.D2, V23.D2], 64(R0) \
	VST1.P [V24.D2, V25.D2, V26.D2, V27.D2], 64(R0) \
	VST1   [V28.D2, V29.D2, V30.D2, V31.D2], (R0)

// CLAMP computes, with s in all lanes of V1, limit in those of V2 and -limit in those of V3,
//
//	d = min(max(s*grad, -limit), limit), NaN if s*grad is
#define CLAMP \
	CBZ   R2, done           \
loop:                        \
	FMOVQ.P 16(R1), F0       \
	FMUL(1, 0, 0)            \
	FMAX(3, 0, 0)            \
	FMIN(2, 0, 0)            \
	FMOVQ.P F0, 16(R0)       \
	SUBS  $LEN, R2           \
	BGT   loop               \
done:

// AVERAGE computes, with c in all lanes of V3 and the bits of the exponent in those of V4,
//
//	e = e + c*(p-e)
//	e = +0 where bits(e)&exponent == 0
#define AVERAGE \
	CBZ   R2, done           \
loop:                        \
	FMOVQ   (R0), F0         \
	FMOVQ.P 16(R1), F1       \
	FSUB(0, 1, 1)            \
	FMUL(3, 1, 1)            \
	FADD(1, 0, 0)            \
	CMTST(V4, V0, V2)        \
	VAND  V2.B16, V0.B16, V0.B16 \
	FMOVQ.P F0, 16(R0)       \
	SUBS  $LEN, R2           \
	BGT   loop               \
done:

// ADDTO computes
//
//	to = to + from
#define ADDTO \
	CBZ   R2, done           \
loop:                        \
	FLDPQ   (R0), (F0, F1)   \
	FLDPQ.P 32(R1), (F2, F3) \
	FADD(2, 0, 0)            \
	FADD(3, 1, 1)            \
	FSTPQ.P (F0, F1), 32(R0) \
	SUBS  $(2*LEN), R2       \
	BGT   loop               \
done:
