package mpi

import (
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/fusedadam/adam"
	"github.com/fusedadam/adam/zero"
)

var _ zero.Comm = (*World)(nil)

const (
	steps  = 3
	leaves = 8
)

var options = adam.Options{MaxNorm: 1, Workers: 1}

// model returns tensors of all types, of one to nine tiles.
func model() []adam.Group {
	groups := []adam.Group{
		{Config: adam.DefaultW()}, {Config: adam.Default()},
		{Config: adam.DefaultW(), Storage: adam.Storage{Moments: adam.BF16Moments}},
		{Config: adam.DefaultW(), Storage: adam.Storage{Moments: adam.Q8Moments,
			Master: adam.NoMaster}},
	}
	for i, n := range []int{20_000, adam.Tile, 5, 70_001} {
		g := &groups[i%2]
		g.Params = append(g.Params, adam.Param{Name: fmt.Sprint("single", i),
			Value: make([]float32, n), Grad: make([]float32, n)})
	}
	for i, n := range []int{9000, 30_000} {
		g := &groups[i%2]
		g.Params64 = append(g.Params64, adam.Param64{Name: fmt.Sprint("double", i),
			Value: make([]float64, n), Grad: make([]float64, n)})
		h := &groups[2+i]
		h.Params16 = append(h.Params16, adam.Param16{Name: fmt.Sprint("half", i),
			BF16: make([]adam.BF16, n), Grad: make([]float32, n)})
	}
	return groups
}

// backward adds random gradients, which depend on the step and the leaf.
func backward(groups []adam.Group, step, leaf int) {
	rng := rand.New(rand.NewPCG(uint64(step), uint64(leaf)))
	for _, g := range groups {
		for _, p := range g.Params {
			for i := range p.Grad {
				p.Grad[i] += float32(rng.NormFloat64())
			}
		}
		for _, p := range g.Params64 {
			for i := range p.Grad {
				p.Grad[i] += rng.NormFloat64()
			}
		}
		for _, p := range g.Params16 {
			for i := range p.Grad {
				p.Grad[i] += float32(rng.NormFloat64())
			}
		}
	}
}

// bits says what a training ended with.
func bits(groups []adam.Group, stats adam.Stats) string {
	h := crc32.NewIEEE()
	for _, g := range groups {
		for _, p := range g.Params {
			for _, x := range p.Value {
				fmt.Fprintf(h, "%x ", math.Float32bits(x))
			}
		}
		for _, p := range g.Params64 {
			for _, x := range p.Value {
				fmt.Fprintf(h, "%x ", math.Float64bits(x))
			}
		}
		for _, p := range g.Params16 {
			for _, x := range p.BF16 {
				fmt.Fprintf(h, "%x ", uint16(x))
			}
		}
	}
	return fmt.Sprintf("checksum %08x, norm %x", h.Sum32(), stats.GradNorm)
}

// newZero returns the optimizer of a rank.
func newZero(w *World, groups []adam.Group) (*zero.Optimizer, error) {
	o := options
	o.ZeroGrad = true
	return zero.New(w, zero.Options{Options: o, Leaves: leaves, Bucket: 1 << 15}, groups...)
}

// add adds all leaves of a rank.
func add(z *zero.Optimizer, step int) error {
	from, to := z.Leaves()
	for leaf := from; leaf < to; leaf++ {
		backward(z.Groups, step, leaf)
		if err := z.Add(); err != nil {
			return err
		}
	}
	return nil
}

func trains(w *World) error {
	groups := model()
	z, err := newZero(w, groups)
	if err != nil {
		return err
	}
	defer z.Close()
	var stats adam.Stats
	for step := range steps {
		if err := add(z, step); err != nil {
			return err
		}
		if stats, err = z.Step(); err != nil {
			return err
		}
	}
	fmt.Println(bits(groups, stats))
	return nil
}

