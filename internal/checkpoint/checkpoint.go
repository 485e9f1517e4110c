// Package checkpoint is the file format of the optimizer's checkpoints, without an optimizer:
// safetensors files with a checksum, see docs/CHECKPOINTS.md.
package checkpoint

import (
	"cmp"
	"encoding/binary"
	"slices"
	"strings"
	"unsafe"

	"github.com/fusedadam/adam/internal/safetensors"
)

// Keys of the metadata. The checksum sorts first, and so stands at a fixed place of what is
// written.
const (
	KeyPrefix = "adam."
	KeySum    = "adam.crc32"
	KeyFormat = "adam.format"
	KeyScale  = "adam.grad_scale"
	KeyGroups = "adam.groups"
	KeyStep   = "adam.step"
)

// MaxMetadata is the number of metadata that a checkpoint may have beside its own.
const MaxMetadata = 1024

// Types of the tensors.
const (
	Float32s = "F32"
	Float64s = "F64"
	Int64s   = "I64"
)

// A Piece is one of the things that a checkpoint holds of each tensor.
type Piece int

const (
	M Piece = iota
	V
	VMax
	EMA
	Step
	Value
	Pieces int = iota
)

// pieceNames are torch's where torch has them.
var pieceNames = [Pieces]string{"exp_avg", "exp_avg_sq", "max_exp_avg_sq", "ema", "step", "param"}

// Key returns the name of a piece of the named tensor in a checkpoint.
func (p Piece) Key(tensor string) string {
	if p == Value {
		return "param." + tensor
	}
	return "state." + tensor + "." + pieceNames[p]
}

// ParseKey is the inverse of Key. No piece has a dot in its name, so that no two keys are the same.
func ParseKey(key string) (p Piece, tensor string, ok bool) {
	if tensor, ok = strings.CutPrefix(key, "param."); ok {
		return Value, tensor, true
	}
	rest, ok := strings.CutPrefix(key, "state.")
	dot := strings.LastIndexByte(rest, '.')
	if !ok || dot < 0 {
		return 0, "", false
	}
	p = Piece(slices.Index(pieceNames[:Value], rest[dot+1:]))
	return p, rest[:dot], p >= 0
}

// A Config is that of a group, in the words of torch.
type Config struct {
	LR          float64    `json:"lr"`
	Betas       [2]float64 `json:"betas"`
	Eps         float64    `json:"eps"`
	WeightDecay float64    `json:"weight_decay"`
	Decoupled   bool       `json:"decoupled"`
	AMSGrad     bool       `json:"amsgrad"`
	Maximize    bool       `json:"maximize"`
	// EpsUncorrected is of format 2, and no word of torch's.
	EpsUncorrected bool `json:"eps_uncorrected,omitempty"`
}

// A Group is the tensors of one Config.
type Group struct {
	Config Config   `json:"config"`
	Params []string `json:"params"`
}

// Info is what a checkpoint says beside its tensors.
type Info struct {
	Format    int // 1 or 2
	T         uint64
	GradScale float64
	Groups    []Group
	Metadata  map[string]string // beside the checkpoint's own
}

// Data is a tensor of a file with what is in it: one of Floats, Count (dtype I64) and Source.
type Data struct {
	safetensors.Tensor
	Floats []byte // the memory of floats of that dtype, as it is on this machine
	Count  uint64
	Source *Source
}

// FloatsOf returns the data of a flat tensor.
func FloatsOf[F float](key string, floats []F) Data {
	shape := []int64{int64(len(floats))}
	return Data{Tensor: safetensors.Tensor{Name: key, DType: DTypeOf[F](), Shape: shape},
		Floats: Memory(floats)}
}

// CountOf returns the data of a count.
func CountOf(key string, n uint64) Data {
	return Data{Tensor: safetensors.Tensor{Name: key, DType: Int64s}, Count: n}
}

// Sort brings data into the order of safetensors' own writer: types of larger elements first, so
// that everything is aligned, then by name.
func Sort(data []Data) {
	slices.SortFunc(data, func(a, b Data) int {
		// "I64" > "F64" > "F32"
		return cmp.Or(cmp.Compare(b.DType, a.DType), cmp.Compare(a.Name, b.Name))
	})
}

// BigEndian says that the bytes of floats change their order between memory and file. Only a test
// sets it.
var BigEndian = binary.NativeEndian.Uint16([]byte{0, 1}) == 1

type float interface{ float32 | float64 }

// DTypeOf returns the type of tensors of F.
func DTypeOf[F float]() string {
	if unsafe.Sizeof(F(0)) == 8 {
		return Float64s
	}
	return Float32s
}

// Memory returns the memory of s.
func Memory[F float](s []F) []byte {
	at := (*byte)(unsafe.Pointer(unsafe.SliceData(s)))
	return unsafe.Slice(at, len(s)*int(unsafe.Sizeof(F(0))))
}

// SizeOf returns the bytes of a float of a type.
func SizeOf(dtype string) int {
	if dtype == Float64s {
		return 8
	}
	return 4
}

// reverse changes the order of the bytes of each float of b, in place.
func reverse(b []byte, dtype string) {
	size := SizeOf(dtype)
	for ; len(b) >= size; b = b[size:] {
		slices.Reverse(b[:size])
	}
}
