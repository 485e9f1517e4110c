package adam

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Steps of a State16 do not allocate, whatever the storage.
func TestStep16DoesNotAllocate(t *testing.T) {
	const n = 10_000
	c := DefaultW()
	for _, m := range []Moments{Float32Moments, BF16Moments, Q8Moments} {
		for _, p := range []Param16{
			{Value: make([]float32, n), GradBF16: make([]BF16, n)},
			{BF16: make([]BF16, n), GradF16: make([]F16, n)},
			{BF16: make([]BF16, n), GradBF16: make([]BF16, n)},
		} {
			s := NewState16(p, Storage{Moments: m}, 1, c)
			require.Zero(t, testing.AllocsPerRun(10, func() {
				if err := s.Step(p, c); err != nil {
					t.Fatal(err)
				}
			}))
		}
	}
}
