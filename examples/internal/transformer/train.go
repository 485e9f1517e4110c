package transformer

import (
	"github.com/fusedadam/adam"
	"github.com/fusedadam/adam/schedule"
)

// MaxNorm is the largest norm of the gradients: larger ones are scaled down to it.
const MaxNorm = 1

// Groups returns all tensors, with the Configs of AdamW. Only the weights of dense layers decay.
func (n *Network) Groups() []adam.Group {
	decaying, others := n.Params()
	config := adam.DefaultW()
	// the steps are small, and their gradients change faster than 0.999 can follow
	config.Beta2 = 0.99
	config.WeightDecay = 0.1
	noDecay := config
	noDecay.WeightDecay = 0
	return []adam.Group{{Config: config, Params: decaying}, {Config: noDecay, Params: others}}
}

// Rate is the learning rate over a run of so many steps, as a share of the highest: it rises for
// 1/20 of them, then falls along a cosine to 0.
func Rate(steps int) schedule.Schedule {
	warm := max(1, steps/20)
	return schedule.Linear(1/float64(warm), 1, warm-1).Then(warm, schedule.Cosine(1, 0, steps-warm))
}
