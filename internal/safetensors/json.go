package safetensors

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
	"unsafe"
)

// A Parser reads a JSON text token by token. Unlike json.Unmarshal it takes nothing but what it is
// asked for: no key twice or in other case, no null, no missing or unknown members. Strings without
// escapes are parts of the text.
type Parser struct {
	text string
	at   int
	raw  int // where the string just read begins in the text, -1 if it has escapes
}

// Parse calls f with a parser of text, which f must read to its end.
func Parse(text string, f func(p *Parser) error) error {
	if !utf8.ValidString(text) {
		return errors.New("not JSON in UTF-8")
	}
	p := &Parser{text: text}
	if err := f(p); err != nil {
		return err
	}
	if p.peek() != 0 || p.at < len(text) {
		return p.want("the end")
	}
	return nil
}

// fault says where in the text an error arose.
func (p *Parser) fault(format string, args ...any) error {
	return fmt.Errorf("byte %d of the JSON: %w", p.at, fmt.Errorf(format, args...))
}

// want is the error of finding something else than what.
func (p *Parser) want(what string) error {
	rest := p.text[p.at:]
	if rest == "" {
		return p.fault("it ends, want %s", what)
	}
	end := 1
	for end < len(rest) && end < 110 && !strings.ContainsRune(" \t\r\n,:[]{}\"", rune(rest[end])) {
		end++
	}
	return p.fault("%s, want %s", Quote(rest[:end]), what)
}

// Quote returns s as it may stand in an error: quoted, and not longer than an error may be.
func Quote(s string) string {
	const most = 100
	if len(s) > most {
		s = s[:most] + "…"
	}
	return strconv.Quote(s)
}

// peek skips white space and returns the next byte, 0 at the end.
func (p *Parser) peek() byte {
	for ; p.at < len(p.text); p.at++ {
		switch c := p.text[p.at]; c {
		case ' ', '\t', '\r', '\n':
		default:
			return c
		}
	}
	return 0
}

func (p *Parser) delimiter(want byte) error {
	if p.peek() != want {
		return p.want(strconv.Quote(string(want)))
	}
	p.at++
	return nil
}

// sequence reads what stands between two delimiters, with commas in between.
func (p *Parser) sequence(from, to byte, element func() error) error {
	if err := p.delimiter(from); err != nil {
		return err
	}
	for first := true; p.peek() != to; first = false {
		if !first {
			if p.peek() != ',' {
				return p.want(fmt.Sprintf(`"," or %q`, string(to)))
			}
			p.at++
		}
		if err := element(); err != nil {
			return err
		}
	}
	p.at++
	return nil
}

// Object reads an object and calls member at each value. With keys, these are the members that it
// must have, and no others.
func (p *Parser) Object(keys []string, member func(key string) error) error {
	return p.ObjectOf(keys, len(keys), member)
}

// ObjectOf is Object with keys of which only the first must be there, as many as needed says.
func (p *Parser) ObjectOf(keys []string, needed int, member func(key string) error) error {
	var seen map[string]bool
	var has uint64 // of keys
	if keys == nil {
		seen = map[string]bool{}
	}
	err := p.members(func(key string) error {
		i := slices.Index(keys, key)
		if keys != nil && i < 0 {
			return p.fault("key %s, want one of %q", Quote(key), keys)
		}
		if seen[key] || i >= 0 && has>>i&1 != 0 {
			return p.twice(key)
		}
		if keys == nil {
			seen[key] = true
		} else {
			has |= 1 << i
		}
		return member(key)
	})
	if err != nil {
		return err
	}
	for i, key := range keys[:needed] {
		if has>>i&1 == 0 {
			return p.fault("key %q is missing", key)
		}
	}
	return nil
}

// members reads an object and calls member at each value. It does not notice keys that are there
// twice, and so remembers nothing.
func (p *Parser) members(member func(key string) error) error {
	return p.sequence('{', '}', func() error {
		key, err := p.String()
		if err != nil {
			return err
		}
		if err := p.delimiter(':'); err != nil {
			return err
		}
		return member(key)
	})
}

func (p *Parser) twice(key string) error { return p.fault("key %s is there twice", Quote(key)) }

// List reads an array and calls element at each value.
func (p *Parser) List(element func() error) error { return p.sequence('[', ']', element) }

// String reads a string.
func (p *Parser) String() (string, error) {
	if p.peek() != '"' {
		return "", p.want("a string")
	}
	from := p.at + 1
	for i := from; i < len(p.text); i++ {
		switch c := p.text[i]; {
		case c == '"':
			p.at, p.raw = i+1, from
			return p.text[from:i], nil
		case c == '\\':
			return p.escaped(from, i)
		case c < ' ':
			p.at = i
			return "", p.fault("control character %#x in a string", c)
		}
	}
	p.at = len(p.text)
	return "", p.want("the end of the string")
}

