package adam

import (
	"bytes"
	"encoding/binary"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/fusedadam/adam/internal/checkpoint"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// hostile returns headers of about size bytes that are made to cost memory.
func hostile(size int) map[string]string {
	fill := func(each string) string { return strings.Repeat(each, size/len(each)) }
	count := func(format string) string {
		var b strings.Builder
		for i := 0; b.Len() < size; i++ {
			b.WriteString(strings.ReplaceAll(format, "%", strconv.FormatInt(int64(i), 36)))
		}
		return b.String()
	}
	header := func(metadata, groups, tensors string) string {
		return `{"__metadata__":{"adam.crc32":"00000000","adam.format":"1","adam.grad_scale":"1",` +
			metadata +
			`"adam.groups":"` + groups + `","adam.step":"1"}` + tensors + `}`
	}
	const config = `\"config\":{\"lr\":1,\"betas\":[0,0],\"eps\":1,\"weight_decay\":0,` +
		`\"decoupled\":true,\"amsgrad\":false,\"maximize\":false}`
	group := func(names string) string { return `[{` + config + `,\"params\":[` + names + `]}]` }
	const empty = `{"dtype":"F32","shape":[0],"data_offsets":[0,0]}`
	pieces := `,"state.%.exp_avg":` + empty + `,"state.%.exp_avg_sq":` + empty +
		`,"state.%.step":` +
		`{"dtype":"U8","shape":[0],"data_offsets":[0,0]}`
	many := count(pieces)
	var names []string
	for i := range strings.Count(many, "exp_avg_sq") {
		names = append(names, `\"`+strconv.FormatInt(int64(i), 36)+`\"`)
	}
	return map[string]string{
		"metadata":         header(count(`"%":"",`), "[]", ""),
		"long metadata":    header(`"a":"`+fill("x")+`",`, "[]", ""),
		"escaped metadata": header(`"a":"`+fill(`\n`)+`",`, "[]", ""),
		"escaped keys":     header(`"`+fill(`\t`)+`":"",`, "[]", ""),
		"own metadata":     header(count(`"adam.%":"",`), "[]", ""),
		"tensors": header("", "[]",
			count(`,"%":{"dtype":"U8","shape":[],"data_offsets":[0,1]}`)),
		"empty tensors": header("", "[]",
			count(`,"%":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}`)),
		"same tensors": header("", "[]",
			fill(`,"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}`)),
		"escaped tensors": header("", "[]",
			count(`,"\u0000%":{"dtype":"\u00468","shape":[0],"data_offsets":[0,0]}`)),
		"words": header(`"a":"`+fill(`\"data_offsets\"`)+`",`, "[]", ""),
		"shape": header("", "[]",
			`,"a":{"dtype":"U8","shape":[0`+fill(`,0`)+`],"data_offsets":[0,0]}`),
		"offsets": header("", "[]",
			`,"a":{"dtype":"U8","shape":[0],"data_offsets":[0`+fill(`,0`)+`]}`),
		"shapes": header("", "[]",
			count(`,"%":{"dtype":"U8","shape":[0`+strings.Repeat(",0",
				63)+`],"data_offsets":[0,0]}`)),
		"shorter shapes": header("", "[]",
			count(`,"%":{"dtype":"U8","shape":[0`+strings.Repeat(",0",
				8)+`],"data_offsets":[0,0]}`)),
		"groups": header("",
			"["+fill(`{`+config+`,\"params\":[]},`)+`{`+config+`,\"params\":[]}]`, ""),
		"names":            header("", group(count(`\"%\",`)+`\"\"`), ""),
		"nested":           header("", fill("["), ""),
		"nested in params": header("", group(fill("[")), ""),
		"a name":           header("", group(`\"`+fill(`\\n`)+`\"`), ""),
		"betas": header("", strings.Replace(group(""), "[0,0]", "[0"+fill(",0")+"]", 1),
			""),
		"number": header("", strings.Replace(group(""), "[0,0]", "["+fill("9")+"]", 1),
			""),
		"all":        header("", group(strings.Join(names, ",")), many),
		"bare words": fill(`"data_offsets"`),
		"not JSON":   fill("\xff"),
		"space":      fill(" "),
	}
}

// allocated returns how many bytes f allocates.
func allocated(f func()) float64 {
	var m1, m2 runtime.MemStats
	runtime.ReadMemStats(&m1)
	f()
	runtime.ReadMemStats(&m2)
	return float64(m2.TotalAlloc - m1.TotalAlloc)
}

// However a header is made, what takes it allocates at most four times its size, beside a buffer
// and what the optimizer needs.
func TestCheckpointHostileHeader(t *testing.T) {
	const small = 100 << 10 // the buffer of the reader, the state of the optimizer, errors
	o := newTarget(t, smallOptions)
	before := everything(o)
	const size = 1 << 20
	for name, header := range hostile(size) {
		file := append(binary.LittleEndian.AppendUint64(nil, uint64(len(header))), header...)
		check := func(what string, f func()) {
			bytes := allocated(f)
			ratio := (bytes - small) / float64(len(header))
			t.Logf("%s, %s: %.2f times the header", what, name, ratio)
			assert.LessOrEqual(t, ratio, 4.0, "%s, %s", what, name)
		}
		var err error
		check("Load", func() { err = o.Load(bytes.NewReader(file)) })
		require.ErrorIs(t, err, ErrCheckpoint, name)
		check("LoadWith", func() {
			_, err = o.LoadWith(bytes.NewReader(file),
				LoadOptions{Partial: true, KeepConfigs: true})
		})
		require.ErrorIs(t, err, ErrCheckpoint, name)
		require.Equal(t, before, everything(o), name)
		check("Reader", func() {
			_, _ = checkpoint.NewReader(bytes.NewReader(file),
				checkpoint.Limits{Tensors: -1})
		})
	}
}
