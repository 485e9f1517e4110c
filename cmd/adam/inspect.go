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
	Name  string             `json:"name"`
	Shape []int64            `json:"shape"`
	DType string             `json:"dtype"` // F32 or F64
	T     uint64             `json:"step"`
	Norms map[string]float64 `json:"norms"` // of the finite elements, by what they are
	NaN   int64              `json:"nan"`
	Inf   int64              `json:"inf"`
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
		return c.readCheckpoint(f)
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
	err = c.readCheckpoint(r)
	_ = r.Close()
	if err2 := <-converted; err2 != nil && !errors.Is(err2, io.ErrClosedPipe) {
		return err2
	}
	c.Format, c.Checksum = "state of torch's "+cmp.Or(head.Metadata["optimizer"], "Adam or AdamW"),
		"none"
	return err
}

// readCheckpoint reads a checkpoint piece by piece: it takes no more memory than the header needs.
func (c *contents) readCheckpoint(from io.Reader) error {
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
	singles, doubles := make([]float32, 64<<10), make([]float64, 32<<10)
	for _, t := range r.Tensors {
		piece, name, ok := checkpoint.ParseKey(t.Name)
		s := tensors[name]
		if !ok || s == nil {
			return fmt.Errorf("%s is not known", safetensors.Quote(t.Name))
		}
		if piece == checkpoint.Step {
			if t.DType != checkpoint.Int64s || len(t.Shape) != 0 {
				return fmt.Errorf("%s has dtype %s and shape %v, want I64 and []",
					safetensors.Quote(t.Name), t.DType, t.Shape)
			}
			s.T, err = r.Count()
		} else {
			s.Shape, s.DType = t.Shape, t.DType
			switch title := pieceTitles[piece]; t.DType {
			case checkpoint.Float32s:
				err = add(s, r, title, (t.To-t.From)/4, singles)
			case checkpoint.Float64s:
				err = add(s, r, title, (t.To-t.From)/8, doubles)
			default:
				return fmt.Errorf("%s has dtype %s, want F32 or F64", safetensors.Quote(t.Name),
					t.DType)
			}
		}
		if err != nil {
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

// add reads n elements and adds what is to be said of them.
func add[F float32 | float64](s *tensorContents, r *checkpoint.Reader, title string, n int64,
	buffer []F) error {
	sum := 0.0
	for n > 0 {
		part := buffer[:min(n, int64(len(buffer)))]
		if err := r.Floats(checkpoint.Memory(part), s.DType); err != nil {
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
		n -= int64(len(part))
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
			if s.DType == checkpoint.Float64s {
				shape += " F64"
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
