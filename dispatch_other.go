//go:build (!amd64 && !arm64) || purego || noasm

package adam

import "github.com/fusedadam/adam/internal/selection"

var assembled []selection.Kernel

func stepTile(p, g, m, v, x []float32, c *coeffs)   { stepGeneric(p, g, m, v, x, c) }
func sumSquaresTile(g []float32, sums *partialSums) { sumSquaresGeneric(g, sums) }
func clampTile(d, g []float32, s, limit float32)    { clampGeneric(d, g, s, limit) }
func averageTile(e, p []float32, c float32)         { averageGeneric(e, p, c) }
