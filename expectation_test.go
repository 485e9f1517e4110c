package adam

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/fusedadam/adam/internal/operands"
	"github.com/stretchr/testify/require"
)

// An expected is what a stored value is on average, and its variance.
type expected struct{ mean, variance float64 }

// of bfloat16 that is rounded stochastically.
func (x expected) ofBF16() expected {
	p, part := bfloat16.below(x.mean)
	gap := bfloat16[p+1] - bfloat16[p]
	x.variance = gap * gap * part * (1 - part)
	return x
}

// of 8 bits. The sum |m|+L is rounded to a float32 before, which is not by chance.
func (x expected) ofM8(scale uint8) expected {
	l, sum := places[8*int(scale)-118], q8Sum(float32(x.mean), int(scale))
	return expected{math.Copysign(sum-l, x.mean), variance8(sum)}
}

func (x expected) ofV8() expected {
	x.variance = variance8(x.mean)
	return x
}

func variance8(x float64) float64 {
	k, part := placeOf(x)
	gap, part := places[k+1]-places[k], part/(1<<20)
	return gap * gap * part * (1 - part)
}

// From the same state, over many seeds, the mean of what a step stores is the result of the step of
// float32, and its variance that of one rounding. What is not rounded by chance is the same for all
// seeds. The seeds are fixed; bounds are 6 standard deviations.
func TestExpectationOfStep(t *testing.T) {
	adamw, amsgrad := DefaultW(), DefaultW()
	adamw.LR, adamw.WeightDecay, amsgrad.AMSGrad = 1e-2, 0.1, true
	for _, test := range []struct {
		combination
		Config
	}{
		{combination{"Grad", "Value", BF16Moments}, adamw},
		{combination{"GradBF16", "split", BF16Moments}, adamw},
		{combination{"GradBF16", "BF16", BF16Moments}, adamw},
		{combination{"GradF16", "Value", BF16Moments}, amsgrad},
		{combination{"Grad", "Value", Q8Moments}, adamw},
		{combination{"GradBF16", "split", Q8Moments}, adamw},
		{combination{"GradF16", "BF16", Q8Moments}, adamw},
	} {
		t.Run(fmt.Sprintf("%v, amsgrad %v", test, test.AMSGrad), func(t *testing.T) {
			eachKernel(t, func(t *testing.T) { expectation(t, test.combination, test.Config) })
		})
	}
}

func expectation(t *testing.T, c combination, config Config) {
	const seeds, n = 2000, 200 // three blocks and some
	r := rand.New(rand.NewPCG(1, 2))
	p := c.param(r, n, operands.Normal)
	s := NewState16(p, c.storage(), 0, config)
	s.T = 100
	m, v := randoms(r, n), randoms(r, n)
	for i := range v { // v of 20 octaves, and m beside it
		v[i] = float32(math.Exp2(-20 * r.Float64()))
		m[i] *= float32(math.Sqrt(float64(v[i])))
	}
	for i := range s.Rest {
		s.Rest[i] = int16(r.Uint32())
	}
	require.NoError(t, s.SetFloat32(m, v))
	require.NoError(t, s.Float32(m, v))
	x := make([]float32, n)
	for i := range s.VMax16 {
		s.VMax16[i] = ToBF16(v[i] * (0.5 + r.Float32()))
	}
	decodeBF16(x[:len(s.VMax16)], s.VMax16)
	c.draw(r, &p, func(r *rand.Rand) float32 { return 0.1 * operands.Normal(r) })

	// the step of float32
	value := append([]float32(nil), p.decode(s, 0, n, make([]float32, n))...)
	grad := p.decodeGrad(0, n, make([]float32, n))
	whole := State{T: s.T, M: m, V: v, VMax: x}
	require.NoError(t, whole.Step(value, grad, config))

	names := []string{"p", "m", "v", "maximum"}
	var sums, squares [4][]float64
	for k := range sums {
		sums[k], squares[k] = make([]float64, n), make([]float64, n)
	}
	want := make([][4]expected, n)
	gotM, gotV, gotX := make([]float32, n), make([]float32, n), make([]float32, n)
	products := make([]float64, n)
	for seed := range uint64(seeds) {
		p, s := clone(p, s)
		s.Key = keyOf(seed, "w")
		require.NoError(t, s.Step(p, config))
		require.NoError(t, s.Float32(gotM, gotV))
		decodeBF16(gotX[:len(s.VMax16)], s.VMax16)
		got := [4][]float32{p.decode(s, 0, n, make([]float32, n)), gotM, gotV, gotX}
		for i := range n {
			if seed == 0 { // the scales are known now
				want[i] = expectedOf(c, s, i, value[i], m[i], v[i], x[i])
			}
			for k := range got {
				off := float64(got[k][i]) - want[i][k].mean
				sums[k][i] += off
				squares[k][i] += off * off
			}
			products[i] += (float64(gotM[i]) - want[i][1].mean) *
				(float64(gotV[i]) - want[i][2].mean)
		}
		for b := range s.MScale {
			require.Equal(t, scalesOf(m, b), int(s.MScale[b]))
			require.Equal(t, scalesOf(v, b), int(s.VScale[b]))
		}
	}
	for k, name := range names {
		zz, count := 0.0, 0
		for i := range n {
			variance := want[i][k].variance
			if variance == 0 {
				require.Zero(t, squares[k][i], "%s[%d] is not by chance", name, i)
				continue
			}
			z := sums[k][i] / math.Sqrt(seeds*variance)
			require.Less(t, math.Abs(z), 6.0, "mean of %s[%d], expected %v", name, i, want[i][k])
			zz += squares[k][i] / (seeds * variance)
			count++
		}
		if name == "m" || name == "v" {
			require.Greater(t, count, n*9/10)
		}
		if count > 0 {
			require.InDelta(t, 1, zz/float64(count), 0.1, "variance of %s", name)
		}
	}
	z, count := 0.0, 0.0
	for i := range n {
		if a := want[i][1].variance * want[i][2].variance; a > 0 {
			z += products[i] / math.Sqrt(seeds*a)
			count++
		}
	}
	require.Less(t, math.Abs(z), 6*math.Sqrt(count), "m and v are rounded independently")
}

