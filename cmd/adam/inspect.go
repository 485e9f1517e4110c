package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/fusedadam/adam"
	"github.com/fusedadam/adam/internal/atomicfile"
	"github.com/fusedadam/adam/internal/checkpoint"
	"github.com/fusedadam/adam/internal/safetensors"
	"github.com/fusedadam/adam/torchstate"
)

func inspectCommand(args []string, out io.Writer) error {
	flags := flag.NewFlagSet("inspect [-json] FILE", flag.ContinueOnError)
	asJSON := flags.Bool("json", false, "write JSON")
	const about = `Say what is in a checkpoint, or in a file of the state of PyTorch's Adam.`
	if err := parse(flags, about, 1, args, out); err != nil {
		return err
	}
	if *asJSON {
		return inspectJSON(out, flags.Arg(0))
	}
	return inspect(out, flags.Arg(0))
}

// inspect writes what is in a file. It does so even if the checksum is wrong, which is its error
// then.
func inspect(w io.Writer, path string) error {
	c, err := readContents(path)
	if c != nil {
		c.print(w)
	}
	return err
}

func inspectJSON(w io.Writer, path string) error {
	c, err := readContents(path)
	if c != nil {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		err = cmp.Or(err, e.Encode(c))
	}
	return err
}

// contents are what inspect says of a file.
type contents struct {
	File      string            `json:"file"`
	Format    string            `json:"format"`
	Checksum  string            `json:"checksum"` // ok, none or wrong
	T         uint64            `json:"step"`
	GradScale float64           `json:"grad_scale"`
	Groups    []groupContents   `json:"groups"`
	Metadata  map[string]string `json:"metadata,omitempty"`
	Left      []string          `json:"left,omitempty"` // parameters without state in torch's file
}

type groupContents struct {
	Config  checkpoint.Config `json:"config"`
	Tensors []*tensorContents `json:"tensors"`
}

type tensorContents struct {
	Name  string  `json:"name"`
	Shape []int64 `json:"shape"`
	DType string  `json:"dtype"` // of the moments: F32, F64, BF16 or I8
	// Params is Split or BF16 where the parameters have 16 bits; without SaveParams the file tells
	// Split only.
	Params string             `json:"params,omitempty"`
	T      uint64             `json:"step"`
	Norms  map[string]float64 `json:"norms"` // of the finite elements, by what they are
	NaN    int64              `json:"nan"`
	Inf    int64              `json:"inf"`
}

// readContents reads a file. With an error of its checksum it returns the contents all the same.
func readContents(path string) (*contents, error) {
	f, err := atomicfile.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	c := &contents{File: path, Checksum: "ok"}
	if err := c.read(f); err != nil {
		err = fmt.Errorf("%s: %w", path, err)
		if !errors.Is(err, checkpoint.ErrSum) {
			return nil, err
		}
		c.Checksum = "wrong"
		return c, err
	}
	return c, nil
}

func (c *contents) read(f *os.File) error {
	head, err := checkpoint.ReadHead(f)
	if err != nil {
		return err
	}
	if _, ok := head.Metadata[checkpoint.KeyFormat]; ok {
		return c.readCheckpoint(f, func(key string, from int64, to []uint8) error {
			for i := range head.Tensors {
				if t := &head.Tensors[i]; t.Name == key && t.DType == checkpoint.Uint8s &&
					from+int64(len(to)) <= t.To-t.From {
					_, err := f.ReadAt(to, head.DataAt+t.From+from)
					return err
				}
			}
			return fmt.Errorf("%q is missing or too short", key)
		})
	}
	// What torch has is shown as the checkpoint that it becomes.
	r, w := io.Pipe()
	converted := make(chan error, 1)
	go func() {
		report, err := torchstate.FromTorch(w, f, nil)
		c.Left = report.Left
		_ = w.CloseWithError(err)
		converted <- err
	}()
	err = c.readCheckpoint(r, nil) // torch has no scales
	_ = r.Close()
	if err2 := <-converted; err2 != nil && !errors.Is(err2, io.ErrClosedPipe) {
		return err2
	}
	c.Format, c.Checksum = "state of torch's "+cmp.Or(head.Metadata["optimizer"], "Adam or AdamW"),
		"none"
	return err
}

