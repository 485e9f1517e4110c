package checkpoint

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

// Scales and codes that no step writes are refused wherever they stand, and all others are taken.
func TestCheckBlocks(t *testing.T) {
	assert.NoError(t, CheckBlocks(M, nil, nil))
	for _, p := range []Piece{M, V} {
		for scale := range 256 {
			for code := -128; code < 128; code++ {
				var want bool
				switch {
				case scale == 0:
					want = code == 0
				case scale == 255:
					want = code == 1
				case p == M:
					want = scale >= 16 && code > -128
				default:
					want = scale >= 32
				}
				codes, scales := make([]byte, Block+3), []uint8{0, byte(scale)}
				for i := range 3 {
					codes[Block+i] = byte(code)
				}
				if want != (CheckBlocks(p, codes, scales) == nil) {
					t.Fatalf("piece %d, scale %d, code %d: %v", p, scale, code, !want)
				}
			}
		}
	}
	codes := make([]byte, 2*Block)
	codes[2*Block-1] = 128
	assert.EqualError(t, CheckBlocks(M, codes, []uint8{16, 254}),
		"block 1 has scale 254 and code -128, want one from -127 to 127")
	assert.EqualError(t, CheckBlocks(V, codes, []uint8{32, 31}),
		"block 1 has scale 31, want 0 or at least 32")
}
