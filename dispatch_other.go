//go:build (!amd64 && !arm64 && !(riscv64 && linux && go1.26)) || !gc || purego || noasm

package adam

import "github.com/fusedadam/adam/internal/selection"

var assembled []selection.Kernel

const best = 0 // generic

func (c *coeffs) stepTile(p, g, m, v, x []float32)   { stepGeneric(p, g, m, v, x, c) }
func (c *coeffs64) stepTile(p, g, m, v, x []float64) { stepGeneric64(p, g, m, v, x, c) }

func stepRuns(p, g, m, v, x []float32, runs []run, c *coeffs) {
	stepRunsGeneric(p, g, m, v, x, runs, c)
}

func sumSquaresBlocks(g []float32, sums *partialSums) { sumSquaresGeneric(g, sums) }
func clampBlocks(d, g []float32, s, limit float32)    { clampGeneric(d, g, s, limit) }
func averageBlocks(e, p []float32, c float32)         { averageGeneric(e, p, c) }
func addBlocks(to, from []float32)                    { addGeneric(to, from) }

func sumSquaresBlocks64(g []float64, sums *partialSums) { sumSquaresGeneric64(g, sums) }
func clampBlocks64(d, g []float64, s, limit float64)    { clampGeneric64(d, g, s, limit) }
func averageBlocks64(e, p []float64, c float64)         { averageGeneric64(e, p, c) }
func addBlocks64(to, from []float64)                    { addGeneric(to, from) }

// The mode cannot be seen without assembly, and is taken to be the usual one.
const (
	modeBits  = 0
	usualMode = 0
)

func controlRegister() uint32          { return 0 }
func setControlRegister(uint32) uint32 { return 0 }
func describeMode(uint32) string       { return "unknown" }
