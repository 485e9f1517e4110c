package zero

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fusedadam/adam"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// saved is the checkpoint of one process after so many steps.
func (m *model) saved(t *testing.T, steps int) []byte {
	t.Helper()
	to := m.memory()
	o, err := adam.New(m.options, to.groups...)
	require.NoError(t, err)
	defer o.Close()
	to.groups = o.Groups
	o.GradScale, o.Metadata = m.scale, map[string]string{"epoch": "3"}
	for step := range steps {
		m.sum(to, step, 0, m.leaves)
		_, err := o.Step()
		require.NoError(t, err)
	}
	var b bytes.Buffer
	require.NoError(t, o.Save(&b))
	return b.Bytes()
}

// paths returns one path for all ranks, one in a folder of each, or one that all but the last see.
func paths(t *testing.T, ranks int, how string) []string {
	t.Helper()
	folder := t.TempDir()
	list := make([]string, ranks)
	for r := range list {
		list[r] = filepath.Join(folder, "checkpoint")
		if how == "apart" || how == "mixed" && r == ranks-1 && r > 0 {
			list[r] = filepath.Join(t.TempDir(), "checkpoint")
		}
	}
	return list
}

// onlyFile asserts that the folder of the path has nothing else.
func onlyFile(t *testing.T, path string) {
	t.Helper()
	left, err := os.ReadDir(filepath.Dir(path))
	require.NoError(t, err)
	for _, f := range left {
		assert.Equal(t, filepath.Base(path), f.Name())
	}
}

// Any number of ranks writes the bytes of one process, on file systems that they share or not, and
// any number goes on from there.
func TestFiles(t *testing.T) {
	models := variants()
	for _, name := range []string{"plain", "average", "amsgrad", "some without", "split, bfloat16",
		"float32, q8", "bfloat16 copies"} {
		m := models[name]
		m.options.SaveParams = true
		want, whole := m.saved(t, 2), m.alone(t, 4)
		for i, ranks := range []int{1, 2, 3, 5, 8} {
			for _, how := range []string{"together", "apart", "mixed"} {
				path := paths(t, ranks, how)
				together(t, ranks, func(c *comm) {
					z, to := m.new(t, c)
					defer z.Close()
					z.Metadata = map[string]string{"epoch": "3"}
					for step := range 2 {
						m.add(t, z, to, step)
						_, err := z.Step()
						require.NoError(t, err)
					}
					require.NoError(t, z.SaveFile(path[c.rank]))
				})
				got, err := os.ReadFile(path[0])
				require.NoError(t, err)
				require.True(t, bytes.Equal(want, got), "%s by %d ranks %s", name, ranks, how)
				for _, p := range path {
					onlyFile(t, p)
				}
				// Another number of ranks goes on. Where they are apart, rank 1 has an older file.
				others := []int{3, 1, 7, 2, 4}[i]
				path = append(path[:1], paths(t, others, how)[1:]...)
				if how != "apart" {
					for r := range path {
						path[r] = path[0]
					}
				} else if others > 1 {
					require.NoError(t, os.WriteFile(path[1], m.saved(t, 1), 0o666))
				}
				runs := make([]run, others)
				together(t, others, func(c *comm) {
					z, to := m.new(t, c)
					defer z.Close()
					for i := range to.groups {
						to.groups[i].Config.LR = 7
						for j := range to.groups[i].Params {
							clear(to.groups[i].Params[j].Value)
						}
						for j := range to.groups[i].Params16 {
							p := &to.groups[i].Params16[j]
							clear(p.Value)
							clear(p.BF16)
							clear(p.F16)
						}
					}
					z.GradScale = 3
					require.NoError(t, z.LoadFile(path[c.rank]))
					assert.Equal(t, uint64(2), z.T)
					assert.Equal(t, m.scale, z.GradScale)
					assert.Equal(t, map[string]string{"epoch": "3"}, z.Metadata)
					var stats []adam.Stats
					for step := 2; step < 4; step++ {
						m.add(t, z, to, step)
						s, err := z.Step()
						require.NoError(t, err)
						stats = append(stats, s)
					}
					runs[c.rank] = to.result(stats)
				})
				for _, r := range runs {
					require.Equal(t, whole.stats[2:], r.stats)
					require.True(t, bytes.Equal(whole.values, r.values), "%s: %d, then %d %s", name,
						ranks, others, how)
				}
			}
		}
	}
}

