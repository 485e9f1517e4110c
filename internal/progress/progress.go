// Package progress shows on a terminal how far a command is.
package progress

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

const width = 79 // of the line

// A Bar is a line that is written again and again, and vanishes at the end.
type Bar struct {
	mu           sync.Mutex
	w            io.Writer // nil: nothing is shown
	name         string    // of what is under way
	done, total  int
	began, shown time.Time
}

// New returns a bar on standard error. Where that is no terminal nothing is shown.
func New(total int, name string) *Bar {
	b := &Bar{name: name, total: total, began: time.Now()}
	if info, err := os.Stderr.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
		b.w = os.Stderr
	}
	return b
}

func (b *Bar) Name(name string) { b.show(func() { b.name = name }) }
func (b *Bar) Add(n int)        { b.show(func() { b.done += n }) }
func (b *Bar) Set(done int)     { b.show(func() { b.done = done }) }
func (b *Bar) Grow(n int)       { b.show(func() { b.total += n }) }

// Clear removes the line until the next change.
func (b *Bar) Clear() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.clear()
}

func (b *Bar) clear() {
	if !b.shown.IsZero() {
		fmt.Fprintf(b.w, "\r%*s\r", width, "")
	}
	b.shown = time.Time{}
}

func (b *Bar) show(change func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	change()
	now := time.Now()
	switch {
	case b.w == nil:
	case b.done >= b.total:
		b.clear()
	case b.done > 0 && now.Sub(b.shown) >= 100*time.Millisecond:
		part := float64(b.done) / float64(b.total)
		left := time.Duration(float64(now.Sub(b.began)) * (1/part - 1)).Round(time.Second)
		line := fmt.Sprintf("%s: %.0f %%, %v left", b.name, 100*part, left)
		fmt.Fprintf(b.w, "\r%-*.*s", width, width, line)
		b.shown = now
	}
}
