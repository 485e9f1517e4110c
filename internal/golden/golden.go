// Package golden holds trajectories of real PyTorch optimizers (torch.optim.Adam and AdamW 1.13.1
// on CPU) and compares the steps of package adam with them. testdata/README.md describes the data.
package golden

import (
	"archive/zip"
	"bytes"
	_ "embed"
	"fmt"
	"math"
	"slices"
	"unsafe"

	"github.com/fusedadam/adam/internal/operands"
)

//go:embed testdata/torch.zip
var archive []byte

//go:embed testdata/torch64.zip
var archive64 []byte

// A Case is one trajectory: the gradients given to torch and what it made of them.
type Case[F operands.Float] struct {
	Name    string // torch/NAME, or torch-nofma/NAME where torch did not fuse multiply-adds
	Steps   int
	exact   bool // torch-nofma: the moments are comparable to the bit
	tensors []tensor[F]
}

type tensor[F operands.Float] struct {
	start  snapshot[F]
	config func(step int) operands.Config
	// gradient returns nil where torch had no gradient and left the tensor alone.
	gradient  func(step int, p []F) []F
	snapshots map[int]snapshot[F] // by step, counted from 1; not all are stored
	// The exact parameters after the same steps, by replay; nil where the gradients are not
	// recorded and a formula gives them from the parameters.
	exact map[int][][]Value
}

type snapshot[F operands.Float] struct {
	t             uint64
	p, m, v, vmax []F
}

// Bound and Bound64 are the largest differences of a parameter from torch's, as multiples of
// max(|p|, LR), that [Case.Check] accepts.
const (
	Bound   = 2e-6
	Bound64 = 3e-13
)

// Result says what a check compared.
type Result[F operands.Float] struct {
	Values   int     // parameters compared
	Exact    int     // moments compared to the bit
	MaxError float64 // largest difference from a parameter of torch, in units of max(|p|, LR)
	// Against exact arithmetic with the constants Given and Rounded, which are the same for
	// float64.
	Errors [2]Errors[F]
}

// Cases returns all trajectories of float32.
func Cases() ([]Case[float32], error) { return cases[float32](archive) }

// Cases64 returns all trajectories of float64.
func Cases64() ([]Case[float64], error) { return cases[float64](archive64) }

func cases[F operands.Float](archive []byte) ([]Case[F], error) {
	r, err := zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
	if err != nil {
		return nil, err
	}
	var all []Case[F]
	for _, f := range r.File {
		c, err := read[F](f)
		if err != nil {
			return nil, fmt.Errorf("golden: %s: %w", f.Name, err)
		}
		all = append(all, c...)
	}
	return all, nil
}

// Check replays the case and compares every stored value. Parameters must be within [Bound] of
// torch's ([Bound64] of float64), NaN and Inf in the same places. Where the gradients are recorded,
// they must be no further from exact arithmetic than [Errors.Check] accepts: without them every
// replay has its own. The moments of a case without FMA must have torch's bits, as long as the
// gradient does not see the parameter (no L2 decay) and the element has never had a subnormal
// moment that adam stores as zero.
func (c *Case[F]) Check(step operands.StepOf[F]) (Result[F], error) {
	var r Result[F]
	for j := range c.tensors {
		if err := c.checkTensor(&c.tensors[j], step, &r); err != nil {
			return r, fmt.Errorf("%s, tensor %d: %w", c.Name, j, err)
		}
	}
	for i := range r.Errors {
		if err := r.Errors[i].Check(); err != nil {
			return r, fmt.Errorf("%s: %w", c.Name, err)
		}
	}
	return r, nil
}

func (c *Case[F]) checkTensor(t *tensor[F], step operands.StepOf[F], r *Result[F]) error {
	limits := limitsOf[F]()
	p := slices.Clone(t.start.p)
	s := &operands.StateOf[F]{T: t.start.t, M: slices.Clone(t.start.m), V: slices.Clone(t.start.v),
		VMax: slices.Clone(t.start.vmax)}
	flushed, lost := make([]bool, len(p)), make([]bool, len(p))
	for k := 1; k <= c.Steps; k++ {
		config := t.config(k)
		if g := t.gradient(k, p); g != nil {
			if err := step(s, p, g, config); err != nil {
				return err
			}
		}
		want, stored := t.snapshots[k]
		if !stored {
			continue
		}
		if s.T != want.t && want.t < 1<<24 { // torch's counter is a float32 and stops there
			return fmt.Errorf("after step %d: T = %d, torch has %d", k, s.T, want.t)
		}
		sameBits := c.exact && (config.WeightDecay == 0 || config.Decoupled)
		for i := range p {
			e := Distance(p[i], want.p[i], config.LR)
			r.Values++
			r.MaxError = max(r.MaxError, e)
			if !(e <= limits.bound) {
				return fmt.Errorf("step %d: p[%d] = %v, torch has %v (%.2g of max(|p|, LR), "+
					"accepted %g)", k, i, p[i], want.p[i], e, limits.bound)
			}
			subnormal := limits.subnormal(float64(want.m[i])) ||
				limits.subnormal(float64(want.v[i]))
			flushed[i] = flushed[i] || subnormal && config.Eps >= limits.flush
			// Inf and NaN in a moment stay, and the exact one does not overflow.
			lost[i] = lost[i] || !finite(want.p[i]) || !finite(want.m[i]) || !finite(want.v[i])
			if exact, recorded := t.exact[k]; recorded && !lost[i] {
				for j := range exact {
					r.Errors[j].Add(exact[j][i], p[i], want.p[i], config.LR)
				}
			}
			if !sameBits || flushed[i] {
				continue
			}
			r.Exact += 2
			if !operands.Same(s.M[i], want.m[i]) || !operands.Same(s.V[i], want.v[i]) ||
				config.AMSGrad && !operands.Same(s.VMax[i], want.vmax[i]) {
				return fmt.Errorf("step %d: moments of element %d: %v %v, torch has %v %v", k, i,
					s.M[i], s.V[i], want.m[i], want.v[i])
			}
		}
	}
	return nil
}

// Distance returns |got-want| / max(|want|, lr): 0 where both are the same Inf or NaN, NaN or Inf
// where only one is.
func Distance[F operands.Float](got, want F, lr float64) float64 {
	g, w := float64(got), float64(want)
	if g == w || g != g && w != w {
		return 0
	}
	if math.IsInf(w, 0) {
		return math.Inf(1)
	}
	return math.Abs(g-w) / max(math.Abs(w), lr)
}

func finite[F operands.Float](x F) bool { return x-x == 0 }

// limits are what differs between the types.
type limits struct {
	bound, floor, far float64

	least float64 // normal number
	flush float64 // from this Eps on adam stores subnormal moments as zero
}

func limitsOf[F operands.Float]() limits {
	if unsafe.Sizeof(F(0)) == 4 {
		return limits{Bound, Floor, Far, 0x1p-126, 0x1p-34}
	}
	return limits{Bound64, Floor64, Far64, 0x1p-1022, 0x1p-453}
}

func (l limits) subnormal(x float64) bool { return x != 0 && math.Abs(x) < l.least }