// readCheckpoint reads a checkpoint piece by piece: it takes no more memory than the header needs.
// The scales of what it reads may stand behind it; scales reads them, from one on.
func (c *contents) readCheckpoint(from io.Reader,
	scales func(key string, from int64, to []uint8) error) error {
	r, err := checkpoint.NewReader(from, checkpoint.Limits{Tensors: -1})
	if err != nil {
		return err
	}
	c.Format = fmt.Sprintf("checkpoint of package adam, format %d", r.Format)
	c.T, c.GradScale, c.Metadata = r.T, r.GradScale, r.Metadata
	tensors := map[string]*tensorContents{}
	for _, g := range r.Groups {
		group := groupContents{Config: g.Config, Tensors: []*tensorContents{}}
		for _, name := range g.Params {
			tensors[name] = &tensorContents{Name: name, Shape: []int64{},
				Norms: map[string]float64{}}
			group.Tensors = append(group.Tensors, tensors[name])
		}
		c.Groups = append(c.Groups, group)
	}
	for _, t := range r.Tensors {
		piece, name, ok := checkpoint.ParseKey(t.Name)
		s := tensors[name]
		if !ok || s == nil {
			return fmt.Errorf("%s is not known", safetensors.Quote(t.Name))
		}
		if err := s.read(r, &t, piece, scales); err != nil {
			return fmt.Errorf("%s: %w", safetensors.Quote(t.Name), err)
		}
	}
	var shapes map[string][]int64 // of torch
	if json.Unmarshal([]byte(c.Metadata[checkpoint.KeyShapes]), &shapes) == nil {
		for name, shape := range shapes {
			if s := tensors[name]; s != nil && product(shape) == product(s.Shape) {
				s.Shape = shape
			}
		}
	}
	return r.Close()
}

// pieceTitles are the columns of the norms, in the words of package adam.
var pieceTitles = [checkpoint.Pieces]string{
	checkpoint.M: "M", checkpoint.V: "V", checkpoint.VMax: "VMax", checkpoint.EMA: "EMA",
	checkpoint.Value: "Value",
}

// read reads a piece of s.
func (s *tensorContents) read(r *checkpoint.Reader, t *safetensors.Tensor, piece checkpoint.Piece,
	scales func(key string, from int64, to []uint8) error) (err error) {
	wrong := func(want string) error {
		return fmt.Errorf("dtype %s and shape %v, want %s", t.DType, t.Shape, want)
	}
	switch piece {
	case checkpoint.Step, checkpoint.Key:
		if t.DType != checkpoint.Int64s || len(t.Shape) != 0 {
			return wrong("I64 and []")
		}
		if piece == checkpoint.Step {
			s.T, err = r.Count()
		} else {
			_, err = r.Number()
		}
		return err
	case checkpoint.MScale, checkpoint.VScale:
		if t.DType != checkpoint.Uint8s {
			return wrong("U8")
		}
		return r.Skip(t.To - t.From)
	case checkpoint.Rest:
		if t.DType != checkpoint.Int16s {
			return wrong("I16")
		}
		s.Params = "Split"
		return r.Skip(t.To - t.From)
	case checkpoint.Value:
		if t.DType == checkpoint.BFloat16s {
			s.Params = cmp.Or(s.Params, t.DType)
		}
	case checkpoint.M:
		s.DType = t.DType
	}
	s.Shape = t.Shape
	n, title := (t.To-t.From)/int64(checkpoint.SizeOf(t.DType)), pieceTitles[piece]
	run := min(n, 32<<10) // elements at a time
	switch t.DType {
	case checkpoint.Float32s:
		return add(s, title, n, make([]float32, run), func(_ int64, to []float32) error {
			return r.Floats(checkpoint.Memory(to), t.DType)
		})
	case checkpoint.Float64s:
		return add(s, title, n, make([]float64, run), func(_ int64, to []float64) error {
			return r.Floats(checkpoint.Memory(to), t.DType)
		})
	case checkpoint.BFloat16s:
		halves := make([]adam.BF16, run)
		return add(s, title, n, make([]float32, run), func(_ int64, to []float32) error {
			err := r.Floats(checkpoint.Memory(halves[:len(to)]), t.DType)
			for i := range to {
				to[i] = halves[i].Float32()
			}
			return err
		})
	case checkpoint.Int8s:
		if piece > checkpoint.V || scales == nil {
			return wrong("F32, F64 or BF16")
		}
		other := make([]float32, run) // the moments that are not read
		return add(s, title, n, make([]float32, run), func(from int64, to []float32) error {
			codes, blocks := make([]int8, len(to)), checkpoint.MScale.Len(len(to))
			scale := make([]uint8, blocks)
			if err := r.Floats(checkpoint.Memory(codes), t.DType); err != nil {
				return err
			}
			if err := scales(t.Name+".scale", from/checkpoint.Block, scale); err != nil {
				return err
			}
			m, v := to, other[:len(to)]
			q := adam.State16{M8: codes, V8: make([]int8, len(to)), MScale: scale,
				VScale: make([]uint8, blocks)}
			if piece == checkpoint.V {
				m, v = v, m
				q.M8, q.V8, q.MScale, q.VScale = q.V8, q.M8, q.VScale, q.MScale
			}
			return q.Float32(m, v)
		})
	}
	return wrong("F32, F64, BF16 or, of moments, I8")
}

