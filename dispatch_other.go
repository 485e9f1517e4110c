//go:build (!amd64 && !arm64) || purego || noasm

package adam

import "github.com/fusedadam/adam/internal/selection"

var assembled []selection.Kernel

func stepTile(p, g, m, v, x []float32, c *coeffs) { stepGeneric(p, g, m, v, x, c) }
