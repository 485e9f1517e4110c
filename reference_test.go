package adam

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"github.com/fusedadam/adam/internal/operands"
	"github.com/stretchr/testify/require"
)

// A reference is a tensor as the plain implementation below steps it.
type reference[F float] struct {
	name               string
	p, g, m, v, x, avg []F // g: nil without a gradient
	t                  uint64
	c                  Config
	rows               []int32 // those that g is of, with a width
	width              int     // of a table; 0: g is of all elements
}

// A referred is a reference of either type.
type referred interface {
	key() string
	sum(before float64) float64
	finite() bool
	grad(what string) bool
	step(s, maxValue float64)
	follow(decay float64, first bool)
}

// referenceStep is a step of all tensors, one element after the other, as docs/ARITHMETIC.md
// defines it. It returns what Optimizer.Step does.
func referenceStep(o Options, gradScale float64, steps uint64, tensors []referred) Stats {
	tensors = slices.Clone(tensors)
	slices.SortFunc(tensors, func(a, b referred) int { return strings.Compare(a.key(), b.key()) })

	sum, stats := 0.0, Stats{T: steps}
	looked := o.MaxNorm > 0 || o.SkipNonFinite
	for _, t := range tensors {
		sum = t.sum(sum)
		if looked && !t.finite() && stats.NonFinite == "" {
			stats.NonFinite = t.key()
		}
	}
	norm, clip := math.Sqrt(sum)/gradScale, 1.0
	if looked {
		stats.GradNorm = norm
	}
	if stats.NonFinite != "" && o.SkipNonFinite {
		stats.Skipped = true
		if o.ZeroGrad {
			for _, t := range tensors {
				t.grad("clear")
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
	for _, t := range tensors {
		if t.grad("is there") {
			stats.Stepped++
			t.step(clip/gradScale, o.MaxValue)
			if o.ZeroGrad {
				t.grad("clear")
			}
		}
		if o.EMADecay > 0 {
			t.follow(o.EMADecay, stats.T == 1)
		}
	}
	return stats
}

func (t *reference[F]) key() string { return t.name }

// size is the number of bytes of an element.
func (t *reference[F]) size() int { return int(unsafe.Sizeof(F(0))) }

// sum adds the squares of the gradient: per tile of 32 KiB 32 partial sums, tiles by position.
func (t *reference[F]) sum(before float64) float64 {
	for tile := range slices.Chunk(t.g, 32<<10/t.size()) {
		var lanes [32]float64
		for i, g := range tile {
			lanes[i%32] += float64(float64(g) * float64(g))
		}
		for _, half := range []int{16, 8, 4, 2, 1} {
			for i := range half {
				lanes[i] += lanes[i+half]
			}
		}
		before += lanes[0]
	}
	return before
}

func (t *reference[F]) finite() bool {
	return !slices.ContainsFunc(t.g, func(g F) bool { return g-g != 0 })
}

func (t *reference[F]) grad(what string) bool {
	if what == "clear" {
		clear(t.g)
	}
	return t.g != nil
}

// follow moves the average.
func (t *reference[F]) follow(decay float64, first bool) {
	for i, p := range t.p {
		if first {
			t.avg[i] = p
			continue
		}
		d := F(p - t.avg[i])
		d = F(F(1-decay) * d)
		t.avg[i] = flush(F(t.avg[i]+d), true)
	}
}

func (t *reference[F]) step(scale, maxValue float64) {
	t.t++
	c, single := t.c, t.size() == 4
	q1, q2, least := complement(c.Beta1, t.t), complement(c.Beta2, t.t), 0x1p-453
	s := F(scale)
	if single {
		q1, q2, least = 1-naivePower(c.Beta1, t.t), 1-naivePower(c.Beta2, t.t), 0x1p-34
	}
	b1, c1, b2, c2 := F(c.Beta1), F(1-c.Beta1), F(c.Beta2), F(1-c.Beta2)
	alpha, eps := F(c.LR*math.Sqrt(q2)/q1), F(c.Eps*math.Sqrt(q2))
	if c.EpsUncorrected {
		eps = F(c.Eps)
	}
	kappa := F(1)
	if c.Decoupled {
		kappa = F(1 - float64(c.LR*c.WeightDecay))
	}
	limit := F(maxValue)
	for k := range t.g {
		i := k
		if t.width > 0 {
			i = int(t.rows[k/t.width])*t.width + k%t.width
		}
		p, g := t.p[i], F(s*t.g[k])
		if limit > 0 && g > limit {
			g = limit
		}
		if limit > 0 && g < -limit {
			g = -limit
		}
		if c.Maximize {
			g = -g
		}
		if !c.Decoupled && c.WeightDecay != 0 {
			g += F(F(c.WeightDecay) * p)
		}
		m := F(b1*t.m[i]) + F(c1*g)
		h := F(c2 * g)
		v := F(b2*t.v[i]) + F(h*g)
		m, v = flush(m, c.Eps >= least), flush(v, c.Eps >= least)
		t.m[i], t.v[i] = m, v
		if c.AMSGrad {
			if x := t.x[i]; x > v || x != x {
				v = x
			}
			t.x[i] = v
		}
		d := F(math.Sqrt(float64(v))) + eps
		d = F(m / d)
		t.p[i] = F(kappa*p) - F(alpha*d)
	}
}

// flush is x, or +0 for a zero or a subnormal number if asked.
func flush[F float](x F, subnormals bool) F {
	least := 0x1p-1022
	if unsafe.Sizeof(x) == 4 {
		least = 0x1p-126
	}
	if subnormals && math.Abs(float64(x)) < least {
		return 0
	}
	return x
}

// A trial is an optimizer and the reference of each of its tensors, with the same values in other
// memory.
type trial struct {
	*Optimizer
	references []referred // in the order of the optimizer's tensors
}

// newTrial draws tensors of the given sizes. Each goes to a group at random; configs are the
// groups'.
func newTrial(t testing.TB, r *rand.Rand, o Options, configs []Config, sizes []int) *trial {
	return newTrialOf(t, r, o, configs, sizes, 1)
}

// newMixedTrial is newTrial of tensors that are each a Param, a Param64 or a Table, at random.
func newMixedTrial(t testing.TB, r *rand.Rand, o Options, configs []Config, sizes []int) *trial {
	return newTrialOf(t, r, o, configs, sizes, 3)
}

func newTrialOf(t testing.TB, r *rand.Rand, o Options, configs []Config, sizes []int,
	kinds int) *trial {
	groups := make([]Group, len(configs))
	for i, c := range configs {
		groups[i].Config = c
	}
	for i, n := range sizes {
		g, name := &groups[r.IntN(len(groups))], fmt.Sprintf("tensor.%d", i)
		switch r.IntN(kinds) {
		case 0:
			g.Params = append(g.Params, Param{Name: name, Value: randoms(r, n),
				Grad: make([]float32, n)})
		case 1:
			p := Param64{Name: name, Value: make([]float64, n)}
			for j := range p.Value {
				p.Value[j] = r.NormFloat64()
			}
			g.Params64 = append(g.Params64, p)
		case 2:
			width := 1 + r.IntN(1+min(n, 70))
			g.Tables = append(g.Tables, Table{Name: name, Width: width,
				Value: randoms(r, n-n%width)})
		}
	}
	optimizer, err := New(o, groups...)
	require.NoError(t, err)
	t.Cleanup(func() { _ = optimizer.Close() })
	s := &trial{Optimizer: optimizer}
	for _, g := range optimizer.Groups {
		for _, p := range g.Params {
			s.references = append(s.references, newReference(p.Name, g.Config, p.Value))
		}
		for _, p := range g.Params64 {
			s.references = append(s.references, newReference(p.Name, g.Config, p.Value))
		}
		for _, p := range g.Tables {
			ref := newReference(p.Name, g.Config, p.Value)
			ref.width = p.Width
			s.references = append(s.references, ref)
		}
	}
	return s
}

func newReference[F float](name string, c Config, value []F) *reference[F] {
	zeros := func() []F { return make([]F, len(value)) }
	return &reference[F]{name: name, c: c, p: slices.Clone(value), m: zeros(), v: zeros(),
		x: zeros(), avg: slices.Clone(value)}
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
// finite. Tables get other rows, in any order.
func (s *trial) draw(r *rand.Rand, nonFinite bool) {
	next := s.references
	for i := range s.Groups {
		g := &s.Groups[i]
		for j := range g.Params {
			p := &g.Params[j]
			p.Grad = gradient[float32](r, len(p.Value), nonFinite)
			next[0].(*reference[float32]).g = slices.Clone(p.Grad)
			next = next[1:]
		}
		for j := range g.Params64 {
			p := &g.Params64[j]
			p.Grad = gradient[float64](r, len(p.Value), nonFinite)
			next[0].(*reference[float64]).g = slices.Clone(p.Grad)
			next = next[1:]
		}
		for j := range g.Tables {
			p, ref := &g.Tables[j], next[0].(*reference[float32])
			p.Rows = nil
			for _, row := range r.Perm(len(p.Value) / p.Width) {
				if r.IntN(3) > 0 {
					p.Rows = append(p.Rows, int32(row))
				}
			}
			if r.IntN(2) == 0 {
				slices.Sort(p.Rows)
			}
			p.Grad = gradient[float32](r, len(p.Rows)*p.Width, nonFinite)
			ref.rows, ref.g = p.Rows, slices.Clone(p.Grad)
			next = next[1:]
		}
	}
}

func gradient[F float](r *rand.Rand, n int, nonFinite bool) []F {
	if r.IntN(5) == 0 {
		return nil
	}
	g := make([]F, n)
	scale := math.Exp2(10*r.Float64() - 8)
	for j := range g {
		g[j] = F(r.NormFloat64() * scale)
	}
	if nonFinite && n > 0 && r.IntN(4) == 0 {
		odd := []float64{math.NaN(), math.Inf(1), math.Inf(-1)}
		g[r.IntN(n)] = F(odd[r.IntN(len(odd))])
	}
	return g
}

// step steps both and compares everything.
func (s *trial) step(t testing.TB) Stats {
	t.Helper()
	rest := s.references
	for i := range s.Groups {
		g := &s.Groups[i]
		for range g.size() {
			switch ref := rest[0].(type) {
			case *reference[float32]:
				ref.c = g.Config
			case *reference[float64]:
				ref.c = g.Config
			}
			rest = rest[1:]
		}
	}
	want := referenceStep(s.Options, s.GradScale, s.T, s.references)
	got, err := s.Step()
	require.NoError(t, err)
	norm, wantNorm := got.GradNorm, want.GradNorm
	bothNaN := norm != norm && wantNorm != wantNorm
	got.GradNorm, want.GradNorm = 0, 0
	if !bothNaN && math.Float64bits(norm) != math.Float64bits(wantNorm) || got != want ||
		s.T != want.T {
		t.Fatalf("%+v: Stats %+v (T %d, norm %v), by definition %+v (norm %v)", s.Options, got,
			s.T, norm, want, wantNorm)
	}
	got.GradNorm = norm
	for _, ref := range s.references {
		switch ref := ref.(type) {
		case *reference[float32]:
			compare(t, s.Optimizer, ref, s.EMA(ref.name))
		case *reference[float64]:
			compare(t, s.Optimizer, ref, s.EMA64(ref.name))
		}
	}
	return got
}

func compare[F float](t testing.TB, o *Optimizer, ref *reference[F], average []F) {
	t.Helper()
	state, at := stateIn[F](o, ref.name), typedOf[F](o.tensor(ref.name).kind).at
	require.Equal(t, ref.t, state.T, "T of %s", ref.name)
	for _, c := range []struct {
		name      string
		got, want []F
	}{{"Value", *at.value, ref.p}, {"Grad", *at.grad, ref.g}, {"M", state.M, ref.m},
		{"V", state.V, ref.v}, {"VMax", state.VMax, ref.x}, {"EMA", average, ref.avg}} {
		if c.name == "VMax" && !ref.c.AMSGrad || c.name == "EMA" && o.Options.EMADecay == 0 {
			continue
		}
		require.Len(t, c.got, len(c.want), "%s of %s", c.name, ref.name)
		for j := range c.want {
			if !operands.Same(c.got[j], c.want[j]) {
				t.Fatalf("%+v, %s of %s, step %d: element %d of %d is %v, by definition %v",
					o.Options, c.name, ref.name, o.T, j, len(c.want), c.got[j], c.want[j])
			}
		}
	}
}
