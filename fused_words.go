package adam

import "github.com/fusedadam/adam/internal/selection"

// fusedWords are the fusions in words.
var fusedWords = [...]string{
	fusedSplit:    "bf16 g, split, bf16 moments",
	fusedBF16:     "bf16 p, g, moments",
	fusedMoments:  "float32 p, g, bf16 moments",
	fusedSplitQ8:  "bf16 g, split, q8",
	fusedQ8:       "float32 p, g, q8",
	fusedGradient: "bf16 g, float32 p, moments",
	fusedCopy:     "bf16 g, float32 p with bf16 copy",
}

func init() { selection.Fused = fusedSteps }

// fusedSteps returns in words the fused steps that the kernel in use has. It makes each, of a block
// of zeros, so that there is no list beside the code.
func fusedSteps() []string {
	config := DefaultW()
	var c coeffs
	c.set(&config, 1, 1)
	float32s := [4][]float32{}
	for i := range float32s {
		float32s[i] = make([]float32, block16)
	}
	p := Param16{Value: float32s[0], BF16: make([]BF16, block16), Grad: float32s[1],
		GradBF16: make([]BF16, block16)}
	s := State16{M: float32s[2], V: float32s[3], Rest: make([]int16, block16),
		M16: make([]BF16, block16), V16: make([]BF16, block16),
		M8: make([]int8, block16), V8: make([]int8, block16),
		MScale: make([]uint8, 1), VScale: make([]uint8, 1)}
	var list []string
	for f := fusedSplit; int(f) < len(fusedWords); f++ {
		a := p.operands(&s, 0, words{})
		if c.stepFused(f, &a, block16) {
			list = append(list, fusedWords[f])
		}
	}
	return list
}
