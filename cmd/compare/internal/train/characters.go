package train

import (
	"go/build"
	"os"
	"path/filepath"
	"slices"

	"gorgonia.org/gorgonia"
)

// Characters predicts the next character of a text from the eight before it, each looked up in a
// table of embeddings (Bengio et al. 2003). The text is Newton's Opticks, which comes with Go, if
// path is empty. Its first nine tenths are to train on, the rest is half validation and half test.
func Characters(path string) (*Task, error) {
	const context, embedding, hidden = 8, 16, 128
	if path == "" {
		path = filepath.Join(build.Default.GOROOT, "src", "testdata", "Isaac.Newton-Opticks.txt")
	}
	file, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	text := []rune(string(file))
	symbols := slices.Compact(slices.Sorted(slices.Values(text)))
	n := len(symbols)
	codes := make([]int, len(text))
	for i, r := range text {
		codes[i], _ = slices.BinarySearch(symbols, r)
	}
	part := func(from, to int) Set {
		return Set{to - from - context, func(i int, x []float32) int {
			at := from + i
			for j, c := range codes[at:][:context] {
				x[j*n+c] = 1
			}
			return codes[at+context]
		}}
	}
	a, b := len(codes)*90/100, len(codes)*95/100
	t := &Task{
		Name: "characters", Title: "Characters",
		Classes: n, Batch: 64, Steps: 4000,
		Train: part(0, a), Validation: part(a, b), Test: part(b, len(codes)),
		Layers: []Layer{
			{"embeddings", []int{n, embedding}, 1},
			weights("hidden weights", context*embedding, hidden, 1), bias("hidden biases", hidden),
			weights("output weights", hidden, n, 1), bias("output biases", n),
		},
		Counts: make([]int, n),
		inputs: []int{context, n},
	}
	t.forward = func(x *gorgonia.Node, p gorgonia.Nodes) *gorgonia.Node {
		must := gorgonia.Must
		e := must(gorgonia.Mul(x, p[0])) // a row of the table for each character
		e = must(gorgonia.Reshape(e, []int{x.Shape()[0] / context, context * embedding}))
		return dense(must(gorgonia.Tanh(dense(e, p[1], p[2]))), p[3], p[4])
	}
	for _, c := range codes[context:a] {
		t.Counts[c]++
	}
	for _, r := range symbols {
		t.Symbols = append(t.Symbols, string(r))
	}
	return t, nil
}
