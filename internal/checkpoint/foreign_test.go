package checkpoint

import (
	"bytes"
	"fmt"
	"io"
	"testing"

	"github.com/fusedadam/adam/internal/safetensors"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// ReadHead takes a file that is as long as its header says, and no other.
func TestReadHead(t *testing.T) {
	for _, n := range []int{0, 1, 5} {
		tensors := []safetensors.Tensor{{Name: "a", DType: "U8", Shape: []int64{int64(n)}}}
		file, err := safetensors.Encode([]safetensors.Meta{{Key: "x", Value: "y"}}, tensors)
		require.NoError(t, err)
		at := len(file)
		file = append(file, make([]byte, n)...)
		h, err := ReadHead(bytes.NewReader(file))
		require.NoError(t, err)
		assert.Equal(t, &Head{tensors, map[string]string{"x": "y"}, int64(at)}, h)
		for end := range file {
			_, err := ReadHead(bytes.NewReader(file[:end]))
			require.ErrorIs(t, err, io.ErrUnexpectedEOF, "%d of %d bytes", end, len(file))
		}
		_, err = ReadHead(bytes.NewReader(append(file, 0)))
		require.ErrorContains(t, err, "goes on")
	}
	var many []safetensors.Meta
	for i := range MaxMetadata + 1 {
		many = append(many, safetensors.Meta{Key: fmt.Sprint(i)})
	}
	for n, ok := range map[int]bool{MaxMetadata: true, MaxMetadata + 1: false} {
		file, err := safetensors.Encode(many[:n], nil)
		require.NoError(t, err)
		_, err = ReadHead(bytes.NewReader(file))
		assert.Equal(t, ok, err == nil, "%v", err)
	}
}
