package adam

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// EpsUncorrected is a member of format 2 that is there only if it is true. A file without it has a
// corrected Eps, and one of format 1 may not have it.
func TestCheckpointEpsUncorrected(t *testing.T) {
	o := newSmall(t)
	without := saved(t, o)
	assert.Contains(t, string(without), `"adam.format":"1"`)
	assert.NotContains(t, string(without), "eps_uncorrected")
	o.Groups[2].Config.EpsUncorrected = true
	with := saved(t, o)
	const member = `\"maximize\":false,\"eps_uncorrected\":true},\"params\":[\"b\"]`
	const bare = `\"maximize\":false},\"params\":[\"b\"]`
	assert.Equal(t, 1, strings.Count(string(with), "eps_uncorrected"))
	assert.Contains(t, string(with), `"adam.format":"2"`)
	assert.Contains(t, string(with), member)

	// of "b" in another optimizer, after Load
	loaded := func(file []byte, before bool) (is bool) {
		other := newTarget(t, smallOptions)
		for i := range other.Groups {
			other.Groups[i].Config.EpsUncorrected = before
		}
		require.NoError(t, other.Load(bytes.NewReader(file)))
		eachParam(other, func(g *Group, p *Param) {
			is = is || g.Config.EpsUncorrected && p.Name == "b"
			assert.False(t, g.Config.EpsUncorrected && p.Name == "a")
		})
		return is
	}
	spelt := edit(t, with, member, strings.Replace(member, "true", "false", 1))
	for _, before := range []bool{true, false} {
		assert.True(t, loaded(with, before))
		for _, file := range [][]byte{without, edit(t, with, member, bare), spelt} {
			assert.False(t, loaded(file, before))
		}
	}

	target := newTarget(t, smallOptions)
	before := everything(target)
	for value, words := range map[string][]string{
		`1`: {"true or false"}, `null`: {"true or false"}, `\"true\"`: {"true or false"},
		`true,\"eps_uncorrected\":true`: {"eps_uncorrected", "twice"},
		`true,\"Eps_uncorrected\":true`: {"Eps_uncorrected"},
	} {
		bad := edit(t, with, member, strings.Replace(member, "true", value, 1))
		refuses(t, target, before, bytes.NewReader(bad), words...)
	}
	old := edit(t, with, `"adam.format":"2"`, `"adam.format":"1"`)
	refuses(t, target, before, bytes.NewReader(old), "eps_uncorrected", "want one of")
	lacks := edit(t, with, member, strings.Replace(member, `\"maximize\":false,`, "", 1))
	refuses(t, target, before, bytes.NewReader(lacks), "maximize", "missing")
}
