package main

import (
	"math"
	"math/rand/v2"
	"slices"
	"sort"

	"github.com/fusedadam/adam"
)

// stepper is Adam with moments of some format. Its parameters are 0 before each step, so that they
// are the update afterwards, with no rounding of their own.
type stepper interface {
	step(grad []float32, c adam.Config) (update []float32, err error)
	moments(m, v []float32) error
}

// format is a way to store moments.
type format struct {
	name string
	make func(n int) stepper
}

var formats = []format{
	{"float32", ours(adam.Float32Moments)},
	{"bf16", ours(adam.BF16Moments)},
	{"q8", ours(adam.Q8Moments)},
	{"bf16, nearest", emulated(toBF16, toBF16)},
	{"q8, nearest", emulated(q8m(3, half), q8v(3, half))},
	{"q8 with a fourth bit", emulated(q8m(4, random(1)), q8v(4, random(2)))},
	{"map of bitsandbytes", emulated(mapped(true), mapped(false))},
	{"companding of flashoptim", emulated(compandM, compandV)},
	{"fp8 e4m3 of torchao", emulated(e4m3, e4m3)},
	{"linear, blocks of 256", emulated(linear(127), linear(255))},
}

// real is the package itself.
type real struct {
	adam.Param16
	*adam.State16
}

func ours(m adam.Moments) func(n int) stepper {
	return func(n int) stepper {
		p := adam.Param16{Name: "hard", Value: make([]float32, n), Grad: make([]float32, n)}
		return &real{p, adam.NewState16(p, adam.Storage{Moments: m}, 1, adam.Default())}
	}
}

func (r *real) step(grad []float32, c adam.Config) ([]float32, error) {
	clear(r.Value)
	r.Grad = grad
	return r.Value, r.Step(r.Param16, c)
}

func (r *real) moments(m, v []float32) error { return r.Float32(m, v) }

// emulation is the package's Adam in float32, whose moments are rounded after each step to what a
// format can hold.
type emulation struct {
	*adam.State
	value          []float32
	roundM, roundV func(x []float32)
}

func emulated(m, v func(x []float32)) func(n int) stepper {
	return func(n int) stepper {
		return &emulation{adam.NewState(n, adam.Default()), make([]float32, n), m, v}
	}
}

func (e *emulation) step(grad []float32, c adam.Config) ([]float32, error) {
	clear(e.value)
	if err := e.Step(e.value, grad, c); err != nil {
		return nil, err
	}
	e.roundM(e.M)
	e.roundV(e.V)
	return e.value, nil
}

func (e *emulation) moments(m, v []float32) error {
	copy(m, e.M)
	copy(v, e.V)
	return nil
}

// toBF16 rounds to the nearest bfloat16.
func toBF16(x []float32) {
	for i := range x {
		x[i] = adam.ToBF16(x[i]).Float32()
	}
}

// half is the word by which a rounding that adds words is one to nearest.
func half() uint32 { return 1 << 31 }

func random(seed uint64) func() uint32 { return rand.New(rand.NewPCG(seed, 0)).Uint32 }

// q8v is q8 of v with k bits behind the leading one and words from a function: the upper bits of
// each float, less a base. With 3 bits it is that of docs/ARITHMETIC.md.
func q8v(k uint, word func() uint32) func(x []float32) {
	d := 23 - k
	return blocks(64, func(x []float32, _ float32) {
		base := int64(exponent(x, (254+1<<k-1)>>k))<<k + 1<<k - 255
		for i, y := range x {
			t := (int64(math.Float32bits(y)) - base<<d + int64(word()>>(32-d))) >> d
			x[i] = math.Float32frombits(uint32(min(max(t, 0), 255)+base) << d)
		}
	})
}

