// Package storage trains networks of float32 with parameters, gradients and moments of fewer bits:
// what the flag -storage of the examples chooses.
package storage

import (
	"fmt"
	"strings"

	"github.com/fusedadam/adam"
)

// A Form is how an optimizer stores what it has of each parameter.
type Form struct {
	Name string
	// Half gives the optimizer bfloat16 parameters and gradients: the network computes with the
	// former in float32, and its gradients are rounded.
	Half    bool
	Storage adam.Storage
}

// Forms are all of them, float32 first.
var Forms = []Form{
	{"float32", false, adam.Storage{}},
	{"bf16-moments", false, adam.Storage{Moments: adam.BF16Moments}},
	{"q8", false, adam.Storage{Moments: adam.Q8Moments}},
	{"split", true, adam.Storage{Moments: adam.BF16Moments}},
	{"split-q8", true, adam.Storage{Moments: adam.Q8Moments}},
	{"bf16", true, adam.Storage{Moments: adam.BF16Moments, Master: adam.NoMaster}},
}

// Usage is the description of the flag.
var Usage = "how parameters, gradients and moments are stored: " + names()

func names() string {
	var list []string
	for _, f := range Forms {
		list = append(list, f.Name)
	}
	return strings.Join(list, ", ")
}

// Named returns a form by its name, float32 for none.
func Named(name string) (Form, error) {
	if name == "" {
		return Forms[0], nil
	}
	for _, f := range Forms {
		if f.Name == name {
			return f, nil
		}
	}
	return Form{}, fmt.Errorf("-storage %q is not one of %s", name, names())
}

// Tensors are those of a network, in a form.
type Tensors struct {
	*adam.Optimizer
	form    Form
	network []adam.Param // in float32, in the order of Groups
}

// New returns the optimizer of groups, whose Params lie in the memory of the network, in a form.
func New(form Form, o adam.Options, groups []adam.Group) (*Tensors, error) {
	t := &Tensors{form: form}
	inForm := make([]adam.Group, len(groups))
	for i, g := range groups {
		t.network = append(t.network, g.Params...)
		inForm[i].Config = g.Config
		if form == Forms[0] {
			inForm[i].Params = g.Params
			continue
		}
		inForm[i].Storage = form.Storage
		for _, p := range g.Params {
			inForm[i].Params16 = append(inForm[i].Params16, form.param(p))
		}
	}
	var err error
	if t.Optimizer, err = adam.New(o, inForm...); err != nil {
		return nil, err
	}
	if form.Half {
		if err := t.begin(); err != nil {
			_ = t.Close()
			return nil, err
		}
	}
	return t, nil
}

func (f Form) param(p adam.Param) adam.Param16 {
	if !f.Half {
		return adam.Param16{Name: p.Name, Value: p.Value, Grad: p.Grad}
	}
	n := len(p.Value)
	return adam.Param16{Name: p.Name, BF16: make([]adam.BF16, n), GradBF16: make([]adam.BF16, n)}
}

// begin gives the optimizer the parameters that the network begins with.
func (t *Tensors) begin() error {
	return t.each(func(p adam.Param, q *adam.Param16) error {
		if t.form.Storage.Master == adam.SplitMaster {
			if err := adam.SplitFloat32(q.BF16, t.State16(p.Name).Rest, p.Value); err != nil {
				return err
			}
		} else {
			for i, x := range p.Value {
				q.BF16[i] = adam.ToBF16(x)
			}
		}
		decode(p.Value, q.BF16)
		return nil
	})
}

// each calls f for each tensor, in the network and in the optimizer.
func (t *Tensors) each(f func(p adam.Param, q *adam.Param16) error) error {
	next := t.network
	for i := range t.Groups {
		for j := range t.Groups[i].Params16 {
			if err := f(next[0], &t.Groups[i].Params16[j]); err != nil {
				return err
			}
			next = next[1:]
		}
	}
	return nil
}

func decode(to []float32, from []adam.BF16) {
	for i, b := range from {
		to[i] = b.Float32()
	}
}

// Step makes a step from the gradients of the network, and gives it the parameters.
func (t *Tensors) Step() (adam.Stats, error) {
	if !t.form.Half {
		return t.Optimizer.Step()
	}
	_ = t.each(func(p adam.Param, q *adam.Param16) error {
		for i, x := range p.Grad {
			q.GradBF16[i] = adam.ToBF16(x)
		}
		return nil
	})
	stats, err := t.Optimizer.Step()
	_ = t.each(func(p adam.Param, q *adam.Param16) error {
		decode(p.Value, q.BF16)
		return nil
	})
	return stats, err
}

// BytesPerParameter returns what the optimizer keeps of a parameter beside the model's own:
// moments, and what a split master has more than bfloat16.
func (f Form) BytesPerParameter() float64 {
	bytes := map[adam.Moments]float64{adam.Float32Moments: 8, adam.BF16Moments: 4,
		adam.Q8Moments: 2 + 2.0/64}[f.Storage.Moments]
	if f.Half && f.Storage.Master == adam.SplitMaster {
		bytes += 2
	}
	return bytes
}
