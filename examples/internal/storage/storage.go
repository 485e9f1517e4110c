// Package storage trains networks, whose layers are float32, with parameters, gradients and moments
// of fewer bits, and keeps records of it.
package storage

import (
	"fmt"
	"strings"

	"github.com/fusedadam/adam"
)

// Kind is a way to store what an optimizer works on.
type Kind struct {
	Name  string
	Halve bool // parameters and gradients are bfloat16
	adam.Storage
}

// Kinds are those that the flag -storage names. The first one is what an example has without it.
var Kinds = []Kind{
	{"float32", false, adam.Storage{}},
	{"bf16-moments", false, adam.Storage{Moments: adam.BF16Moments}},
	{"q8", false, adam.Storage{Moments: adam.Q8Moments}},
	{"split", true, adam.Storage{Moments: adam.BF16Moments}},
	{"split-q8", true, adam.Storage{Moments: adam.Q8Moments}},
	{"bf16", true, adam.Storage{Moments: adam.BF16Moments, Master: adam.NoMaster}},
}

// Usage is that of the flag.
const Usage = "how gradients, parameters and moments are stored: float32, bf16-moments, q8, " +
	"split (bfloat16, with the rest of float32 parameters beside), split-q8 or " +
	"bf16 (bfloat16 alone)"

// UnmarshalText reads the name of a Kind, as flags have it.
func (k *Kind) UnmarshalText(name []byte) error {
	var names []string
	for _, kind := range Kinds {
		if kind.Name == string(name) {
			*k = kind
			return nil
		}
		names = append(names, kind.Name)
	}
	return fmt.Errorf("want %s", strings.Join(names, ", "))
}

// MarshalText returns the name.
func (k Kind) MarshalText() ([]byte, error) { return []byte(k.Name), nil }

// Float32 says that nothing has fewer bits, as in the zero Kind.
func (k Kind) Float32() bool { return !k.Halve && k.Storage == adam.Storage{} }

// Tensors are those of an optimizer, beside the float32 tensors that the layers of a network have.
type Tensors struct {
	Kind
	all []tensor
}

type tensor struct {
	of adam.Param // of the layers
	adam.Param16
}

// Groups returns the groups with Params16 for Params, which begin at the same values.
func (k Kind) Groups(groups []adam.Group, seed uint64) ([]adam.Group, *Tensors) {
	t := &Tensors{Kind: k}
	var list []adam.Group
	for _, g := range groups {
		to := adam.Group{Config: g.Config, Storage: k.Storage}
		for _, p := range g.Params {
			q := adam.Param16{Name: p.Name, Value: p.Value, Grad: p.Grad}
			if k.Halve {
				n := len(p.Value)
				q.Value, q.Grad = nil, nil
				q.BF16, q.GradBF16 = make([]adam.BF16, n), make([]adam.BF16, n)
			}
			q.State = adam.NewState16(q, k.Storage, seed, g.Config)
			switch {
			case q.State.Rest != nil:
				if err := adam.SplitFloat32(q.BF16, q.State.Rest, p.Value); err != nil {
					panic(err) // all are made above
				}
			case k.Halve:
				round(q.BF16, p.Value)
			}
			to.Params16 = append(to.Params16, q)
			t.all = append(t.all, tensor{p, q})
		}
		list = append(list, to)
	}
	t.Values()
	return list, t
}

// Grads gives the optimizer the gradients of the layers, rounded to nearest.
func (t *Tensors) Grads() {
	if t.Halve {
		for _, x := range t.all {
			round(x.GradBF16, x.of.Grad)
		}
	}
}

// Values gives the layers the parameters of the optimizer. Of a split master it is the upper half.
func (t *Tensors) Values() {
	if t.Halve {
		for _, x := range t.all {
			for i, b := range x.BF16 {
				x.of.Value[i] = b.Float32()
			}
		}
	}
}

// Bytes returns how many the optimizer keeps for each parameter beside it. No Tensors are those of
// the layers, with two moments of float32.
func (t *Tensors) Bytes() float64 {
	if t == nil {
		return 8
	}
	bytes, n := 0, 0
	for _, x := range t.all {
		s := x.State
		bytes += 4*(len(s.M)+len(s.V)) + 2*(len(s.M16)+len(s.V16)+len(s.Rest)) +
			len(s.M8) + len(s.V8) + len(s.MScale) + len(s.VScale)
		n += len(x.of.Value)
	}
	return float64(bytes) / float64(n)
}

func round(to []adam.BF16, from []float32) {
	for i, x := range from {
		to[i] = adam.ToBF16(x)
	}
}
