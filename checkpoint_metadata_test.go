package adam

import (
	"bytes"
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The user's own words are in the file, in the order of their keys, and come back.
func TestMetadata(t *testing.T) {
	o := newSmall(t)
	plain := saved(t, o)
	o.Metadata = map[string]string{}
	assert.Equal(t, plain, saved(t, o), "the bytes are as without")
	words := map[string]string{
		"epoch": "7", "": "empty key", "zero": "",
		"a": "\"quoted\" \n\t\x00 é \u2028 <&>", "é": "1",
		"adam":      "no dot",
		"ADAM.step": "5",
	}
	o.Metadata = words
	file := saved(t, o)
	for range 10 {
		require.Equal(t, file, saved(t, o))
	}
	header := string(file)
	assert.Contains(t, header, `"adam.format":"2"`)
	at := 0
	for _, key := range []string{`"adam.step":`, `"":`, `"ADAM.step":`, `"a":`, `"adam":`,
		`"epoch":`, `"zero":`, `"é":`} {
		i := strings.Index(header[at:], key)
		require.Positive(t, i, key)
		at += i
	}
	other := newTarget(t, smallOptions)
	other.Metadata = map[string]string{"epoch": "1", "more": "x"}
	kept := other.Metadata
	require.NoError(t, other.Load(bytes.NewReader(file)))
	assert.Equal(t, words, other.Metadata)
	assert.Equal(t, map[string]string{"epoch": "1", "more": "x"}, kept,
		"the map before is the caller's")
	assert.Empty(t, differ(o, other))
	require.NoError(t, other.Load(bytes.NewReader(plain)))
	assert.Empty(t, other.Metadata, "the file has none")

	path := filepath.Join(t.TempDir(), "checkpoint")
	require.NoError(t, o.SaveFile(path))
	_, err := other.LoadFileWith(path, LoadOptions{KeepConfigs: true})
	require.NoError(t, err)
	assert.Equal(t, words, other.Metadata)
	_, err = other.LoadFileWith(path+"?", LoadOptions{})
	assert.NotErrorIs(t, err, ErrCheckpoint)

	// Those of others in a file of format 1, too.
	foreign := edit(t, plain, `"adam.step":"3"`, `"adam.step":"3","note":"\u0041"`)
	require.NoError(t, other.Load(bytes.NewReader(foreign)))
	assert.Equal(t, map[string]string{"note": "A"}, other.Metadata)
}

// Metadata that Load would not take is not saved.
func TestMetadataErrors(t *testing.T) {
	many := map[string]string{}
	for i := range 1024 {
		many[fmt.Sprint(i)] = "x"
	}
	o := newSmall(t)
	o.Metadata = many
	require.NoError(t, o.Load(bytes.NewReader(saved(t, o))))
	assert.Len(t, o.Metadata, 1024)
	o.Metadata["one more"] = ""
	more := o.Metadata
	for _, c := range []struct {
		metadata map[string]string
		words    []string
	}{
		{map[string]string{"adam.step": "1"}, []string{`"adam.step"`, `"adam."`}},
		{map[string]string{"adam.": "1"}, []string{`"adam."`, "the checkpoint's own"}},
		{map[string]string{"key": "\xff"}, []string{`"key"`, "UTF-8"}},
		{map[string]string{"key\xff": ""}, []string{`"key\xff"`, "UTF-8"}},
		{map[string]string{"large": strings.Repeat("\x00", 1<<20)}, []string{"1 MiB"}},
		{more, []string{"1025", "1024"}},
	} {
		o.Metadata = c.metadata
		var b bytes.Buffer
		err := o.Save(&b)
		require.ErrorIs(t, err, ErrCheckpoint)
		assert.Zero(t, b.Len())
		assert.Equal(t, 1, strings.Count(err.Error(), "adam:"), err)
		for _, w := range c.words {
			assert.ErrorContains(t, err, w)
		}
	}
	o.Metadata = map[string]string{"large": strings.Repeat("x", 1<<20)}
	require.NoError(t, o.Load(bytes.NewReader(saved(t, o))))
	assert.Len(t, o.Metadata["large"], 1<<20)

	file := saved(t, newSmall(t))
	keys := `"adam.step":"3"`
	for i := range 1025 {
		keys += fmt.Sprintf(`,"%d":""`, i)
	}
	refuses(t, o, everything(o), bytes.NewReader(edit(t, file, `"adam.step":"3"`, keys)),
		"1024 metadata")
}

// A checkpoint of long names, of many groups and of a scale of 17 digits can be loaded again.
func TestCheckpointLargeHeaders(t *testing.T) {
	name := strings.Repeat("\x00<", 50<<10)
	o, err := New(
		all,
		Group{Config: Default(), Params: []Param{{Name: name, Value: make([]float32, 1)}}},
	)
	require.NoError(t, err)
	_, err = o.Step()
	require.NoError(t, err)
	o.GradScale = math.Nextafter(0.3, 1)
	scale := o.GradScale
	file := saved(t, o)
	assert.True(t, bytes.Contains(file, []byte(`"0.30000000000000004"`)))
	assert.Greater(t, len(file), 1<<20)
	o.GradScale = 1
	require.NoError(t, o.Load(bytes.NewReader(file)))
	assert.Equal(t, scale, o.GradScale)

	groups := make([]Group, 10_000)
	for i := range groups {
		groups[i].Config = Default()
	}
	o, err = New(Options{}, groups...)
	require.NoError(t, err)
	file = saved(t, o)
	assert.Greater(t, len(file), 1<<20)
	require.NoError(t, o.Load(bytes.NewReader(file)))
}