// q8m is that of m: the same of |m| plus the smallest magnitude.
func q8m(k uint, word func() uint32) func(x []float32) {
	d := 23 - k
	return blocks(64, func(x []float32, _ float32) {
		base := exponent(x, (125+1<<k-1)>>k)<<k + 1<<k - 126
		least := math.Float32frombits(base << d)
		for i, y := range x {
			sum := math.Float32bits(abs(y) + least)
			t := (sum - base<<d + word()>>(32-d)) >> d
			x[i] = copysign(math.Float32frombits((t+base)<<d)-least, y)
		}
	})
}

// exponent returns the largest exponent field of x, and no less than the least.
func exponent(x []float32, least uint32) uint32 {
	for _, y := range x {
		least = max(least, math.Float32bits(y)&0x7fffffff>>23)
	}
	return least
}

// blocks applies f to blocks of n elements that are not all 0, with their largest magnitude.
func blocks(n int, f func(x []float32, largest float32)) func(x []float32) {
	return func(x []float32) {
		for b := range slices.Chunk(x, n) {
			largest := float32(0)
			for _, y := range b {
				largest = max(largest, abs(y))
			}
			if largest > 0 {
				f(b, largest)
			}
		}
	}
}

// mapped rounds to the nearest of 256 numbers times the largest magnitude of 256 elements. They
// span seven decades, of which each has twice as many as the one below, and m keeps its sign.
func mapped(signed bool) func(x []float32) {
	numbers := []float32{0, 1}
	for decade := range 7 {
		n := 1 << decade
		if !signed {
			n *= 2
		}
		for i := range n {
			a := float32(math.Pow(10, float64(decade-6)) * (0.1 + 0.9*(float64(i)+0.5)/float64(n)))
			numbers = append(numbers, a)
			if signed {
				numbers = append(numbers, -a)
			}
		}
	}
	slices.Sort(numbers)
	return blocks(256, func(x []float32, largest float32) {
		for i, y := range x {
			u := y / largest
			j := sort.Search(len(numbers)-1, func(k int) bool { return numbers[k] >= u })
			if j > 0 && u-numbers[j-1] < numbers[j]-u {
				j--
			}
			switch q := numbers[j]; {
			case signed && y < 0 && q >= 0:
				j--
			case signed && y > 0 && q <= 0:
				j++
			}
			x[i] = numbers[j] * largest
		}
	})
}

// compandM is 8 bits of 2x/(1+|x|), x being m over the largest magnitude of 32, which is kept as
// binary16.
var compandM = blocks(32, func(x []float32, largest float32) {
	scale := adam.ToF16(largest).Float32()
	for i, y := range x {
		u := y / largest
		t := floor(127*2*u/(1+abs(u))+0.5) / 127
		x[i] = t / (2 - abs(t)) * scale
	}
})

// compandV is 8 bits of √v over the largest of 32.
var compandV = blocks(32, func(x []float32, largest float32) {
	root := sqrt(largest)
	scale := adam.ToF16(root).Float32()
	for i, y := range x {
		u := floor(sqrt(y)/root*255+0.5) / 255 * scale
		x[i] = u * u
	}
})

// e4m3 is a float of 8 bits, 4 of them its exponent, of which 448 is the largest magnitude of 256
// elements.
var e4m3 = blocks(256, func(x []float32, largest float32) {
	scale := largest / 448
	for i, y := range x {
		a := math.Abs(float64(y / scale))
		_, e := math.Frexp(max(a, 0x1p-6))
		unit := math.Ldexp(1, e-4)
		x[i] = copysign(float32(min(math.RoundToEven(a/unit)*unit, 448))*scale, y)
	}
})

// linear has equal steps up to the largest magnitude of 256 elements.
func linear(steps float32) func(x []float32) {
	return blocks(256, func(x []float32, largest float32) {
		for i, y := range x {
			x[i] = float32(math.Round(float64(y/largest*steps))) * largest / steps
		}
	})
}

func abs(x float32) float32         { return float32(math.Abs(float64(x))) }
func sqrt(x float32) float32        { return float32(math.Sqrt(float64(x))) }
func floor(x float32) float32       { return float32(math.Floor(float64(x))) }
func copysign(x, y float32) float32 { return float32(math.Copysign(float64(x), float64(y))) }
