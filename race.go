//go:build race

package adam

import (
	"runtime"
	"unsafe"
)

// The race detector does not see into assembly: raceRead and raceWrite tell it what a step touches.

func raceRead(s []float32) {
	if len(s) > 0 {
		runtime.RaceReadRange(unsafe.Pointer(&s[0]), 4*len(s))
	}
}

func raceWrite(s []float32) {
	if len(s) > 0 {
		runtime.RaceWriteRange(unsafe.Pointer(&s[0]), 4*len(s))
	}
}
