package adam

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/fusedadam/adam/internal/operands"
	"github.com/stretchr/testify/require"
)

// A reference is a tensor as the plain implementation below steps it.
type reference struct {
	name               string
	p, g, m, v, x, avg []float32 // g: nil without a gradient
	t                  uint64
	c                  Config
}

// referenceStep is a step of all tensors, one element after the other, as docs/ARITHMETIC.md
// defines it. It returns what Optimizer.Step does.
func referenceStep(o Options, gradScale float64, steps uint64, tensors []*reference) Stats {
	tensors = slices.Clone(tensors)
	slices.SortFunc(tensors, func(a, b *reference) int { return strings.Compare(a.name, b.name) })

	// The global norm: per tile 32 partial sums, tiles by position, tensors by name.
	sum := 0.0
	for _, t := range tensors {
		for tile := range slices.Chunk(t.g, 8192) {
			var lanes [32]float64
			for i, g := range tile {
				lanes[i%32] += float64(float64(g) * float64(g))
			}
			for _, half := range []int{16, 8, 4, 2, 1} {
				for i := range half {
					lanes[i] += lanes[i+half]
				}
			}
			sum += lanes[0]
		}
	}
	norm, clip := math.Sqrt(sum)/gradScale, 1.0
	stats := Stats{T: steps}
	if o.MaxNorm > 0 || o.SkipNonFinite {
		stats.GradNorm = norm
	}
	if finite := sum <= math.MaxFloat64; !finite && o.SkipNonFinite {
		stats.Skipped = true
		if o.ZeroGrad {
			for _, t := range tensors {
				clear(t.g)
			}
		}
		return stats
	}
	if o.MaxNorm > 0 && !math.IsInf(o.MaxNorm, 1) {
		clip = o.MaxNorm / (norm + 1e-6)
		if clip > 1 {
			clip = 1
		}
	}
	stats.T++
	s := float32(clip / gradScale)
	for _, t := range tensors {
		if t.g != nil {
			t.t++
			t.update(s, float32(o.MaxValue))
			if o.ZeroGrad {
				clear(t.g)
			}
		}
		if o.EMADecay > 0 {
			for i, p := range t.p {
				if stats.T == 1 {
					t.avg[i] = p
					continue
				}
				d := float32(p - t.avg[i])
				d = float32(float32(1-o.EMADecay) * d)
				t.avg[i] = flush(float32(t.avg[i]+d), true)
			}
		}
	}
	return stats
}

func (t *reference) update(s, maxValue float32) {
	c := t.c
	b1t, b2t := 1-naivePower(c.Beta1, t.t), 1-naivePower(c.Beta2, t.t)
	b1, c1, b2, c2 := float32(c.Beta1), float32(1-c.Beta1), float32(c.Beta2), float32(1-c.Beta2)
	alpha, eps := float32(c.LR*math.Sqrt(b2t)/b1t), float32(c.Eps*math.Sqrt(b2t))
	if c.EpsUncorrected {
		eps = float32(c.Eps)
	}
	kappa := float32(1)
	if c.Decoupled {
		kappa = float32(1 - float64(c.LR*c.WeightDecay))
	}
	for i, p := range t.p {
		g := float32(s * t.g[i])
		if maxValue > 0 && g > maxValue {
			g = maxValue
		}
		if maxValue > 0 && g < -maxValue {
			g = -maxValue
		}
		if c.Maximize {
			g = -g
		}
		if !c.Decoupled && c.WeightDecay != 0 {
			g += float32(float32(c.WeightDecay) * p)
		}
		m := float32(b1*t.m[i]) + float32(c1*g)
		h := float32(c2 * g)
		v := float32(b2*t.v[i]) + float32(h*g)
		m, v = flush(m, c.Eps >= 0x1p-34), flush(v, c.Eps >= 0x1p-34)
		t.m[i], t.v[i] = m, v
		if c.AMSGrad {
			if x := t.x[i]; x > v || x != x {
				v = x
			}
			t.x[i] = v
		}
		d := float32(math.Sqrt(float64(v))) + eps
		d = float32(m / d)
		t.p[i] = float32(kappa*p) - float32(alpha*d)
	}
}

// flush is x, or +0 for a zero or a subnormal number if asked.
func flush(x float32, subnormals bool) float32 {
	if subnormals && math.Abs(float64(x)) < 0x1p-126 {
		return 0
	}
	return x
}