const escapes, escaped = `"\/bfnrt`, "\"\\/\b\f\n\r\t"

// escaped reads a string that begins at from and whose first escape is at i.
func (p *Parser) escaped(from, i int) (string, error) {
	p.raw = -1
	end := i
	for end < len(p.text) && p.text[end] != '"' {
		if p.text[end] == '\\' {
			end++
		}
		end++
	}
	b := append(make([]byte, 0, min(end, len(p.text))-from), p.text[from:i]...)
	for i < len(p.text) {
		switch c := p.text[i]; {
		case c == '"':
			p.at = i + 1
			return unsafe.String(unsafe.SliceData(b), len(b)), nil
		case c < ' ':
			p.at = i
			return "", p.fault("control character %#x in a string", c)
		case c != '\\':
			b = append(b, c)
			i++
			continue
		}
		p.at = i
		r, ok := p.hex(i)
		if ok {
			i += 6
			if utf16.IsSurrogate(r) {
				low, _ := p.hex(i)
				if r = utf16.DecodeRune(r, low); r == utf8.RuneError {
					return "", p.fault("half of a surrogate pair")
				}
				i += 6
			}
			b = utf8.AppendRune(b, r)
			continue
		}
		k := -1
		if i+1 < len(p.text) {
			k = strings.IndexByte(escapes, p.text[i+1])
		}
		if k < 0 {
			return "", p.want("an escape")
		}
		b = append(b, escaped[k])
		i += 2
	}
	p.at = len(p.text)
	return "", p.want("the end of the string")
}

// hex returns the code unit of the escape \uXXXX at i.
func (p *Parser) hex(i int) (rune, bool) {
	if i+6 > len(p.text) || p.text[i:i+2] != `\u` {
		return 0, false
	}
	n, err := strconv.ParseUint(p.text[i+2:i+6], 16, 16)
	return rune(n), err == nil
}

// Bool reads true or false.
func (p *Parser) Bool() (bool, error) {
	p.peek()
	for _, word := range []string{"true", "false"} {
		if strings.HasPrefix(p.text[p.at:], word) {
			p.at += len(word)
			return word == "true", nil
		}
	}
	return false, p.want("true or false")
}

// number reads a number and returns it as it stands in the text.
func (p *Parser) number() (string, error) {
	p.peek()
	rest := p.text[p.at:]
	i := 0
	digits := func() bool {
		from := i
		for i < len(rest) && '0' <= rest[i] && rest[i] <= '9' {
			i++
		}
		return i > from
	}
	next := func(set string) bool {
		ok := i < len(rest) && strings.IndexByte(set, rest[i]) >= 0
		if ok {
			i++
		}
		return ok
	}
	next("-")
	ok := next("0") || digits()
	if ok && next(".") {
		ok = digits()
	}
	if ok && next("eE") {
		next("+-")
		ok = digits()
	}
	if !ok {
		return "", p.want("a number")
	}
	p.at += i
	return rest[:i], nil
}

// Float reads a number within the range of float64.
func (p *Parser) Float() (float64, error) {
	n, err := p.number()
	if err != nil {
		return 0, err
	}
	x, err := strconv.ParseFloat(n, 64)
	if err != nil {
		return 0, p.fault("number %s is out of range", Quote(n))
	}
	return x, nil
}

// Integers appends an array of integers of at least 0 to list. Of more than most it only counts the
// others.
func (p *Parser) Integers(list []int64, most int) (_ []int64, count int, err error) {
	err = p.List(func() error {
		n, err := p.number()
		if err != nil {
			return err
		}
		i, err := strconv.ParseUint(n, 10, 63)
		if err != nil {
			return p.fault("%s, want an integer from 0 to 2^63-1", Quote(n))
		}
		if count++; count <= most {
			list = append(list, int64(i))
		}
		return nil
	})
	return list, count, err
}

// Raw reads any value and returns it as it stands in the text, which may have keys twice.
func (p *Parser) Raw() (string, error) { return p.any(64) }

func (p *Parser) any(depth int) (text string, err error) {
	c := p.peek()
	from := p.at
	switch {
	case depth == 0:
		err = p.fault("more than 64 levels")
	case c == '{':
		err = p.members(func(string) error { return p.inner(depth) })
	case c == '[':
		err = p.List(func() error { return p.inner(depth) })
	case c == '"':
		_, err = p.String()
	case c == 't', c == 'f':
		_, err = p.Bool()
	case strings.HasPrefix(p.text[p.at:], "null"):
		p.at += len("null")
	default:
		_, err = p.number()
	}
	return p.text[from:p.at], err
}

func (p *Parser) inner(depth int) error {
	_, err := p.any(depth - 1)
	return err
}
