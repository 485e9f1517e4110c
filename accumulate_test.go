package adam

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/fusedadam/adam/internal/operands"
	"github.com/fusedadam/adam/internal/selection"
	"github.com/fusedadam/adam/internal/versus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// added compares a call of accumulate, which is Accumulate or Accumulate64, with the plain loop.
func added[F operands.Float](t *testing.T, o *operands.Of[F],
	accumulate func(to, from []F) error) {
	t.Helper()
	want, from := o.Clone([5]int{}), operands.Bits(o.G)
	for i := range want.P {
		want.P[i] += want.G[i]
	}
	require.NoError(t, accumulate(o.P, o.G))
	require.NoError(t, o.Difference(want), "%d elements", len(o.P))
	require.True(t, operands.Unchanged(o.G, from), "from has changed, %d elements", len(o.P))
	require.NoError(t, o.Intact(), "%d elements", len(o.P))
}

func TestAccumulate(t *testing.T)   { eachSum(t, Accumulate, operands.Kinds, tile) }
func TestAccumulate64(t *testing.T) { eachSum(t, Accumulate64, operands.Kinds64, tile64) }

// eachSum makes sums of all lengths, values of all kinds, and slices at all alignments.
func eachSum[F operands.Float](t *testing.T, accumulate func(to, from []F) error,
	kinds []operands.KindOf[F], tile int) {
	eachKernel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(1, 2))
		for _, kind := range kinds {
			for n := range operands.Longest + 1 {
				added(t, operands.New(r, n, operands.Offsets(r), kind.Value), accumulate)
			}
			for _, n := range []int{tile - 1, tile, tile + 1, 2 * tile, 3*tile + 17} {
				added(t, operands.New(r, n, operands.Offsets(r), kind.Value), accumulate)
			}
		}
		for to := range 16 {
			for from := range 16 {
				for _, n := range []int{1, 33, 64, 95} {
					offsets := [5]int{to, from}
					added(t, operands.New(r, n, offsets, kinds[0].Value), accumulate)
				}
			}
		}
	})
}

func TestAccumulateErrors(t *testing.T)   { refusedSums(t, Accumulate) }
func TestAccumulateErrors64(t *testing.T) { refusedSums(t, Accumulate64) }

func refusedSums[F operands.Float](t *testing.T, accumulate func(to, from []F) error) {
	eachKernel(t, func(t *testing.T) {
		memory := make([]F, 300)
		for i := range memory {
			memory[i] = F(i + 1)
		}
		before := operands.Bits(memory)
		for _, c := range []struct {
			to, from []F
			want     error
			words    string
		}{
			{memory[:10], memory[20:29], ErrLength, "to 10, from 9"},
			{memory[:9], memory[20:30], ErrLength, "to 9, from 10"},
			{memory[:10], nil, ErrLength, "from 0"},
			{nil, memory[:1], ErrLength, "to 0"},
			{memory[:10], memory[5:10], ErrLength, "from 5"}, // what is wrong first
			{memory[:100], memory[:100], ErrOverlap, "100 elements"},
			{memory[:100], memory[99:199], ErrOverlap, "100 elements"},
			{memory[99:199], memory[:100], ErrOverlap, "100 elements"},
			{memory[3:4], memory[3:4], ErrOverlap, "1 elements"},
		} {
			err := accumulate(c.to, c.from)
			require.ErrorIs(t, err, c.want)
			assert.ErrorContains(t, err, c.words)
			assert.Equal(t, 1, strings.Count(err.Error(), "adam:"), "%v", err)
			assert.True(t, operands.Unchanged(memory, before), "%v, but memory has changed", err)
		}
		for _, s := range [][]F{nil, {}, memory[:0], memory[5:5]} { // inside of another: no overlap
			assert.NoError(t, accumulate(s, memory[7:7]))
			assert.NoError(t, accumulate(s, s))
		}
		assert.True(t, operands.Unchanged(memory, before))
		assert.NoError(t, accumulate(memory[:100], memory[100:200]), "neighbours do not overlap")
		assert.NoError(t, accumulate(memory[200:], memory[100:200]))
	})
}

