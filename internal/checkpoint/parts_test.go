package checkpoint

import (
	"hash/crc32"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The checksum of what stands behind each other is that of hash/crc32.
func FuzzCombine(f *testing.F) {
	f.Add([]byte{}, 0, uint16(0))
	f.Add([]byte("123456789"), 4, uint16(0))
	f.Add([]byte{0, 0, 0, 0xff}, 3, uint16(70))
	f.Fuzz(func(t *testing.T, b []byte, cut int, more uint16) {
		b = append(b, make([]byte, more)...)
		cut = max(0, min(cut, len(b)))
		x, y := crc32.ChecksumIEEE(b[:cut]), crc32.ChecksumIEEE(b[cut:])
		require.Equal(t, crc32.ChecksumIEEE(b), Combine(x, y, int64(len(b)-cut)))
	})
}

// Lengths of which no test can have the bytes: a‖b‖c may be combined from either end.
func TestCombineLong(t *testing.T) {
	assert.EqualValues(t, uint32(0xcbf43926), Combine(crc32.ChecksumIEEE([]byte("1234")),
		crc32.ChecksumIEEE([]byte("56789")), 5), "the check value of CRC-32")
	for shift := range 62 {
		const a, b, c = 0x12345678, 0x9abcdef0, 0x0fedcba9
		n, m := int64(1)<<shift+5, int64(3)<<shift/2+1
		assert.Equal(t, Combine(a, Combine(b, c, m), n+m), Combine(Combine(a, b, n), c, m), "%d", n)
	}
	// x^(8n) by n steps.
	zeros, sum := make([]byte, 1<<20), crc32.ChecksumIEEE([]byte("a"))
	of := crc32.ChecksumIEEE(zeros)
	want := sum
	for range 64 {
		want = crc32.Update(want, crc32.IEEETable, zeros)
		sum = Combine(sum, of, int64(len(zeros)))
	}
	assert.Equal(t, want, sum)
}