// add adds what is to be said of n elements, which next reads, from one on.
func add[F float32 | float64](s *tensorContents, title string, n int64, buffer []F,
	next func(from int64, to []F) error) error {
	sum := 0.0
	for from := int64(0); from < n; from += int64(len(buffer)) {
		part := buffer[:min(n-from, int64(len(buffer)))]
		if err := next(from, part); err != nil {
			return err
		}
		for _, x := range part {
			switch x := float64(x); {
			case math.IsNaN(x):
				s.NaN++
			case math.IsInf(x, 0):
				s.Inf++
			default:
				sum += x * x
			}
		}
	}
	s.Norms[title] = math.Sqrt(sum)
	return nil
}

// product returns the number of elements of a shape, -1 if there is none.
func product(shape []int64) int64 {
	n := int64(1)
	for _, d := range shape {
		if d < 0 {
			return -1
		}
		n *= d
	}
	return n
}

func (c *contents) print(w io.Writer) {
	fmt.Fprintf(w, "File      %s\nFormat    %s\nChecksum  %s\n", plain(c.File), plain(c.Format),
		c.Checksum)
	tensors, parameters, nan, inf := 0, int64(0), int64(0), int64(0)
	has := map[string]bool{}
	for _, g := range c.Groups {
		for _, s := range g.Tensors {
			tensors++
			parameters += product(s.Shape)
			nan, inf = nan+s.NaN, inf+s.Inf
			for title := range s.Norms {
				has[title] = true
			}
		}
	}
	fmt.Fprintf(w, "Step      %d\nGradScale %v\nTensors   %d, with %d parameters\n",
		c.T, c.GradScale, tensors, parameters)
	fmt.Fprintf(w, "NaN, Inf  %d, %d\n", nan, inf)
	for i, g := range c.Groups {
		fmt.Fprintf(w, "\nGroup %d   %s\n", i, configText(g.Config))
		if len(g.Tensors) == 0 {
			continue
		}
		table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		fmt.Fprint(table, "  name\tshape\tstep")
		for _, title := range pieceTitles {
			if has[title] {
				fmt.Fprintf(table, "\t|%s|", title)
			}
		}
		fmt.Fprintln(table, "\tNaN\tInf")
		for _, s := range g.Tensors {
			shape := fmt.Sprint(s.Shape)
			if s.DType != checkpoint.Float32s {
				shape += " " + s.DType
			}
			if s.Params != "" {
				shape += ", parameters " + s.Params
			}
			fmt.Fprintf(table, "  %s\t%s\t%d", plain(s.Name), shape, s.T)
			for _, title := range pieceTitles {
				if norm, ok := s.Norms[title]; ok {
					fmt.Fprintf(table, "\t%.6g", norm)
				} else if has[title] {
					fmt.Fprint(table, "\t-")
				}
			}
			fmt.Fprintf(table, "\t%d\t%d\n", s.NaN, s.Inf)
		}
		_ = table.Flush()
	}
	printNames(w, "\nWithout state, and of a size that is not in the file", c.Left)
	if len(c.Metadata) > 0 {
		fmt.Fprintln(w, "\nMetadata")
	}
	for _, key := range slices.Sorted(maps.Keys(c.Metadata)) {
		fmt.Fprintf(w, "  %s = %s\n", plain(key), safetensors.Quote(c.Metadata[key]))
	}
}

func configText(c checkpoint.Config) string {
	kind := "Adam"
	if c.Decoupled {
		kind = "AdamW"
	}
	text := fmt.Sprintf("%s: LR %v, betas %v and %v, Eps %v, WeightDecay %v",
		kind, c.LR, c.Betas[0], c.Betas[1], c.Eps, c.WeightDecay)
	if c.AMSGrad {
		text += ", AMSGrad"
	}
	if c.Maximize {
		text += ", Maximize"
	}
	if c.EpsUncorrected {
		text += ", EpsUncorrected"
	}
	return text
}

// plain returns s, quoted if a terminal might take it for something else than text.
func plain(s string) string {
	if q := strconv.Quote(s); s == "" || strings.Trim(s, " ") != s || q[1:len(q)-1] != s {
		return q
	}
	return s
}
