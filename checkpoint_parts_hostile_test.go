package adam

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/fusedadam/adam/internal/checkpoint"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// newParts returns n optimizers that share a tensor of some tiles, one of float64 and a small one,
// and what SaveParts of all has written.
func newParts(t testing.TB, n int) (all []*Optimizer, f *memoryFile, head []byte, p []Piece) {
	m := &cutModel{options: smallOptions, configs: []Config{DefaultW(), Default()},
		tensors: []cutTensor{{name: "whole", n: 3, group: 1},
			{name: "a", n: 5*Tile + 1, cut: true, state: true},
			{name: "b", n: Tile + 7, group: 1, list: params64, cut: true}}}
	all = m.ranks(t, n, rand.New(rand.NewPCG(5, uint64(n))))
	stepCut(t, 0, 2, all...)
	f = &memoryFile{}
	for _, o := range all {
		h, own, err := o.SaveParts(f)
		require.NoError(t, err)
		head, p = h, append(p, own...)
	}
	return all, f, head, p
}

// Pieces that do not fill the file are an error that says where, and nothing is written.
func TestPartsPieces(t *testing.T) {
	all, f, head, pieces := newParts(t, 3)
	slices.SortFunc(pieces, func(a, b Piece) int { return int(a.At - b.At) })
	refuse := func(head []byte, pieces []Piece, words ...string) {
		t.Helper()
		writes := len(f.ends)
		err := FinishParts(f, head, pieces)
		require.ErrorIs(t, err, ErrCheckpoint)
		for _, w := range words {
			assert.ErrorContains(t, err, w)
		}
		require.Less(t, len(err.Error()), 500)
		require.Len(t, f.ends, writes)
	}
	change := func(i int, change func(p *Piece)) []Piece {
		list := slices.Clone(pieces)
		change(&list[i])
		return list
	}
	size := int64(len(f.b))
	for i, p := range pieces {
		at := fmt.Sprint(p.At)
		copies := 0 // of the tensor that all have
		for _, q := range pieces {
			if p == q {
				copies++
			}
		}
		if copies == 1 {
			refuse(head, slices.Delete(slices.Clone(pieces), i, i+1), "nobody",
				fmt.Sprint(p.Len, " bytes from byte ", p.At), `of "`)
			refuse(head, change(i, func(p *Piece) { p.Len-- }), "nobody has written 1 bytes")
			refuse(head, change(i, func(p *Piece) { p.At++ }), "nobody has written 1 bytes", at)
		} else {
			require.Equal(t, len(all), copies)
			require.NoError(t, FinishParts(f, head, slices.Delete(slices.Clone(pieces), i, i+1)))
		}
		refuse(head, append(slices.Clone(pieces), Piece{p.At, p.Len, p.Sum + 1}), "twice", at,
			fmt.Sprintf("%08x", p.Sum), fmt.Sprintf("%08x", p.Sum+1))
		refuse(head, append(slices.Clone(pieces), Piece{p.At + 1, 1, 0}), "1 bytes from", "twice")
		refuse(head, append(slices.Clone(pieces), Piece{p.At, 1, 0}), "twice")
		refuse(head, change(i, func(p *Piece) { p.Len++ }))
		refuse(head, change(i, func(p *Piece) { p.At-- }), "twice")
		refuse(head, change(i, func(p *Piece) { p.At -= size }), "the file has")
		refuse(head, change(i, func(p *Piece) { p.At += size }))
		refuse(head, change(i, func(p *Piece) { p.Len = -p.Len }), "the file has")
		refuse(head, change(i, func(p *Piece) { p.Len = math.MaxInt64 }))
		refuse(head, change(i, func(p *Piece) { p.At = math.MaxInt64 }))
		refuse(head, change(i, func(p *Piece) { p.At, p.Len = math.MinInt64, 1 }), "the file has")
	}
	for _, p := range []Piece{{size, 1, 0}, {size - 1, 2, 0}, {math.MaxInt64, 1, 0}, {-1, 2, 0},
		{size - 1, math.MaxInt64, 0}, {size + 1, math.MinInt64, 0}, {math.MinInt64, 1, 0}} {
		refuse(head, append(slices.Clone(pieces), p), fmt.Sprint("a piece of ", p.Len, " bytes"),
			"the file has")
	}
	refuse(head, append(slices.Clone(pieces), Piece{0, 8, 0}), "8 bytes from byte 0", "twice")
	refuse(head, append(slices.Clone(pieces), Piece{int64(len(head)) - 8, 8, 0}), "twice")
	refuse(head, nil, "nobody")

	// Not what SaveParts has returned.
	for i := range head {
		refuse(head[:i], pieces, "SaveParts")
	}
	refuse(append(bytes.Clone(head), 0), pieces, "SaveParts")
	for i := range len(head) - 3*8 { // the counts may be any
		if c := head[i]; i < 8 || i < 40 && strings.IndexByte("0{}", c) >= 0 {
			bad := bytes.Clone(head)
			bad[i] ^= 0x80
			refuse(bad, pieces)
		}
	}

	// Pieces of nothing, and in any order.
	require.NoError(t, FinishParts(f, head, append(slices.Clone(pieces), Piece{}, Piece{size, 0, 1},
		Piece{pieces[0].At + 1, 0, 7})))
	for _, o := range all {
		require.NoError(t, o.LoadParts(bytes.NewReader(f.b)))
	}
}

