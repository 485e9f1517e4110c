// The step in RVV 1.0, of float32 and of float64. The file that includes this one defines the type:
// SHIFT, the logarithm of the bytes of an element; WIDTH, the element width of VSETVLI; USE_L2 and
// USE_MAX, where its coefficients have the flags l2 and amsgrad; and the moves LOAD and STORE of a
// vector and FMOVT of one element. The small kernels are at the end.
//
// The kernel of a step computes, with the scalars of coeffs or coeffs64,
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
// with v before m, so that the square root begins early. VSETVLI says how many elements a turn
// makes: vectors may be of any length, and the tail is a turn of fewer elements.
//
//	X10 p   X11 grad   X12 m   X13 v   X14 x   X15 elements left   X16 c

// All kernels compute in the usual floating-point mode, which is rounding to nearest: RISC-V keeps
// subnormals and traps no exception. A C library may have put the thread into another one. ENTER
// looks at FRM and sets the usual mode only if it must; LEAVE restores the old one. usual and left
// are labels.
//
//	X20 FRM as it was
#define ENTER(usual) \
	CSRRS X0, FRM, X20       \
	BEQZ  X20, usual         \
	CSRRW X0, FRM, X0        \
usual:

#define LEAVE(left) \
	BEQZ  X20, left          \
	CSRRW X20, FRM, X0       \
left:                        \
	RET

// Groups of four registers, LMUL; V0 is the mask. The last two operands of an instruction are the
// left one, as in Go's V3 = V2 - V1 of VFSUBVV V1, V2, V3, and the result.
#define G      V4  // gradient, then the parameter
#define V      V8
#define U      V12 // scratch
#define R      V16 // root of the second moment, then the update
#define M      V20
#define SCALE  F10
#define LAMBDA F11
#define B1     F12
#define C1     F13
#define B2     F14
#define C2     F15
#define ALPHA  F16
#define EPS    F17
#define KAPPA  F18
#define LIVE   X21

// FLUSH sets v to +0 where bits(v)&live == 0.
#define FLUSH(live, v) \
	VANDVX    live, v, U     \
	VMSEQVI   $0, U, V0      \
	VMERGEVIM $0, v, V0, v

// NAN sets d to v where v is NaN, else to r: VFMAX and VFMIN return the operand that is a number.
#define NAN(v, r, d) \
	VMFNEVV   v, v, V0       \
	VMERGEVVM v, r, V0, d

// What the variants have more, empty without.
#define NOL2
#define L2 \
	LOAD    (X10), U         \
	VFMULVF LAMBDA, U, U     \
	VFADDVV U, G, G

#define NOMAX
#define MAX \
	LOAD    (X14), U         \
	VFMAXVV V, U, R          \
	NAN(U, R, R)             \
	NAN(V, R, V)             \
	STORE   V, (X14)         \
	ADD     X18, X14

#define KERNEL(VL2, VMAX, loop) \
	BEQZ    X15, done        \
loop:                        \
	VSETVLI X15, WIDTH, M4, TA, MA, X17 \
	SLL     $SHIFT, X17, X18 \
	LOAD    (X11), G         \
	ADD     X18, X11         \
	VFMULVF SCALE, G, G      \
	VL2                      \
	LOAD    (X13), V         \
	VFMULVF B2, V, V         \
	VFMULVF C2, G, U         \
	VFMULVV G, U, U          \
	VFADDVV U, V, V          \
	FLUSH(LIVE, V)           \
	STORE   V, (X13)         \
	ADD     X18, X13         \
	VMAX                     \
	VFSQRTV V, R             \
	LOAD    (X12), M         \
	VFMULVF B1, M, M         \
	VFMULVF C1, G, G         \
	VFADDVV G, M, M          \
	FLUSH(LIVE, M)           \
	STORE   M, (X12)         \
	ADD     X18, X12         \
	VFADDVF EPS, R, R        \
	VFDIVVV R, M, R          \
	VFMULVF ALPHA, R, R      \
	LOAD    (X10), G         \
	VFMULVF KAPPA, G, G      \
	VFSUBVV R, G, G          \
	STORE   G, (X10)         \
	ADD     X18, X10         \
	SUB     X17, X15         \
	BNEZ    X15, loop        \
	JMP     done

