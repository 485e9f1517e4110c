package adam

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/fusedadam/adam/internal/checkpoint"
	"github.com/fusedadam/adam/internal/python"
	"github.com/stretchr/testify/require"
)

// The lines of Python in docs/CHECKPOINTS.md read every storage with torch, to the bits that the
// optimizer has.
func TestCheckpoint16InPython(t *testing.T) {
	page, err := os.ReadFile("docs/CHECKPOINTS.md")
	require.NoError(t, err)
	blocks := regexp.MustCompile("(?s)```python\n(.*?)```").FindAllSubmatch(page, -1)
	require.Len(t, blocks, 2)
	folder := t.TempDir()
	code := append(blocks[0][1], blocks[1][1]...)
	require.NoError(t, os.WriteFile(filepath.Join(folder, "read.py"), code, 0o600))
	for moments := Float32Moments; moments <= Q8Moments; moments++ {
		m := model16{moments: moments, options: Options{SaveParams: true, EMADecay: 0.9}}
		o := m.optimizer(t)
		train16(t, 0, 3, o)
		fresh := *NewState16(Param16{Value: make([]float32, 65)}, Storage{Moments: moments}, 0,
			o.Groups[0].Config)
		fresh.Key = o.State16("x").Key
		*o.State16("x") = fresh   // scales of 0
		if moments == Q8Moments { // NaN, and one code of each kind
			s := o.State16("wte")
			for i := range block16 {
				s.M8[block16+i], s.V8[block16+i] = 1, 1
				s.M8[2*block16+i], s.V8[2*block16+i] = int8(4*i-127), int8(4*i-128)
			}
			s.MScale[1], s.VScale[1] = 255, 255
			s.MScale[2], s.VScale[2] = 16, 32
			s.MScale[3], s.VScale[3] = 254, 254
		}
		require.NoError(t, o.SaveFile(filepath.Join(folder, "run.safetensors")))
		var got map[string][2]json.RawMessage
		out := python.Run(t, strings.NewReader(""), "testdata/torch_storage.py", folder)
		require.NoError(t, json.Unmarshal(out, &got))

		check := func(key, dtype string, want []int32) {
			t.Helper()
			require.Contains(t, got, key)
			require.Equal(t, fmt.Sprintf(`"torch.%s"`, dtype), string(got[key][0]), key)
			var bits []int32
			require.NoError(t, json.Unmarshal(got[key][1], &bits))
			require.Len(t, bits, len(want), key)
			for i := range bits {
				a, b := bits[i], want[i]
				if dtype == "float32" && isNaN(a) && isNaN(b) {
					continue
				}
				require.Equal(t, b, a, "%v: %s[%d]", moments, key, i)
			}
			delete(got, key)
		}
		single := func(s []float32) []int32 {
			bits := make([]int32, len(s))
			for i, x := range s {
				bits[i] = int32(math.Float32bits(x))
			}
			return bits
		}
		half := func(s []BF16) []int32 {
			bits := make([]int32, len(s))
			for i, x := range s {
				bits[i] = int32(int16(x))
			}
			return bits
		}
		each16(o, func(p *Param16, _, n int) {
			s := o.State16(p.Name)
			key := func(x checkpoint.Piece) string { return x.Key(p.Name) }
			if moments == BF16Moments {
				check(key(checkpoint.M), "bfloat16", half(s.M16))
				check(key(checkpoint.V), "bfloat16", half(s.V16))
				if s.VMax16 != nil {
					check(key(checkpoint.VMax), "bfloat16", half(s.VMax16))
				}
			} else {
				a, b := make([]float32, n), make([]float32, n)
				require.NoError(t, s.Float32(a, b))
				check(key(checkpoint.M), "float32", single(a))
				check(key(checkpoint.V), "float32", single(b))
				if s.VMax != nil {
					check(key(checkpoint.VMax), "float32", single(s.VMax))
				}
			}
			check(key(checkpoint.EMA), "float32", single(o.EMA(p.Name)))
			if p.Value != nil {
				check(key(checkpoint.Value), "float32", single(p.Value))
			} else {
				check(key(checkpoint.Value), "bfloat16", half(p.BF16))
			}
			if s.Rest != nil {
				joined := make([]float32, n)
				require.NoError(t, JoinFloat32(joined, p.BF16, s.Rest))
				check("split."+p.Name, "float32", single(joined))
				bits := make([]int32, n)
				for i, x := range s.Rest {
					bits[i] = int32(x)
				}
				check(key(checkpoint.Rest), "int16", bits)
			}
			check(key(checkpoint.Step), "int64", []int32{int32(s.T)})
			if k := key(checkpoint.Key); s.Rest == nil && p.Value == nil || moments > 0 {
				require.Equal(t, fmt.Sprintf("[%d]", int64(s.Key)), string(got[k][1]))
				delete(got, k)
			}
			delete(got, key(checkpoint.MScale))
			delete(got, key(checkpoint.VScale))
		})
		require.Empty(t, got)
	}
}

func isNaN(bits int32) bool { return uint32(bits)&0x7fffffff > 0x7f800000 }
