package torchstate_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fusedadam/adam"
	"github.com/fusedadam/adam/internal/checkpoint"
	"github.com/fusedadam/adam/internal/python"
	"github.com/fusedadam/adam/torchstate"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// saved16 returns a checkpoint of tensors with few bits.
func saved16(t *testing.T, moments adam.Moments, options adam.Options) []byte {
	t.Helper()
	halves, value := make([]adam.BF16, 65), make([]float32, 65)
	grad, grad2 := make([]float32, 65), make([]float32, 65)
	for i := range halves {
		halves[i], value[i] = adam.ToBF16(float32(i)), float32(i)
		grad[i], grad2[i] = 1/float32(i+3), float32(i)
	}
	config := adam.DefaultW()
	config.AMSGrad = moments != adam.Q8Moments
	o, err := adam.New(options, adam.Group{Config: config,
		Storage: adam.Storage{Moments: moments}, Params16: []adam.Param16{
			{Name: "split", BF16: halves, Grad: grad},
			{Name: "value", Value: value, Grad: grad2}}})
	require.NoError(t, err)
	for range 3 {
		_, err = o.Step()
		require.NoError(t, err)
	}
	var b bytes.Buffer
	require.NoError(t, o.Save(&b))
	return b.Bytes()
}

// pieces returns the type and the data of what is in a file.
func pieces(t *testing.T, file []byte) map[string]string {
	t.Helper()
	r := bytes.NewReader(file)
	head, err := checkpoint.ReadHead(r)
	require.NoError(t, err)
	all := map[string]string{}
	for _, s := range head.Tensors {
		all[s.Name] = s.DType + string(file[head.DataAt+s.From:head.DataAt+s.To])
	}
	return all
}

// Moments and parameters of bfloat16 are the same in torch's file, and what torch has no place for
// is named.
func TestToTorch16(t *testing.T) {
	options := adam.Options{SaveParams: true, EMADecay: 0.9}
	file := saved16(t, adam.BF16Moments, options)
	var b bytes.Buffer
	report, err := torchstate.ToTorch(&b, bytes.NewReader(file))
	require.NoError(t, err)
	assert.ElementsMatch(t, []string{"state.split.param_rest", "state.split.ema",
		"state.value.ema"}, report.Left)
	ours, theirs := pieces(t, file), pieces(t, b.Bytes())
	require.Len(t, theirs, 10)
	for number, name := range map[string]string{"0": "split", "1": "value"} {
		for _, p := range []checkpoint.Piece{checkpoint.M, checkpoint.V, checkpoint.VMax,
			checkpoint.Value} {
			require.Contains(t, theirs, p.Key(number))
			assert.Equal(t, ours[p.Key(name)], theirs[p.Key(number)], "%s of %s", p.Key(""), name)
		}
		assert.Equal(t, "F32\x00\x00\x40\x40", theirs[checkpoint.Step.Key(number)])
	}
	assert.Equal(t, "BF16", theirs["state.0.exp_avg"][:4])
	assert.Equal(t, "BF16", theirs["state.1.exp_avg_sq"][:4])
	assert.Equal(t, "BF16", theirs["param.0"][:4])
	assert.Equal(t, "F32", theirs["param.1"][:3])

	// Back they are no state of torch's that package adam has.
	_, err = torchstate.FromTorch(&b, bytes.NewReader(b.Bytes()), nil)
	require.ErrorIs(t, err, torchstate.ErrState)
	require.ErrorContains(t, err, "want F32 or F64: save it as .float()")
}

// Torch takes moments of bfloat16 as they are. Beside a parameter of float32 they become that, with
// the same values.
func TestTorch16(t *testing.T) {
	folder := t.TempDir()
	file := saved16(t, adam.BF16Moments, adam.Options{SaveParams: true})
	var b bytes.Buffer
	_, err := torchstate.ToTorch(&b, bytes.NewReader(file))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(folder, "halves.in"), b.Bytes(), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(folder, "save_load.py"), []byte(pythonLines(t)),
		0o600))
	out := python.Run(t, strings.NewReader(""), "testdata/torch_train.py", "halves", folder)
	var got map[string][2]json.RawMessage
	require.NoError(t, json.Unmarshal(out, &got))
	require.Len(t, got, 8)
	for key, data := range pieces(t, b.Bytes()) {
		if strings.HasSuffix(key, ".step") {
			continue
		}
		var bits []int32
		require.Contains(t, got, key)
		require.NoError(t, json.Unmarshal(got[key][1], &bits))
		half := strings.HasPrefix(data, "BF16")
		data = strings.TrimPrefix(strings.TrimPrefix(data, "BF16"), "F32")
		dtype := `"torch.float32"`
		if strings.Contains(key, ".0") {
			dtype = `"torch.bfloat16"`
		}
		assert.Equal(t, dtype, string(got[key][0]), key)
		for i, x := range bits {
			var want uint32
			switch {
			case !half:
				want = binary.LittleEndian.Uint32([]byte(data[4*i:]))
			case strings.Contains(key, ".0"):
				want = uint32(int32(int16(binary.LittleEndian.Uint16([]byte(data[2*i:])))))
			default:
				want = uint32(binary.LittleEndian.Uint16([]byte(data[2*i:]))) << 16
			}
			require.Equal(t, want, uint32(x), "%s[%d]", key, i)
		}
	}
}

// Moments of 8 bits are not torch's, and neither are their pieces in a file of torch's.
func TestToTorch8(t *testing.T) {
	var b bytes.Buffer
	for _, options := range []adam.Options{{}, {SaveParams: true, EMADecay: 0.9}} {
		file := saved16(t, adam.Q8Moments, options)
		_, err := torchstate.ToTorch(&b, bytes.NewReader(file))
		require.ErrorIs(t, err, torchstate.ErrState)
		require.NotErrorIs(t, err, adam.ErrCheckpoint)
		require.ErrorContains(t, err, `"state.split.exp_avg" is of 8 bits`)
		require.ErrorContains(t, err, "adam convert")
		assert.Zero(t, b.Len())
	}
}
