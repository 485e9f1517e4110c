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
	Int64s    = "I64" // of one number only
	Float64s  = "F64"
	Float32s  = "F32"
	BFloat16s = "BF16"
	Int16s    = "I16"
	Int8s     = "I8"
	Uint8s    = "U8"
)

// order is that of safetensors' own writer: larger elements first, so that everything is aligned.
var order = []string{Int64s, Float64s, Float32s, BFloat16s, Int16s, Int8s, Uint8s}

// A Piece is one of the things that a checkpoint holds of each tensor.
type Piece int

const (
	M Piece = iota
	V
	VMax
	EMA
	Step
	MScale // of M in 8 bits, a byte for each Block of elements
	VScale
	Rest // lower halves of the parameters
	Key  // of the words of stochastic rounding, a number
	Value
	Pieces int = iota
)

// Block is the number of elements that share a scale.
const Block = 64

// pieceNames are torch's where torch has them. None ends in a dot and another one.
var pieceNames = [Pieces]string{"exp_avg", "exp_avg_sq", "max_exp_avg_sq", "ema", "step",
	"exp_avg.scale", "exp_avg_sq.scale", "param_rest", "rounding_key", "param"}

// Len returns the number of elements of a piece of a tensor of n.
func (p Piece) Len(n int) int {
	if p == MScale || p == VScale {
		return n/Block + (n%Block+Block-1)/Block
	}
	return n
}

// Key returns the name of a piece of the named tensor in a checkpoint.
func (p Piece) Key(tensor string) string {
	if p == Value {
		return "param." + tensor
	}
	return "state." + tensor + "." + pieceNames[p]
}

// ParseKey is the inverse of Key: whatever the name of a tensor ends in, the keys of two pieces are
// never the same.
func ParseKey(key string) (p Piece, tensor string, ok bool) {
	if tensor, ok = strings.CutPrefix(key, "param."); ok {
		return Value, tensor, true
	}
	if key, ok = strings.CutPrefix(key, "state."); !ok {
		return 0, "", false
	}
	for p := range Value {
		if tensor, ok := strings.CutSuffix(key, pieceNames[p]); ok {
			if tensor, ok = strings.CutSuffix(tensor, "."); ok {
				return p, tensor, true
			}
		}
	}
	return 0, "", false
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
	Format    int // 1, 2 or 3
	T         uint64
	GradScale float64
	Groups    []Group
	Metadata  map[string]string // beside the checkpoint's own
}

// Data is a tensor of a file with what is in it: one of Floats, Count (dtype I64) and Source.
type Data struct {
	safetensors.Tensor
	Floats []byte // the memory of elements of that dtype, as it is on this machine
	Count  uint64
	Source *Source
}

// FloatsOf returns the data of a flat tensor.
func FloatsOf[F Element](key string, floats []F) Data {
	shape := []int64{int64(len(floats))}
	return Data{Tensor: safetensors.Tensor{Name: key, DType: DTypeOf[F](), Shape: shape},
		Floats: Memory(floats)}
}

// CountOf returns the data of a count, or of another number of 64 bits.
func CountOf(key string, n uint64) Data {
	return Data{Tensor: safetensors.Tensor{Name: key, DType: Int64s}, Count: n}
}

// Sort brings data into the order of safetensors' own writer: by type, then by name.
func Sort(data []Data) {
	slices.SortFunc(data, func(a, b Data) int {
		return cmp.Or(cmp.Compare(slices.Index(order, a.DType), slices.Index(order, b.DType)),
			cmp.Compare(a.Name, b.Name))
	})
}

// BigEndian says that the bytes of elements change their order between memory and file. Only a test
// sets it.
var BigEndian = binary.NativeEndian.Uint16([]byte{0, 1}) == 1

// An Element is one of a tensor of more than a number. ~uint16 is bfloat16.
type Element interface {
	~float64 | ~float32 | ~uint16 | ~int16 | ~int8 | ~uint8
}

// DTypeOf returns the type of tensors of E.
func DTypeOf[E Element]() string {
	signed := E(0)-1 < 0
	switch size := unsafe.Sizeof(E(0)); {
	case size == 8:
		return Float64s
	case size == 4:
		return Float32s
	case size == 2 && signed:
		return Int16s
	case size == 2:
		return BFloat16s
	case signed:
		return Int8s
	}
	return Uint8s
}

// Memory returns the memory of s.
func Memory[E Element](s []E) []byte {
	at := (*byte)(unsafe.Pointer(unsafe.SliceData(s)))
	return unsafe.Slice(at, len(s)*int(unsafe.Sizeof(E(0))))
}

// SizeOf returns the bytes of an element of a type.
func SizeOf(dtype string) int {
	switch dtype {
	case Int64s, Float64s:
		return 8
	case BFloat16s, Int16s:
		return 2
	case Int8s, Uint8s:
		return 1
	}
	return 4
}

// reverse changes the order of the bytes of each element of b, in place.
func reverse(b []byte, dtype string) {
	size := SizeOf(dtype)
	for ; len(b) >= size; b = b[size:] {
		slices.Reverse(b[:size])
	}
}
