package main

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"strings"

	"github.com/fusedadam/adam"
	"github.com/fusedadam/adam/examples/internal/transformer"
	"github.com/fusedadam/adam/zero"
)

// optimizer is what a zero.Optimizer and one process have in common.
type optimizer interface {
	Leaves() (from, to int)
	Add() error
	Step() (adam.Stats, error)
	SaveFile(path string) error
	LoadFile(path string) error
	Close() error

	groups() []adam.Group
	completed() uint64
	metadata() *map[string]string
}

// With SaveParams, a checkpoint is all that a run needs to go on.
var adamOptions = adam.Options{MaxNorm: transformer.MaxNorm, SaveParams: true}

type sharded struct{ *zero.Optimizer }

func newSharded(net *transformer.Network, leaves int, ranks zero.Comm) (optimizer, error) {
	const bucket = 1 << 16 // for a model as small as this to have several
	z, err := zero.New(ranks, zero.Options{Options: adamOptions, Leaves: leaves, Bucket: bucket},
		net.Groups()...)
	if err != nil {
		return nil, err
	}
	z.GradScale = float64(leaves) // the gradients of each leaf are a mean
	return sharded{z}, nil
}

func (s sharded) groups() []adam.Group         { return s.Groups }
func (s sharded) completed() uint64            { return s.T }
func (s sharded) metadata() *map[string]string { return &s.Metadata }

// single is one process that adds the leaves up by the same tree.
type single struct {
	*adam.Optimizer
	grads []float32
	sums  [][]float32 // of 1, 2, 4 … leaves
	added int
}

func newSingle(net *transformer.Network, leaves int) (optimizer, error) {
	if leaves < 1 || leaves&(leaves-1) != 0 {
		return nil, fmt.Errorf("-leaves %d must be a power of two", leaves)
	}
	opt, err := adam.New(adamOptions, net.Groups()...)
	if err != nil {
		return nil, err
	}
	opt.GradScale = float64(leaves)
	s := &single{Optimizer: opt, grads: net.Memory.Grads}
	for n := 1; n < leaves; n *= 2 {
		s.sums = append(s.sums, make([]float32, len(s.grads)))
	}
	return s, nil
}

func (s *single) groups() []adam.Group         { return s.Groups }
func (s *single) completed() uint64            { return s.T }
func (s *single) metadata() *map[string]string { return &s.Metadata }
func (s *single) Leaves() (from, to int)       { return 0, 1 << len(s.sums) }

// Add adds the gradients to those of as many leaves as often as there are such. After the last leaf
// they are the sum of all.
func (s *single) Add() error {
	level := 0
	for ; s.added>>level&1 == 1; level++ {
		if err := adam.Accumulate(s.grads, s.sums[level]); err != nil {
			return err
		}
	}
	if s.added++; level < len(s.sums) {
		copy(s.sums[level], s.grads)
		return nil
	}
	s.added = 0
	return nil
}

// counting counts the bytes that a rank sends.
type counting struct {
	zero.Comm
	sent int
}

func (c *counting) Send(to int, b []byte) {
	c.sent += len(b)
	c.Comm.Send(to, b)
}

func (c *counting) Gather(own []uint64, counts []int) ([]uint64, error) {
	c.sent += 8 * len(own) * (c.Size() - 1)
	return c.Comm.Gather(own, counts)
}

// resident returns how many bytes of memory the process has had at most; where the system does not
// tell, those that Go has taken.
func resident() float64 {
	if f, err := os.Open("/proc/self/status"); err == nil {
		defer f.Close()
		for s := bufio.NewScanner(f); s.Scan(); {
			var kib float64
			if line, ok := strings.CutPrefix(s.Text(), "VmHWM:"); ok {
				if _, err := fmt.Sscan(line, &kib); err == nil {
					return 1024 * kib
				}
			}
		}
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.Sys)
}
