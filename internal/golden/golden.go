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

	"github.com/fusedadam/adam/internal/operands"
)

//go:embed testdata/torch.zip
var archive []byte

// A Case is one trajectory: the gradients given to torch and what it made of them.
type Case struct {
	Name    string // torch/NAME, or torch-nofma/NAME where torch did not fuse multiply-adds
	Steps   int
	exact   bool // torch-nofma: the moments are comparable to the bit
	tensors []tensor

	recorded bool // the gradients are; else a formula gives them, from the parameters
}

type tensor struct {
	start  snapshot
	config func(step int) operands.Config
	// gradient returns nil where torch had no gradient and left the tensor alone.
	gradient  func(step int, p []float32) []float32
	snapshots map[int]snapshot // by step, counted from 1; not all are stored
}

type snapshot struct {
	t             uint64
	p, m, v, vmax []float32
}

// Bound is the largest difference of a parameter from torch's, as a multiple of max(|p|, LR), that
// [Case.Check] accepts.
const Bound = 2e-6

// Result says what a check compared.
type Result struct {
	Values   int       // parameters compared
	Exact    int       // moments compared to the bit
	MaxError float64   // largest difference from a parameter of torch, in units of max(|p|, LR)
	Errors   [2]Errors // against exact arithmetic with the constants Given and Rounded
}

// Cases returns all trajectories.
func Cases() ([]Case, error) {
	r, err := zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
	if err != nil {
		return nil, err
	}
	var cases []Case
	for _, f := range r.File {
		c, err := read(f)
		if err != nil {
			return nil, fmt.Errorf("golden: %s: %w", f.Name, err)
		}
		cases = append(cases, *c)
	}
	return cases, nil
}

// Check replays the case and compares every stored value. Parameters must be within [Bound] of
// torch's, NaN and Inf in the same places. Where the gradients are recorded, they must be no
// further from exact arithmetic than [Errors.Check] accepts: without them every replay has its own.
// The moments of a case without FMA must have torch's bits, as long as the gradient does not see
// the parameter (no L2 decay) and the element has never had a subnormal moment, which adam stores
// as zero.
func (c *Case) Check(step operands.Step) (Result, error) {
	var r Result
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

func (c *Case) checkTensor(t *tensor, step operands.Step, r *Result) error {
	p := slices.Clone(t.start.p)
	exact := [2]*Exact{newExact(t.start, Given), newExact(t.start, Rounded)}
	s := &operands.State{T: t.start.t, M: slices.Clone(t.start.m), V: slices.Clone(t.start.v),
		VMax: slices.Clone(t.start.vmax)}
	subnormal, overflown := make([]bool, len(p)), make([]bool, len(p))
	for k := 1; k <= c.Steps; k++ {
		config := t.config(k)
		if g := t.gradient(k, p); g != nil {
			if err := step(s, p, g, config); err != nil {
				return err
			}
			for _, e := range exact {
				e.Step(g, config)
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
			if !(e <= Bound) {
				return fmt.Errorf("step %d: p[%d] = %v, torch has %v (%.2g of max(|p|, LR), "+
					"accepted %g)", k, i, p[i], want.p[i], e, Bound)
			}
			// Inf and NaN in a moment stay, and float64 does not overflow where float32 does.
			overflown[i] = overflown[i] || !finite(want.p[i]) || !finite(want.m[i]) ||
				!finite(want.v[i])
			for j, e := range exact {
				if c.recorded && !overflown[i] {
					r.Errors[j].Add(e.P[i], p[i], want.p[i], config.LR)
				}
			}
			subnormal[i] = subnormal[i] || isSubnormal(want.m[i]) || isSubnormal(want.v[i])
			if !sameBits || subnormal[i] {
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
func Distance(got, want float32, lr float64) float64 {
	g, w := float64(got), float64(want)
	if g == w || g != g && w != w {
		return 0
	}
	if math.IsInf(w, 0) {
		return math.Inf(1)
	}
	return math.Abs(g-w) / max(math.Abs(w), lr)
}

func finite(x float32) bool { return x-x == 0 }

func isSubnormal(x float32) bool { return x != 0 && math.Abs(float64(x)) < 0x1p-126 }
