package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"

	"github.com/fusedadam/adam/cmd/compare/internal/result"
)

// journal keeps the runs that are done in a file, a line of JSON for each, so that a comparison
// that was stopped can go on. That of an empty path keeps nothing.
type journal struct {
	path string
	mu   sync.Mutex
	done []entry
}

type entry struct {
	Task string     `json:"task"`
	Run  result.Run `json:"run"`
}

// openJournal returns the journal of a new comparison, or of one to go on with. There, a last line
// that was not written to its end is left out.
func openJournal(path string, resume bool) (*journal, error) {
	j := &journal{path: path}
	if !resume {
		return j, j.remove()
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("cannot resume: %w", err)
	}
	end := bytes.LastIndexByte(text, '\n') + 1
	for line := range bytes.Lines(text[:end]) {
		var e entry
		if err := json.Unmarshal(line, &e); err != nil {
			return nil, fmt.Errorf("cannot resume: %s: %w", path, err)
		}
		j.done = append(j.done, e)
	}
	return j, os.Truncate(path, int64(end))
}

// do fills r with its run of the task: from the journal if it is there, else by train, and writes
// it down.
func (j *journal) do(task string, r *result.Run, train func() error) error {
	j.mu.Lock()
	for _, e := range j.done {
		if e.Task == task && e.Run.Optimizer == r.Optimizer && e.Run.LR == r.LR &&
			e.Run.Seed == r.Seed && e.Run.Part == r.Part {
			*r = e.Run
			j.mu.Unlock()
			return nil
		}
	}
	j.mu.Unlock()
	if err := train(); err != nil || j.path == "" {
		return err
	}
	line, err := json.Marshal(entry{task, *r})
	if err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	f, err := os.OpenFile(j.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	if _, err := f.Write(append(line, '\n')); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

// remove deletes the file, if there is one.
func (j *journal) remove() error {
	if j.path == "" {
		return nil
	}
	if err := os.Remove(j.path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
