package main

import (
	"math"
	"math/rand/v2"

	"gonum.org/v1/gonum/blas/blas32"
)

// A sample is a file, and a name that it uses or that was drawn for it.
type sample struct {
	pair
	used bool
}

// A model has a vector for each file and one for each name. For each name that a file uses,
// negatives others are drawn as often as all files use them. That a name of these is the one used
// has the probability
//
//	p = σ(f·n - ln negatives)
//
// This is noise-contrastive estimation (Gutmann & Hyvärinen, 2010), as in word2vec. f·n comes to
// say how much more often the file uses the name than any file does.
type model struct {
	width, negatives int
	files, names     []float32 // row by row
}

func newModel(u *uses, width, negatives int, seed uint64) *model {
	m := &model{width, negatives, make([]float32, len(u.files)*width),
		make([]float32, len(u.names)*width)}
	rng := rand.New(rand.NewPCG(seed, 2))
	for _, table := range [][]float32{m.files, m.names} {
		for i := range table {
			table[i] = float32(0.1 * rng.NormFloat64())
		}
	}
	return m
}

// baseline is the loss of a model that knows how often names are used, and nothing about files:
// that of f·n = 0.
func baseline(negatives int) float64 {
	k := float64(negatives)
	return math.Log(1+k) - k/(1+k)*math.Log(k)
}

func row(table []float32, width int, id int32) blas32.Vector {
	return vector(table[int(id)*width:][:width])
}

func vector(x []float32) blas32.Vector { return blas32.Vector{N: len(x), Inc: 1, Data: x} }

// score returns f·n.
func (m *model) score(p pair) float64 {
	return float64(blas32.Dot(row(m.files, m.width, p.file), row(m.names, m.width, p.name)))
}

// loss returns the cross-entropy of a sample, in nats, and its derivative by the score.
func (m *model) loss(s sample) (loss, slope float64) {
	z := m.score(s.pair) - math.Log(float64(m.negatives))
	p := 1 / (1 + math.Exp(-z))
	if s.used {
		return math.Log1p(math.Exp(-z)), p - 1
	}
	return math.Log1p(math.Exp(z)), p
}

// learn adds the gradients of the loss to what files and names return for a row, and returns the
// loss. Both are sums over the samples.
func (m *model) learn(samples []sample, files, names func(id int32) []float32) (sum float64) {
	for _, s := range samples {
		loss, slope := m.loss(s)
		blas32.Axpy(float32(slope), row(m.names, m.width, s.name), vector(files(s.file)))
		blas32.Axpy(float32(slope), row(m.files, m.width, s.file), vector(names(s.name)))
		sum += loss
	}
	return sum
}
