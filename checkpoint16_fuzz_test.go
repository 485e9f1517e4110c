package adam

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Whatever the bytes, Load into tensors of fewer bits does not panic, leaves the optimizer alone on
// an error, and what it takes is what was in the file and goes on.
func FuzzLoad16(f *testing.F) {
	storages := []model16{small16(Q8Moments, "Value"), small16(BF16Moments, "Value"),
		small16(Q8Moments, "BF16"), small16(BF16Moments, "split"),
		small16(Float32Moments, "BF16")}
	for i := range storages {
		storages[i].options.Workers = 1
		o := storages[i].optimizer(f)
		fresh := saved(f, o)
		train16(f, 1, 3, o)
		file := saved(f, o)
		for target := range storages {
			flags := byte(target)
			f.Add(file, flags)
			f.Add(fresh, flags|8)
			f.Add(file, flags|16)
			f.Add(file[:len(file)-1], flags)
		}
		f.Add(edit(f, file, `"adam.format":"3"`, `"adam.format":"1"`), byte(i))
		f.Add(edit(f, file, `.rounding_key"`, `.step.step"`), byte(i)|16)
		if storages[i].moments == Q8Moments {
			f.Add(edit(f, file, `_avg.scale":{"dtype":"U8"`,
				`_avg.scale":{"dtype":"I8"`), byte(i))
			f.Add(put(f, file, "state."+storages[i].only+".exp_avg.scale", 0, 255), byte(i))
		}
	}
	f.Fuzz(func(t *testing.T, file []byte, flags byte) {
		if flags&8 != 0 {
			file = seal(file)
		}
		m := storages[int(flags&7)%len(storages)]
		o := m.optimizer(t)
		defer o.Close()
		before := everything16(o)
		options := LoadOptions{Partial: flags&16 != 0, KeepConfigs: flags&32 != 0}
		if flags&64 != 0 {
			options.Name = func(name string) string { return strings.TrimPrefix(name, "new.") }
		}
		if _, err := o.LoadWith(bytes.NewReader(file), options); err != nil {
			require.ErrorIs(t, err, ErrCheckpoint)
			require.Equal(t, before, everything16(o))
			return
		}
		again := saved(t, o)
		other := m.optimizer(t)
		defer other.Close()
		require.NoError(t, other.Load(bytes.NewReader(again)))
		requireState16(t, state16Of(t, o), state16Of(t, other))
		if !options.Partial {
			want, _ := contents(t, file)
			got, _ := contents(t, again)
			requireState16(t, want, got)
		}
		train16(t, 1, 2, o, other)
		requireState16(t, state16Of(t, o), state16Of(t, other))
	})
}