// small is a model that is quickly saved.
func small() model {
	m := ordinary()
	m.sizes, m.sizes64, m.leaves = []int{100, 3*adam.Tile + 1, 5}, []int{2*adam.Tile + 1}, 4
	m.options.SaveParams, m.options.EMADecay = true, 0.5
	return m
}

// all runs f as each rank of a model that has made one step, and returns the errors of f.
func (m *model) all(t *testing.T, ranks int, f func(z *Optimizer, c *comm) error) []error {
	t.Helper()
	errs := make([]error, ranks)
	together(t, ranks, func(c *comm) {
		z, to := m.new(t, c)
		defer z.Close()
		m.add(t, z, to, 0)
		_, err := z.Step()
		require.NoError(t, err)
		errs[c.rank] = f(z, c)
	})
	return errs
}

// What one rank cannot save is an error of all, the old file stays, and the next call succeeds.
func TestSaveErrors(t *testing.T) {
	m := small()
	faults := map[string]struct {
		text        string
		is          error
		spoil, mend func(z *Optimizer)
	}{
		"T": {"rank 2 has another T than rank 0", ErrRank,
			func(z *Optimizer) { z.T++ }, func(z *Optimizer) { z.T-- }},
		"Metadata": {"rank 2 has other Metadata than rank 0", ErrRank,
			func(z *Optimizer) { z.Metadata = map[string]string{"a": "b"} },
			func(z *Optimizer) { z.Metadata = nil }},
		"SaveParams": {"rank 2 has other Options than rank 0", ErrRank,
			func(z *Optimizer) { z.Options.SaveParams = false },
			func(z *Optimizer) { z.Options.SaveParams = true }},
		"Config": {"rank 2 has other Configs than rank 0", ErrRank,
			func(z *Optimizer) { z.Groups[1].Config.Beta1 = 1 },
			func(z *Optimizer) { z.Groups[1].Config.Beta1 = 0.9 }},
	}
	for name, fault := range faults {
		path := filepath.Join(t.TempDir(), "checkpoint")
		require.NoError(t, os.WriteFile(path, []byte("old"), 0o666))
		errs := m.all(t, 3, func(z *Optimizer, c *comm) error {
			if c.rank == 2 {
				fault.spoil(z)
			}
			err := z.SaveFile(path)
			if c.rank == 2 {
				fault.mend(z)
			}
			if c.rank == 0 {
				old, err := os.ReadFile(path)
				require.NoError(t, err)
				assert.Equal(t, "old", string(old))
				onlyFile(t, path)
			}
			require.NoError(t, z.SaveFile(path))
			return err
		})
		for _, err := range errs {
			assert.ErrorIs(t, err, ErrRank, name)
			assert.ErrorIs(t, err, fault.is, name)
			assert.ErrorContains(t, err, fault.text, name)
		}
	}
	// A folder that is not there, and metadata that a checkpoint cannot hold: rank 0's errors.
	for text, f := range map[string]func(z *Optimizer) error{
		"no such file": func(z *Optimizer) error {
			return z.SaveFile(filepath.Join(t.TempDir(), "none", "checkpoint"))
		},
		`begin with "adam."`: func(z *Optimizer) error {
			z.Metadata = map[string]string{"adam.x": ""}
			return z.SaveFile(filepath.Join(t.TempDir(), "checkpoint"))
		},
	} {
		for _, err := range m.all(t, 3, func(z *Optimizer, c *comm) error { return f(z) }) {
			assert.ErrorIs(t, err, ErrRank)
			assert.ErrorContains(t, err, text)
			assert.Equal(t, 1, strings.Count(err.Error(), "zero:"), err.Error())
		}
	}
}

// Ranks that differ in what their moments are find that out before the file gets its name.
func TestSaveOtherMoments(t *testing.T) {
	m := small()
	path := filepath.Join(t.TempDir(), "checkpoint")
	together(t, 3, func(c *comm) {
		m := m
		m.config.AMSGrad = c.rank == 1
		z, _ := m.new(t, c)
		defer z.Close()
		for i := range z.Groups {
			z.Groups[i].Config.AMSGrad = false
		}
		err := z.SaveFile(path)
		assert.ErrorIs(t, err, ErrRank)
		assert.ErrorContains(t, err, "rank 1 has other things to save than rank 0")
	})
	onlyFile(t, path)
	_, err := os.Stat(path)
	assert.ErrorIs(t, err, fs.ErrNotExist)
}

// sheet is a file in memory.
type sheet []byte

