package adam

import (
	"math/big"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/fusedadam/adam/internal/selection"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestKernels(t *testing.T) {
	names := Kernels()
	assert.Equal(t, selection.Generic, names[len(names)-1], "generic is the last")
	assert.Contains(t, names, Kernel())
	if request := os.Getenv("ADAM_KERNEL"); slices.Contains(names, request) {
		assert.Equal(t, request, Kernel(), "ADAM_KERNEL")
	} else {
		assert.Equal(t, names[0], Kernel(), "the best without ADAM_KERNEL")
	}
}

// chosen starts this test binary anew with the environment and returns its Kernel and Kernels.
func chosen(t *testing.T, env ...string) (string, []string) {
	child := exec.Command(os.Args[0], "-test.run=^TestPrintKernels$", "-test.v")
	child.Env = append(os.Environ(), "ADAM_TEST_REQUIRE=", "ADAM_TEST_PRINT=1")
	child.Env = append(child.Env, env...)
	out, err := child.CombinedOutput()
	require.NoError(t, err, "%s", out)
	for _, line := range strings.Split(string(out), "\n") {
		if _, list, ok := strings.Cut(strings.TrimSpace(line), "kernels: "); ok {
			fields := strings.Fields(list)
			return fields[0], fields[1:]
		}
	}
	t.Fatalf("no kernels in %s", out)
	return "", nil
}

func TestPrintKernels(t *testing.T) {
	if os.Getenv("ADAM_TEST_PRINT") != "" {
		t.Log("kernels:", Kernel(), strings.Join(Kernels(), " "))
	}
}

// ADAM_KERNEL chooses among the kernels that can run, GODEBUG takes some away.
func TestChoice(t *testing.T) {
	names := Kernels()
	if exec.Command(os.Args[0], "-test.run=^$").Run() != nil {
		t.Skip("under an emulator that cannot start the test binary anew")
	}
	if _, all := chosen(t); !slices.Equal(all, names) {
		t.Skip("under an emulator that does not emulate a test binary started anew")
	}
	for _, name := range names {
		got, all := chosen(t, "ADAM_KERNEL="+name)
		assert.Equal(t, name, got)
		assert.Equal(t, names, all, "Kernels does not depend on ADAM_KERNEL")
	}
	for _, unknown := range []string{"", "avx1024", "sve2"} {
		got, _ := chosen(t, "ADAM_KERNEL="+unknown)
		assert.Equal(t, names[0], got)
	}
	if slices.Contains(names, "avx512") {
		for _, flag := range []string{"avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512"} {
			got, all := chosen(t, "GODEBUG=cpu."+flag+"=off", "ADAM_KERNEL=avx512")
			assert.Equal(t, "avx2", got, "without %s", flag)
			assert.NotContains(t, all, "avx512")
			assert.NotContains(t, all, "avx512vl")
		}
		got, _ := chosen(t, "GODEBUG=cpu.avx512f=off,cpu.avx2=off", "ADAM_KERNEL=")
		assert.Equal(t, "generic", got)
	}
}

func TestChoose(t *testing.T) {
	yes := []selection.Flag{{Name: "a", Have: true}, {Name: "b", Have: true}}
	no := []selection.Flag{{Name: "a", Have: true}, {Name: "b"}}
	kernels := []selection.Kernel{
		{Name: "best", Needs: no}, {Name: "good", Needs: yes}, {Name: "fair", Needs: yes},
		{Name: "generic"},
	}
	for request, want := range map[string]int{
		"": 1, "best": 1, "good": 1, "fair": 2, "generic": 3, "other": 1, "FAIR": 2,
	} {
		assert.Equal(t, want, selection.Choose(kernels, request), "request %q", request)
	}
	rank := selection.Rank(kernels, 2)
	var names []string
	for _, k := range rank {
		names = append(names, k.Name)
	}
	assert.Equal(t, []string{"fair", "best", "good", "generic"}, names)
	assert.Equal(t, 0, selection.Choose(rank, "best"))
	assert.Equal(t, "best", kernels[0].Name, "Rank leaves its argument alone")
	assert.Equal(t, []string{"b"}, kernels[0].Missing())
	assert.Empty(t, kernels[1].Missing())
	assert.Panics(t, func() { selection.Use("other") })
}

// The scalars of random steps are those of docs/ARITHMETIC.md, computed with math/big: each
// operation rounded to 53 bits, each scalar once more to 24. So no scalar is rounded to float32 on
// the way.
func TestScalars(t *testing.T) {
	b := func(x float64) *big.Float { return big.NewFloat(x) } // 53 bits
	mul := func(x, y *big.Float) *big.Float { return b(0).Mul(x, y) }
	sub := func(x, y *big.Float) *big.Float { return b(0).Sub(x, y) }
	f32 := func(x *big.Float) float32 {
		y, _ := x.Float32()
		return y
	}
	pow := func(beta float64, t uint64) *big.Float {
		r, square := b(1), b(beta)
		for ; t > 0; t >>= 1 {
			if t&1 != 0 {
				r = mul(r, square)
			}
			square = mul(square, square)
		}
		return r
	}
	r := rand.New(rand.NewPCG(11, 12))
	for range 3000 {
		c := Config{LR: r.Float64() / 10, Beta1: r.Float64(), Beta2: 1 - r.Float64()/100,
			Eps: r.Float64() / 1e6, WeightDecay: r.Float64(), Decoupled: r.IntN(4) > 0,
			EpsUncorrected: r.IntN(4) == 0}
		n, scale := 1+r.Uint64N(5000), r.Float64()
		one := b(1)
		q := b(0).Sqrt(sub(one, pow(c.Beta2, n)))
		alpha := b(0).Quo(mul(b(c.LR), q), sub(one, pow(c.Beta1, n)))
		want := coeffs{
			s: f32(b(scale)), lambda: f32(b(c.WeightDecay)), live: exponent, kappa: 1,
			b1: f32(b(c.Beta1)), c1: f32(sub(one, b(c.Beta1))),
			b2: f32(b(c.Beta2)), c2: f32(sub(one, b(c.Beta2))),
			alpha: f32(alpha), eps: f32(mul(b(c.Eps), q)),
			l2: !c.Decoupled,
		}
		if c.Decoupled {
			want.kappa = f32(sub(one, mul(b(c.LR), b(c.WeightDecay))))
		}
		if c.EpsUncorrected {
			want.eps = f32(b(c.Eps))
		}
		if c.Eps < flushEps {
			want.live = 0xffffffff
		}
		var got coeffs
		got.set(&c, n, scale)
		require.Equal(t, want, got, "%+v, step %d", c, n)
	}
}
