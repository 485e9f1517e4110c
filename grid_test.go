package adam

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Chunks cover all cells, are of a tile where there are few, and else of as many as leave enough
// chunks, up to 16.
func TestChunks(t *testing.T) {
	before := leastChunks
	t.Cleanup(func() { leastChunks = before })
	leastChunks = 4
	for tiles, want := range map[int]int{1: 1, 7: 1, 8: 2, 15: 3, 63: 15, 64: 16, 70: 16} {
		n := tiles*tile - 100
		o, err := New(Options{}, Group{Config: Default(), Params: someTensors(n, "a"),
			Params64: []Param64{{Name: "b", Value: make([]float64, tile/2)}}})
		require.NoError(t, err)
		o.cut()
		for i := range o.grid.chunks {
			from, to := o.grid.chunk(i)
			if last := i == len(o.grid.chunks)-1; last {
				assert.LessOrEqual(t, to-from, want+1, "%d tiles", tiles)
				assert.Equal(t, len(o.grid.cells), to)
			} else {
				assert.Equal(t, want*(i+1), to, "%d tiles", tiles)
			}
			assert.Equal(t, want*i, from, "%d tiles", tiles)
		}
		require.NoError(t, o.Close())
	}
}
