package adam

import (
	"hash/fnv"
	"math"
	"math/big"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// The vectors of docs/ARITHMETIC.md. Those of mix are published outputs of splitmix64: the first
// three of seed 0, and the first of seed 1234567.
func TestWordsVectors(t *testing.T) {
	for z, want := range map[uint64]uint64{
		0:                  0xe220a8397b1dcdaf,
		0x9e3779b97f4a7c15: 0x6e789e6aa1b965f4,
		0x3c6ef372fe94f82a: 0x06c45d188009454f,
		1234567:            6457827717110365317,
	} {
		require.Equal(t, want, mix(z), "mix(%#x)", z)
	}
	w0, w1 := uint64(0xe5a55aff49743dfc), uint64(0x47a4c53ac9632cd1)
	for _, c := range []struct {
		seed uint64
		name string
		want uint64
	}{
		{0, "", 0xc3817c016ba4ff30},
		{0, "w", w0},
		{1, "w", w1},
		{0, "größe", 0xa9b541425f6e8284},
		{math.MaxUint64, "layers.0.weight", 0x8796504d86976833},
	} {
		require.Equal(t, c.want, keyOf(c.seed, c.name), "seed %d, name %q", c.seed, c.name)
		s := NewState16(Param16{Name: c.name, BF16: make([]BF16, 1)}, Storage{}, c.seed, Default())
		require.Equal(t, c.want, s.Key)
	}
	for _, c := range []struct {
		key, t, i uint64
		want      uint32
	}{
		{0, 1, 0, 0x8636be1c},
		{0, 1, 1, 0xdd964aba},
		{0, 1, 8191, 0x4f410171},
		{0, 1, 8192, 0xac3ecdec},
		{0, 2, 0, 0xd3edbf40},
		{w0, 1, 0, 0x4644c62a},
		{w0, 1000, 12345, 0x404894c4},
		{w1, 1, 1<<32 - 1, 0xf14e163c},
		{w1, 1, 1 << 32, 0x29806095},
		{w1, 1 << 40, 1<<40 + 77, 0xacd06ed9},
	} {
		require.Equal(t, c.want, wordsAt(c.key, c.t, c.i).at(0), "%+v", c)
	}
}

// wordByDefinition computes a word as words.go says, in integers without a limit.
func wordByDefinition(key, t, i uint64) uint32 {
	number := func(x uint64) *big.Int { return new(big.Int).SetUint64(x) }
	modulo := func(x *big.Int, n uint) *big.Int {
		return x.Mod(x, new(big.Int).Lsh(big.NewInt(1), n))
	}
	shifted := func(x *big.Int, n uint) *big.Int { // x ^ x>>n
		return new(big.Int).Xor(x, new(big.Int).Rsh(x, n))
	}
	times := func(x *big.Int, a uint64, n uint) *big.Int {
		return modulo(new(big.Int).Mul(x, number(a)), n)
	}
	plus := func(x, y *big.Int, n uint) *big.Int { return modulo(new(big.Int).Add(x, y), n) }
	mix := func(z *big.Int) *big.Int {
		z = plus(z, number(0x9e3779b97f4a7c15), 64)
		z = times(shifted(z, 30), 0xbf58476d1ce4e5b9, 64)
		z = times(shifted(z, 27), 0x94d049bb133111eb, 64)
		return shifted(z, 31)
	}
	tile, place := new(big.Int).DivMod(number(i), number(8192), new(big.Int))
	k := mix(plus(mix(plus(number(key), number(t), 64)), tile, 64))
	k0, k1 := modulo(new(big.Int).Set(k), 32), new(big.Int).Rsh(k, 32)
	w := plus(times(place, 0x9e3779b1, 32), k0, 32)
	w = times(shifted(w, 16), 0x7feb352d, 32)
	w = times(plus(shifted(w, 15), k1, 32), 0x846ca68b, 32)
	return uint32(shifted(w, 16).Uint64())
}

func TestWordsAsDefined(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		key, step, i := r.Uint64()>>r.IntN(64), r.Uint64()>>r.IntN(64), r.Uint64()>>r.IntN(64)
		want := wordByDefinition(key, step, i)
		require.Equal(t, want, wordsAt(key, step, i).at(0), "%#x, %d, %d", key, step, i)
		// the same element, counted from another of its tile
		n := r.IntN(int(i%tile) + 1)
		w := wordsAt(key, step, i-uint64(n))
		require.Equal(t, want, w.at(n))
		k := r.IntN(n + 1)
		require.Equal(t, want, w.from(k).at(n-k))
	}
}

func TestKeys(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for n := range 100 {
		name := make([]byte, n)
		for i := range name {
			name[i] = byte(r.Uint32())
		}
		h := fnv.New64a()
		h.Write(name)
		seed := r.Uint64()
		require.Equal(t, mix(seed^h.Sum64()), keyOf(seed, string(name)))
	}
}

// Every bit of the words of successive elements, tiles, steps and tensors is set in about half of
// them, and in about half of them it differs from that of the one before. The seeds are fixed.
func TestWordsAreEven(t *testing.T) {
	const n = 1 << 16
	key := keyOf(0, "w")
	for name, word := range map[string]func(i uint64) uint32{
		"elements": func(i uint64) uint32 { return wordsAt(key, 1, i).at(0) },
		"columns":  func(i uint64) uint32 { return wordsAt(key, 1, 144*i).at(0) },
		"tiles":    func(i uint64) uint32 { return wordsAt(key, 1, tile*i).at(0) },
		"steps":    func(i uint64) uint32 { return wordsAt(key, i, 5).at(0) },
		"keys":     func(i uint64) uint32 { return wordsAt(keyOf(i, "w"), 1, 5).at(0) },
	} {
		var set, differ [32]int
		before := word(n)
		for i := range uint64(n) {
			w := word(i)
			for bit := range 32 {
				set[bit] += int(w >> bit & 1)
				differ[bit] += int((w ^ before) >> bit & 1)
			}
			before = w
		}
		sigma := math.Sqrt(n) / 2
		for bit := range 32 {
			require.InDelta(t, n/2, set[bit], 5*sigma, "%s: bit %d is set", name, bit)
			require.InDelta(t, n/2, differ[bit], 5*sigma, "%s: bit %d differs", name, bit)
		}
	}
}