// A fixed tree over the parts of a batch has the same bits whoever makes its sums, and another
// order of the additions has others.
func TestAccumulateTree(t *testing.T) {
	const parts, n = 8, 1000
	r := rand.New(rand.NewPCG(7, 8))
	var gradients [parts][]float32
	for i := range gradients {
		gradients[i] = operands.New(r, n, [5]int{}, operands.Normal).G
	}
	// sum returns the sum of a subtree. A worker has the subtrees of whole parts.
	var sum func(from, to int) []float32
	sum = func(from, to int) []float32 {
		if to-from == 1 {
			return slices.Clone(gradients[from])
		}
		middle := (from + to) / 2
		left, right := sum(from, middle), sum(middle, to)
		require.NoError(t, Accumulate(left, right))
		return left
	}
	want := sum(0, parts)
	for _, workers := range []int{2, 4, 8} {
		var own [][]float32
		for w := range workers {
			own = append(own, sum(w*parts/workers, (w+1)*parts/workers))
		}
		for k := 1; k < workers; k *= 2 {
			for w := 0; w < workers; w += 2 * k {
				require.NoError(t, Accumulate(own[w], own[w+k]))
			}
		}
		assert.Equal(t, want, own[0], "%d workers", workers)
	}
	inTurn := slices.Clone(gradients[0])
	for _, g := range gradients[1:] {
		require.NoError(t, Accumulate(inTurn, g))
	}
	assert.NotEqual(t, want, inTurn)
}

// FuzzAccumulate compares one call with the plain loop and with calls on the parts of the same
// slices, of float32 and of float64. No length or overlap panics, and an error changes nothing.
func FuzzAccumulate(f *testing.F) {
	for i, n := range boundaries {
		f.Add(n, n/2, uint16(0), uint64(i))
		f.Add(n, n/3, n, uint64(i))
		f.Add(n, uint16(0), n/2+1, uint64(i))
	}
	f.Fuzz(func(t *testing.T, n, at, apart uint16, seed uint64) {
		for _, name := range Kernels() {
			exercised[name]++
			before := selection.Use(name)
			_, o := drawn(int(n)%(tile+100), seed)
			fuzzSum(t, o, Accumulate, int(at), int(apart))
			_, o64 := drawn64(int(n)%(tile64+100), seed)
			fuzzSum(t, o64, Accumulate64, int(at), int(apart))
			selection.Use(before)
		}
	})
}

func fuzzSum[F operands.Float](t *testing.T, o *operands.Of[F],
	accumulate func(to, from []F) error, at, apart int) {
	n := len(o.P)
	parts := o.Clone([5]int{5, 4, 3, 2, 1})
	added(t, o, accumulate)
	at %= n + 1
	require.NoError(t, accumulate(parts.P[at:], parts.G[at:]))
	require.NoError(t, accumulate(parts.P[:at], parts.G[:at]))
	require.NoError(t, parts.Difference(o), "%d elements in two parts of %d", n, at)

	memory := append(slices.Clone(o.P), o.G...)
	before := operands.Bits(memory)
	from := memory[apart%(n+1):][:n]
	err := accumulate(memory[:n], from)
	if overlaps := n > 0 && apart%(n+1) < n; overlaps != errors.Is(err, ErrOverlap) {
		t.Fatalf("%d elements, %d apart: %v", n, apart%(n+1), err)
	}
	if err != nil {
		require.True(t, operands.Unchanged(memory, before), "%v, but memory has changed", err)
	}
}

// BenchmarkAccumulate measures each kernel and the loop that Go programs write today, in turn, in
// L1, in L2, in L3 or the memory, and in the memory. A sum moves 12 bytes an element.
func BenchmarkAccumulate(b *testing.B) {
	for _, name := range Kernels() {
		for _, n := range []int{2 << 10, 64 << 10, 1 << 20, 16 << 20} {
			b.Run(fmt.Sprintf("kernel=%s/n=%s", name, sizeName(n)), func(b *testing.B) {
				defer selection.Use(selection.Use(name))
				benchSum(b, n, Accumulate)
			})
			b.Run(fmt.Sprintf("float64/kernel=%s/n=%s", name, sizeName(n)), func(b *testing.B) {
				defer selection.Use(selection.Use(name))
				benchSum(b, n/2, Accumulate64)
			})
		}
	}
}

func benchSum[F float](b *testing.B, n int, accumulate func(to, from []F) error) {
	to, from := make([]F, n), make([]F, n+apart)[apart:]
	for i := range from {
		to[i], from[i] = 1, 1e-3
	}
	versus.Run(b, n, func() {
		from := from[:len(to)]
		for i, x := range from {
			to[i] += x
		}
	}, func() {
		if err := accumulate(to, from); err != nil {
			b.Fatal(err)
		}
	})
}