// FLAGS loads the flags, VARIANTS makes the variant that they ask for. It ends at done.
//
//	X22 l2   X23 amsgrad
#define FLAGS \
	MOVBU USE_L2(X16), X22   \
	MOVBU USE_MAX(X16), X23

#define VARIANTS \
	BNEZ X23, amsgrad        \
	BNEZ X22, l2             \
	KERNEL(NOL2, NOMAX, loop) \
l2:                          \
	KERNEL(L2, NOMAX, loopl2) \
amsgrad:                     \
	BNEZ X22, both           \
	KERNEL(NOL2, MAX, loopmax) \
both:                        \
	KERNEL(L2, MAX, loopboth)

// The small kernels. Each macro is the kernel after the loads of its arguments.
//
//	X10, X11 slices   X15 elements left

// SUMS adds to the partial sums at X10. VLEN is at least 128, so that a group of eight registers
// holds 16 float64: V16 has the lower half of the sums, V24 the upper, at any VLEN. SQUARES adds
// the squares of a block of 32 elements and moves X11 behind it. It may set another vector length.
#define SUMS(SQUARES) \
	MOV     $16, X17         \
	ADD     $128, X10, X18   \
	VSETVLI X17, E64, M8, TA, MA, X19 \
	VLE64V  (X10), V16       \
	VLE64V  (X18), V24       \
	BEQZ    X15, stored      \
loop:                        \
	SQUARES                  \
	ADD     $-32, X15        \
	BNEZ    X15, loop        \
	VSETVLI X17, E64, M8, TA, MA, X19 \
	VSE64V  V16, (X10)       \
	VSE64V  V24, (X18)       \
stored:

// CLAMP computes, with s in F10, limit in F11 and -limit in F12,
//
//	d = min(max(s*grad, -limit), limit), NaN if s*grad is
#define CLAMP \
	BEQZ    X15, done        \
loop:                        \
	VSETVLI X15, WIDTH, M4, TA, MA, X17 \
	SLL     $SHIFT, X17, X18 \
	LOAD    (X11), V4        \
	ADD     X18, X11         \
	VFMULVF F10, V4, V4      \
	VFMAXVF F12, V4, V8      \
	VFMINVF F11, V8, V8      \
	NAN(V4, V8, V8)          \
	STORE   V8, (X10)        \
	ADD     X18, X10         \
	SUB     X17, X15         \
	BNEZ    X15, loop        \
done:

// AVERAGE computes, with c in F10 and the bits of the exponent in X21,
//
//	e = e + c*(p-e)
//	e = +0 where bits(e)&exponent == 0
#define AVERAGE \
	BEQZ    X15, done        \
loop:                        \
	VSETVLI X15, WIDTH, M4, TA, MA, X17 \
	SLL     $SHIFT, X17, X18 \
	LOAD    (X10), V4        \
	LOAD    (X11), V8        \
	ADD     X18, X11         \
	VFSUBVV V4, V8, V8       \
	VFMULVF F10, V8, V8      \
	VFADDVV V8, V4, V4       \
	FLUSH(X21, V4)           \
	STORE   V4, (X10)        \
	ADD     X18, X10         \
	SUB     X17, X15         \
	BNEZ    X15, loop        \
done:

// ADDTO computes
//
//	to = to + from
#define ADDTO \
	BEQZ    X15, done        \
loop:                        \
	VSETVLI X15, WIDTH, M4, TA, MA, X17 \
	SLL     $SHIFT, X17, X18 \
	LOAD    (X10), V4        \
	LOAD    (X11), V8        \
	ADD     X18, X11         \
	VFADDVV V8, V4, V4       \
	STORE   V4, (X10)        \
	ADD     X18, X10         \
	SUB     X17, X15         \
	BNEZ    X15, loop        \
done:
