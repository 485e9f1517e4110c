//go:build race

package adam

import (
	"runtime"
	"unsafe"
)

// The race detector does not see into assembly: raceRead and raceWrite tell it what a step touches.

func raceRead[F float](s []F) {
	if len(s) > 0 {
		runtime.RaceReadRange(unsafe.Pointer(&s[0]), len(s)*int(unsafe.Sizeof(s[0])))
	}
}

func raceWrite[F float](s []F) {
	if len(s) > 0 {
		runtime.RaceWriteRange(unsafe.Pointer(&s[0]), len(s)*int(unsafe.Sizeof(s[0])))
	}
}

// raceRows tells the detector what a step of rows touches.
func raceRows(p, g, m, v, x []float32, width int, rows []int32) {
	raceRead(g)
	for _, r := range rows {
		for _, s := range [][]float32{p, m, v, x} {
			if len(s) > 0 {
				raceWrite(s[int(r)*width:][:width])
			}
		}
	}
}

// raceHooks tells the detector what a step of all tensors touches, whichever worker does.
func (o *Optimizer) raceHooks() {
	for i := range o.tensors {
		t := &o.tensors[i]
		raceWrite(t.param.Value)
		for _, s := range [][]float32{t.M, t.V, t.VMax, t.average} {
			raceWrite(s)
		}
		if o.Options.ZeroGrad {
			raceWrite(t.param.Grad)
		} else {
			raceRead(t.param.Grad)
		}
	}
}
