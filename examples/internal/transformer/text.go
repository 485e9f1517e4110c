package transformer

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// Text is a text as the indices of its characters in an alphabet: its first characters are to train
// on, the others are held out.
type Text struct {
	IDs  []int
	Held int // index of the first character held out
	// the characters of the training part in order, after one that stands for all others
	Alphabet []rune
}

// other stands for every character that does not occur in the training part. The models must give
// it a probability, but do not have to say which character it is.
const other = '\uFFFD'

// NewText splits s into characters and holds out the last tenth.
func NewText(s string) Text {
	characters := []rune(s)
	t := Text{IDs: make([]int, len(characters)), Held: len(characters) * 9 / 10}
	known := slices.Clone(characters[:t.Held])
	slices.Sort(known)
	t.Alphabet = append([]rune{other}, slices.Compact(known)...)
	index := map[rune]int{}
	for i, c := range t.Alphabet {
		index[c] = i
	}
	for i, c := range characters {
		t.IDs[i] = index[c] // 0 if it is not in the map
	}
	return t
}

// Decode returns the characters with the given indices.
func (t *Text) Decode(ids []int) string {
	var b strings.Builder
	for _, id := range ids {
		b.WriteRune(t.Alphabet[id])
	}
	return b.String()
}

// Draw fills inputs and targets with sequences of context characters, one after the other, from
// random places of the training part. The target of a character is the one after it.
func (t *Text) Draw(rng *rand.Rand, context int, inputs, targets []int) {
	for i := 0; i < len(inputs); i += context {
		begin := rng.IntN(t.Held - context)
		copy(inputs[i:][:context], t.IDs[begin:])
		copy(targets[i:][:context], t.IDs[begin+1:])
	}
}

// opticks is the text in the folder of Go's sources.
const opticks = "src/testdata/Isaac.Newton-Opticks.txt"

// Load reads a text, by default the Opticks.
func Load(path string) (Text, error) {
	if path == "" {
		root, err := exec.Command("go", "env", "GOROOT").Output()
		if err != nil {
			return Text{}, fmt.Errorf("no Go sources, which hold the text, by go env GOROOT: %w; "+
				"name a text with -data", err)
		}
		path = filepath.Join(strings.TrimSpace(string(root)), filepath.FromSlash(opticks))
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return Text{}, fmt.Errorf("cannot read the text, whose name -data can give: %w", err)
	}
	return NewText(string(b)), nil
}
