//go:build race

package adam

import (
	"runtime"
	"unsafe"
)

// The race detector does not see into assembly: raceRead and raceWrite tell it what a step touches.

func raceRead[E any](s []E) {
	if len(s) > 0 {
		runtime.RaceReadRange(unsafe.Pointer(&s[0]), len(s)*int(unsafe.Sizeof(s[0])))
	}
}

func raceWrite[E any](s []E) {
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

// raceHook tells the detector what a step touches.
func (s *State16) raceHook(p *Param16, amsgrad bool) {
	s.raceHookWritten(p, amsgrad)
	raceRead(p.Grad)
	raceRead(p.GradBF16)
	raceRead(p.GradF16)
}

func (s *State16) raceHookWritten(p *Param16, amsgrad bool) {
	raceWrite(p.Value)
	raceWrite(p.BF16)
	raceWrite(p.F16)
	for _, m := range [...][]float32{s.M, s.V} {
		raceWrite(m)
	}
	for _, m := range [...][]BF16{s.M16, s.V16} {
		raceWrite(m)
	}
	if amsgrad {
		raceWrite(s.VMax)
		raceWrite(s.VMax16)
	}
	raceWrite(s.M8)
	raceWrite(s.V8)
	raceWrite(s.MScale)
	raceWrite(s.VScale)
	raceWrite(s.Rest)
}

// raceHooks tells the detector what a step of all tensors touches, whichever worker does.
func (o *Optimizer) raceHooks() {
	for _, t := range o.tensors {
		switch k := t.kind.(type) {
		case *typed[float32]:
			raceHook(o, k)
		case *typed[float64]:
			raceHook(o, k)
		case *table:
			raceTable(o, k)
		case *tensor16:
			k.raceHookWritten(k.at.Param16, k.amsgrad)
			raceWrite(k.ema)
			raceGrad(o, k.at.Grad)
			raceGrad(o, k.at.GradBF16)
			raceGrad(o, k.at.GradF16)
		}
	}
}

func raceHook[F float](o *Optimizer, t *typed[F]) {
	for _, s := range [][]F{*t.at.value, t.M, t.V, t.VMax, t.ema} {
		raceWrite(s)
	}
	raceGrad(o, *t.at.grad)
}

func raceTable(o *Optimizer, t *table) {
	p, x := t.at.table, t.VMax
	raceWrite(t.ema)
	if o.Options.EMADecay > 0 {
		raceRead(p.Value)
	}
	if len(x) != t.n { // without AMSGrad
		x = nil
	}
	if p.Grad != nil {
		raceRows(p.Value, p.Grad, t.M, t.V, x, t.width, p.Rows)
		raceGrad(o, p.Grad)
	}
}

func raceGrad[E any](o *Optimizer, g []E) {
	if o.Options.ZeroGrad {
		raceWrite(g)
	} else {
		raceRead(g)
	}
}