func (s *sheet) WriteAt(b []byte, at int64) (int, error) {
	if more := int(at) + len(b) - len(*s); more > 0 {
		*s = append(*s, make([]byte, more)...)
	}
	return copy((*s)[at:], b), nil
}

// state is all that a load or a step may change.
func (z *Optimizer) state(t *testing.T) []byte {
	t.Helper()
	require.NoError(t, z.bind(false))
	z.settle()
	var s sheet
	head, _, err := z.own.SaveParts(&s)
	require.NoError(t, err)
	values := (&memory{z.Groups}).result(nil).values
	return slices.Concat(head, s, values)
}

// A file that one rank cannot read to its end, or that is damaged, changes no rank.
func TestLoadErrors(t *testing.T) {
	m := small()
	good := m.saved(t, 3)
	flipped := bytes.Clone(good)
	flipped[len(flipped)-9] ^= 1
	header := bytes.Clone(good)
	header[40] ^= 4
	for name, files := range map[string][3][]byte{
		"none":              {nil, good, good},
		"short":             {good[:len(good)-1], good[:len(good)-1], good[:len(good)-1]},
		"short, far":        {good[:len(good)-1], nil, good},
		"empty":             {{}, {}, {}},
		"flipped":           {flipped, flipped, flipped},
		"flipped on 2":      {good, good, flipped},
		"flipped on 2, far": {good, nil, flipped},
		"flipped on 0":      {flipped, good, good},
		"flipped on 0, far": {flipped, nil, nil},
		"header":            {header, nil, nil},
		"longer":            {append(bytes.Clone(good), 0), nil, nil},
	} {
		path := paths(t, 3, "apart")
		for r, b := range files {
			if b != nil {
				require.NoError(t, os.WriteFile(path[r], b, 0o666))
			}
		}
		errs := m.all(t, 3, func(z *Optimizer, c *comm) error {
			before := z.state(t)
			err := z.LoadFile(path[c.rank])
			assert.True(t, bytes.Equal(before, z.state(t)), "%s: rank %d has changed", name, c.rank)
			require.NoError(t, os.WriteFile(path[c.rank], good, 0o666))
			require.NoError(t, z.LoadFile(path[c.rank]), name)
			assert.Equal(t, uint64(3), z.T)
			return err
		})
		for _, err := range errs {
			require.ErrorIs(t, err, ErrRank, name)
			if name == "none" {
				assert.ErrorIs(t, err, fs.ErrNotExist)
			} else {
				assert.ErrorIs(t, err, adam.ErrCheckpoint, name)
			}
			assert.Equal(t, 1, strings.Count(err.Error(), "zero:"), err.Error())
		}
	}
}

// After a load all ranks have all parameters, also those that have no gradient.
func TestLoadShares(t *testing.T) {
	m := small()
	b := m.saved(t, 2)
	path := filepath.Join(t.TempDir(), "checkpoint")
	require.NoError(t, os.WriteFile(path, b, 0o666))
	o, err := adam.New(m.options, m.memory().groups...)
	require.NoError(t, err)
	defer o.Close()
	require.NoError(t, o.Load(bytes.NewReader(b)))
	want := (&memory{o.Groups}).result(nil)
	together(t, 3, func(c *comm) {
		to := m.memory()
		to.groups[0].Params[0].Grad = nil
		to.groups[0].Params[1].Grad = nil
		z, err := New(c, Options{Options: m.options, Leaves: m.leaves}, to.groups...)
		require.NoError(t, err)
		defer z.Close()
		require.NoError(t, z.LoadFile(path))
		assert.Equal(t, want.values, to.result(nil).values)
	})
}

// Ranks with other Options, and ranks that call different methods, find that out.
func TestOtherMethods(t *testing.T) {
	m := small()
	path := filepath.Join(t.TempDir(), "checkpoint")
	require.NoError(t, os.WriteFile(path, m.saved(t, 1), 0o666))
	for _, err := range m.all(t, 3, func(z *Optimizer, c *comm) error {
		z.Options.SaveParams = c.rank != 1
		return z.LoadFile(path)
	}) {
		assert.ErrorIs(t, err, ErrRank)
		assert.ErrorContains(t, err, "rank 1 has other Options than rank 0")
	}
	for _, err := range m.all(t, 3, func(z *Optimizer, c *comm) error {
		if c.rank == 1 {
			return z.LoadFile(path)
		}
		return z.SaveFile(path)
	}) {
		assert.ErrorIs(t, err, ErrRank)
		assert.ErrorContains(t, err, "rank 1 calls LoadFile, rank 0 SaveFile")
	}
}
