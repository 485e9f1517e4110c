package adam_test

import (
	"fmt"

	"github.com/fusedadam/adam"
)

// An embedding is a table of which a batch uses a few rows. The gradients of a row that is used
// twice are added up, and the rows that no one uses stay as they are.
func ExampleState_StepRows() {
	const width = 2
	table := make([]float32, 6*width)
	cfg := adam.Default()
	cfg.LR = 0.1
	state := adam.NewState(len(table), cfg)
	for step := range 300 {
		batch := []int32{1, 4, 1} // ids; every third step uses another
		if step%3 == 0 {
			batch[1] = 2
		}
		var rows []int32
		var grads []float32
		at := map[int32]int{} // where a row's gradient is in grads
		for _, id := range batch {
			if _, seen := at[id]; !seen {
				at[id] = len(grads)
				rows, grads = append(rows, id), append(grads, make([]float32, width)...)
			}
			for i, x := range table[id*width:][:width] {
				grads[at[id]+i] += x - float32(id) // of ½·(x-id)²
			}
		}
		if err := state.StepRows(table, width, rows, grads, cfg); err != nil {
			panic(err)
		}
	}
	fmt.Printf("%.1f after %d steps\n", table, state.T)
	// Output: [0.0 0.0 1.0 1.0 2.0 2.0 0.0 0.0 4.0 4.0 0.0 0.0] after 300 steps
}