// everyPart returns all of an optimizer that LoadParts could have changed, with the places of the
// slices.
func everyPart(o *Optimizer) string {
	var b strings.Builder
	fmt.Fprint(&b, o.T, o.GradScale, o.Metadata)
	for _, g := range o.Groups {
		fmt.Fprint(&b, g.Config)
	}
	for _, t := range o.tensors {
		fmt.Fprint(&b, t.name, *t.count(), t.begun)
		for p := range checkpoint.Piece(checkpoint.Pieces) {
			if p == checkpoint.Step {
				continue
			}
			m := t.memory(p)
			fmt.Fprintf(&b, "%p %08x", m, crc32.ChecksumIEEE(m))
		}
	}
	return b.String()
}

// Flipped bits, an early or a late end, also in what is skipped: an error, and nothing changes.
func TestPartsDamage(t *testing.T) {
	all, f, head, pieces := newParts(t, 3)
	require.NoError(t, FinishParts(f, head, pieces))
	file := f.b
	stepCut(t, 5, 6, all...)
	for i, o := range all {
		before := everyPart(o)
		refuse := func(file []byte) error {
			t.Helper()
			err := o.LoadParts(bytes.NewReader(file))
			require.ErrorIs(t, err, ErrCheckpoint)
			require.Equal(t, before, everyPart(o))
			return err
		}
		r := rand.New(rand.NewPCG(1, uint64(i)))
		for range 60 {
			damaged := bytes.Clone(file)
			damaged[r.IntN(len(damaged))] ^= 1 << r.IntN(8)
			refuse(damaged)
			require.ErrorIs(t, refuse(file[:r.IntN(len(file))]), io.ErrUnexpectedEOF)
		}
		for j := i; j < len(head); j += 3 * len(all) {
			damaged := bytes.Clone(file)
			damaged[j] ^= 1 << (j % 8)
			refuse(damaged)
		}
		for _, p := range pieces {
			damaged := bytes.Clone(file)
			damaged[p.At+p.Len-1] ^= 0x40
			assert.ErrorContains(t, refuse(damaged), "checksum")
			require.ErrorIs(t, refuse(file[:p.At]), io.ErrUnexpectedEOF)
		}
		assert.ErrorContains(t, refuse(append(bytes.Clone(file), 0)), "goes on")
		require.NoError(t, o.LoadParts(bytes.NewReader(file)), "and the file itself is good")
		require.NotEqual(t, before, everyPart(o))
	}
}

