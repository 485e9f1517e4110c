package storage

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
)

// Run is the record of a training.
type Run struct {
	Example    string  `json:"example"`
	Storage    string  `json:"storage"`
	Seed       uint64  `json:"seed"`
	Steps      int     `json:"steps"`
	Parameters int     `json:"parameters"`
	Bytes      float64 `json:"bytes"` // of the optimizer, per parameter
	// Training has the mean losses of the batches in equal parts of the run.
	Training []float64 `json:"training"`
	Test     float64   `json:"test"`               // loss at the end, on what was held out
	Accuracy float64   `json:"accuracy,omitempty"` // there
	Checksum string    `json:"checksum"`           // of the parameters that the layers have
}

// Means returns the means of at most so many equal parts of x.
func Means(x []float64, parts int) []float64 {
	parts = min(parts, len(x))
	var means []float64
	for i := range parts {
		part := x[i*len(x)/parts : (i+1)*len(x)/parts]
		sum := 0.0
		for _, y := range part {
			sum += y
		}
		means = append(means, sum/float64(len(part)))
	}
	return means
}

// Parts is the number of parts in Run.Training.
const Parts = 40

// Append adds a record to a file, as a line of JSON.
func Append(path string, record any) error {
	line, err := json.Marshal(record)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	if _, err := f.Write(append(line, '\n')); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

// Read returns the records of a file.
func Read[T any](path string) ([]T, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var list []T
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var r T
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		list = append(list, r)
	}
	return list, lines.Err()
}
