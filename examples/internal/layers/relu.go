package layers

// ReLU sets the negative elements of x to 0.
func ReLU(x []float32) {
	for i, a := range x {
		x[i] = max(a, 0)
	}
}

// ReLUBackward sets dy to 0 where y, what [ReLU] has left, is 0: so it becomes dx.
func ReLUBackward(y, dy []float32) {
	for i, a := range y {
		if a <= 0 {
			dy[i] = 0
		}
	}
}