// What the file has of another size than the parts are of is an error that names both.
func TestPartsOtherSizes(t *testing.T) {
	const n = 2 * Tile
	whole, err := New(Options{}, Group{Config: Default(),
		Params: []Param{{Name: "a", Value: make([]float32, n)}}})
	require.NoError(t, err)
	file := saved(t, whole)
	for _, part := range []Part{
		{Param{Name: "a", Value: make([]float32, Tile)}, Tile, n},
		{Param{Name: "a", Value: make([]float32, Tile)}, 0, n},
		{Param{Name: "a"}, 0, n},
	} {
		o, err := New(Options{}, Group{Config: Default(), Parts: []Part{part}})
		require.NoError(t, err)
		require.NoError(t, o.LoadParts(bytes.NewReader(file)))
		for _, of := range []int{n - 1, n + 1, Tile} {
			part := part
			part.Of = of
			part.At = max(0, min(part.At, of-len(part.Value))/Tile*Tile)
			part.Value = part.Value[:min(len(part.Value), of-part.At)]
			o, err := New(Options{}, Group{Config: Default(), Parts: []Part{part}})
			require.NoError(t, err)
			before := everyPart(o)
			err = o.LoadParts(bytes.NewReader(file))
			require.ErrorIs(t, err, ErrCheckpoint)
			assert.ErrorContains(t, err, fmt.Sprintf("[%d]", n))
			assert.ErrorContains(t, err, fmt.Sprintf("[%d]", of))
			assert.Equal(t, before, everyPart(o))
		}
	}
	o, err := New(Options{}, Group{Config: Default(),
		Parts64: []Part64{{Param64{Name: "a"}, 0, n}}})
	require.NoError(t, err)
	err = o.LoadParts(bytes.NewReader(file))
	require.ErrorIs(t, err, ErrCheckpoint)
	assert.ErrorContains(t, err, "F64")
}

// SaveParts refuses parts that do not make one tensor, and Save parts at all.
func TestPartsSaveErrors(t *testing.T) {
	twoParts := func(vmax []float32) *Optimizer {
		part := func(at int, s *State) Part {
			return Part{Param{Name: "a", Value: make([]float32, Tile), State: s}, at, 2 * Tile}
		}
		state := func(vmax []float32) *State {
			return &State{M: make([]float32, Tile), V: make([]float32, Tile), VMax: vmax}
		}
		o, err := New(Options{}, Group{Config: Default(), Parts: []Part{
			part(Tile, state(nil)), part(0, state(vmax))}})
		require.NoError(t, err)
		return o
	}
	var f memoryFile
	refuse := func(o *Optimizer, want error, words ...string) {
		t.Helper()
		head, pieces, err := o.SaveParts(&f)
		require.ErrorIs(t, err, want)
		for _, w := range words {
			assert.ErrorContains(t, err, w)
		}
		assert.Empty(t, head)
		assert.Empty(t, pieces)
		assert.Empty(t, f.b)
	}
	o := twoParts(nil)
	o.Groups[0].Parts[1].State.T = 7
	refuse(o, ErrParams, `"a"`, "T is 7 and 0")
	refuse(twoParts(make([]float32, Tile)), ErrParams, `"a"`, "VMax", "Parts[0]", "Parts[1]")
	o = twoParts(nil)
	o.Groups[0].Parts[1].State.M = nil
	refuse(o, ErrLength, `"a"`)
	o = twoParts(nil)
	o.Groups[0].Config.Beta1 = 1
	refuse(o, ErrConfig)
	o = twoParts(nil)
	o.Groups[0].Parts[0].At = 0
	refuse(o, ErrParams)
	o = twoParts(nil)
	o.Metadata = map[string]string{"a": strings.Repeat("x", 2<<20)}
	refuse(o, ErrCheckpoint, "1 MiB")

	o = twoParts(nil)
	require.ErrorIs(t, o.Save(io.Discard), ErrParams)
	require.ErrorContains(t, o.Save(io.Discard), "SaveParts")
	require.NoError(t, o.Close())
	_, pieces, err := o.SaveParts(&f)
	require.NoError(t, err, "also after Close")
	assert.Len(t, pieces, 4)
	_, _, err = new(Optimizer).SaveParts(&f)
	require.ErrorIs(t, err, ErrParams)
	require.ErrorIs(t, new(Optimizer).LoadParts(strings.NewReader("")), ErrParams)
}
