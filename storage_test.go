package adam

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSplitLengths(t *testing.T) {
	for _, n := range [][3]int{{3, 3, 2}, {3, 2, 3}, {2, 3, 3}, {0, 0, 1}, {4, 4, 3}} {
		hi, lo, x := make([]BF16, n[0]), make([]int16, n[1]), make([]float32, n[2])
		for i := range x {
			x[i] = 1.001
		}
		err := SplitFloat32(hi, lo, x)
		require.ErrorIs(t, err, ErrLength)
		for i, name := range []string{"hi", "lo", "from"} {
			require.ErrorContains(t, err, name+" "+string(rune('0'+n[i])))
		}
		require.Equal(t, make([]BF16, n[0]), hi)
		require.Equal(t, make([]int16, n[1]), lo)

		for i := range hi {
			hi[i] = 0x4000
		}
		want := append([]float32(nil), x...)
		err = JoinFloat32(x, hi, lo)
		require.ErrorIs(t, err, ErrLength)
		for i, name := range []string{"hi", "lo", "to"} {
			require.ErrorContains(t, err, name+" "+string(rune('0'+n[i])))
		}
		require.Equal(t, want, append([]float32(nil), x...))
	}
	require.NoError(t, SplitFloat32(nil, nil, nil))
	require.NoError(t, JoinFloat32(nil, nil, nil))
}

func TestAs16SharesMemory(t *testing.T) {
	type ofFramework uint16
	s := make([]ofFramework, 2, 5)
	b, h := AsBF16(s), AsF16(s)
	require.Len(t, b, 2)
	require.Equal(t, 2, cap(b))
	require.Len(t, h, 2)
	b[0], h[1] = ToBF16(1), ToF16(1)
	require.Equal(t, []ofFramework{0x3f80, 0x3c00}, s)
	require.Empty(t, AsBF16([]uint16{}))
	require.Nil(t, AsBF16([]uint16(nil)))
	require.NotNil(t, AsBF16([]uint16{}))
	require.Nil(t, AsF16([]uint16(nil)))
}

func TestStorageStrings(t *testing.T) {
	for m, want := range map[Moments]string{Float32Moments: "Float32Moments",
		BF16Moments: "BF16Moments", Q8Moments: "Q8Moments", 3: "Moments(3)", 255: "Moments(255)"} {
		require.Equal(t, want, m.String())
	}
	for m, want := range map[Master]string{SplitMaster: "SplitMaster", NoMaster: "NoMaster",
		2: "Master(2)"} {
		require.Equal(t, want, m.String())
	}
}
