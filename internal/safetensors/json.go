package safetensors

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"unicode/utf8"
)

// A Parser reads a JSON text token by token. Unlike json.Unmarshal it takes nothing but what it is asked
// for: no key twice or in other case, no null, no missing or unknown members.
type Parser struct {
	text []byte
	d    *json.Decoder
}

// NewParser returns a parser of text, which must be valid JSON in UTF-8 as a whole.
func NewParser(text []byte) (*Parser, error) {
	if !utf8.Valid(text) || !json.Valid(text) {
		return nil, errors.New("not JSON in UTF-8")
	}
	p := &Parser{text, json.NewDecoder(bytes.NewReader(text))}
	p.d.UseNumber()
	return p, nil
}

// next returns the next token if it is a T.
func next[T any](p *Parser, what string) (T, error) {
	token, err := p.d.Token()
	t, ok := token.(T)
	if err == nil && !ok {
		err = fmt.Errorf("%s, want %s", quote(token), what)
	}
	return t, p.at(err)
}

// at says where in the text an error arose.
func (p *Parser) at(err error) error {
	if err != nil {
		err = fmt.Errorf("before byte %d of the JSON: %w", p.d.InputOffset(), err)
	}
	return err
}

func quote(token json.Token) string { return Quote(fmt.Sprint(token)) }

// Quote returns s as it may stand in an error: quoted, and not longer than an error may be.
func Quote(s string) string {
	const most = 100
	if len(s) > most {
		s = s[:most] + "…"
	}
	return strconv.Quote(s)
}

func (p *Parser) delimiter(want json.Delim) error {
	d, err := next[json.Delim](p, strconv.Quote(want.String()))
	if err == nil && d != want {
		err = p.at(fmt.Errorf("%s, want %q", quote(d), want.String()))
	}
	return err
}

// Object reads an object and calls member at each value. With keys, these are the members that it must have,
// and no others.
func (p *Parser) Object(keys []string, member func(key string) error) error {
	if err := p.delimiter('{'); err != nil {
		return err
	}
	seen := map[string]bool{}
	for p.d.More() {
		key, err := next[string](p, "a key")
		if err != nil {
			return err
		}
		if seen[key] {
			return p.at(fmt.Errorf("key %s is there twice", quote(key)))
		}
		if keys != nil && !slices.Contains(keys, key) {
			return p.at(fmt.Errorf("key %s, want one of %q", quote(key), keys))
		}
		seen[key] = true
		if err := member(key); err != nil {
			return err
		}
	}
	for _, key := range keys {
		if !seen[key] {
			return p.at(fmt.Errorf("key %q is missing", key))
		}
	}
	return p.delimiter('}')
}

// List reads an array and calls element at each value.
func (p *Parser) List(element func() error) error {
	if err := p.delimiter('['); err != nil {
		return err
	}
	for p.d.More() {
		if err := element(); err != nil {
			return err
		}
	}
	return p.delimiter(']')
}

// String reads a string.
func (p *Parser) String() (string, error) { return next[string](p, "a string") }

// Bool reads true or false.
func (p *Parser) Bool() (bool, error) { return next[bool](p, "true or false") }

// Float reads a number within the range of float64.
func (p *Parser) Float() (float64, error) {
	n, err := next[json.Number](p, "a number")
	if err != nil {
		return 0, err
	}
	x, err := strconv.ParseFloat(n.String(), 64)
	if err != nil {
		return 0, p.at(fmt.Errorf("number %s is out of range", quote(n)))
	}
	return x, nil
}

// integers reads an array of integers of at least 0.
func (p *Parser) integers() ([]int64, error) {
	var list []int64
	err := p.List(func() error {
		n, err := next[json.Number](p, "a number")
		if err != nil {
			return err
		}
		i, err := strconv.ParseUint(n.String(), 10, 63)
		if err != nil {
			return p.at(fmt.Errorf("%s, want an integer from 0 to 2^63-1", quote(n)))
		}
		list = append(list, int64(i))
		return nil
	})
	return list, err
}

// rawBefore returns where s, the string just read, stands in the text without escapes, -1 if it does not.
func (p *Parser) rawBefore(s string) int {
	end := int(p.d.InputOffset()) - len(`"`)
	if from := end - len(s); from > 0 && p.text[from-1] == '"' && string(p.text[from:end]) == s {
		return from
	}
	return -1
}
