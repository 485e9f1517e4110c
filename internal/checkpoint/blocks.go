package checkpoint

import "fmt"

// CheckBlocks refuses moments of 8 bits that no step writes. p is M or V.
func CheckBlocks(p Piece, codes, scales []byte) error {
	least := map[Piece]uint8{M: 16, V: 32}[p]
	for i, s := range scales {
		block := codes[i*Block : min((i+1)*Block, len(codes))]
		low, high := int8(-128), int8(127)
		switch {
		case s == 0: // before the first step
			low, high = 0, 0
		case s == 255: // NaN throughout
			low, high = 1, 1
		case s < least:
			return fmt.Errorf("block %d has scale %d, want 0 or at least %d", i, s, least)
		case p == M: // a sign and 7 bits
			low = -127
		}
		for _, b := range block {
			c := int8(b)
			if c < low || c > high {
				return fmt.Errorf("block %d has scale %d and code %d, want one from %d to %d", i, s,
					c, low, high)
			}
		}
	}
	return nil
}
