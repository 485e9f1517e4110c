package layers

import "math"

// GELU sets z to the Gaussian error linear units of x (Hendrycks and Gimpel, 2016), x·Φ(x), with
// the approximation ½(1 + tanh(√(2/π)·(x + 0.044715·x³))) of Φ that GPT-2 has. It leaves in x the
// derivatives of z by x, for [GELUBackward].
func GELU(x, z []float32) {
	for i, a := range x {
		// ½(1 + tanh(u/2)) is the logistic function of u
		u := 2 * math.Sqrt2 / math.SqrtPi * a * (1 + 0.044715*a*a)
		phi := float32(1 / (1 + math.Exp(-float64(u))))
		du := 2 * math.Sqrt2 / math.SqrtPi * (1 + 3*0.044715*a*a)
		z[i] = a * phi
		x[i] = phi + a*phi*(1-phi)*du
	}
}

// GELUBackward multiplies dz by the slopes that [GELU] has left in x: so it becomes dx.
func GELUBackward(slopes, dz []float32) {
	for i, s := range slopes {
		dz[i] *= s
	}
}
