package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// text is a text as the indices of its characters in an alphabet: its first characters are to train
// on, the others are held out.
type text struct {
	ids  []int
	held int // index of the first character held out
	// the characters of the training part in order, after one that stands for all others
	alphabet []rune
}

// other stands for every character that does not occur in the training part. The models must give
// it a probability, but do not have to say which character it is.
const other = '\uFFFD'

// newText splits s into characters and holds out the last tenth.
func newText(s string) text {
	characters := []rune(s)
	t := text{ids: make([]int, len(characters)), held: len(characters) * 9 / 10}
	known := slices.Clone(characters[:t.held])
	slices.Sort(known)
	t.alphabet = append([]rune{other}, slices.Compact(known)...)
	index := map[rune]int{}
	for i, c := range t.alphabet {
		index[c] = i
	}
	for i, c := range characters {
		t.ids[i] = index[c] // 0 if it is not in the map
	}
	return t
}

// decode returns the characters with the given indices.
func (t *text) decode(ids []int) string {
	var b strings.Builder
	for _, id := range ids {
		b.WriteRune(t.alphabet[id])
	}
	return b.String()
}

// opticks is the text in the folder of Go's sources.
const opticks = "src/testdata/Isaac.Newton-Opticks.txt"

// load reads a text, by default the Opticks.
func load(path string) (text, error) {
	if path == "" {
		root, err := exec.Command("go", "env", "GOROOT").Output()
		if err != nil {
			return text{}, fmt.Errorf("no Go sources, which hold the text, by go env GOROOT: %w; "+
				"name a text with -data", err)
		}
		path = filepath.Join(strings.TrimSpace(string(root)), filepath.FromSlash(opticks))
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return text{}, fmt.Errorf("cannot read the text, whose name -data can give: %w", err)
	}
	return newText(string(b)), nil
}