func scalesOf(s []float32, b int) int {
	return exponentOf(s[b*block16 : min(len(s), (b+1)*block16)])
}

// expectedOf returns what the element i is stored as: p, m, v and the maximum.
func expectedOf(c combination, s *State16, i int, p, m, v, x float32) [4]expected {
	e := [4]expected{{mean: float64(p)}, {mean: float64(m)}, {mean: float64(v)}, {mean: float64(x)}}
	if c.value == "BF16" {
		e[0] = e[0].ofBF16()
	}
	if c.moments == Q8Moments {
		e[1], e[2] = e[1].ofM8(s.MScale[i/block16]), e[2].ofV8()
	} else {
		for k := 1; k < 4; k++ {
			e[k] = e[k].ofBF16()
		}
	}
	return e
}

// Over thousands of steps rounding adds noise to the moments and no bias, also while the second one
// falls to a hundredth, where it would be stuck if it were rounded to nearest. The seeds are fixed.
func TestMomentsOfManySteps(t *testing.T) {
	if testing.Short() {
		t.Skip("millions of elements")
	}
	const n, steps = 4096, 4000
	c := DefaultW()
	for moments, most := range map[Moments][2]float64{
		BF16Moments: {0.01, 0.06}, // noise of m and v where gradients stay as large as they are
		Q8Moments:   {0.1, 0.25},
	} {
		r := rand.New(rand.NewPCG(1, 2))
		p := Param16{Name: "w", Value: make([]float32, n), Grad: make([]float32, n)}
		s, plain := NewState16(p, Storage{Moments: moments}, 1, c), NewState(n, c)
		value := make([]float32, n)
		stage := func(size float64) (noise [2]float64) {
			for range steps {
				for i := range p.Grad {
					p.Grad[i] = float32(size * r.NormFloat64())
				}
				require.NoError(t, s.Step(p, c))
				require.NoError(t, plain.Step(value, p.Grad, c))
			}
			m, v := make([]float32, n), make([]float32, n)
			require.NoError(t, s.Float32(m, v))
			var means, squares [2]float64
			for i := range n {
				// m has the size 1/√19 of the gradients
				for k, off := range [2]float64{
					(float64(m[i]) - float64(plain.M[i])) * math.Sqrt(19) / size,
					float64(v[i])/float64(plain.V[i]) - 1,
				} {
					means[k] += off / n
					squares[k] += off * off / n
				}
			}
			for k, name := range []string{"m", "v"} {
				noise[k] = math.Sqrt(squares[k])
				require.Less(t, math.Abs(means[k]), 6*noise[k]/math.Sqrt(n), "mean of %s", name)
			}
			t.Logf("%v, gradients of %v: noise of m and v %.4f, means %.5f", moments, size, noise,
				means)
			return noise
		}
		for k, noise := range stage(1) {
			require.Less(t, noise, most[k])
		}
		stage(0.1)
	}
}
