//go:build !race

package adam

func raceRead[F float]([]F)  {}
func raceWrite[F float]([]F) {}

func raceRows(_, _, _, _, _ []float32, _ int, _ []int32) {}

func (o *Optimizer) raceHooks() {}