// A trial is an optimizer and the reference of each of its tensors, with the same values in other
// memory.
type trial struct {
	*Optimizer
	references []*reference // in the order of the optimizer's Params
}

// newTrial draws tensors of the given sizes. Each goes to a group at random; configs are the
// groups'.
func newTrial(t testing.TB, r *rand.Rand, o Options, configs []Config, sizes []int) *trial {
	groups := make([]Group, len(configs))
	for i, c := range configs {
		groups[i].Config = c
	}
	for i, n := range sizes {
		p := Param{Name: fmt.Sprintf("tensor.%d", i), Value: make([]float32, n),
			Grad: make([]float32, n)}
		for j := range n {
			p.Value[j] = float32(r.NormFloat64())
		}
		g := &groups[r.IntN(len(groups))]
		g.Params = append(g.Params, p)
	}
	optimizer, err := New(o, groups...)
	require.NoError(t, err)
	t.Cleanup(func() { _ = optimizer.Close() })
	s := &trial{Optimizer: optimizer}
	for _, g := range optimizer.Groups {
		for _, p := range g.Params {
			zeros := func() []float32 { return make([]float32, len(p.Value)) }
			s.references = append(s.references, &reference{name: p.Name, p: slices.Clone(p.Value),
				m: zeros(), v: zeros(), x: zeros(), avg: slices.Clone(p.Value), c: g.Config})
		}
	}
	return s
}

// params returns the optimizer's Params in the order of the references.
func (s *trial) params() []*Param {
	var all []*Param
	for i := range s.Groups {
		for j := range s.Groups[i].Params {
			all = append(all, &s.Groups[i].Params[j])
		}
	}
	return all
}

// draw makes new gradients, some of them nil or zero, and now and then an element that is not
// finite.
func (s *trial) draw(r *rand.Rand, nonFinite bool) {
	inf := float32(math.Inf(1))
	odd := []float32{float32(math.NaN()), inf, -inf}
	for i, p := range s.params() {
		ref := s.references[i]
		if r.IntN(5) == 0 {
			p.Grad, ref.g = nil, nil
			continue
		}
		p.Grad = make([]float32, len(p.Value))
		scale := math.Exp2(10*r.Float64() - 8)
		for j := range p.Grad {
			p.Grad[j] = float32(r.NormFloat64() * scale)
		}
		if nonFinite && len(p.Grad) > 0 && r.IntN(4) == 0 {
			p.Grad[r.IntN(len(p.Grad))] = odd[r.IntN(len(odd))]
		}
		ref.g = slices.Clone(p.Grad)
	}
}

// step steps both and compares everything.
func (s *trial) step(t testing.TB) Stats {
	t.Helper()
	i := 0
	for _, g := range s.Groups {
		for range g.Params {
			s.references[i].c = g.Config
			i++
		}
	}
	want := referenceStep(s.Options, s.GradScale, s.T, s.references)
	got, err := s.Step()
	require.NoError(t, err)
	bothNaN := got.GradNorm != got.GradNorm && want.GradNorm != want.GradNorm
	if !bothNaN && math.Float64bits(got.GradNorm) != math.Float64bits(want.GradNorm) ||
		got.T != want.T || got.Skipped != want.Skipped || s.T != want.T {
		t.Fatalf("%+v: Stats %+v (T %d), by definition %+v", s.Options, got, s.T, want)
	}
	for i, p := range s.params() {
		ref, state := s.references[i], s.State(p.Name)
		require.Equal(t, ref.t, state.T, "T of %s", p.Name)
		for _, c := range []struct {
			name      string
			got, want []float32
		}{{"Value", p.Value, ref.p}, {"Grad", p.Grad, ref.g}, {"M", state.M, ref.m},
			{"V", state.V, ref.v}, {"VMax", state.VMax, ref.x}, {"EMA", s.EMA(p.Name), ref.avg}} {
			if c.name == "VMax" && !ref.c.AMSGrad || c.name == "EMA" && s.Options.EMADecay == 0 {
				continue
			}
			require.Len(t, c.got, len(c.want), "%s of %s", c.name, p.Name)
			for j := range c.want {
				if !operands.Same(c.got[j], c.want[j]) {
					t.Fatalf("%+v, %s of %s, step %d: element %d of %d is %v, by definition %v",
						s.Options, c.name, p.Name, got.T, j, len(c.want), c.got[j], c.want[j])
				}
			}
		}
	}
	return got
}
