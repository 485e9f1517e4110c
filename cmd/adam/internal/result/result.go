// Package result holds what was measured on a machine and shows it: as JSON, as a table, as a
// chart, and as the page docs/BENCHMARKS.md.
package result

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/fusedadam/adam/cmd/adam/internal/machine"
	"github.com/fusedadam/adam/internal/roofline"
)

// Schema is the version of the format.
const Schema = "adam-bench/1"

// Result is one run of the benchmark.
type Result struct {
	Schema  string      `json:"schema"`
	CPU     machine.CPU `json:"cpu"`
	GOOS    string      `json:"goos"`
	GOARCH  string      `json:"goarch"`
	Go      string      `json:"go"`
	Date    string      `json:"date"`           // 2006-01-02
	Note    string      `json:"note,omitempty"` // by hand: what a reader must know of the run
	Kernels []string    `json:"kernels"`        // measured, best first
	Rows    []Row       `json:"rows"`

	File string `json:"-"` // where Load found it
}

// A Kind tells a plain slice, of float32 or of float64, from a model.
type Kind string

const (
	Size   Kind = "size"
	Size64 Kind = "size64"
	Model  Kind = "model"
	First  Kind = "first" // the first step after scalar code, beside a warm one

	Storages Kind = "storages" // steps of 16 and 8 bits, beside one of float32
)

// Kinds are all, in the order in which they are shown.
var Kinds = []Kind{Size, Model, First, Size64, Storages}

// What a Row.Series can be besides the name of a kernel.
const (
	Plain      = "plain"
	SIMD512    = "simd512" // the loop in Go's own vectors, if the command is built with them
	SIMD256    = "simd256"
	Traffic    = "traffic/"    // followed by the way
	Arithmetic = "arithmetic/" // followed by the kernel and the order
	AfterCode  = "first/"      // followed by the kernel: its first step after scalar code
)

// A Row is one series of measurements of one size or model: nanoseconds per parameter.
type Row struct {
	Kind     Kind    `json:"kind"`
	Name     string  `json:"name"`
	Elements int     `json:"elements"`
	Tensors  int     `json:"tensors"`
	Series   string  `json:"series"`
	Samples  int     `json:"samples"`
	Q1       float64 `json:"q1_ns_per_param"`
	Median   float64 `json:"median_ns_per_param"`
	Q3       float64 `json:"q3_ns_per_param"`

	Storage
	Fused bool `json:"fused,omitempty"` // the kernel steps the storage in one loop
}

// A Storage is how gradients, parameters and moments are kept. Rows of kind Storages have one.
type Storage struct {
	Label string  `json:"storage,omitempty"`         // in words
	Bytes float64 `json:"bytes_per_param,omitempty"` // that a step reads and writes
	// State has the bytes that stay between steps beside parameters and gradients: moments, their
	// scales and the rest of a split master.
	State float64 `json:"state_bytes_per_param,omitempty"`
}

// An Item is a size or model that was measured, of one storage.
type Item struct {
	Kind     Kind
	Name     string
	Elements int
	Tensors  int
	Storage
}

// Items returns what was measured of a kind, in the order of the rows.
func (r *Result) Items(kind Kind) []Item {
	var items []Item
	seen := map[[2]string]bool{}
	for _, row := range r.Rows {
		key := [2]string{row.Name, row.Label}
		if row.Kind == kind && !seen[key] {
			seen[key] = true
			items = append(items, Item{kind, row.Name, row.Elements, row.Tensors, row.Storage})
		}
	}
	return items
}

// of reports whether the row is one of the item.
func (row *Row) of(it Item) bool {
	return row.Kind == it.Kind && row.Name == it.Name && row.Label == it.Label
}

// Time returns the median of a series in ns per parameter, 0 if it was not measured.
func (r *Result) Time(it Item, series string) float64 { return r.row(it, series).Median }

// row returns the row of a series, an empty one if it was not measured.
func (r *Result) row(it Item, series string) Row {
	for _, row := range r.Rows {
		if row.of(it) && row.Series == series {
			return row
		}
	}
	return Row{}
}

// Ceilings returns the fastest way through the memory and the arithmetic of a kernel, in ns per
// parameter; 0 if they were not measured, or mean nothing because there is not a block of elements.
func (r *Result) Ceilings(it Item, kernel string) (traffic, arithmetic float64) {
	block := roofline.Block
	if it.Kind == Storages {
		block = roofline.StreamBlock
	}
	if it.Elements < block {
		return 0, 0
	}
	least := func(ceiling *float64, time float64) {
		if time > 0 && (*ceiling == 0 || time < *ceiling) {
			*ceiling = time
		}
	}
	for _, row := range r.Rows {
		if row.of(it) && strings.HasPrefix(row.Series, Traffic) {
			least(&traffic, row.Median)
		}
	}
	for _, o := range roofline.Orders {
		least(&arithmetic, r.Time(it, Arithmetic+kernel+string(o)))
	}
	return traffic, arithmetic
}

// JSON is the text of the file, with each row on a line.
func (r *Result) JSON() []byte {
	text, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		panic(err) // no field of Result can fail
	}
	// Only the fields of a row stand behind three tabs.
	text = bytes.ReplaceAll(text, []byte("\n\t\t\t"), []byte(" "))
	text = bytes.ReplaceAll(text, []byte("\n\t\t}"), []byte(" }"))
	return append(text, '\n')
}

// Save writes the result into the directory, under the name of the CPU, and returns the file's
// name.
func (r *Result) Save(dir string) (string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	file := filepath.Join(dir, r.CPU.File()+".json")
	return file, os.WriteFile(file, r.JSON(), 0o644)
}

// Load reads all results of a directory, in the order of their files' names. A directory that does
// not exist has none.
func Load(dir string) ([]*Result, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return nil, err
	}
	var results []*Result
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		r := &Result{File: file}
		if err := json.Unmarshal(text, r); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		if r.Schema != Schema {
			return nil, fmt.Errorf("%s: schema %q, want %q", file, r.Schema, Schema)
		}
		if len(r.Kernels) == 0 {
			return nil, fmt.Errorf("%s: no kernels", file)
		}
		results = append(results, r)
	}
	return results, nil
}
