package measure

import (
	"fmt"
	"strconv"
	"strings"
)

// Sizes are the numbers of elements measured if none are asked for: from a bias to far beyond the
// caches.
var Sizes = []int{16, 256, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20, 4 << 20,
	16 << 20, 64 << 20}

// Sizes64 are those of float64.
var Sizes64 = []int{256, 1 << 10, 16 << 10, 256 << 10, 4 << 20, 64 << 20}

// Firsts are those of the first step after scalar code. Larger ones hide what happens at its start.
var Firsts = []int{16 << 10, 128 << 10, 1 << 20}

// largest is the largest size accepted, 64 GiB of memory.
const largest = 4 << 30

// ParseSize reads a number of elements such as 1000, 16Ki or 64Mi.
func ParseSize(text string) (int, error) {
	digits, unit := text, int64(1)
	if d, found := strings.CutSuffix(text, "Ki"); found {
		digits, unit = d, 1<<10
	} else if d, found := strings.CutSuffix(text, "Mi"); found {
		digits, unit = d, 1<<20
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n < 1 || n > largest/unit || int64(int(n*unit)) != n*unit {
		return 0, fmt.Errorf("size %q: want a number of elements such as 1000, 16Ki or 64Mi", text)
	}
	return int(n * unit), nil
}

// SizeName writes a size as ParseSize reads it.
func SizeName(n int) string {
	switch {
	case n >= 1<<20 && n%(1<<20) == 0:
		return fmt.Sprintf("%dMi", n>>20)
	case n >= 1<<10 && n%(1<<10) == 0:
		return fmt.Sprintf("%dKi", n>>10)
	}
	return strconv.Itoa(n)
}
