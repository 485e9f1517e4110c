package main

import (
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/fusedadam/adam"
)

// decades is the number of those that the gradients of a block span in the first case.
const decades = 7

// elements of the tensor of all cases, and the learning rate.
const (
	elements = 256
	rate     = 1e-3
)

// Hard is what a format makes of the hard cases.
type Hard struct {
	Format string `json:"format"`
	// Gradients of seven decades in each block: the mean update of each decade, the largest first,
	// and the largest update of all, in learning rates.
	Mixed   [decades]float64 `json:"mixed"`
	Largest float64          `json:"largest"`
	// Gradients fall to a hundredth: mean √v, later.
	Fall [3]float64 `json:"fall"`
	// A gradient once in 50 steps, beside dense ones: the root mean square of its updates.
	Rare float64 `json:"rare"`
	// No gradient any more, neighbours have one: what the parameter goes on moving, in learning
	// rates.
	Drift float64 `json:"drift"`
}

// Alone is what a way to store parameters makes of many small steps.
type Alone struct {
	Parameters string  `json:"parameters"`
	Mean       float64 `json:"mean"`
	Deviation  float64 `json:"deviation"`
}

// hardCases are the records of all formats, of which Mixed, Fall and Rare are shares of those of
// float32, and of parameters in 16 bits.
type hardCases struct {
	Formats []Hard  `json:"formats"`
	Alone   []Alone `json:"alone"`
}

// runHard runs all cases, with the steps of each divided by share.
func runHard(share int) (*hardCases, error) {
	r := new(hardCases)
	for _, f := range formats {
		h := Hard{Format: f.name}
		for _, run := range []func(stepper, *Hard, int) error{mixed, fall, rare, dead} {
			if err := run(f.make(elements), &h, share); err != nil {
				return nil, fmt.Errorf("%s: %w", f.name, err)
			}
		}
		r.Formats = append(r.Formats, h)
	}
	one := r.Formats[0] // float32
	for i := range r.Formats {
		h := &r.Formats[i]
		for j := range h.Mixed {
			h.Mixed[j] /= one.Mixed[j]
		}
		for j := range h.Fall {
			h.Fall[j] /= one.Fall[j]
		}
		h.Rare /= one.Rare
	}
	var err error
	r.Alone, err = alone(20000 / share)
	return r, err
}

// train makes steps with the gradients that grad sets, and calls see after each.
func train(s stepper, seed uint64, steps int, grad func(r *rand.Rand, t, i int) float64,
	see func(t int, update []float32) error) error {
	c := adam.Default()
	c.LR = rate
	rng, g := rand.New(rand.NewPCG(seed, 1)), make([]float32, elements)
	for t := 1; t <= steps; t++ {
		for i := range g {
			g[i] = float32(grad(rng, t, i))
		}
		update, err := s.step(g, c)
		if err == nil {
			err = see(t, update)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func mixed(s stepper, h *Hard, share int) error {
	decade := func(i int) int { return i * 13 % decades }
	return train(s, 1, 3000/share,
		func(r *rand.Rand, _, i int) float64 {
			return r.NormFloat64() * math.Pow(10, -float64(decade(i)))
		},
		func(t int, update []float32) error {
			if t > 1000/share {
				for i, u := range update {
					h.Mixed[decade(i)] += math.Abs(float64(u))
					h.Largest = max(h.Largest, math.Abs(float64(u))/rate)
				}
			}
			return nil
		})
}

func fall(s stepper, h *Hard, share int) error {
	m, v := make([]float32, elements), make([]float32, elements)
	later := [...]int{3000 / share, 5000 / share, 8000 / share}
	return train(s, 2, later[2],
		func(r *rand.Rand, t, _ int) float64 {
			if t > 2000/share {
				return r.NormFloat64() / 100
			}
			return r.NormFloat64()
		},
		func(t int, _ []float32) error {
			for i, at := range later {
				if t != at {
					continue
				}
				if err := s.moments(m, v); err != nil {
					return err
				}
				for _, x := range v {
					h.Fall[i] += math.Sqrt(float64(x))
				}
			}
			return nil
		})
}

func rare(s stepper, h *Hard, share int) error {
	sum := 0.0
	err := train(s, 3, 6000/share,
		func(r *rand.Rand, _, i int) float64 {
			x := r.NormFloat64() / 1000
			if i%4 == 0 && r.IntN(50) != 0 {
				return 0
			}
			return x
		},
		func(t int, update []float32) error {
			if t > 1000/share {
				for i := 0; i < elements; i += 4 {
					sum += float64(update[i]) * float64(update[i])
				}
			}
			return nil
		})
	h.Rare = math.Sqrt(sum)
	return err
}

func dead(s stepper, h *Hard, share int) error {
	drift := make([]float64, elements)
	err := train(s, 4, 5700/share,
		func(r *rand.Rand, t, i int) float64 {
			x := r.NormFloat64() / 1000
			if i%4 == 0 && t > 500/share {
				return 0
			}
			return x
		},
		func(t int, update []float32) error {
			if t > 700/share {
				for i := 0; i < elements; i += 4 {
					drift[i] += float64(update[i])
				}
			}
			return nil
		})
	for _, d := range drift {
		h.Drift += math.Abs(d) / rate / (elements / 4)
	}
	return err
}

// alone makes steps of -1e-5 from 1 on, which is less than half a place of bfloat16 there.
func alone(steps int) ([]Alone, error) {
	c := adam.Default()
	c.LR = 1e-5
	var list []Alone
	add := func(name string, step func() error, value func(i int) float32) error {
		for range steps {
			if err := step(); err != nil {
				return err
			}
		}
		sum, squares := 0.0, 0.0
		for i := range elements {
			x := float64(value(i))
			sum, squares = sum+x, squares+x*x
		}
		mean := sum / elements
		list = append(list,
			Alone{name, mean, math.Sqrt(max(0, squares/elements-mean*mean))})
		return nil
	}
	grad, value := make([]float32, elements), make([]float32, elements)
	for i := range grad {
		grad[i], value[i] = 1, 1
	}
	single := adam.NewState(elements, c)
	if err := add("float32", func() error { return single.Step(value, grad, c) },
		func(i int) float32 { return value[i] }); err != nil {
		return nil, err
	}
	for _, m := range []struct {
		name string
		adam.Master
	}{{"bf16 with a split master", adam.SplitMaster}, {"bf16 alone", adam.NoMaster}} {
		p := adam.Param16{Name: "alone", BF16: make([]adam.BF16, elements), Grad: grad}
		for i := range p.BF16 {
			p.BF16[i] = adam.ToBF16(1)
		}
		s := adam.NewState16(p, adam.Storage{Master: m.Master}, 1, c)
		if err := add(m.name, func() error { return s.Step(p, c) },
			func(i int) float32 { return whole(p.BF16[i:i+1], s.Rest, i) }); err != nil {
			return nil, err
		}
	}
	nearest := adam.NewState(elements, c)
	for i := range value {
		value[i] = 1
	}
	err := add("bf16 alone, nearest", func() error {
		err := nearest.Step(value, grad, c)
		toBF16(value)
		return err
	}, func(i int) float32 { return value[i] })
	return list, err
}

// whole returns the parameter i, of which hi is the upper half if there is a split master.
func whole(hi []adam.BF16, rest []int16, i int) float32 {
	x := []float32{hi[0].Float32()}
	if rest != nil {
		if err := adam.JoinFloat32(x, hi, rest[i:i+1]); err != nil {
			panic(err) // all have one element
		}
	}
	return x[0]
}
