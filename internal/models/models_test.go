package models_test

import (
	"testing"

	"github.com/fusedadam/adam/internal/models"
)

// The totals are those that the models' authors state.
func TestTotals(t *testing.T) {
	for _, m := range models.All {
		want := map[string][2]int{"mlp": {4, 101770}, "resnet50": {161, 25557032},
			"gpt2": {148, 124439808}}[m.Key]
		if got := [2]int{len(m.Tensors), m.Parameters()}; got != want {
			t.Errorf("%s: %d tensors with %d parameters, want %d", m.Key, got[0], got[1], want)
		}
	}
}
