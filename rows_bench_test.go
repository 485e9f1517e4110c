package adam

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/fusedadam/adam/internal/selection"
	"github.com/fusedadam/adam/internal/versus"
)

// BenchmarkStepRows measures State.StepRows on each kernel beside the loop over the same rows that
// Go programs write today. The table fits into L2 with its moments, and a quarter of its rows is
// stepped, in ascending order or shuffled.
func BenchmarkStepRows(b *testing.B) {
	const elements = 32 << 10 // 384 KiB of parameters and moments
	c := Default()
	for _, kernel := range Kernels() {
		for _, width := range []int{1, 2, 3, 4, 8, 12, 16, 32, 64, 128} {
			for _, ascending := range []bool{true, false} {
				order := map[bool]string{true: "ascending", false: "shuffled"}[ascending]
				name := fmt.Sprintf("kernel=%s/width=%d/rows=%s", kernel, width, order)
				b.Run(name, func(b *testing.B) {
					defer selection.Use(selection.Use(kernel))
					r := rand.New(rand.NewPCG(1, 2))
					n := elements / width // rows of the table
					rows := make([]int32, n/4)
					for i, row := range r.Perm(n)[:len(rows)] {
						rows[i] = int32(row)
					}
					if ascending {
						slices.Sort(rows)
					}
					p, g := make([]float32, n*width), make([]float32, len(rows)*width)
					for i := range p {
						p[i] = float32(r.NormFloat64())
					}
					for i := range g {
						g[i] = float32(r.NormFloat64() * 1e-3)
					}
					q, host, t := slices.Clone(p), NewState(len(p), c), 0
					s := NewState(len(p), c)
					versus.Run(b, len(g), func() {
						t++
						plainRows(q, width, rows, g, host.M, host.V, t, float32(c.LR),
							float32(c.Beta1), float32(c.Beta2), float32(c.Eps))
					}, func() {
						if err := s.StepRows(p, width, rows, g, c); err != nil {
							b.Fatal(err)
						}
					})
				})
			}
		}
	}
}

// plainRows is the loop of plain.Step, without decay, over rows.
func plainRows(p []float32, width int, rows []int32, g, m, v []float32, t int,
	lr, beta1, beta2, eps float32) {
	correction1 := 1 - float32(math.Pow(float64(beta1), float64(t)))
	correction2 := 1 - float32(math.Pow(float64(beta2), float64(t)))
	for i, row := range rows {
		from := int(row) * width
		p, m, v := p[from:from+width], m[from:from+width], v[from:from+width]
		for j, g := range g[i*width : (i+1)*width] {
			m[j] = beta1*m[j] + (1-beta1)*g
			v[j] = beta2*v[j] + (1-beta2)*g*g
			mHat := m[j] / correction1
			vHat := v[j] / correction2
			p[j] -= lr * mHat / (float32(math.Sqrt(float64(vHat))) + eps)
		}
	}
}
