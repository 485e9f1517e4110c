// Package models has the sizes of the parameter tensors of well-known networks, for benchmarks.
package models

// A Model is a network by the sizes of its parameter tensors.
type Model struct {
	Key     string // for flags
	Name    string
	Tensors []int
}

// Parameters returns the number of all parameters.
func (m Model) Parameters() int {
	n := 0
	for _, t := range m.Tensors {
		n += t
	}
	return n
}

// All are the networks, the smallest first.
var All = []Model{
	{"mlp", "MLP 784-128-10", mlp()},
	{"resnet50", "ResNet-50", resnet50()},
	{"gpt2", "GPT-2 124M", gpt2()},
}

// mlp is a perceptron 784-128-10: weights and biases.
func mlp() []int { return []int{784 * 128, 128, 128 * 10, 10} }

// gpt2 is GPT-2 of 124 M parameters (Radford et al. 2019); the output layer is the token embedding.
func gpt2() []int {
	const width = 768
	norm := []int{width, width}
	t := []int{50257 * width, 1024 * width} // embeddings of tokens and positions
	for range 12 {
		t = append(t, norm...)
		t = append(t, width*3*width, 3*width, width*width, width) // attention, in and out
		t = append(t, norm...)
		t = append(t, width*4*width, 4*width, 4*width*width, width) // feed-forward, in and out
	}
	return append(t, norm...)
}

// resnet50 is ResNet-50 for ImageNet (He et al. 2016): convolutions without bias, each with the
// scale and shift of its batch normalization.
func resnet50() []int {
	var t []int
	convolution := func(in, out, side int) { t = append(t, in*out*side*side, out, out) }
	convolution(3, 64, 7)
	in := 64
	for stage, blocks := range []int{3, 4, 6, 3} {
		width := 64 << stage
		for block := range blocks {
			convolution(in, width, 1)
			convolution(width, width, 3)
			convolution(width, 4*width, 1)
			if block == 0 {
				convolution(in, 4*width, 1) // the shortcut
			}
			in = 4 * width
		}
	}
	return append(t, 2048*1000, 1000)
}