// Any number of ranks ends with the bits of one process without ranks, of all types.
func TestSameBits(t *testing.T) {
	groups := model()
	opt, err := adam.New(options, groups...)
	if err != nil {
		t.Fatal(err)
	}
	defer opt.Close()
	var stats adam.Stats
	for step := range steps {
		tree(groups, step, 0, leaves)
		if stats, err = opt.Step(); err != nil {
			t.Fatal(err)
		}
	}
	want := bits(groups, stats)
	for _, n := range []int{1, 2, 3, 4, 5, 7, 8} {
		out, err := mpirun(t, n, "trains")
		if err != nil || strings.Count(out, want) != n {
			t.Errorf("%d ranks: %v, want %s from each\n%s", n, err, want, out)
		}
	}
}

// tree sets the gradients to the sum of the leaves from, …, to-1: that of two halves.
func tree(groups []adam.Group, step, from, to int) {
	if to-from == 1 {
		for _, g := range groups {
			for _, p := range g.Params {
				clear(p.Grad)
			}
			for _, p := range g.Params64 {
				clear(p.Grad)
			}
			for _, p := range g.Params16 {
				clear(p.Grad)
			}
		}
		backward(groups, step, from)
		return
	}
	tree(groups, step, from, (from+to)/2)
	half := model()
	for g := range groups {
		for i, p := range groups[g].Params {
			copy(half[g].Params[i].Grad, p.Grad)
		}
		for i, p := range groups[g].Params64 {
			copy(half[g].Params64[i].Grad, p.Grad)
		}
		for i, p := range groups[g].Params16 {
			copy(half[g].Params16[i].Grad, p.Grad)
		}
	}
	tree(groups, step, (from+to)/2, to)
	for g := range groups {
		for i, p := range groups[g].Params {
			for j, x := range half[g].Params[i].Grad {
				p.Grad[j] += x
			}
		}
		for i, p := range groups[g].Params64 {
			for j, x := range half[g].Params64[i].Grad {
				p.Grad[j] += x
			}
		}
		for i, p := range groups[g].Params16 {
			for j, x := range half[g].Params16[i].Grad {
				p.Grad[j] += x
			}
		}
	}
}

// A rank that differs is an error on all, which names it, and the job could go on. Where a rank
// panics, the job ends.
func TestFaults(t *testing.T) {
	for _, name := range []string{"no batch", "other model", "other rate"} {
		out, err := mpirun(t, 3, name)
		if err != nil || strings.Count(out, "is well") != 3 {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
	out, err := mpirun(t, 3, "no pass")
	if err == nil || !strings.Contains(out, "rank 1 of 3 aborts: panic: no pass") ||
		strings.Contains(out, "is well") {
		t.Errorf("no pass: %v\n%s", err, out)
	}
}

// named fails unless err is one of rank 1, as all ranks have it.
func named(err error) error {
	if !errors.Is(err, zero.ErrRank) || !strings.Contains(err.Error(), "rank 1 ") &&
		!strings.Contains(err.Error(), "rank 1:") {
		return fmt.Errorf("error %v, want one that names rank 1", err)
	}
	return nil
}

// noBatch is a rank that has no data for a step; when it has, all go on.
func noBatch(w *World) error {
	z, err := newZero(w, model())
	if err != nil {
		return err
	}
	defer z.Close()
	if w.Rank() != 1 {
		if err := add(z, 0); err != nil {
			return err
		}
	}
	_, err = z.Step()
	if err := named(err); err != nil {
		return err
	}
	if w.Rank() == 1 {
		if err := add(z, 0); err != nil {
			return err
		}
	}
	_, err = z.Step()
	return err
}

func otherModel(w *World) error {
	groups := model()
	if w.Rank() == 1 {
		p := &groups[0].Params[0]
		p.Value, p.Grad = p.Value[1:], p.Grad[1:]
	}
	return unlike(w, groups)
}

func otherRate(w *World) error {
	groups := model()
	if w.Rank() == 1 {
		groups[1].Config.LR *= 2
	}
	return unlike(w, groups)
}

func unlike(w *World, groups []adam.Group) error {
	z, err := newZero(w, groups)
	if err != nil {
		return err
	}
	defer z.Close()
	if err := add(z, 0); err != nil {
		return err
	}
	_, err = z.Step()
	return named(err)
}

func noPass(w *World) error {
	z, err := newZero(w, model())
	if err != nil {
		return err
	}
	if w.Rank() == 1 {
		panic("no pass")
	}
	if err := add(z, 0); err != nil {
		return err
	}
	_, err = z.Step()
	return err
}
