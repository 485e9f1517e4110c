//go:build !race

package adam

func raceRead([]float32)  {}
func raceWrite([]float32) {}

func raceRows(_, _, _, _, _ []float32, _ int, _ []int32) {}

func (o *Optimizer) raceHooks() {}
